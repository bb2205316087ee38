//! `portcullis run`: the gateway itself.

use std::{io, path::PathBuf};

use clap::Args;

use super::{Console, Exit};
use crate::app::{self, StartError};

/// Serve a configuration.
///
/// The file is watched: saving it reloads it, and so do SIGHUP and POST /reload on the admin address. A configuration
/// that is wrong is reported and the one before serves on. SIGTERM ends the process after the running exchanges,
/// SIGUSR1 opens the log files again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis run --config conf/portcullis.toml
  kill -HUP $(pidof portcullis)    # reload")]
pub(super) struct Run {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
}

impl Run {
    pub(super) fn execute(self, console: &mut Console) -> io::Result<Exit> {
        match app::run(app::Options::new(self.config)) {
            Ok(()) => Ok(Exit::Done),
            Err(error) => cannot_start(&error, console),
        }
    }
}

/// Says why the gateway did not start.
pub(super) fn cannot_start(error: &StartError, console: &mut Console) -> io::Result<Exit> {
    if let StartError::Config(diagnostics) = error {
        console.print_error(&diagnostics.to_string())?;
        return Ok(Exit::Refused);
    }
    console.complain(&error.to_string())?;
    Ok(Exit::CannotStart)
}
