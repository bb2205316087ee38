//! The endpoints of an upstream: addresses, and names that have to be looked up.

use std::{collections::HashSet, net::SocketAddr, sync::Arc};

use super::{Compiler, sets::metadata};
use crate::{
    config::{
        self, Code, Placed,
        address::HostPort,
        dns::{Ip, NameServer, UpstreamDns},
        units::Timeout,
        upstream::Endpoint,
    },
    snapshot::{AddressFamily, DnsKey, DnsPlan, DnsRecords, HostedEndpoint, Place, SourceKey},
};

impl Compiler<'_> {
    /// The endpoints of an upstream as its snapshot has them.
    pub(super) fn endpoints(
        &mut self,
        name: &Placed<String>,
        upstream: &Placed<config::Upstream>,
    ) -> Vec<HostedEndpoint> {
        let plan = Arc::new(self.dns_plan(upstream.dns.as_ref()));
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
        let mut made = Vec::new();
        for endpoint in &written.value {
            let Some((label, place)) = self.place(endpoint, &plan) else {
                continue;
            };
            if !seen.insert(label.clone()) {
                self.found
                    .error(
                        Code::DuplicateEndpoint,
                        written_at(endpoint),
                        format!("the endpoint {label} is in `{name}` twice"),
                    )
                    .help("give it a larger `weight` instead");
            }
            made.push(HostedEndpoint {
                name: label,
                place,
                weight: endpoint.weight.get(),
                metadata: metadata(endpoint),
            });
        }
        self.check_tiers(name, upstream);
        made
    }

    /// Where an endpoint is, and its name in logs and metrics.
    fn place(
        &mut self,
        endpoint: &Placed<Endpoint>,
        plan: &Arc<DnsPlan>,
    ) -> Option<(Box<str>, Place)> {
        let dns = |name: &str, records| {
            SourceKey::Dns(DnsKey {
                name: name.into(),
                records,
                plan: Arc::clone(plan),
            })
        };
        match (&endpoint.address, &endpoint.srv) {
            (Some(address), None) => {
                let place = match address.ip() {
                    Some(ip) => Place::Address(SocketAddr::new(ip, address.port)),
                    None => Place::Source {
                        key: dns(&address.host, DnsRecords::Addresses),
                        port: Some(address.port),
                        host: host(address),
                    },
                };
                Some((address.to_string().into(), place))
            }
            (None, Some(service)) => {
                let place = Place::Source {
                    key: dns(service.as_str(), DnsRecords::Services),
                    port: None,
                    // Anyone who can forge the records names the hosts, so it is not they that are verified.
                    host: service.domain().into(),
                };
                Some((service.as_str().into(), place))
            }
            (Some(_), Some(service)) => {
                self.found
                    .error(
                        Code::ConflictingKeys,
                        service.place,
                        "`srv` cannot stand beside `address`: its records say where the endpoints are",
                    )
                    .help("make two entries of it, or take one of them away");
                None
            }
            (None, None) => {
                if endpoint.is_whole("address") && endpoint.is_whole("srv") {
                    self.found
                        .error(
                            Code::MissingKey,
                            endpoint.place,
                            "the endpoint has neither `address` nor `srv`",
                        )
                        .help("for example: address = \"10.0.0.1:9001\"");
                }
                None
            }
        }
    }

    /// How the names of an upstream are looked up: its own keys come before those of `[dns]`.
    fn dns_plan(&mut self, own: Option<&Placed<UpstreamDns>>) -> DnsPlan {
        let all = &self.config.dns;
        let own = own.map(|own| &own.value);
        let servers = own.and_then(|own| own.servers.as_ref());
        let timeout = own.and_then(|own| own.timeout.as_ref());
        let attempts = own.and_then(|own| own.attempts.as_ref());
        let min_ttl = own.and_then(|own| own.min_ttl.as_ref());
        let max_ttl = own.and_then(|own| own.max_ttl.as_ref());
        let ip = own.and_then(|own| own.ip.as_ref());
        self.check_servers(servers);
        if min_ttl.or(max_ttl).is_some() {
            self.check_lifetimes(
                min_ttl.unwrap_or(&all.min_ttl),
                max_ttl.unwrap_or(&all.max_ttl),
            );
        }
        let servers = servers.or(all.servers.as_ref()).into_iter();
        DnsPlan {
            servers: servers
                .flat_map(|servers| servers.iter())
                .map(|server| server.address())
                .collect(),
            timeout: timeout.or(all.timeout.as_ref()).map(|time| time.get()),
            retries: attempts.or(all.attempts.as_ref()).map(|n| n.get() - 1),
            min_ttl: min_ttl.unwrap_or(&all.min_ttl).get(),
            max_ttl: max_ttl.unwrap_or(&all.max_ttl).get(),
            family: match ip.unwrap_or(&all.ip).value {
                Ip::Any => AddressFamily::Any,
                Ip::V4 => AddressFamily::V4,
                Ip::V6 => AddressFamily::V6,
            },
        }
    }

    /// Checks what holds for all upstreams.
    pub(super) fn check_dns(&mut self) {
        let all = &self.config.dns;
        self.check_servers(all.servers.as_ref());
        self.check_lifetimes(&all.min_ttl, &all.max_ttl);
    }

    fn check_servers(&mut self, servers: Option<&Placed<Vec<Placed<NameServer>>>>) {
        if let Some(servers) = servers
            && servers.is_empty()
            && !self.found.has_errors_in(servers.place)
        {
            self.found
                .error(
                    Code::OutOfRange,
                    servers.place,
                    "`servers` is empty: there would be nobody to ask",
                )
                .help("name a server, or take the key away to ask those of the system");
        }
    }

    fn check_lifetimes(&mut self, shortest: &Placed<Timeout>, longest: &Placed<Timeout>) {
        if shortest.get() > longest.get() {
            self.found
                .error(
                    Code::ConflictingKeys,
                    shortest.place,
                    format!(
                        "`min_ttl` ({}) is longer than `max_ttl` ({})",
                        shortest.value, longest.value
                    ),
                )
                .help("make `min_ttl` shorter or `max_ttl` longer");
        }
    }
}

/// Where an endpoint says where it is.
fn written_at(endpoint: &Placed<Endpoint>) -> config::Place {
    let address = endpoint.address.as_ref().map(|address| address.place);
    let service = endpoint.srv.as_ref().map(|service| service.place);
    address.or(service).unwrap_or(endpoint.place)
}

/// The host that TLS verifies.
fn host(address: &HostPort) -> Box<str> {
    address.host.trim_end_matches('.').into()
}
