//! Regular expressions, which always match from end to end.

use regex::Regex;

use super::error::PatternError;

/// The expression anchored at both ends. It is compiled as it stands first, so that `a)|(b` cannot close the group.
pub(super) fn anchored(text: &str) -> Result<String, PatternError> {
    Regex::new(text).map_err(|cause| regex_error(&cause))?;
    Ok(format!(r"\A(?:{text})\z"))
}

pub(super) fn regex_error(cause: &regex::Error) -> PatternError {
    // The last line of the message says what is wrong; those before it draw the place.
    let text = cause.to_string();
    let last = text.lines().last().unwrap_or(&text);
    PatternError::new(format!(
        "not a regular expression: {}",
        last.trim_start_matches("error: ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_cannot_leave_its_anchors() {
        assert!(anchored("a)|(b").is_err());
        assert!(Regex::new(&anchored("(?x) /a # comment").unwrap()).is_err());
        let lines = Regex::new(&anchored("(?m)^/a$").unwrap()).unwrap();
        assert!(lines.is_match("/a") && !lines.is_match("/a\n/b"));
    }

    #[test]
    fn a_wrong_expression_says_what_is_wrong() {
        let error = anchored("/a(").unwrap_err();
        assert_eq!(error.message, "not a regular expression: unclosed group");
    }
}
