//! The frozen world that a request sees, and the cell that publishes it.
//!
//! A snapshot cannot be wrong: `compile` has checked everything it holds. It is shared by every worker, never changes,
//! and lives as long as the last exchange that began with it.

mod cell;
mod health;
mod listener;
mod overload;
mod pool;
mod retry;
mod route;
mod source;
mod timeouts;
mod upstream;

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use crate::{observe::AccessLog, routing::Router};

pub use cell::{SnapshotCell, SnapshotReader};
pub use health::{BodyPattern, CheckTls, HealthPlan, HttpQuestion, Question};
pub use listener::{Deadlines, FrameLimits, Http2Limits, ListenerLimits, ListenerPlan};
pub use overload::{Importance, Pressure, Strain};
pub use retry::{GrpcCodes, RetryConditions, RetryPlan};
pub use route::{Action, Route, SplitTarget};
pub use source::{
    AddressFamily, DnsKey, DnsPlan, DnsRecords, Found, SourceFailure, SourceKey, SourceKnown,
    SourceState,
};
pub use timeouts::{ConnectTimeouts, ExchangeTimeouts, RouteTimeouts, UpstreamTimeouts};
pub use upstream::{
    HostedEndpoint, Place, Protocol, ServerIdentity, StickyPlan, SubsetChoice, Transport, Upstream,
};

/// Everything a request may need to know, frozen.
#[derive(Debug)]
pub struct Snapshot {
    /// The number of this configuration in the life of the process, from 1.
    pub generation: u64,
    /// The hash of the configuration as read, 16 hexadecimal digits: equal configurations have equal hashes.
    pub hash: String,
    /// The listeners, in the order of the configuration.
    pub listeners: Vec<Arc<ListenerPlan>>,
    /// Finds the index in `routes` of the route that wins.
    pub router: Router,
    /// The routes, at the indices that the router gives.
    pub routes: Vec<Arc<Route>>,
    /// The upstreams, by name order.
    pub upstreams: Vec<Arc<Upstream>>,
    /// The peers whose `X-Forwarded-*` and `Forwarded` fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where access records go; `None`: nowhere.
    pub access_log: Option<Arc<AccessLog>>,
}

impl Snapshot {
    /// Whether what that peer says about the client is believed.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted_proxies.iter().any(|net| net.contains(&peer))
    }
}
