//! The running gateway as the admin address knows it.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use serde_json::Value;

use super::{operations::Operations, upstreams::upstreams};
use crate::{
    balance::Administration,
    control::{Cause, ControlHandle, Ended, ReloadReport, Status},
    observe::{Metrics, log::LogHandle},
    snapshot::SnapshotCell,
};

/// The running gateway: what `app` hands to the admin address.
#[derive(Debug)]
pub struct Live {
    /// The one writer.
    pub control: ControlHandle,
    /// The current snapshot.
    pub snapshots: Arc<SnapshotCell>,
    /// All figures.
    pub metrics: Arc<Metrics>,
    /// The program log; `None` when it belongs to somebody else, as in a process with several gateways.
    pub log: Option<Arc<LogHandle>>,
    /// The start of the gateway's clock.
    pub clock: Instant,
}

impl Operations for Live {
    fn status(&self) -> Arc<Status> {
        self.control.status()
    }

    fn metrics(&self) -> String {
        self.metrics.encode()
    }

    fn upstreams(&self) -> Value {
        let now_ms = u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        upstreams(&self.snapshots.load(), now_ms)
    }

    fn administer(
        &self,
        upstream: &str,
        endpoint: &str,
        state: Administration,
    ) -> Result<Vec<SocketAddr>, String> {
        let snapshot = self.snapshots.load();
        let known = snapshot
            .upstreams
            .iter()
            .find(|each| *each.name == *upstream)
            .ok_or_else(|| format!("there is no upstream {upstream}"))?;
        let address: Option<SocketAddr> = endpoint.parse().ok();
        let mut addresses = Vec::new();
        for each in known.pool.load().endpoints() {
            if *each.name == *endpoint || Some(each.address) == address {
                each.state.set_administration(state);
                addresses.push(each.address);
            }
        }
        if addresses.is_empty() {
            return Err(format!(
                "the upstream {upstream} has no endpoint {endpoint}"
            ));
        }
        tracing::info!(%upstream, %endpoint, state = state.as_str(), "the state of an endpoint was set");
        Ok(addresses)
    }

    async fn reload(&self) -> Result<Arc<ReloadReport>, Ended> {
        self.control.reload(Cause::Admin).await
    }

    async fn drain(&self) -> Result<(), Ended> {
        self.control.drain().await
    }

    fn log_level(&self) -> Option<String> {
        self.log.as_ref().map(|log| log.level())
    }

    fn set_log_level(&self, level: &str) -> Result<(), String> {
        match &self.log {
            Some(log) => log.set_level(level),
            None => Err("this gateway has no program log of its own".to_owned()),
        }
    }
}
