//! `[upstream.NAME]`: endpoints, protocols, TLS, health checks.

use std::{collections::HashSet, net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;

use super::{Compiler, Upstreams, tls as store};
use crate::{
    balance::{ConnectionId, Endpoint, Policy, Pool},
    config::{
        self, Code, Placed,
        setting::FilePath,
        upstream::{Balance, Health, UpstreamTls},
    },
    http::parse_authority,
    listener::tls,
    observe::UpstreamMetrics,
    snapshot::{
        HealthPlan, HostedEndpoint, Protocol, ServerIdentity, Transport, Upstream, UpstreamTimeouts,
    },
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
        let health = upstream.health.as_ref().map(|health| self.health(health));
        let transport = Arc::new(self.transport(upstream)?);
        let metrics = self.stores.metrics.upstream(name);
        let configured: Vec<HostedEndpoint> = upstream
            .endpoints
            .iter()
            .map(|endpoint| HostedEndpoint {
                host: endpoint.address.host.clone(),
                port: endpoint.address.port,
                weight: endpoint.weight.get(),
            })
            .collect();
        let policy = match upstream.balance.value {
            Balance::RoundRobin => Policy::RoundRobin,
            Balance::Random => Policy::Random,
            Balance::LeastConnections => Policy::LeastConnections,
        };
        let endpoints = self.endpoints(name, upstream, &transport, &metrics);
        let pool = Pool::new(policy, endpoints, self.stores.endpoints.cursor(name));
        Some(Upstream {
            name: name.as_str().into(),
            pool: ArcSwap::from_pointee(pool),
            policy,
            configured,
            transport,
            timeouts: UpstreamTimeouts {
                connect: upstream.connect_timeout.get(),
                response: upstream.response_timeout.get(),
                idle: upstream.idle_timeout.get(),
                tunnel_idle: upstream.tunnel_idle_timeout.get(),
            },
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
    }

    /// The endpoints that need no name to be resolved. The others join when their names are.
    fn endpoints(
        &self,
        name: &str,
        upstream: &config::Upstream,
        transport: &Transport,
        metrics: &UpstreamMetrics,
    ) -> Vec<Endpoint> {
        let endpoints = upstream.endpoints.iter().filter_map(|endpoint| {
            let address = SocketAddr::new(endpoint.address.ip()?, endpoint.address.port);
            let label = address.to_string();
            Some(Endpoint {
                address,
                weight: endpoint.weight.get(),
                connection: ConnectionId(transport.identity),
                state: self.stores.endpoints.endpoint(name, address),
                metrics: metrics.endpoint(&label),
                name: label.into(),
            })
        });
        endpoints.collect()
    }

    fn transport(&mut self, upstream: &Placed<config::Upstream>) -> Option<Transport> {
        use config::upstream::Protocol as Written;
        let protocol = match upstream.protocol.value {
            Written::Http1 => Protocol::Http1,
            Written::H2 | Written::H2c => Protocol::Http2,
        };
        match (&upstream.tls, upstream.protocol.value) {
            (None, Written::H2) if upstream.is_whole("tls") => {
                self.found
                    .error(
                        Code::ConflictingKeys,
                        upstream.protocol.place,
                        "\"h2\" is HTTP/2 over TLS, and this upstream has no `tls`",
                    )
                    .help("add `tls = {}`, or write \"h2c\" for HTTP/2 without TLS");
                None
            }
            (Some(_), Written::H2c) => {
                self.found
                    .error(
                        Code::ConflictingKeys,
                        upstream.protocol.place,
                        "\"h2c\" is HTTP/2 without TLS, and this upstream has `tls`",
                    )
                    .help("write \"h2\" for HTTP/2 over TLS, or take `tls` away");
                None
            }
            (None, _) => Some(Transport {
                identity: match protocol {
                    Protocol::Http1 => store::PLAIN_HTTP1,
                    Protocol::Http2 => store::PLAIN_HTTP2,
                },
                protocol,
                tls: None,
            }),
            (Some(tls), _) => self.tls_transport(protocol, tls),
        }
    }

    fn tls_transport(
        &mut self,
        protocol: Protocol,
        written: &Placed<UpstreamTls>,
    ) -> Option<Transport> {
        let verification = self.verification(written);
        let identity = self.client_certificate(written)?;
        let name = match &written.server_name {
            None => None,
            Some(name) => match tls::upstream_name(name) {
                Ok(name) => Some(name),
                Err(error) => {
                    self.refused(Code::BadHost, name, "server_name", error.message)
                        .help(error.help);
                    return None;
                }
            },
        };
        let settings = tls::ClientSettings {
            verification,
            identity,
            min_version: tls::TlsVersion::default(),
            alpn: match protocol {
                Protocol::Http1 => vec![tls::Alpn::Http11],
                Protocol::Http2 => vec![tls::Alpn::H2],
            },
        };
        match self.stores.tls.client(&settings, name.as_ref()) {
            Ok((config, identity)) => Some(Transport {
                identity,
                protocol,
                tls: Some(ServerIdentity { config, name }),
            }),
            Err(error) => {
                let named = [
                    ("ca", &written.ca),
                    ("certificate", &written.certificate),
                    ("key", &written.key),
                ]
                .into_iter()
                .filter_map(|(key, file)| Some((key, file.as_ref()?)))
                .find(|(_, file)| error.path.as_deref() == Some(file.as_path()));
                match named {
                    Some((key, file)) => {
                        let files = [&written.ca, &written.certificate, &written.key];
                        let hidden = files
                            .into_iter()
                            .flatten()
                            .any(|file| file.secret().is_some());
                        self.bad_file(key, file, &error, hidden);
                    }
                    None => {
                        self.found
                            .error(Code::BadCertificate, written.place, &error.message)
                            .help(error.help);
                    }
                }
                None
            }
        }
    }

    fn verification(&mut self, written: &Placed<UpstreamTls>) -> tls::Verification {
        if !written.verify.value {
            self.found
                .warning(
                    Code::UnverifiedUpstream,
                    written.verify.place,
                    "whoever answers at this address is believed to be the upstream",
                )
                .help("name its authority with `ca` instead");
            if let Some(ca) = &written.ca {
                self.found
                    .error(
                        Code::ConflictingKeys,
                        ca.place,
                        "`ca` has no meaning beside `verify = false`",
                    )
                    .help("take one of them away");
            }
            return tls::Verification::None;
        }
        written.ca.as_ref().map_or(tls::Verification::System, |ca| {
            tls::Verification::Authority(ca.as_path().to_owned())
        })
    }

    /// The gateway's own certificate, if it has one here. The outer `None`: it is wrong.
    #[expect(
        clippy::option_option,
        reason = "having none is one of the good answers"
    )]
    fn client_certificate(
        &mut self,
        written: &Placed<UpstreamTls>,
    ) -> Option<Option<tls::CertificatePaths>> {
        let (alone, missing) = match (&written.certificate, &written.key) {
            (None, None) => return Some(None),
            (Some(certificate), Some(key)) => {
                return Some(Some(tls::CertificatePaths {
                    certificate: certificate.as_path().to_owned(),
                    key: key.as_path().to_owned(),
                }));
            }
            (Some(certificate), None) => (certificate, "key"),
            (None, Some(key)) => (key, "certificate"),
        };
        if written.is_whole(missing) {
            self.found
                .error(
                    Code::MissingKey,
                    alone.place,
                    format!("a certificate needs its key, and there is no `{missing}`"),
                )
                .help("write both `certificate` and `key`, or none of them");
        }
        None
    }

    /// Says what is wrong with a file that has to do with TLS. The message may name other files of the same table; it
    /// is kept back when one of their names is hidden.
    pub(super) fn bad_file(
        &mut self,
        key: &str,
        file: &Placed<FilePath>,
        error: &tls::TlsError,
        hidden: bool,
    ) {
        let code = if file.as_path().is_file() {
            Code::BadCertificate
        } else {
            Code::UnreadableFile
        };
        let reason = if hidden {
            "cannot be used"
        } else {
            error.message.as_str()
        };
        self.found
            .error(code, file.place, format!("`{key}`: {file}: {reason}"))
            .help(error.help);
    }

    fn health(&mut self, health: &Placed<Health>) -> HealthPlan {
        if !health.path.starts_with('/') {
            self.refused(
                Code::BadPath,
                &health.path,
                "path",
                format_args!("\"{}\" does not begin with `/`", health.path),
            )
            .help(format!("write \"/{}\"", health.path));
        }
        if let Some(host) = &health.host
            && parse_authority(host.as_bytes(), &mut String::new()).is_err()
        {
            let reason = format!("\"{host}\" is not a host");
            self.refused(Code::BadHost, host, "host", reason)
                .help("for example: host = \"users.internal\"");
        }
        HealthPlan {
            path: health.path.as_str().into(),
            host: health.host.as_ref().map(|host| host.as_str().into()),
            interval: health.interval.get(),
            timeout: health.timeout.get(),
            unhealthy_after: health.unhealthy_after.get(),
            healthy_after: health.healthy_after.get(),
            expected_status: health
                .expected_status
                .iter()
                .map(|range| (range.first, range.last))
                .collect(),
        }
    }
}
