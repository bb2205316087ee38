//! Patterns for the value of a header field or a query parameter.

use std::fmt;

use regex::bytes::Regex;

use super::error::PatternError;
use super::expression::{anchored, regex_error};

/// A header field or query parameter that a request must have.
#[derive(Clone, Debug)]
pub struct ValueMatch {
    /// The name; that of a header field is in lower case.
    pub name: Box<str>,
    /// The values that will do.
    pub value: ValuePattern,
}

/// The values that will do. Where a request has several, one that matches is enough.
#[derive(Clone, Debug)]
pub enum ValuePattern {
    /// This value alone, in this case.
    Exact(Box<str>),
    /// Every value that begins so: `v*`.
    Prefix(Box<str>),
    /// Every value, also the empty one: `*`.
    Present,
    /// Every value that the expression matches from end to end: `~…`.
    Regex(Regex),
}

impl ValueMatch {
    /// A condition on the header field `name`.
    pub fn header(name: &str, value: &str) -> Result<Self, PatternError> {
        if name.eq_ignore_ascii_case("host") {
            return Err(PatternError::new(
                "the host is matched by the route's `hosts`",
            ));
        }
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(PatternError::new(format!(
                "{name:?} is not the name of a header field"
            )));
        }
        Ok(Self {
            name: name.to_ascii_lowercase().into(),
            value: ValuePattern::parse(value)?,
        })
    }

    /// A condition on the query parameter `name`. Name and value are compared after percent-decoding, `+` being a space.
    pub fn query(name: &str, value: &str) -> Result<Self, PatternError> {
        if name.is_empty() {
            return Err(PatternError::new("a query parameter has a name"));
        }
        Ok(Self {
            name: name.into(),
            value: ValuePattern::parse(value)?,
        })
    }
}

impl ValuePattern {
    /// Reads `value`, `begin*`, `*` or `~expression`. A value that really begins with `~` or ends in `*` is written as
    /// an expression.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::Present);
        }
        if let Some(expression) = text.strip_prefix('~') {
            let source = anchored(expression)?;
            return Regex::new(&source)
                .map(Self::Regex)
                .map_err(|cause| regex_error(&cause));
        }
        Ok(match text.strip_suffix('*') {
            Some(begin) => Self::Prefix(begin.into()),
            None => Self::Exact(text.into()),
        })
    }

    /// Whether `value` will do.
    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Exact(wanted) => wanted.as_bytes() == value,
            Self::Prefix(begin) => value.starts_with(begin.as_bytes()),
            Self::Present => true,
            Self::Regex(regex) => regex.is_match(value),
        }
    }

    pub(super) const fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }

    /// Whether every value of `other` will do here too. Of expressions only equal ones are known to.
    pub(super) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present, _) => true,
            (_, Self::Exact(value)) => self.matches(value.as_bytes()),
            (Self::Prefix(wide), Self::Prefix(narrow)) => narrow.starts_with(&**wide),
            (Self::Regex(a), Self::Regex(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

impl fmt::Display for ValuePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(value) => write!(f, "{value:?}"),
            Self::Prefix(begin) => write!(f, "{begin}*"),
            Self::Present => f.write_str("*"),
            // Shown as it was written, without the anchors.
            Self::Regex(regex) => {
                let source = regex.as_str();
                let inner = source
                    .strip_prefix(r"\A(?:")
                    .and_then(|rest| rest.strip_suffix(r")\z"));
                write!(f, "~{}", inner.unwrap_or(source))
            }
        }
    }
}

/// A character of a token (RFC 9110 section 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, value: &str) -> bool {
        ValuePattern::parse(pattern)
            .unwrap()
            .matches(value.as_bytes())
    }

    #[test]
    fn each_form_matches_its_values() {
        assert!(matches("gold", "gold") && !matches("gold", "Gold") && !matches("gold", "golden"));
        assert!(matches("go*", "gold") && matches("go*", "go") && !matches("go*", "ago"));
        assert!(matches("*", "") && matches("*", "x"));
        assert!(matches("~v[12]", "v1") && !matches("~v[12]", "v12") && !matches("~v[12]", "xv1"));
        assert!(matches("", "") && !matches("", "x"));
    }

    #[test]
    fn a_value_outside_utf8_is_no_obstacle() {
        let pattern = ValuePattern::parse("a*").unwrap();
        assert!(pattern.matches(b"a\xff"));
    }

    #[test]
    fn covering_follows_the_sets_of_values() {
        let covers = |wide: &str, narrow: &str| {
            ValuePattern::parse(wide)
                .unwrap()
                .covers(&ValuePattern::parse(narrow).unwrap())
        };
        assert!(
            covers("*", "~x") && covers("a*", "ab*") && covers("a*", "ab") && covers("~a.", "ab")
        );
        assert!(
            covers("~a", "~a") && !covers("~a", "~b") && !covers("ab*", "a*") && !covers("a", "*")
        );
    }

    #[test]
    fn a_pattern_is_shown_as_it_is_written() {
        for (text, shown) in [("a", "\"a\""), ("a*", "a*"), ("*", "*"), ("~a|b", "~a|b")] {
            assert_eq!(ValuePattern::parse(text).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn names_are_checked() {
        assert!(ValueMatch::header("Host", "a").is_err());
        assert!(ValueMatch::header("a b", "a").is_err());
        assert!(ValueMatch::header("", "a").is_err());
        assert!(ValueMatch::query("", "a").is_err());
        assert_eq!(&*ValueMatch::header("X-Tier", "a").unwrap().name, "x-tier");
    }
}
