//! Names, addresses and networks.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use serde_json::Value as Json;

use super::{
    code::Code,
    decode::{Decoder, Node, Setting},
};

const MAX_NAME: usize = 100;

/// The name of a listener or a route, or of an upstream: a label in logs and metrics.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

/// A host name or an IP address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// The host: a name, or an IP address without brackets.
    pub host: Box<str>,
    /// The port, not 0.
    pub port: u16,
}

impl Name {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks a name; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if text.is_empty() {
            Err("it is empty".to_owned())
        } else if text.len() > MAX_NAME {
            Err(format!("it is longer than {MAX_NAME} characters"))
        } else if text.chars().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err("only letters, digits, `-`, `_` and `.` are allowed".to_owned())
        }
    }
}

impl HostPort {
    /// Checks an address; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Self::new(&address.ip().to_string(), address.port());
        }
        if text.contains("://") {
            return Err("it is a URL; write only host and port");
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(if text.starts_with('_') {
                "it has no port; a name with SRV records is written { srv = \"…\" }"
            } else {
                "it has no port"
            });
        };
        if host.contains(':') {
            return Err("an IPv6 address needs brackets, as in \"[::1]:80\"");
        }
        if !is_host(host) {
            return Err("it has no valid host");
        }
        let port = port
            .parse()
            .map_err(|_| "its port is no number up to 65535")?;
        Self::new(host, port)
    }

    fn new(host: &str, port: u16) -> Result<Self, &'static str> {
        if port == 0 {
            return Err("its port cannot be 0");
        }
        Ok(Self {
            host: host.to_ascii_lowercase().into(),
            port,
        })
    }

    /// The IP address, unless the host is a name.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// Whether it is a host name: labels of letters, digits, `-` and `_`, and not all digits at the end (that would be an
/// IPv4 address with a slip).
pub(super) fn is_host(host: &str) -> bool {
    let labels = || host.trim_end_matches('.').split('.');
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let numeric = |l: &str| l.bytes().all(|b| b.is_ascii_digit());
    host.len() <= 253 && labels().all(label) && !labels().next_back().is_some_and(numeric)
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Setting for Name {
    fn kind() -> String {
        "name".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        decoder.parse(node, "a name", Code::BadName, Self::parse)
    }

    fn show(&self) -> Json {
        self.as_str().into()
    }
}

impl Setting for HostPort {
    fn kind() -> String {
        "host and port".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        decoder.parse(node, "a host and a port", Code::BadAddress, Self::parse)
    }

    fn show(&self) -> Json {
        self.to_string().into()
    }
}

impl Setting for SocketAddr {
    fn kind() -> String {
        "IP address and port".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        decoder.parse(node, "an IP address and a port", Code::BadAddress, |text| {
            text.parse::<Self>().map_err(|_| socket_problem(text))
        })
    }

    fn show(&self) -> Json {
        self.to_string().into()
    }
}

/// What is wrong with a text that is no address to listen on.
fn socket_problem(text: &str) -> &'static str {
    match text.rsplit_once(':') {
        _ if text.parse::<IpAddr>().is_ok() => "it has no port",
        None => "it has no port",
        Some(("" | "*", _)) => "it has no address; write \"0.0.0.0\" or \"[::]\" for all of them",
        Some(("localhost", _)) => "it is a name; write \"127.0.0.1\" or \"[::1]\"",
        Some((host, _)) if is_host(host) => "it is a name; write an IP address",
        Some((host, _)) if host.parse::<IpAddr>().is_ok() => "its port is no number up to 65535",
        Some(_) => "it cannot be understood",
    }
}

impl Setting for IpNet {
    fn kind() -> String {
        "network".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        const EXPECTED: &str = "a network such as \"10.0.0.0/8\", or an address";
        decoder.parse(node, EXPECTED, Code::BadNetwork, |text| {
            text.parse::<IpAddr>()
                .map(Self::from)
                .or_else(|_| text.parse::<Self>().map(|net| net.trunc()))
                .map_err(|_| "it is neither")
        })
    }

    fn show(&self) -> Json {
        self.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_without_spaces() {
        for good in ["web", "a-b_c.1", "0"] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "ü", "a/b", "a\"", &"x".repeat(101)] {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_endpoint_is_a_host_and_a_port() {
        for (text, shown) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("Users.svc.local:8080", "users.svc.local:8080"),
            ("my_service:80", "my_service:80"),
            ("example.com.:443", "example.com.:443"),
        ] {
            assert_eq!(HostPort::parse(text).unwrap().to_string(), shown);
        }
        for (text, reason) in [
            ("users", "it has no port"),
            (
                "_http._tcp.users",
                "it has no port; a name with SRV records is written { srv = \"…\" }",
            ),
            ("users:0", "its port cannot be 0"),
            ("users:70000", "its port is no number up to 65535"),
            ("users:", "its port is no number up to 65535"),
            (
                "::1:80",
                "an IPv6 address needs brackets, as in \"[::1]:80\"",
            ),
            ("http://users:80", "it is a URL; write only host and port"),
            ("300.1.1.1:80", "it has no valid host"),
            ("a b:80", "it has no valid host"),
            (":80", "it has no valid host"),
            ("-a:80", "it has no valid host"),
        ] {
            assert_eq!(HostPort::parse(text), Err(reason), "{text}");
        }
    }

    #[test]
    fn a_listen_address_that_is_wrong_says_why() {
        for (text, reason) in [
            ("127.0.0.1", "it has no port"),
            ("::1", "it has no port"),
            (
                ":80",
                "it has no address; write \"0.0.0.0\" or \"[::]\" for all of them",
            ),
            (
                "localhost:80",
                "it is a name; write \"127.0.0.1\" or \"[::1]\"",
            ),
            ("web.example.com:80", "it is a name; write an IP address"),
            ("127.0.0.1:99999", "its port is no number up to 65535"),
            ("300.1.1.1:80", "it cannot be understood"),
        ] {
            assert_eq!(socket_problem(text), reason, "{text}");
        }
    }
}
