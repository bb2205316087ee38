//! The command line: what is asked for, and what the shell gets back.

mod check;
mod completions;
mod console;
mod demo;
mod explain;
mod reference;
mod run;
mod version;

#[cfg(test)]
mod tests;

use std::{ffi::OsString, io, process::ExitCode};

use clap::{Parser, Subcommand, error::ErrorKind};

pub use console::Console;

/// An API gateway and load balancer: TOML in, traffic through, metrics out.
#[derive(Debug, Parser)]
#[command(
    name = "portcullis",
    version,
    after_help = "\
Examples:
  portcullis demo                                   # a gateway with sample services, to try
  portcullis check --config conf/portcullis.toml    # every problem of a configuration at once
  portcullis run --config conf/portcullis.toml      # serve it; saving the file reloads it

Exit codes: 0 done, 1 could not start, 2 wrong configuration or wrong arguments."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Check(check::Check),
    Explain(explain::Explain),
    Reference(reference::Reference),
    Demo(demo::Demo),
    Version(version::Version),
    Completions(completions::Completions),
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// As it should.
    Done,
    /// Something outside of the configuration is in the way: a port in use, a file that cannot be written.
    CannotStart,
    /// The configuration or the command line is wrong.
    Refused,
}

impl Exit {
    /// The number that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::CannotStart => 1,
            Self::Refused => 2,
        }
    }
}

/// Runs the command of this process.
pub fn main() -> ExitCode {
    let mut console = Console::process();
    execute(std::env::args_os(), &mut console).code().into()
}

/// Runs one command; the first of `arguments` is the name of the program.
pub fn execute(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    console: &mut Console,
) -> Exit {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(answer) => return not_a_command(&answer, console),
    };
    let outcome = match arguments.command {
        Command::Run(run) => run.execute(console),
        Command::Check(check) => check.execute(console),
        Command::Explain(explain) => explain.execute(console),
        Command::Reference(reference) => reference.execute(console),
        Command::Demo(demo) => demo.execute(console),
        Command::Version(version) => version.execute(console),
        Command::Completions(completions) => completions.execute(console),
    };
    match outcome {
        Ok(exit) => exit,
        // Whoever reads the output has seen enough, as in `portcullis reference | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(error) => {
            let _ = console.complain(&error.to_string());
            Exit::CannotStart
        }
    }
}

/// Help, the version, or what is wrong with the arguments.
fn not_a_command(answer: &clap::Error, console: &mut Console) -> Exit {
    let text = if console.colours() {
        answer.render().ansi().to_string()
    } else {
        answer.render().to_string()
    };
    if matches!(
        answer.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        let _ = console.print(&text);
        return Exit::Done;
    }
    let _ = console.print_error(&text);
    Exit::Refused
}
