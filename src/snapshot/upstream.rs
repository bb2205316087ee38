//! An upstream as the data plane sees it.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::SocketAddr,
    sync::Arc,
};

use arc_swap::ArcSwap;
use rustls::pki_types::ServerName;

use super::{HealthPlan, RetryPlan, SourceKey, SourceState, UpstreamTimeouts};
use crate::{
    balance::{
        ConnectionId, Detector, EndpointId, Metadata, Pool, RetryBudget, RetryCounts, Settings,
        StickyKey,
    },
    filters::Template,
    observe::UpstreamMetrics,
};

/// A named pool of endpoints and how to speak to them.
#[derive(Debug)]
pub struct Upstream {
    /// The name in logs and metrics.
    pub name: Box<str>,
    /// The endpoints to choose from. The one part that changes within a snapshot: resolved host names replace it
    /// (`control` writes, exchanges read it once for each exchange).
    pub pool: ArcSwap<Pool>,
    /// How `pool` chooses, for those who rebuild it.
    pub balance: Settings,
    /// What [`balance::Policy::Hash`](crate::balance::Policy::Hash) goes by; `None` with other policies.
    pub hash: Option<Template>,
    /// How requests say which subset they want; `None` without subsets.
    pub subset_choice: Option<SubsetChoice>,
    /// The cookie of sticky sessions; `None` without them.
    pub sticky: Option<StickyPlan>,
    /// The endpoints as configured, in order, for those who follow their sources.
    pub configured: Vec<HostedEndpoint>,
    /// What is known of the sources of `configured` (`control` writes, the admin address reads).
    pub sources: ArcSwap<Vec<(SourceKey, Arc<SourceState>)>>,
    /// What is spoken, and over what.
    pub transport: Arc<Transport>,
    /// How long an endpoint may take.
    pub timeouts: UpstreamTimeouts,
    /// When an attempt is followed by another, unless the route says otherwise.
    pub retry: RetryPlan,
    /// What bounds the attempts beyond the first.
    pub retry_budget: RetryBudget,
    /// What the budget goes by: requests and attempts lately, of all snapshots.
    pub retries: Arc<RetryCounts>,
    /// Kept idle connections, per worker and endpoint.
    pub max_idle: usize,
    /// The active check, if there is one.
    pub health: Option<HealthPlan>,
    /// Who ejects endpoints that serve badly, if anyone does.
    pub outlier: Option<Detector>,
    /// Where this upstream's figures go.
    pub metrics: Arc<UpstreamMetrics>,
}

/// How a request says which subset of an upstream it wants, if its route does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubsetChoice {
    /// The header field whose value names the subset.
    pub header: Option<Box<str>>,
    /// The subset of requests that name none; `None`: any endpoint.
    pub default: Option<Box<str>>,
}

/// The cookie of sticky sessions.
#[derive(Debug)]
pub struct StickyPlan {
    /// What it is signed with, and what it calls endpoints; the pool has the same.
    pub key: Arc<StickyKey>,
    /// Its name.
    pub cookie: Box<str>,
    /// How long a session lasts that is not used, in seconds; `None`: as long as the browser runs.
    pub ttl: Option<u64>,
    /// What stands behind the value, but for the time and `Secure`.
    pub attributes: Box<str>,
    /// Whether it is `Secure`; `None`: if the client came over TLS.
    pub secure: Option<bool>,
}

/// An endpoint as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostedEndpoint {
    /// As the configuration writes it: the name in logs and metrics of all endpoints that it stands for.
    pub name: Box<str>,
    /// Where it is.
    pub place: Place,
    /// The share in relation to the others, at least 1.
    pub weight: u32,
    /// Where it stands among the others.
    pub metadata: Metadata,
}

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At this address.
    Address(SocketAddr),
    /// Where a source says, which may be nowhere yet, or several places.
    Source {
        /// The source.
        key: SourceKey,
        /// The port of addresses that come without one.
        port: Option<u16>,
        /// The host that TLS verifies, unless the source knows better.
        host: Box<str>,
    },
}

impl HostedEndpoint {
    /// The source, unless it is an address.
    #[must_use]
    pub const fn source(&self) -> Option<&SourceKey> {
        match &self.place {
            Place::Address(_) => None,
            Place::Source { key, .. } => Some(key),
        }
    }
}

/// How to speak to the endpoints of an upstream. Connections are pooled by endpoint and `identity`, so two transports that
/// differ in anything never share one.
#[derive(Debug)]
pub struct Transport {
    /// The same number for equal settings, another for different ones, also across reloads.
    pub identity: u64,
    /// The protocol.
    pub protocol: Protocol,
    /// The TLS side; `None` for plain connections.
    pub tls: Option<ServerIdentity>,
}

impl Transport {
    /// What connections to this endpoint of the upstream of that name have in common. They are its own: it counts them,
    /// and would wait for one in vain that another upstream uses.
    #[must_use]
    pub fn connection(&self, upstream: &str, endpoint: &EndpointId) -> ConnectionId {
        let mut hasher = DefaultHasher::new();
        (self.identity, upstream, endpoint).hash(&mut hasher);
        ConnectionId(hasher.finish())
    }
}

/// The TLS side of a transport.
#[derive(Debug)]
pub struct ServerIdentity {
    /// Roots, client certificate and ALPN.
    pub config: Arc<rustls::ClientConfig>,
    /// The name to ask for and to verify; `None`: the endpoint's own host name or address.
    pub name: Option<ServerName<'static>>,
}

/// What is spoken to an upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2, over TLS by ALPN or, on plain connections, with prior knowledge.
    Http2,
}
