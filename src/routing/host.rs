//! Host patterns: an exact name, `*.` and a suffix, or any host.

use std::fmt;
use std::net::Ipv6Addr;

use super::error::PatternError;

/// The hosts a route serves. Names are in lower case and without a trailing dot, as they are in a request head.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Every host, also an absent one: `*`.
    Any,
    /// This host alone.
    Exact(Box<str>),
    /// One or more labels to the left of this suffix, which is kept without its `*.`.
    Wildcard(Box<str>),
}

impl HostPattern {
    /// Reads `*`, `example.org`, `*.example.org`, `192.0.2.1` or `[2001:db8::1]`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text.starts_with('[') {
            return parse_ipv6(text);
        }
        let lower = text.to_ascii_lowercase();
        let trimmed = lower.strip_suffix('.').unwrap_or(&lower);
        let (suffix, wildcard) = match trimmed.strip_prefix("*.") {
            Some(suffix) => (suffix, true),
            None => (trimmed, false),
        };
        check_name(suffix, text)?;
        Ok(if wildcard {
            Self::Wildcard(suffix.into())
        } else {
            Self::Exact(suffix.into())
        })
    }

    /// Whether `host`, in lower case, is one of these.
    #[must_use]
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(name) => **name == *host,
            Self::Wildcard(suffix) => host
                .strip_suffix(&**suffix)
                .and_then(|left| left.strip_suffix('.'))
                .is_some_and(|labels| !labels.is_empty()),
        }
    }

    /// How much of the host is named: more is greater. Two patterns that match one host and are equal here are the same.
    pub(super) fn specificity(&self) -> (u8, usize) {
        match self {
            Self::Any => (0, 0),
            Self::Wildcard(suffix) => (1, suffix.split('.').count()),
            Self::Exact(_) => (2, 0),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

fn parse_ipv6(text: &str) -> Result<HostPattern, PatternError> {
    let Some((address, rest)) = text.strip_prefix('[').and_then(|t| t.split_once(']')) else {
        return Err(PatternError::new(
            "an IPv6 address stands between square brackets",
        ));
    };
    if !rest.is_empty() {
        return Err(
            PatternError::new("a host pattern has no port: ports belong to listeners")
                .suggest(format!("[{address}]")),
        );
    }
    // Written in the shortest spelling, in which hosts of requests are too.
    match address.parse::<Ipv6Addr>() {
        Ok(address) => Ok(HostPattern::Exact(format!("[{address}]").into())),
        Err(_) => Err(PatternError::new(format!(
            "{address:?} is not an IPv6 address"
        ))),
    }
}

fn check_name(name: &str, text: &str) -> Result<(), PatternError> {
    if let Some((_, after)) = text.split_once("://") {
        let host = after.split(['/', ':']).next().unwrap_or_default();
        return Err(PatternError::new("a host pattern has no scheme").suggest(host));
    }
    if let Some((host, _)) = text.split_once('/') {
        return Err(
            PatternError::new("a host pattern has no path: use the route's `path`").suggest(host),
        );
    }
    if let Some((host, port)) = text.split_once(':') {
        if port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(
                PatternError::new("a host pattern has no port: ports belong to listeners")
                    .suggest(host),
            );
        }
        return Err(
            PatternError::new("an IPv6 address stands between square brackets")
                .suggest(format!("[{text}]")),
        );
    }
    if name.contains('*') {
        return Err(PatternError::new(
            "`*` may only be the whole leftmost label, as in `*.example.org`",
        ));
    }
    if !name.is_ascii() {
        return Err(PatternError::new(
            "a host is written in its ASCII form, as clients send it (`xn--…`)",
        ));
    }
    if name.len() > MAX_HOST {
        return Err(PatternError::new(format!(
            "a host has at most {MAX_HOST} characters"
        )));
    }
    if name.split('.').any(str::is_empty) {
        return Err(PatternError::new("a host has no empty label"));
    }
    let wrong =
        |byte: &u8| !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'.'));
    if let Some(byte) = name.bytes().find(|byte| wrong(byte)) {
        return Err(PatternError::new(format!(
            "{:?} cannot be part of a host",
            char::from(byte)
        )));
    }
    Ok(())
}

/// The longest name that the domain name system can hold (RFC 1035 section 2.3.4).
const MAX_HOST: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> HostPattern {
        HostPattern::parse(text).unwrap()
    }

    #[test]
    fn a_wildcard_stands_for_one_or_more_labels() {
        let wildcard = pattern("*.Example.ORG");
        assert!(wildcard.matches("a.example.org"));
        assert!(wildcard.matches("a.b.example.org"));
        assert!(!wildcard.matches("example.org"));
        assert!(!wildcard.matches(".example.org"));
        assert!(!wildcard.matches("badexample.org"));
    }

    #[test]
    fn spellings_of_one_host_are_one_pattern() {
        assert_eq!(pattern("API.example.com."), pattern("api.example.com"));
        assert_eq!(pattern("[2001:DB8:0::A]"), pattern("[2001:db8::a]"));
    }

    #[test]
    fn any_matches_an_absent_host() {
        assert!(pattern("*").matches(""));
        assert!(!pattern("a").matches(""));
    }

    #[test]
    fn mistakes_are_told_with_what_was_meant() {
        for (text, suggestion) in [
            ("https://a.example/x", Some("a.example")),
            ("a.example:8080", Some("a.example")),
            ("a.example/x", Some("a.example")),
            ("[::1]:80", Some("[::1]")),
            ("::1", Some("[::1]")),
            ("a.*.example", None),
            ("*example.org", None),
            ("a..b", None),
            ("", None),
            ("*.", None),
            ("bücher.example", None),
            ("a b", None),
            ("[::1", None),
            ("[zz]", None),
        ] {
            let error = HostPattern::parse(text).unwrap_err();
            assert_eq!(error.suggestion.as_deref(), suggestion, "{text}: {error}");
        }
    }
}
