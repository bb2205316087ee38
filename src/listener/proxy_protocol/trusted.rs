//! Trusted: the networks whose PROXY headers are believed.

use std::net::IpAddr;

use ipnet::IpNet;

/// A list of networks. A peer outside of it has no business to speak for others: its connection is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trusted {
    networks: Vec<IpNet>,
}

impl Trusted {
    /// The list of `networks`, merged where they overlap or touch.
    #[must_use]
    pub fn new(networks: &[IpNet]) -> Self {
        Self {
            networks: IpNet::aggregate(&networks.to_vec()),
        }
    }

    /// Whether the peer's address is in one of the networks. An IPv4 address inside IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.networks.iter().any(|network| network.contains(&peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted(networks: &[&str]) -> Trusted {
        let networks: Vec<IpNet> = networks.iter().map(|net| net.parse().unwrap()).collect();
        Trusted::new(&networks)
    }

    fn peer(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn only_the_listed_networks_are_trusted() {
        let list = trusted(&["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]);
        for inside in ["10.1.2.3", "192.0.2.7", "2001:db8::1", "::ffff:10.1.2.3"] {
            assert!(list.contains(peer(inside)), "{inside}");
        }
        for outside in ["11.0.0.1", "192.0.2.8", "2001:db9::1", "::1", "::10.1.2.3"] {
            assert!(!list.contains(peer(outside)), "{outside}");
        }
    }

    #[test]
    fn an_empty_list_trusts_nobody() {
        assert!(!Trusted::default().contains(peer("127.0.0.1")));
    }

    #[test]
    fn everybody_of_one_family_is_not_everybody_of_the_other() {
        let list = trusted(&["0.0.0.0/0"]);
        assert!(list.contains(peer("203.0.113.1")));
        assert!(!list.contains(peer("2001:db8::1")));
    }
}
