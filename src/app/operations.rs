//! What the admin address may see and do, done with the parts of this gateway.

use std::{
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::{
    admin::{Operations, Readiness, ReloadOutcome},
    compile::Stores,
    config,
    control::{Cause, ControlHandle, Phase},
    observe::log::LogHandle,
    snapshot::{SnapshotCell, Upstream},
};

/// The gateway as its operator knows it.
pub(super) struct Operator {
    pub(super) stores: Arc<Stores>,
    pub(super) control: ControlHandle,
    pub(super) cell: Arc<SnapshotCell>,
    pub(super) log: LogHandle,
    pub(super) clock: Instant,
}

impl Operations for Operator {
    fn readiness(&self) -> Readiness {
        match self.control.status().phase {
            Phase::Starting => Readiness::Starting,
            Phase::Ready => Readiness::Ready,
            Phase::Draining => Readiness::Draining,
        }
    }

    fn metrics(&self) -> String {
        self.stores.metrics.encode()
    }

    fn config(&self) -> Value {
        let status = self.control.status();
        let last_reload = status.last_reload.as_ref().map(|report| {
            json!({
                "cause": report.cause.as_str(),
                "outcome": report.outcome.as_str(),
                "at": unix(report.at),
                "diagnostics": report.diagnostics,
                "remarks": report.remarks,
            })
        });
        json!({
            "generation": status.generation,
            "hash": status.hash,
            "since": unix(status.since),
            "last_reload": last_reload,
            "config": config::redacted(&status.config),
        })
    }

    fn upstreams(&self) -> Value {
        let now_ms = u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        let snapshot = self.cell.load();
        let upstreams = snapshot
            .upstreams
            .iter()
            .map(|upstream| (upstream.name.to_string(), view(upstream, now_ms)));
        Value::Object(upstreams.collect())
    }

    async fn reload(&self) -> ReloadOutcome {
        let Ok(report) = self.control.reload(Cause::Admin).await else {
            return ReloadOutcome::Unavailable {
                reason: "the gateway is stopping".to_owned(),
            };
        };
        let diagnostics = json!({ "diagnostics": report.diagnostics, "remarks": report.remarks });
        let generation = report.generation;
        if report.is_ok() {
            ReloadOutcome::Serving { generation, diagnostics }
        } else {
            ReloadOutcome::Refused { generation, diagnostics }
        }
    }

    fn drain(&self) {
        let control = self.control.clone();
        tokio::spawn(async move {
            // A controller that has ended drains already.
            let _ = control.drain().await;
        });
    }

    fn log_level(&self) -> String {
        self.log.level()
    }

    fn set_log_level(&self, level: &str) -> Result<(), String> {
        self.log.set_level(level)
    }
}

fn view(upstream: &Upstream, now_ms: u64) -> Value {
    let pool = upstream.pool.load();
    let endpoints: Vec<_> = pool
        .endpoints()
        .iter()
        .map(|endpoint| {
            let state = &endpoint.state;
            let health = state.health();
            let set_aside = state.set_aside_until(now_ms);
            json!({
                "name": endpoint.name,
                "address": endpoint.address.to_string(),
                "weight": endpoint.weight,
                "state": match (state.is_healthy(), set_aside) {
                    (false, _) => "unhealthy",
                    (true, Some(_)) => "set_aside",
                    (true, None) => "up",
                },
                "health": { "reason": health.reason, "since": health.since.map(unix) },
                "set_aside_ms": set_aside.map(|until| until.saturating_sub(now_ms)),
                "in_flight": state.in_flight(),
                "requests": state.requests(),
                "failures": state.failures(),
            })
        })
        .collect();
    json!({
        "balance": upstream.policy.as_str(),
        "endpoints": endpoints,
    })
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
