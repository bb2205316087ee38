//! What tells an endpoint from all others of its upstream.

use std::fmt;
use std::net::SocketAddr;

use super::hash::key_hash;

/// What an endpoint is known by in its upstream, and nothing that may change while it stays the same one: not its weight,
/// tier, zone or labels. What is remembered of an endpoint, its checks, the cookies of its sessions and its slots in a
/// hash all go by this, so two hosts at one address are two endpoints, and a host with two addresses is two as well.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId {
    /// The name from the configuration, which logs and metrics have too.
    pub name: Box<str>,
    /// The host by which it is known: from its source, the configuration, or the address itself.
    pub host: Box<str>,
    /// Where to connect.
    pub address: SocketAddr,
}

impl EndpointId {
    /// That of an endpoint that is configured as this address.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        Self {
            name: address.to_string().into(),
            host: address.ip().to_string().into(),
            address,
        }
    }

    /// What the endpoint's slots in a hash depend on; the same in every process.
    pub(super) fn hash_key(&self) -> u64 {
        key_hash(self.to_string().as_bytes())
    }
}

/// An endpoint that is configured as an address is that address and nothing else. Different endpoints never look alike:
/// names, hosts and addresses have no spaces.
impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            host,
            address,
        } = self;
        write!(f, "{address}")?;
        if *self == Self::at(*address) {
            return Ok(());
        }
        write!(f, " {name} {host}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_at_one_address_are_told_apart_in_every_spelling() {
        let address: SocketAddr = "10.1.2.3:80".parse().unwrap();
        let named = |name: &str, host: &str| EndpointId {
            name: name.into(),
            host: host.into(),
            address,
        };
        let all = [
            EndpointId::at(address),
            named("a.test:80", "a.test"),
            named("b.test:80", "b.test"),
            named("_http._tcp.test", "a.test"),
            named("_http._tcp.test", "b.test"),
        ];
        for (index, one) in all.iter().enumerate() {
            for other in all.iter().skip(index + 1) {
                assert_ne!(one.to_string(), other.to_string());
                assert_ne!(one.hash_key(), other.hash_key());
            }
        }
        assert_eq!(all[0].to_string(), "10.1.2.3:80");
    }
}
