//! Keeps the endpoints of the snapshot that serves: which addresses they have, and which of them get requests.

use std::{sync::Arc, time::Duration};

use super::{
    discovery::{
        Discovery, has_names, pool,
        source::{SourceKey, Sources},
        uses,
    },
    health::{self, HealthChecks},
};
use crate::{
    compile::Stores,
    snapshot::{HostedEndpoint, Snapshot, Upstream},
};

/// Follows host names and checks endpoints, across snapshots. Belongs to the controller.
#[derive(Debug)]
pub(super) struct EndpointKeeper {
    discovery: Discovery,
    health: HealthChecks,
    stores: Arc<Stores>,
}

impl EndpointKeeper {
    pub(super) fn new(sources: impl Sources + 'static, stores: Arc<Stores>) -> Self {
        Self {
            discovery: Discovery::new(sources),
            health: HealthChecks::default(),
            stores,
        }
    }

    /// Gives new host names of a snapshot that is not used yet a short time to be resolved. The names of the snapshot
    /// that serves are followed on.
    pub(super) async fn prepare(&mut self, snapshot: &Snapshot) {
        self.discovery.follow(snapshot);
        self.discovery.settle(GRACE).await;
    }

    /// Gives the upstreams of a snapshot the addresses that are known of their host names, and holds back the endpoints
    /// that wait for a check.
    pub(super) fn fill(&self, snapshot: &Snapshot) {
        for upstream in &snapshot.upstreams {
            if has_names(upstream) {
                self.refresh(upstream);
            } else {
                health::expect(upstream, &upstream.pool.load());
            }
        }
    }

    /// This snapshot serves now, or still: its names and endpoints are the ones to look after, and no others.
    pub(super) fn adopt(&mut self, snapshot: &Snapshot) {
        self.discovery.forget_others(snapshot);
        // What was heard while another snapshot was prepared counts for this one too.
        self.fill(snapshot);
        self.health.follow(snapshot);
    }

    /// Waits until a name has other addresses. Dropping the future loses nothing.
    pub(super) async fn changed(&mut self) -> SourceKey {
        self.discovery.changed().await
    }

    /// Gives the upstreams that use a name its new addresses.
    pub(super) fn update(&mut self, name: &SourceKey, snapshot: &Snapshot) {
        for upstream in snapshot.upstreams.iter().filter(|u| uses(u, name)) {
            self.refresh(upstream);
        }
        self.health.follow(snapshot);
    }

    fn refresh(&self, upstream: &Upstream) {
        let found = |endpoint: &HostedEndpoint| self.discovery.found(endpoint);
        let pool = pool::build(upstream, &self.stores.endpoints, found);
        health::expect(upstream, &pool);
        upstream.pool.store(Arc::new(pool));
    }
}

/// How long new host names may take before a snapshot is used without them.
const GRACE: Duration = Duration::from_secs(1);
