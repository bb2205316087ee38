//! From configured endpoints and what was found behind their names to a pool.

use std::net::{IpAddr, SocketAddr};

use super::source::Found;
use crate::{
    balance::{Endpoint, EndpointStates, Pool},
    snapshot::{HostedEndpoint, Upstream},
};

/// The pool of an upstream: its addresses, and the addresses that `found` has for its names. A name without addresses
/// adds nothing. What is remembered of an address, and whose turn it is, goes on from the pool before.
pub fn build<'f>(
    upstream: &Upstream,
    states: &EndpointStates,
    found: impl Fn(&HostedEndpoint) -> &'f [Found],
) -> Pool {
    let mut endpoints = Vec::new();
    for configured in &upstream.configured {
        if let Ok(address) = configured.host.parse::<IpAddr>() {
            let address = SocketAddr::new(address, configured.port);
            endpoints.push(endpoint(upstream, states, configured, address, configured.weight));
            continue;
        }
        for found in found(configured) {
            let address = SocketAddr::new(found.address, found.port.unwrap_or(configured.port));
            let weight = found.weight.unwrap_or(configured.weight);
            endpoints.push(endpoint(upstream, states, configured, address, weight));
        }
    }
    Pool::new(upstream.policy, endpoints, states.cursor(&upstream.name))
}
