//! From configured endpoints and what was found by their sources to a pool.

use std::net::SocketAddr;

use super::{Found, HostedEndpoint, Place, SourceKey, Upstream};
use crate::balance::{Endpoint, EndpointId, EndpointStates, Member, Metadata, Pool};

impl Upstream {
    /// A pool of the configured addresses, and of what `found` has for the sources. A source without endpoints adds
    /// nothing. What is remembered of an endpoint, and whose turn it is, goes on from the pool before.
    #[must_use]
    pub fn build_pool<'f>(
        &self,
        states: &EndpointStates,
        found: impl Fn(&SourceKey) -> &'f [Found],
    ) -> Pool {
        let mut members = Vec::new();
        for configured in &self.configured {
            match &configured.place {
                Place::Address(address) => members.push(self.member(
                    states,
                    configured,
                    *address,
                    &Found::at(address.ip()),
                )),
                Place::Source { key, port, .. } => {
                    for found in found(key) {
                        let Some(port) = found.port.or(*port) else {
                            continue;
                        };
                        let address = SocketAddr::new(found.address, port);
                        members.push(self.member(states, configured, address, found));
                    }
                }
            }
        }
        Pool::build(&self.balance, members, &states.cursor(&self.name))
    }

    fn member(
        &self,
        states: &EndpointStates,
        configured: &HostedEndpoint,
        address: SocketAddr,
        found: &Found,
    ) -> Member {
        let host = match (&found.host, &configured.place) {
            (Some(host), _) | (None, Place::Source { host, .. }) => host.clone(),
            (None, Place::Address(address)) => address.ip().to_string().into(),
        };
        let id = EndpointId {
            name: configured.name.clone(),
            host: host.clone(),
            address,
        };
        let endpoint = Endpoint {
            metrics: self.metrics.endpoint(&configured.name),
            connection: self.transport.connection(&self.name, &id),
            state: states.endpoint(&self.name, id),
            name: configured.name.clone(),
            host,
            address,
            weight: configured.weight.saturating_mul(found.weight.unwrap_or(1)),
        };
        Member {
            endpoint,
            metadata: metadata(&configured.metadata, found),
        }
    }
}

/// What the configuration and the source say together; where both speak, the source does, which knows each endpoint.
fn metadata(configured: &Metadata, found: &Found) -> Metadata {
    let labels = found.labels.iter().chain(&configured.labels);
    Metadata {
        tier: configured.tier.saturating_add(found.tier),
        zone: found.zone.clone().or_else(|| configured.zone.clone()),
        labels: labels.cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{ConnectionId, PickContext, StickyKey, key_hash};
    use std::{path::Path, sync::Arc, time::SystemTime};

    use crate::compile::{Stores, compile};
    use crate::config::parse_str;

    fn upstream_of(text: &str, stores: &Stores) -> Arc<Upstream> {
        let loaded = parse_str("test.toml", text, Path::new(""));
        let compiled = compile(&loaded, stores, 1, SystemTime::now());
        let Some(snapshot) = compiled.snapshot else {
            panic!("{}", compiled.diagnostics)
        };
        Arc::clone(&snapshot.upstreams[0])
    }

    fn upstream(text: &str, found: &[Found]) -> Vec<(String, SocketAddr, u32, ConnectionId)> {
        let stores = Stores::to_check();
        let upstream = upstream_of(text, &stores);
        let pool = upstream.build_pool(&stores.endpoints, |_| found);
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
        let stores = Stores::to_check();
        let text = r#"upstream.users = { balance = "hash", hash = "${host}", endpoints = ["a.test:80", { address = "b.test:80", backup = true }] }"#;
        let upstream = upstream_of(text, &stores);
        let found = ["192.0.2.1", "192.0.2.2"].map(|text| Found::at(text.parse().unwrap()));
        let pool = upstream.build_pool(&stores.endpoints, |_| &found);
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
        let text = r#"upstream.users.endpoints = [{ address = "users.test:80", weight = 3 }]"#;
        let endpoints = upstream(text, &[found]);
        assert_eq!(endpoints[0].1, address("192.0.2.1:8500"));
        assert_eq!(endpoints[0].2, 21);
    }

    #[test]
    fn what_a_source_says_of_an_endpoint_comes_before_the_configuration() {
        let stores = Stores::to_check();
        let text = r#"upstream.users.endpoints = [{ address = "users.test:80", backup = true }]"#;
        let upstream = upstream_of(text, &stores);
        let found = Found {
            tier: 2,
            host: Some("one.test".into()),
            zone: Some("a".into()),
            labels: vec![("version".into(), "7".into())],
            ..Found::at("192.0.2.1".parse().unwrap())
        };
        let pool = upstream.build_pool(&stores.endpoints, |_| std::slice::from_ref(&found));
        let metadata = pool.metadata(0).unwrap();
        assert_eq!(metadata.tier, 3);
        assert_eq!(metadata.zone.as_deref(), Some("a"));
        assert_eq!(metadata.label("version"), Some("7"));
        let endpoint = &pool.endpoints()[0];
        assert_eq!(
            (&*endpoint.name, &*endpoint.host),
            ("users.test:80", "one.test")
        );
        assert_eq!(endpoint.authority(81), "one.test:81");
    }

    #[test]
    fn hosts_at_one_address_have_states_sessions_and_slots_of_their_own() {
        let stores = Stores::to_check();
        let text = r#"
            [upstream.users]
            endpoints = ["a.test:80", "b.test:80", "192.0.2.1:80"]
            balance = "hash"
            hash = "${host}"
        "#;
        let upstream = upstream_of(text, &stores);
        let found = [Found::at("192.0.2.1".parse().unwrap())];
        let pool = upstream.build_pool(&stores.endpoints, |_| &found);
        let [a, b, c] = pool.endpoints() else {
            panic!("{:?}", pool.endpoints())
        };
        for (one, other) in [(a, b), (b, c), (a, c)] {
            assert_eq!(one.address, other.address);
            assert!(!Arc::ptr_eq(&one.state, &other.state));
        }
        let key = StickyKey::new(b"a secret for tests", "users");
        let sessions = [a, b, c].map(|one| key.id(&one.id()));
        assert!(sessions[0] != sessions[1] && sessions[1] != sessions[2]);
        // Keys that one of them has are not all the other's.
        let mut shares = [0; 3];
        for number in 0..300_u64 {
            let context = PickContext {
                key: Some(key_hash(&number.to_le_bytes())),
                ..PickContext::new(0, 0, &[])
            };
            shares[pool.pick_for(&context).unwrap().index()] += 1;
        }
        assert!(shares.iter().all(|share| *share > 50), "{shares:?}");
        // The next pool has the same ones, whatever else is said of them.
        let other = [Found {
            weight: Some(7),
            zone: Some("a".into()),
            ..found[0].clone()
        }];
        let next = upstream.build_pool(&stores.endpoints, |_| &other);
        for (one, after) in pool.endpoints().iter().zip(next.endpoints()) {
            assert!(Arc::ptr_eq(&one.state, &after.state));
            assert_eq!(one.id(), after.id());
        }
    }

    #[test]
    fn an_endpoint_has_its_connections_for_itself_as_long_as_they_are_made_alike() {
        let found = [Found::at("192.0.2.1".parse().unwrap())];
        let connections = |name: &str, more: &str| {
            let text =
                format!("[upstream.{name}]\nendpoints = [\"a.test:443\", \"b.test:443\"]\n{more}");
            let endpoints = upstream(&text, &found);
            (endpoints[0].3, endpoints[1].3)
        };
        let plain = connections("users", "");
        assert_ne!(plain.0, plain.1);
        assert_eq!(connections("users", "max_idle = 7"), plain);
        assert_ne!(connections("orders", "").0, plain.0);
        let tls = connections("users", "tls = { verify = false }");
        assert_ne!(tls.0, plain.0);
    }
}
