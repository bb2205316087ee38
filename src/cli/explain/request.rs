//! The request in question, read by the codec that reads requests from the wire.

use std::str::FromStr;

use crate::http::{HeadError, HeadLimits, RequestHead, h1};

/// The parts of a URL that a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    secure: bool,
    authority: String,
    target: String,
}

/// A header field as on the command line of curl: `name: value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    name: String,
    value: String,
}

/// Reads the request as it would come over an HTTP/1.1 connection.
pub(super) fn read(method: &str, url: &Url, headers: &[Header]) -> Result<RequestHead, HeadError> {
    let named = headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("host"));
    let host = named.map_or(&url.authority, |header| &header.value);
    let mut text = format!("{method} {} HTTP/1.1\r\nHost: {host}\r\n", url.target);
    for Header { name, value } in headers {
        if !name.eq_ignore_ascii_case("host") {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text.push_str("\r\n");
    let mut head = RequestHead::default();
    let mut scan = h1::HeadScan::default();
    h1::parse_request(
        text.as_bytes(),
        &mut scan,
        &HeadLimits::default(),
        &mut head,
    )?
    .ok_or(HeadError::BadRequestLine)?;
    Ok(head)
}

impl Url {
    /// Whether it is https.
    pub(super) const fn is_secure(&self) -> bool {
        self.secure
    }
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (secure, rest) = [(false, "http://"), (true, "https://")]
            .into_iter()
            .find_map(|(secure, scheme)| {
                let (begin, rest) = text.split_at_checked(scheme.len())?;
                begin.eq_ignore_ascii_case(scheme).then_some((secure, rest))
            })
            .ok_or("it must begin with http:// or https://")?;
        // A fragment stays with the client.
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if authority.is_empty() {
            return Err("it has no host".to_owned());
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self {
            secure,
            authority: authority.to_owned(),
            target: format!("{slash}{target}"),
        })
    }
}

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text
            .split_once(':')
            .ok_or("it must look like 'x-tier: gold'")?;
        Ok(Self {
            name: name.to_owned(),
            value: value.trim().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> (String, String) {
        let url: Url = text.parse().unwrap();
        (url.authority, url.target)
    }

    #[test]
    fn a_url_is_split_as_a_client_would() {
        for (text, authority, target) in [
            ("https://a.example/b?c=d#e", "a.example", "/b?c=d"),
            ("HTTP://a.example", "a.example", "/"),
            ("http://a.example:81?c", "a.example:81", "/?c"),
            ("http://[::1]:80/a", "[::1]:80", "/a"),
        ] {
            assert_eq!(url(text), (authority.to_owned(), target.to_owned()));
        }
        for wrong in ["a.example/b", "ftp://a.example/", "http:///b", "/b", ""] {
            assert!(wrong.parse::<Url>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_header_needs_a_colon() {
        assert_eq!(
            "x-tier:  gold ".parse(),
            Ok(Header {
                name: "x-tier".to_owned(),
                value: "gold".to_owned()
            })
        );
        assert!("x-tier".parse::<Header>().is_err());
    }

    #[test]
    fn a_request_is_normalised_and_refused_as_on_the_wire() {
        let ask = |url: &str, headers: &[&str]| {
            let headers: Vec<Header> = headers.iter().map(|h| h.parse().unwrap()).collect();
            read("GET", &url.parse().unwrap(), &headers)
        };
        let asked = ask("http://A.Example:8080/a/../b?c", &["host: b.example"]).unwrap();
        assert_eq!(asked.host, "b.example");
        assert_eq!(asked.path, "/b");
        assert_eq!(asked.query.as_deref(), Some("c"));
        assert!(ask("http://a.example/a%2fb", &[]).is_err());
        assert!(ask("http://a.example/", &["a b: c"]).is_err());
    }
}
