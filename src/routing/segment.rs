//! One segment of a path pattern.

use super::error::PatternError;
use super::spelling;

/// A segment of a path pattern, between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(Box<str>),
    Capture,
}

impl Segment {
    /// Reads the segment `part` of the pattern `text`, and appends the name of a capture to `names`.
    pub(super) fn parse(
        part: &str,
        text: &str,
        names: &mut Vec<Box<str>>,
    ) -> Result<Self, PatternError> {
        if let Some(name) = part
            .strip_prefix('{')
            .and_then(|inner| inner.strip_suffix('}'))
        {
            check_capture_name(name)?;
            if names.iter().any(|known| **known == *name) {
                return Err(PatternError::new(format!(
                    "the capture {name:?} is there twice"
                )));
            }
            names.push(name.into());
            return Ok(Self::Capture);
        }
        if part.contains(['{', '}']) {
            return Err(PatternError::new(format!(
                "a capture fills a whole segment, and {part:?} has something beside it: use `path_regex`"
            )));
        }
        if part == "*" {
            return Err(PatternError::new(
                "`*` may only be the last segment: use a capture for one segment",
            )
            .suggest(text.replacen("/*/", "/{name}/", 1)));
        }
        if let Some(literal) = part.strip_suffix('*') {
            return Err(PatternError::new(
                "`*` stands for whole segments: for parts of a segment use `path_regex`",
            )
            .suggest(text.replacen(part, &format!("{literal}/*"), 1)));
        }
        spelling::literal(part).map(|literal| Self::Literal(literal.into()))
    }
}

fn check_capture_name(name: &str) -> Result<(), PatternError> {
    let starts_well = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    if name.bytes().next().is_some_and(|byte| starts_well(&byte))
        && name
            .bytes()
            .all(|byte| starts_well(&byte) || byte.is_ascii_digit())
    {
        return Ok(());
    }
    let error = PatternError::new(format!(
        "{name:?} is not a capture name: letters, digits and `_`, not beginning with a digit"
    ));
    Err(if name.contains(':') {
        PatternError::new("a capture has no expression of its own: use `path_regex`")
    } else {
        error
    })
}
