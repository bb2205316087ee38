//! From configured endpoints and what was found behind their names to a pool.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, SocketAddr},
};

use super::source::Found;
use crate::{
    balance::{ConnectionId, Endpoint, EndpointStates, Member, Pool},
    snapshot::{HostedEndpoint, Transport, Upstream},
};

/// The pool of an upstream: its addresses, and the addresses that `found` has for its names. A name without addresses
/// adds nothing. What is remembered of an address, and whose turn it is, goes on from the pool before.
pub fn build<'f>(
    upstream: &Upstream,
    states: &EndpointStates,
    found: impl Fn(&HostedEndpoint) -> &'f [Found],
) -> Pool {
    let mut members = Vec::new();
    for configured in &upstream.configured {
        if let Ok(address) = configured.host.parse::<IpAddr>() {
            let address = SocketAddr::new(address, configured.port);
            members.push(member(
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
            members.push(member(upstream, states, configured, address, weight));
        }
    }
    Pool::build(&upstream.balance, members, &states.cursor(&upstream.name))
}

fn member(
    upstream: &Upstream,
    states: &EndpointStates,
    configured: &HostedEndpoint,
    address: SocketAddr,
    weight: u32,
) -> Member {
    let name = name(configured);
    let endpoint = Endpoint {
        metrics: upstream.metrics.endpoint(&name),
        state: states.endpoint(&upstream.name, address),
        connection: connection(&upstream.transport, configured, address),
        name: name.into_boxed_str(),
        address,
        weight,
    };
    Member {
        endpoint,
        metadata: configured.metadata.clone(),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::PickContext;
    use crate::control::testing::{snapshot, stores, upstream_of};

    fn upstream(text: &str, found: &[Found]) -> Vec<(String, SocketAddr, u32, ConnectionId)> {
        let stores = stores();
        let snapshot = snapshot(text, &stores);
        let upstream = upstream_of(&snapshot, "users");
        let pool = build(&upstream, &stores.endpoints, |_| found);
        let endpoints = pool.endpoints().iter();
        endpoints
            .map(|e| (e.name.to_string(), e.address, e.weight, e.connection))
            .collect()
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_and_names_keep_their_order_and_their_spelling() {
        let found = ["192.0.2.1", "192.0.2.2"].map(|text| Found::at(text.parse().unwrap()));
        let text = r#"upstream.users.endpoints = [{ address = "users.test:80", weight = 3 }, "[2001:db8::1]:81"]"#;
        let endpoints: Vec<_> = upstream(text, &found)
            .into_iter()
            .map(|(name, address, weight, _)| (name, address, weight))
            .collect();
        let expected = [
            ("users.test:80", "192.0.2.1:80", 3),
            ("users.test:80", "192.0.2.2:80", 3),
            ("[2001:db8::1]:81", "[2001:db8::1]:81", 1),
        ];
        assert_eq!(
            endpoints,
            expected.map(|(name, at, weight)| (name.to_owned(), address(at), weight))
        );
    }

    #[test]
    fn a_pool_that_is_rebuilt_keeps_its_settings_and_tiers() {
        let stores = stores();
        let text = r#"upstream.users = { balance = "hash", hash = "${host}", endpoints = ["a.test:80", { address = "b.test:80", backup = true }] }"#;
        let upstream = upstream_of(&snapshot(text, &stores), "users");
        let found = ["192.0.2.1", "192.0.2.2"].map(|text| Found::at(text.parse().unwrap()));
        let pool = build(&upstream, &stores.endpoints, |_| &found);
        let tiers: Vec<_> = (0..4).map(|at| pool.metadata(at).unwrap().tier).collect();
        assert_eq!(tiers, [0, 0, 1, 1]);
        let picked = |key: u64| {
            let context = PickContext {
                key: Some(key << 40),
                ..PickContext::new(0, 0, &[])
            };
            pool.pick_for(&context).unwrap().index()
        };
        for key in 0..20 {
            assert!(picked(key) < 2);
            assert_eq!(picked(key), picked(key));
        }
    }

    #[test]
    fn a_source_that_knows_port_and_weight_is_believed() {
        let found = Found {
            port: Some(8_500),
            weight: Some(7),
            ..Found::at("192.0.2.1".parse().unwrap())
        };
        let text = r#"upstream.users.endpoints = ["users.test:80"]"#;
        let endpoints = upstream(text, &[found]);
        assert_eq!(endpoints[0].1, address("192.0.2.1:8500"));
        assert_eq!(endpoints[0].2, 7);
    }

    #[test]
    fn hosts_at_one_address_share_connections_only_if_one_name_is_verified_for_both() {
        let found = [Found::at("192.0.2.1".parse().unwrap())];
        let connections = |tls: &str| {
            let text =
                format!("[upstream.users]\nendpoints = [\"a.test:443\", \"b.test:443\"]\n{tls}");
            let endpoints = upstream(&text, &found);
            (endpoints[0].3, endpoints[1].3)
        };
        let (one, other) = connections("");
        assert_eq!(one, other);
        let (one, other) = connections("tls = { verify = false, server_name = \"c.test\" }");
        assert_eq!(one, other);
        let (one, other) = connections("tls = { verify = false }");
        assert_ne!(one, other);
    }
}
