//! `portcullis completions`: what a shell needs to complete commands and options.

use std::io;

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use super::{Arguments, Console, Exit};

/// Print the completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis completions bash > /usr/share/bash-completion/completions/portcullis
  portcullis completions zsh > \"${fpath[1]}/_portcullis\"
  portcullis completions fish > ~/.config/fish/completions/portcullis.fish")]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn execute(self, console: &mut Console) -> io::Result<Exit> {
        let mut script = Vec::new();
        generate(
            self.shell,
            &mut Arguments::command(),
            "portcullis",
            &mut script,
        );
        console.print(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Done)
    }
}
