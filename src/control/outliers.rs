//! Keeps an eye on endpoints that go out of use by what becomes of requests: compares them with each other, tells the log
//! and the metrics of each that goes and comes back.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};

use crate::{
    balance::{Ejection, Endpoint},
    snapshot::{Snapshot, SnapshotCell, Upstream},
};

/// Looks again and again at the endpoints of the snapshot that serves. `clock` is the start of the gateway's clock.
pub(super) async fn watch(cell: Arc<SnapshotCell>, clock: Instant) {
    let mut outliers = Outliers::default();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now_ms = u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX);
        outliers.look(&cell.load(), now_ms);
    }
}

/// When the endpoints of each upstream are compared next. What is known of endpoints is kept with them.
#[derive(Debug, Default)]
struct Outliers {
    due: HashMap<Box<str>, u64>,
}

impl Outliers {
    fn look(&mut self, snapshot: &Snapshot, now_ms: u64) {
        let due = std::mem::take(&mut self.due);
        for upstream in &snapshot.upstreams {
            let pool = upstream.pool.load();
            if let Some(detector) = &upstream.outlier {
                let interval = u64::try_from(detector.interval().as_millis()).unwrap_or(u64::MAX);
                let next = now_ms.saturating_add(interval);
                let mut at = due.get(&upstream.name).map_or(next, |at| next.min(*at));
                if at <= now_ms {
                    detector.evaluate(&pool, now_ms);
                    at = next;
                }
                self.due.insert(upstream.name.clone(), at);
            }
            for endpoint in pool.endpoints() {
                let is_over =
                    upstream.outlier.is_none() || endpoint.state.ejected_until(now_ms).is_none();
                if is_over && endpoint.state.is_ejected() {
                    endpoint.state.end_ejection();
                }
                tell(upstream, endpoint, now_ms);
            }
        }
    }
}

/// Says what has become of an endpoint since the last time.
fn tell(upstream: &Upstream, endpoint: &Endpoint, now_ms: u64) {
    let Some((before, now)) = endpoint.state.ejection_news() else {
        return;
    };
    let (upstream, name, address) = (&*upstream.name, &*endpoint.name, endpoint.address);
    if let Some(before) = before {
        endpoint.metrics.returned(before.as_str());
    }
    match (before, now) {
        (_, Some(Ejection::ConnectFailed)) => {
            let reason = Ejection::ConnectFailed.as_str();
            endpoint.metrics.ejected(usize::MAX, reason);
            tracing::warn!(%upstream, endpoint = %name, %address, reason, "endpoint takes no connections and is set aside");
        }
        (_, Some(now)) => {
            let until = endpoint.state.ejected_until(now_ms).unwrap_or(now_ms);
            let for_ms = until.saturating_sub(now_ms);
            let reason = now.as_str();
            tracing::warn!(%upstream, endpoint = %name, %address, reason, for_ms, "endpoint is ejected");
        }
        (Some(before), None) => {
            let reason = before.as_str();
            tracing::info!(%upstream, endpoint = %name, %address, reason, "endpoint is back");
        }
        (None, None) => {}
    }
}

/// How soon the log hears of an ejection. Workers eject and take back without waiting for this.
const TICK: Duration = Duration::from_millis(200);
