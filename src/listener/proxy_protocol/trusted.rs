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
