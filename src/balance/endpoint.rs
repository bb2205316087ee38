//! One endpoint of an upstream, as a snapshot has it.

use std::net::SocketAddr;
use std::sync::Arc;

use super::identity::EndpointId;
use super::state::EndpointState;
use crate::observe::EndpointMetrics;

/// One endpoint of an upstream.
#[derive(Debug)]
pub struct Endpoint {
    /// The name from the configuration; a host name that has several addresses names several endpoints.
    pub name: Box<str>,
    /// The host name or IP address by which the endpoint itself is known; TLS verifies it where the upstream has no name
    /// of its own.
    pub host: Box<str>,
    /// Where to connect.
    pub address: SocketAddr,
    /// The share of traffic, relative to the other endpoints; 0 gets none.
    pub weight: u32,
    /// What makes a connection to this endpoint different from others.
    pub connection: ConnectionId,
    /// What is remembered of the endpoint; shared with other snapshots.
    pub state: Arc<EndpointState>,
    /// Where the endpoint is counted.
    pub metrics: Arc<EndpointMetrics>,
}

impl Endpoint {
    /// What tells it from the others of its upstream.
    #[must_use]
    pub fn id(&self) -> EndpointId {
        EndpointId {
            name: self.name.clone(),
            host: self.host.clone(),
            address: self.address,
        }
    }

    /// The host with this port, as a `Host` field has them.
    #[must_use]
    pub fn authority(&self, port: u16) -> String {
        if self.host.contains(':') {
            format!("[{}]:{port}", self.host)
        } else {
            format!("{}:{port}", self.host)
        }
    }
}

/// The key of a connection pool: equal only if upstream, endpoint, protocol and every TLS setting are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);
