//! `portcullis version`.

use std::io;

use clap::Args;

use super::{Console, Exit};

/// Print the version.
#[derive(Debug, Args)]
pub(super) struct Version {}

impl Version {
    pub(super) fn execute(self, console: &mut Console) -> io::Result<Exit> {
        console.print(concat!("portcullis ", env!("CARGO_PKG_VERSION"), "\n"))?;
        Ok(Exit::Done)
    }
}
