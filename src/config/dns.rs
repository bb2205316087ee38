//! `[dns]` and `[upstream.NAME.dns]`: how host names and SRV records are looked up.

use std::{
    net::{IpAddr, SocketAddr},
    num::NonZeroU32,
};

use serde_json::Value as Json;

use super::{
    address::is_host,
    code::Code,
    decode::{Decoder, Node, Setting},
    place::Placed,
    settings::{choices, settings},
    units::Timeout,
};

settings! {
    /// How the names of endpoints are looked up: in the hosts file of the system, then by name servers. It happens in
    /// the background. What is found is used until another answer comes: a failure, a name that has ceased to exist and
    /// an empty answer change nothing, and `portcullis_discovery_age_seconds` tells how old the last good answer is.
    pub struct Dns = "[dns]" {
        /// The name servers, asked over UDP, and over TCP when an answer does not fit. Names are complete then: nothing
        /// is appended to them. Without this key: those of `/etc/resolv.conf`, with its search list.
        servers: Vec<Placed<NameServer>> = optional, example ["10.0.0.2", "127.0.0.1:8600"];
        /// The time for one attempt. Without this key: as `/etc/resolv.conf` has it, or 5 seconds.
        timeout: Timeout = optional, example "2s";
        /// How often a question is asked until it has failed. Failed ones are asked again after 1 second, and then more
        /// and more slowly, up to every 30 seconds. Without this key: as `/etc/resolv.conf` has it, or 3.
        attempts: NonZeroU32 = optional, example 2;
        /// The shortest time until a name is looked up again, whatever the lifetime (TTL) of its records is.
        min_ttl: Timeout = default("1s");
        /// The longest time until a name is looked up again.
        max_ttl: Timeout = default("5m");
        /// Which addresses of a host are endpoints.
        ip: Ip = default("any");
    }
}

settings! {
    /// The same for one upstream. A key that is left out is that of `[dns]`.
    pub struct UpstreamDns = "[upstream.NAME.dns]" {
        /// The name servers for this upstream.
        servers: Vec<Placed<NameServer>> = optional, example ["127.0.0.1:8600"];
        /// The time for one attempt.
        timeout: Timeout = optional, example "2s";
        /// How often a question is asked until it has failed.
        attempts: NonZeroU32 = optional, example 2;
        /// The shortest time until a name is looked up again.
        min_ttl: Timeout = optional, example "5s";
        /// The longest time until a name is looked up again.
        max_ttl: Timeout = optional, example "30s";
        /// Which addresses of a host are endpoints.
        ip: Ip = optional, example "v4";
    }
}

choices! {
    /// Which addresses of a host are endpoints.
    pub enum Ip {
        /// All of them. Those of a kind that this machine has no route for are left out, unless there are no others.
        Any = "any",
        /// The IPv4 addresses.
        V4 = "v4",
        /// The IPv6 addresses.
        V6 = "v6",
    }
}

/// The address of a name server, on port 53 unless it says another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameServer(SocketAddr);

/// A name with SRV records.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceName(Box<str>);

impl NameServer {
    /// The address.
    #[must_use]
    pub const fn address(self) -> SocketAddr {
        self.0
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let parsed = text
            .parse::<SocketAddr>()
            .or_else(|_| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT)));
        match parsed {
            Ok(address) if address.port() == 0 => Err("its port cannot be 0"),
            Ok(address) => Ok(Self(address)),
            Err(_) => Err("it is neither"),
        }
    }
}

impl ServiceName {
    /// The name, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of whoever offers the service: without the leading labels that name the service itself.
    #[must_use]
    pub fn domain(&self) -> &str {
        let mut rest = &*self.0;
        while let Some((label, after)) = rest.split_once('.')
            && label.starts_with('_')
        {
            rest = after;
        }
        rest.trim_end_matches('.')
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        if text.parse::<IpAddr>().is_ok() || text.parse::<SocketAddr>().is_ok() {
            Err("it is an address; write it as `address`")
        } else if text.contains(':') {
            Err("it cannot have a port: its records say which")
        } else if is_host(text) {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err("it is no valid name")
        }
    }
}

impl Setting for NameServer {
    fn kind() -> String {
        "IP address with or without a port".to_owned()
    }

    fn kinds() -> String {
        "IP addresses with or without a port".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        const EXPECTED: &str = "an IP address, or one with a port";
        decoder.parse(node, EXPECTED, Code::BadAddress, Self::parse)
    }

    fn show(&self) -> Json {
        self.0.to_string().into()
    }
}

impl Setting for ServiceName {
    fn kind() -> String {
        "name".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        const EXPECTED: &str = "a name with SRV records";
        decoder.parse(node, EXPECTED, Code::BadAddress, Self::parse)
    }

    fn show(&self) -> Json {
        self.as_str().into()
    }
}

const PORT: u16 = 53;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_server_is_an_address_whose_port_may_be_left_out() {
        for (text, shown) in [
            ("10.0.0.2", "10.0.0.2:53"),
            ("10.0.0.2:5353", "10.0.0.2:5353"),
            ("::1", "[::1]:53"),
            ("[::1]:5353", "[::1]:5353"),
        ] {
            let server = NameServer::parse(text).unwrap();
            assert_eq!(server.address().to_string(), shown);
        }
        for text in ["", "ns.example.com", "10.0.0.2:0", "10.0.0.2:x"] {
            assert!(NameServer::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_domain_of_a_service_is_without_the_service() {
        for (text, domain) in [
            ("_http._tcp.Users.internal", "users.internal"),
            ("_http._tcp.users.internal.", "users.internal"),
            ("users.service.consul", "users.service.consul"),
        ] {
            assert_eq!(ServiceName::parse(text).unwrap().domain(), domain);
        }
        for text in ["", "10.0.0.2", "10.0.0.2:80", "users.internal:80", "a b"] {
            assert!(ServiceName::parse(text).is_err(), "{text}");
        }
    }
}
