//! Outlier detection: endpoints that serve badly are ejected for a while.
//!
//! Workers note what becomes of each attempt; so many failures in a row eject an endpoint at once. What has to be
//! compared with the others of the pool, [`Detector::evaluate`] looks at from time to time. An ejection is a hint, as a set
//! aside endpoint is: when nobody else can have a request, an ejected one gets it.

mod comparison;
mod tally;

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::endpoint::Endpoint;
use super::pool::Pool;
use super::settings::Percent;
use super::state::EndpointState;
use comparison::Comparison;

pub(super) use tally::Tally;

/// When endpoints are ejected, and for how long.
#[derive(Clone, Debug)]
pub struct OutlierSettings {
    /// So many failures in a row eject at once; `None`: none do.
    pub consecutive_failures: Option<NonZeroU32>,
    /// The share of failures of one interval that ejects; `None`: none does.
    pub failure_share: Option<Percent>,
    /// The mean latency of one interval that ejects, in hundredths of the median of the others; `None`: none does.
    pub latency: Option<u32>,
    /// The requests of one interval that it takes to compare an endpoint with the others.
    pub minimum_requests: u32,
    /// The statuses that are failures, as inclusive ranges.
    pub failure_status: Vec<(u16, u16)>,
    /// Between two comparisons.
    pub interval: Duration,
    /// How long the first ejection takes.
    pub ejection_time: Duration,
    /// How long the longest one takes.
    pub max_ejection_time: Duration,
    /// The largest share of the endpoints that are ejected at one time.
    pub max_ejected: Percent,
}

/// Why an endpoint went out of use without a check having said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ejection {
    /// It took no connection and was set aside.
    ConnectFailed,
    /// It failed too often in a row.
    ConsecutiveFailures,
    /// Too large a share of its requests failed.
    FailureShare,
    /// It was much slower than the others.
    Latency,
}

impl Ejection {
    /// All reasons.
    pub const ALL: [Self; 4] = [
        Self::ConnectFailed,
        Self::ConsecutiveFailures,
        Self::FailureShare,
        Self::Latency,
    ];

    /// The word for logs, metrics and the admin address.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectFailed => "connect_failed",
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::FailureShare => "failure_share",
            Self::Latency => "latency",
        }
    }
}

/// Looks for the endpoints of one upstream that serve badly. What it knows of them is in their states, so another one with
/// other settings goes on where this one was.
#[derive(Debug)]
pub struct Detector {
    settings: OutlierSettings,
    /// Held by who ejects, so that no two together eject more than may be. Nobody waits for it.
    turn: Arc<Mutex<()>>,
}

impl Detector {
    /// One with these settings. The turn is the upstream's, from [`super::EndpointStates`].
    #[must_use]
    pub const fn new(settings: OutlierSettings, turn: Arc<Mutex<()>>) -> Self {
        Self { settings, turn }
    }

    /// How often [`Detector::evaluate`] is due.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.settings.interval
    }

    /// Whether an answer of that status is a failure of the endpoint.
    #[must_use]
    pub fn is_failure(&self, status: u16) -> bool {
        let mut ranges = self.settings.failure_status.iter();
        ranges.any(|(first, last)| (*first..=*last).contains(&status))
    }

    /// Notes that an endpoint served a request.
    pub fn succeeded(&self, endpoint: &Endpoint) {
        endpoint.state.tally().succeeded();
    }

    /// Notes how long an endpoint took until the head of its response.
    pub fn answered(&self, endpoint: &Endpoint, took: Duration) {
        if self.settings.latency.is_some() {
            endpoint.state.tally().answered(took);
        }
    }

    /// Notes that an endpoint failed a request, and ejects it if that was one too many in a row.
    pub fn failed(&self, endpoint: &Endpoint, pool: &Pool, (worker, now_ms): (usize, u64)) {
        let row = endpoint.state.tally().failed();
        let Some(most) = self.settings.consecutive_failures else {
            return;
        };
        // Where the pool cannot spare the endpoint, it is asked again after as many failures more.
        if row != 0 && row.is_multiple_of(most.get()) {
            self.eject(
                endpoint,
                pool,
                Ejection::ConsecutiveFailures,
                (worker, now_ms),
            );
        }
    }

    /// Compares the endpoints of a pool by what has become of their requests since the last time.
    pub fn evaluate(&self, pool: &Pool, now_ms: u64) {
        let windows: Vec<_> = pool
            .endpoints()
            .iter()
            .map(|endpoint| endpoint.state.tally().take())
            .collect();
        let comparison = Comparison::new(&self.settings, &windows);
        for (index, reason) in comparison.outliers() {
            if let Some(endpoint) = pool.endpoints().get(index) {
                self.eject(endpoint, pool, reason, (usize::MAX, now_ms));
            }
        }
        for endpoint in pool.endpoints() {
            if !endpoint.state.is_ejected() {
                endpoint.state.tally().forgive();
            }
        }
    }

    fn eject(
        &self,
        endpoint: &Endpoint,
        pool: &Pool,
        reason: Ejection,
        (worker, now_ms): (usize, u64),
    ) {
        let Ok(_turn) = self.turn.try_lock() else {
            return;
        };
        let state = &endpoint.state;
        if state.is_ejected() || !self.can_spare(pool, state) {
            return;
        }
        let base = self.settings.ejection_time;
        let times = state.tally().one_more_time();
        let time = base
            .saturating_mul(times)
            .min(self.settings.max_ejection_time);
        let until = now_ms.saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        state.eject(reason, now_ms, until);
        endpoint.metrics.ejected(worker, reason.as_str());
    }

    /// Whether one more may be ejected, and somebody else is left in use.
    fn can_spare(&self, pool: &Pool, state: &Arc<EndpointState>) -> bool {
        let (mut all, mut ejected, mut others) = (0_u64, 0_u64, 0_u64);
        for one in pool.endpoints() {
            if one.weight == 0 || !one.state.is_in_service() {
                continue;
            }
            all += 1;
            if one.state.is_ejected() {
                ejected += 1;
            } else if one.state.is_healthy() && !Arc::ptr_eq(&one.state, state) {
                others += 1;
            }
        }
        let most = all * u64::from(self.settings.max_ejected.hundredths()) / 100;
        ejected < most.max(1) && others > 0
    }
}

#[cfg(test)]
mod tests;
