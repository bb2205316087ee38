//! The access log: one line for each finished exchange, written off the request path.
//!
//! A worker formats a line into its own buffer and hands buffers over to one writer thread. It never waits: when the
//! output stalls and the queue is full, lines are dropped and counted. A snapshot holds an [`AccessLog`], so an exchange
//! is logged as the configuration said that it began with.

mod clock;
mod escape;
mod field;
mod json;
mod output;
mod sink;
mod template;
#[cfg(test)]
mod testing;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

pub use clock::Clock;
pub use field::{FIELDS, Field, TEMPLATE_FIELDS};
pub use sink::{LogSink, WorkerLog};
pub use template::{Template, TemplateError};

use super::record::AccessRecord;
use output::Output;

/// Where the lines of one configuration go, and what they look like. Made by [`LogSink::open`].
#[derive(Debug)]
pub struct AccessLog {
    format: Format,
    output: Arc<Output>,
}

/// What is to be logged, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the lines go.
    pub target: Target,
    /// What a line looks like.
    pub format: Format,
}

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The standard output of the process.
    Stdout,
    /// A file, which is appended to and made if need be.
    File(PathBuf),
}

/// What a line looks like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// An object of [`FIELDS`], those without a value left out.
    #[default]
    Json,
    /// The operator's own text; the combined format of Apache and nginx is one, too: [`Format::combined`].
    Text(Template),
}

impl Format {
    /// The combined log format.
    #[must_use]
    pub fn combined() -> Self {
        Self::Text(Template::combined())
    }

    /// Appends the line of a record, without the line feed at its end. Allocates only to grow `out`.
    pub fn write(&self, record: &AccessRecord<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::write(record, clock, out),
            Self::Text(template) => template.write(record, clock, out),
        }
    }
}
