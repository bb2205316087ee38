//! The error of everything that makes a TLS configuration: which file, what is wrong, what to do.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a TLS configuration cannot be made. It never holds a part of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    /// The file it is about, if it is about one.
    pub path: Option<PathBuf>,
    /// What is wrong, without the path.
    pub message: String,
    /// What the operator can do.
    pub help: &'static str,
}

impl TlsError {
    pub(super) fn in_file(path: &Path, message: impl Into<String>, help: &'static str) -> Self {
        Self {
            path: Some(path.to_owned()),
            message: message.into(),
            help,
        }
    }

    pub(super) fn without_file(message: impl Into<String>, help: &'static str) -> Self {
        Self {
            path: None,
            message: message.into(),
            help,
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{}: ", path.display())?;
        }
        write!(f, "{}; {}", self.message, self.help)
    }
}

impl std::error::Error for TlsError {}
