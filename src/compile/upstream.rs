//! `[upstream.NAME]`: endpoints, protocols, TLS, health checks.

use std::{
    collections::HashSet,
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    sync::{Arc, Weak},
};

use arc_swap::ArcSwap;

use super::{Compiler, Upstreams, sets::metadata};
use crate::{
    balance::{ConnectionId, Endpoint, Member, Pool, Settings, UpstreamLoad},
    config::{self, Code, Placed},
    observe::UpstreamMetrics,
    snapshot::{HostedEndpoint, Transport, Upstream},
};

impl Compiler<'_> {
    pub(super) fn upstreams(&mut self) -> Upstreams {
        self.config
            .upstreams
            .iter()
            .filter_map(|(name, upstream)| {
                let made = self.upstream(name, upstream)?;
                Some((name.as_str().into(), Arc::new(made)))
            })
            .collect()
    }

    fn upstream(
        &mut self,
        name: &Placed<String>,
        upstream: &Placed<config::Upstream>,
    ) -> Option<Upstream> {
        self.check_endpoints(name, upstream);
        let transport = Arc::new(self.transport(upstream)?);
        let health = self.health(upstream, &transport);
        let metrics = self.stores.metrics.upstream(name);
        let load: Weak<UpstreamLoad> = Arc::downgrade(&self.stores.endpoints.load(name));
        metrics.watch(load);
        let configured: Vec<HostedEndpoint> = upstream
            .endpoints
            .iter()
            .map(|endpoint| HostedEndpoint {
                host: endpoint.address.host.clone(),
                port: endpoint.address.port,
                weight: endpoint.weight.get(),
                metadata: metadata(endpoint),
            })
            .collect();
        let (subsets, subset_choice) = self.subsets(name, upstream).unzip();
        let sticky = self.sticky(name, upstream);
        let balance = Settings {
            subsets,
            sticky: sticky.as_ref().map(|sticky| Arc::clone(&sticky.key)),
            limits: self.limits(name, upstream),
            breaker: self.breaker(name, upstream),
            ..self.balance(upstream)
        };
        let hash = self.hash(upstream);
        let timeouts = self.upstream_timeouts(upstream);
        let (retry, retry_budget) = self.upstream_retry(upstream);
        let members = self.members(name, upstream, &transport, &metrics);
        let pool = Pool::build(&balance, members, &self.stores.endpoints.cursor(name));
        Some(Upstream {
            name: name.as_str().into(),
            pool: ArcSwap::from_pointee(pool),
            balance,
            hash,
            subset_choice,
            sticky,
            configured,
            transport,
            timeouts,
            retry,
            retry_budget,
            retries: self.stores.endpoints.retries(name),
            max_idle: upstream.max_idle.get(),
            health,
            metrics,
        })
    }

    fn check_endpoints(&mut self, name: &Placed<String>, upstream: &Placed<config::Upstream>) {
        let written = &upstream.endpoints;
        if written.is_empty() && !self.found.has_errors_in(written.place) {
            self.found
                .warning(
                    Code::NoEndpoints,
                    written.place,
                    format!(
                        "the upstream `{name}` has no endpoints: it answers everything with 503"
                    ),
                )
                .help("for example: endpoints = [\"10.0.0.1:9001\"]");
        }
        let mut seen = HashSet::new();
        for endpoint in &upstream.endpoints.value {
            if !seen.insert(&endpoint.address.value) {
                self.found
                    .error(
                        Code::DuplicateEndpoint,
                        endpoint.address.place,
                        format!("the endpoint {} is in `{name}` twice", endpoint.address),
                    )
                    .help("give it a larger `weight` instead");
            }
        }
        self.check_tiers(name, upstream);
    }

    /// The endpoints that need no name to be resolved. The others join when their names are.
    fn members(
        &self,
        name: &str,
        upstream: &config::Upstream,
        transport: &Transport,
        metrics: &UpstreamMetrics,
    ) -> Vec<Member> {
        let members = upstream.endpoints.iter().filter_map(|endpoint| {
            let address = SocketAddr::new(endpoint.address.ip()?, endpoint.address.port);
            let label = address.to_string();
            let made = Endpoint {
                address,
                weight: endpoint.weight.get(),
                connection: connection(transport, &endpoint.address.host, address),
                state: self.stores.endpoints.endpoint(name, address),
                metrics: metrics.endpoint(&label),
                name: label.into(),
            };
            Some(Member {
                endpoint: made,
                metadata: metadata(endpoint),
            })
        });
        members.collect()
    }
}

/// What connections to this endpoint have in common. Where the transport has no TLS name of its own, the endpoint's host
/// is verified and so belongs to it.
fn connection(transport: &Transport, host: &str, address: SocketAddr) -> ConnectionId {
    let mut hasher = DefaultHasher::new();
    transport.identity.hash(&mut hasher);
    address.hash(&mut hasher);
    if transport.tls.as_ref().is_some_and(|tls| tls.name.is_none()) {
        host.hash(&mut hasher);
    }
    ConnectionId(hasher.finish())
}
