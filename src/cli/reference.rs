//! `portcullis reference`: every key of the configuration.

use std::io;

use clap::Args;

use super::{Console, Exit};
use crate::config::reference::reference;

/// Print the reference of the configuration.
///
/// It is Markdown: every table and every key with its type, its default and an example. It is made from the types that
/// read the configuration, so it always fits this version of the program.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis reference | less
  portcullis reference > reference.md")]
pub(super) struct Reference {}

impl Reference {
    pub(super) fn execute(self, console: &mut Console) -> io::Result<Exit> {
        console.print(&reference())?;
        Ok(Exit::Done)
    }
}
