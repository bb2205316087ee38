//! Pure matching: which route wins for a request, and why the others lost.
//!
//! `rank.rs` documents which of two matching routes wins. `Router::find` answers with the first route in that order
//! that matches; hosts and paths are looked up in an index whose cost does not grow with the number of routes.

mod captures;
mod conditions;
mod error;
mod explain;
mod expression;
mod host;
mod hosts;
#[cfg(test)]
mod oracle;
mod path;
mod query;
mod rank;
mod router;
mod segment;
mod shadow;
mod spelling;
mod tree;
mod value;

use std::net::IpAddr;

use ipnet::IpNet;

pub use captures::Captures;
pub use error::PatternError;
pub use explain::{Candidate, Verdict};
pub use host::HostPattern;
pub use path::PathPattern;
pub use rank::Criterion;
pub use router::{Matched, Router};
pub use shadow::Shadowed;
pub use value::{ValueMatch, ValuePattern};

/// What a request must be for a route to take it.
#[derive(Clone, Debug, Default)]
pub struct RouteMatch {
    /// The name, unique among all routes.
    pub name: Box<str>,
    /// The hosts; empty for any.
    pub hosts: Vec<HostPattern>,
    /// The paths.
    pub path: PathPattern,
    /// The methods, in the case in which they are sent; empty for any.
    pub methods: Vec<Box<str>>,
    /// The header fields that the request must have, every one of them.
    pub headers: Vec<ValueMatch>,
    /// The query parameters that the request must have, every one of them.
    pub query: Vec<ValueMatch>,
    /// The client addresses; empty for any.
    pub clients: Vec<IpNet>,
    /// Above every other criterion: the higher one wins.
    pub priority: i32,
}

impl RouteMatch {
    /// Whether it serves only hosts that the configuration names, exactly or by wildcard.
    #[must_use]
    pub fn names_hosts(&self) -> bool {
        !self.hosts.is_empty() && !self.hosts.contains(&HostPattern::Any)
    }
}

/// What the router asks a request.
pub trait Request {
    /// The host in lower case, without port and trailing dot.
    fn host(&self) -> &str;
    /// The normalised path.
    fn path(&self) -> &str;
    /// The method as it was sent.
    fn method(&self) -> &str;
    /// What follows `?`, still encoded.
    fn query(&self) -> Option<&str>;
    /// The address of the client, whom the trusted proxies vouch for.
    fn client(&self) -> IpAddr;
    /// Whether `wanted` says yes to the value of one of the fields of that name, which is in lower case.
    fn any_header(&self, name: &str, wanted: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

/// Reads a request method: a token, in the case in which it is sent (RFC 9110 section 9.1).
pub fn parse_method(text: &str) -> Result<Box<str>, PatternError> {
    if text.is_empty() || !text.bytes().all(value::is_token) {
        return Err(PatternError::new(format!("{text:?} is not a method")));
    }
    let upper = text.to_ascii_uppercase();
    if text != upper && REGISTERED.contains(&&*upper) {
        return Err(PatternError::new("methods are case-sensitive").suggest(upper));
    }
    Ok(text.into())
}

const REGISTERED: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registered_method_in_lower_case_is_a_mistake() {
        assert_eq!(
            parse_method("get").unwrap_err().suggestion.as_deref(),
            Some("GET")
        );
        assert_eq!(&*parse_method("purge").unwrap(), "purge");
        assert!(parse_method("").is_err());
        assert!(parse_method("GE T").is_err());
    }
}
