//! What can be wrong with the settings of a filter.

use std::fmt;

use super::template::TemplateError;

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingError {
    /// The key of the setting.
    pub key: &'static str,
    /// The entry below the key, where the setting is a table or a list.
    pub item: Option<String>,
    /// What is wrong, as a sentence without its full stop.
    pub message: String,
    /// What to write in its place.
    pub suggestion: Option<String>,
}

/// What a route offers to the filters and actions that refer to it.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteShape<'a> {
    /// The names of its path's captures.
    pub captures: &'a [Box<str>],
    /// Whether its path pattern ends in `/*`.
    pub has_tail: bool,
    /// Whether it serves only hosts that the configuration names, exactly or by wildcard.
    pub names_hosts: bool,
}

impl SettingError {
    pub(super) fn new(key: &'static str, message: impl Into<String>) -> Self {
        Self {
            key,
            item: None,
            message: message.into(),
            suggestion: None,
        }
    }

    pub(super) fn template(key: &'static str, error: TemplateError) -> Self {
        Self {
            key,
            item: None,
            message: error.message,
            suggestion: error.suggestion,
        }
    }

    pub(super) fn at(mut self, item: &str) -> Self {
        self.item = Some(item.to_owned());
        self
    }

    pub(super) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }
}

impl RouteShape<'_> {
    /// Checks that the route's path has a capture of that name.
    pub(super) fn check_capture(&self, key: &'static str, name: &str) -> Result<(), SettingError> {
        if self.captures.iter().any(|known| **known == *name) {
            return Ok(());
        }
        let error = SettingError::new(key, format!("the route's path captures no {name:?}"));
        Err(
            match nearest(name, self.captures.iter().map(|known| &**known)) {
                Some(near) => error.suggest(near),
                None => error,
            },
        )
    }

    /// Checks that the route's path has a tail.
    pub(super) fn check_tail(&self, key: &'static str) -> Result<(), SettingError> {
        if self.has_tail {
            return Ok(());
        }
        Err(SettingError::new(
            key,
            "`*` stands for what the route's `/*` matched, and the route's path does not end in `/*`",
        ))
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.item {
            Some(item) => write!(f, "{}.{item}: {}", self.key, self.message),
            None => write!(f, "{}: {}", self.key, self.message),
        }
    }
}

impl std::error::Error for SettingError {}

/// The known word that a mistyped one probably stands for.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
