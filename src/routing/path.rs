//! Path patterns: exact, prefix by segments, templates with captures, anchored regular expressions, or any path.

use std::fmt;

use regex::Regex;

use super::captures::Captures;
use super::error::PatternError;
use super::expression::{anchored, regex_error};
use super::segment::Segment;

/// The paths a route serves. A pattern is compared with the normalised path of a request.
///
/// - `/a/b` is that path alone; `/a/b/` is another one.
/// - `/a/*` is `/a` and everything below it: it ends at a segment, so `/ab` is not below `/a`. `/*` is any path.
/// - `{id}` fills one whole segment that is not empty; it may stand in both of the forms above.
/// - A regular expression is anchored at both ends; its named groups are captures.
#[derive(Clone, Debug)]
pub struct PathPattern {
    text: Box<str>,
    pub(super) kind: Kind,
    names: Box<[Box<str>]>,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Any,
    /// `/`-separated segments; with `open`, whatever follows them.
    Segments {
        segments: Box<[Segment]>,
        open: bool,
    },
    /// The expression and the index of each named group.
    Regex {
        regex: Regex,
        groups: Box<[usize]>,
    },
}

impl PathPattern {
    /// The pattern of every path.
    #[must_use]
    pub fn any() -> Self {
        Self {
            text: "/*".into(),
            kind: Kind::Any,
            names: Box::default(),
        }
    }

    /// Reads `/a`, `/a/*`, `/a/{id}`, `/a/{id}/*` or `/*`. Literal segments are brought to the normal form of request
    /// paths, so `/caf%c3%a9` and `/café` are one pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "/*" {
            return Ok(Self::any());
        }
        let Some(rest) = text.strip_prefix('/') else {
            let error = PatternError::new("a path begins with `/`");
            return Err(match text {
                "" | "*" => error.suggest("/*"),
                _ => error.suggest(format!("/{text}")),
            });
        };
        let (closed, open) = match rest.strip_suffix("/*") {
            Some(closed) => (closed, true),
            None => (rest, false),
        };
        let mut segments = Vec::new();
        let mut names: Vec<Box<str>> = Vec::new();
        let mut parts = closed.split('/').peekable();
        while let Some(part) = parts.next() {
            // `/a/` ends in an empty segment; anywhere else an empty segment can never match a normalised path.
            if part.is_empty() && (parts.peek().is_some() || open) {
                return Err(PatternError::new(
                    "a path has no empty segment: `//` never reaches a route",
                )
                .suggest(without_empty_segments(text)));
            }
            segments.push(Segment::parse(part, text, &mut names)?);
        }
        if segments.len() > MAX_SEGMENTS {
            return Err(PatternError::new(format!(
                "a path pattern has at most {MAX_SEGMENTS} segments"
            )));
        }
        Ok(Self {
            text: text.into(),
            kind: Kind::Segments {
                segments: segments.into(),
                open,
            },
            names: names.into(),
        })
    }

    /// Reads a regular expression, which is anchored at both ends. Its named groups become captures.
    pub fn parse_regex(text: &str) -> Result<Self, PatternError> {
        let regex = Regex::new(&anchored(text)?).map_err(|cause| regex_error(&cause))?;
        let (groups, names) = regex
            .capture_names()
            .enumerate()
            .filter_map(|(index, name)| Some((index, Box::from(name?))))
            .unzip::<_, Box<str>, Vec<_>, Vec<_>>();
        Ok(Self {
            text: text.into(),
            kind: Kind::Regex {
                regex,
                groups: groups.into(),
            },
            names: names.into(),
        })
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of the captures, in order.
    #[must_use]
    pub fn capture_names(&self) -> &[Box<str>] {
        &self.names
    }

    /// Whether a match has a tail, that is whether the pattern ends in `/*`.
    #[must_use]
    pub fn has_tail(&self) -> bool {
        match &self.kind {
            Kind::Any => true,
            Kind::Segments { open, .. } => *open,
            Kind::Regex { .. } => false,
        }
    }

    /// Whether the pattern is a regular expression.
    #[must_use]
    pub fn is_regex(&self) -> bool {
        matches!(self.kind, Kind::Regex { .. })
    }

    /// Whether the normalised `path` is one of these.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        match &self.kind {
            Kind::Any => true,
            Kind::Segments { segments, open } => {
                let mut left = segments.iter();
                let mut parts = split(path);
                loop {
                    match (left.next(), parts.next()) {
                        (Some(Segment::Literal(wanted)), Some(part)) if **wanted == *part => {}
                        (Some(Segment::Capture), Some(part)) if !part.is_empty() => {}
                        (Some(_), _) => return false,
                        (None, rest) => return *open || rest.is_none(),
                    }
                }
            }
            Kind::Regex { regex, .. } => regex.is_match(path),
        }
    }

    /// The captures of a `path` that this pattern matches.
    #[must_use]
    pub fn captures(&self, path: &str) -> Captures {
        let mut captures = Captures::default();
        match &self.kind {
            Kind::Any => captures.set_tail(0),
            Kind::Segments { segments, open } => {
                let mut end = 0;
                for (segment, part) in segments.iter().zip(split(path)) {
                    let start = end + 1;
                    end = start + part.len();
                    if *segment == Segment::Capture {
                        captures.push(start..end);
                    }
                }
                if *open {
                    captures.set_tail(end);
                }
            }
            Kind::Regex { groups, .. } if groups.is_empty() => {}
            Kind::Regex { regex, groups } => {
                let mut locations = regex.capture_locations();
                if regex.captures_read(&mut locations, path).is_some() {
                    for group in groups {
                        // A group that took no part in the match captures nothing.
                        let (start, end) = locations.get(*group).unwrap_or_default();
                        captures.push(start..end);
                    }
                }
            }
        }
        captures
    }
}

impl Default for PathPattern {
    fn default() -> Self {
        Self::any()
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Regex { .. } => write!(f, "~{}", self.text),
            Kind::Any | Kind::Segments { .. } => f.write_str(&self.text),
        }
    }
}

/// The segments of a path: `/a/b` has two, `/` has one that is empty, and the empty path of `OPTIONS *` has none.
fn split(path: &str) -> impl Iterator<Item = &str> {
    path.strip_prefix('/')
        .into_iter()
        .flat_map(|rest| rest.split('/'))
}

fn without_empty_segments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if !(character == '/' && out.ends_with('/')) {
            out.push(character);
        }
    }
    out
}

/// Bounds the depth of the tree that patterns are put into.
const MAX_SEGMENTS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PathPattern {
        PathPattern::parse(text).unwrap()
    }

    fn captured<'a>(pattern: &PathPattern, path: &'a str) -> (Vec<&'a str>, Option<&'a str>) {
        let captures = pattern.captures(path);
        let ranges = captures.ranges().iter();
        (
            ranges
                .map(|range| &path[range.start as usize..range.end as usize])
                .collect(),
            captures.tail().map(|tail| &path[tail as usize..]),
        )
    }

    #[test]
    fn exact_is_that_path_alone() {
        assert!(pattern("/a/b").matches("/a/b"));
        assert!(!pattern("/a/b").matches("/a/b/"));
        assert!(!pattern("/a/b").matches("/a"));
        assert!(!pattern("/a").matches("/A"));
        assert!(pattern("/a/").matches("/a/"));
        assert!(!pattern("/a/").matches("/a"));
        assert!(pattern("/").matches("/"));
        assert!(!pattern("/").matches(""));
    }

    #[test]
    fn a_prefix_ends_at_a_segment() {
        let prefix = pattern("/a/*");
        assert!(prefix.matches("/a"));
        assert!(prefix.matches("/a/"));
        assert!(prefix.matches("/a/b/c"));
        assert!(!prefix.matches("/ab"));
        assert!(!prefix.matches("/"));
        assert_eq!(captured(&prefix, "/a").1, Some(""));
        assert_eq!(captured(&prefix, "/a/").1, Some("/"));
        assert_eq!(captured(&prefix, "/a/b/c").1, Some("/b/c"));
    }

    #[test]
    fn any_matches_even_the_empty_path() {
        assert!(pattern("/*").matches(""));
        assert!(pattern("/*").matches("/x"));
        assert_eq!(captured(&pattern("/*"), "/x/y").1, Some("/x/y"));
        assert!(!pattern("/a/*").matches(""));
    }

    #[test]
    fn a_capture_is_one_segment_that_is_not_empty() {
        let template = pattern("/u/{id}/o/{order}");
        assert!(template.matches("/u/7/o/9"));
        assert!(!template.matches("/u//o/9"));
        assert!(!template.matches("/u/7/o/"));
        assert!(!template.matches("/u/7/o/9/"));
        assert_eq!(
            captured(&template, "/u/seven/o/9"),
            (vec!["seven", "9"], None)
        );
        assert_eq!(template.capture_names(), ["id".into(), "order".into()]);

        let open = pattern("/u/{id}/*");
        assert!(open.matches("/u/7"));
        assert!(!open.matches("/u/"));
        assert!(!open.matches("/u"));
        assert_eq!(captured(&open, "/u/7"), (vec!["7"], Some("")));
        assert_eq!(captured(&open, "/u/7/x/y"), (vec!["7"], Some("/x/y")));
    }

    #[test]
    fn an_expression_is_anchored_at_both_ends() {
        let expression = PathPattern::parse_regex(r"/v(?P<version>\d+)(?P<rest>/.*)?|/w").unwrap();
        assert!(expression.matches("/v12/x"));
        assert!(expression.matches("/w"));
        assert!(!expression.matches("/w/x"));
        assert!(!expression.matches("/x/v12"));
        assert_eq!(captured(&expression, "/v12/x"), (vec!["12", "/x"], None));
        assert_eq!(captured(&expression, "/v1").0, ["1", ""]);
    }

    #[test]
    fn literals_are_written_in_any_spelling_of_the_normal_form() {
        assert!(pattern("/caf%c3%a9").matches("/caf%C3%A9"));
        assert!(pattern("/café").matches("/caf%C3%A9"));
        assert!(pattern("/%61bc").matches("/abc"));
    }

    #[test]
    fn mistakes_are_told_with_what_was_meant() {
        for (text, suggestion) in [
            ("a/b", Some("/a/b")),
            ("", Some("/*")),
            ("*", Some("/*")),
            ("/a*", Some("/a/*")),
            ("/a/*/b", Some("/a/{name}/b")),
            ("/a//b", Some("/a/b")),
            ("/a//*", Some("/a/*")),
            ("//", Some("/")),
            ("/a/x{id}", None),
            ("/a/{}", None),
            ("/a/{1}", None),
            ("/a/{id:[0-9]+}", None),
            ("/{a}/{a}", None),
            ("/a/../b", None),
            ("/a/./b", None),
            ("/a?b=c", None),
            ("/a#b", None),
            ("/a%2", None),
            ("/a%00", None),
            ("/a%2fb", None),
            ("/a\\b", None),
        ] {
            let error = PathPattern::parse(text).unwrap_err();
            assert_eq!(error.suggestion.as_deref(), suggestion, "{text}: {error}");
        }
        assert!(PathPattern::parse(&"/a".repeat(129)).is_err());
    }
}
