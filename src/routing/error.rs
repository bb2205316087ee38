//! Why a pattern that an operator wrote cannot be used.

use std::fmt;

/// A pattern that cannot be used: what is wrong with it and, where one is near, what was probably meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternError {
    /// What is wrong, as a sentence without its full stop.
    pub message: String,
    /// What to write in its place.
    pub suggestion: Option<String>,
}

impl PatternError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            suggestion: None,
        }
    }

    pub(super) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PatternError {}
