//! From configured endpoints and what was found behind their names to a pool.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, SocketAddr},
};

use super::source::Found;
use crate::{
    balance::{ConnectionId, Endpoint, EndpointStates, Pool},
    snapshot::{HostedEndpoint, Transport, Upstream},
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
            endpoints.push(endpoint(
                upstream,
                states,
                configured,
                address,
                configured.weight,
            ));
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

fn endpoint(
    upstream: &Upstream,
    states: &EndpointStates,
    configured: &HostedEndpoint,
    address: SocketAddr,
    weight: u32,
) -> Endpoint {
    let name = name(configured);
    Endpoint {
        metrics: upstream.metrics.endpoint(&name),
        state: states.endpoint(&upstream.name, address),
        connection: connection(&upstream.transport, configured, address),
        name: name.into_boxed_str(),
        address,
        weight,
    }
}

/// The endpoint as the configuration writes it.
fn name(configured: &HostedEndpoint) -> String {
    let HostedEndpoint { host, port, .. } = configured;
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// Where an upstream has no TLS name of its own, the endpoint's host is verified, so two hosts at one address must not
/// share connections.
fn connection(
    transport: &Transport,
    configured: &HostedEndpoint,
    address: SocketAddr,
) -> ConnectionId {
    let mut hasher = DefaultHasher::new();
    transport.identity.hash(&mut hasher);
    address.hash(&mut hasher);
    if transport.tls.as_ref().is_some_and(|tls| tls.name.is_none()) {
        configured.host.hash(&mut hasher);
    }
    ConnectionId(hasher.finish())
}
