//! `portcullis check`: every problem of a configuration in one go.

use std::{
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::{Args, ValueEnum};
use serde_json::json;

use super::{Console, Exit};
use crate::{
    app::descriptors,
    compile::{Compiled, Stores, compile},
    config::{self, Config, Diagnostics},
    snapshot::Snapshot,
};

/// Check a configuration without serving it.
///
/// Reads the file, everything it includes, its certificates and its secrets, and reports every error and every warning
/// with its place. Nothing is bound and nobody is connected to.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis check --config conf/portcullis.toml
  portcullis check --config conf/portcullis.toml --format json | jq '.diagnostics[].message'

Exit codes: 0 it can be served (there may be warnings), 2 it cannot.")]
pub(super) struct Check {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    config: PathBuf,
    /// How the problems are printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

impl Check {
    pub(super) fn execute(self, console: &mut Console) -> io::Result<Exit> {
        let (checked, mut diagnostics) = load(&self.config);
        let valid = checked.is_some();
        if let Some((config, _)) = &checked {
            descriptors::check(config, &mut diagnostics);
        }
        match self.format {
            Format::Text => {
                console.print_error(&diagnostics.to_string())?;
                let file = self.config.display();
                let summary = summary(&diagnostics);
                let verdict = if valid { "is valid" } else { "cannot be used" };
                console.print(&format!("{file} {verdict}{summary}\n"))?;
            }
            Format::Json => {
                let answer = json!({
                    "valid": valid,
                    "errors": diagnostics.errors(),
                    "warnings": diagnostics.warnings(),
                    "diagnostics": diagnostics,
                });
                console.print(&format!("{answer:#}\n"))?;
            }
        }
        Ok(if valid { Exit::Done } else { Exit::Refused })
    }
}

/// A configuration and what it compiles to, or `None` when something is wrong with it; and everything that was found.
pub(super) fn load(path: &Path) -> (Option<(Config, Snapshot)>, Diagnostics) {
    let loaded = config::load(path);
    let Compiled {
        snapshot,
        diagnostics,
    } = compile(&loaded, &Stores::to_check(), 1, SystemTime::now());
    (loaded.config.zip(snapshot), diagnostics)
}

/// `: 2 errors, 1 warning`, or nothing.
fn summary(diagnostics: &Diagnostics) -> String {
    let parts: Vec<String> = [
        (diagnostics.errors(), "error"),
        (diagnostics.warnings(), "warning"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, word)| format!("{count} {word}{}", if count == 1 { "" } else { "s" }))
    .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(": {}", parts.join(", "))
    }
}
