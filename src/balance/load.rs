//! What an upstream has in flight, and who waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::adaptive::AdaptiveState;
use super::breaker::{BreakerPhase, BreakerState};
use super::connections::{Bells, OpenCount};
use super::queue::Queue;
use crate::observe::metrics::{BreakerFigures, UpstreamFigures};

/// What is remembered of an upstream as a whole, by its name and across reloads.
///
/// Workers write it with every lease, also of upstreams that have no limits: those that a reload adds hold for what is
/// in flight by then. It is read by whoever picks within limits, by scrapes and by the admin address, and dropped when
/// neither a snapshot nor an endpoint has it any more.
#[derive(Debug, Default)]
#[repr(align(128))] // Written with every pick: nothing else shall share its cache line.
pub struct UpstreamLoad {
    in_flight: AtomicU32,
    queue: Arc<Queue>,
    breaker: BreakerState,
    adaptive: AdaptiveState,
    connections: OpenCount,
    bells: Bells,
}

impl UpstreamLoad {
    /// How many exchanges hold one of the endpoints, over all workers.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Who waits.
    #[must_use]
    pub const fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// What the breaker has seen, if there is one.
    pub(super) const fn breaker(&self) -> &BreakerState {
        &self.breaker
    }

    /// What is known of its latency, if that limits it.
    pub(super) const fn adaptive(&self) -> &AdaptiveState {
        &self.adaptive
    }

    /// The connections to all endpoints.
    pub(super) const fn connections(&self) -> &OpenCount {
        &self.connections
    }

    /// How the workers that have connections are told that one is scarce.
    pub(super) const fn bells(&self) -> &Bells {
        &self.bells
    }

    /// Counts one more.
    pub(super) fn taken(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one more, unless there are `most`.
    pub(super) fn taken_below(&self, most: u32) -> bool {
        taken_below(&self.in_flight, most)
    }

    /// Counts one less, and calls whoever waits for the place.
    pub(super) fn given_back(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
        self.queue.call_after_write();
    }
}

impl UpstreamFigures for UpstreamLoad {
    fn waiting(&self) -> u64 {
        u64::from(self.queue.waiting())
    }

    fn concurrency_limit(&self) -> Option<u64> {
        self.adaptive.shown().map(u64::from)
    }

    fn breaker(&self) -> Option<BreakerFigures> {
        let phase = self.breaker.shown()?;
        Some(BreakerFigures {
            state: match phase {
                BreakerPhase::Closed => 0,
                BreakerPhase::HalfOpen => 1,
                BreakerPhase::Open => 2,
            },
            transitions: self
                .breaker
                .transitions()
                .map(|(phase, count)| (phase.as_str(), count)),
        })
    }
}

/// Adds one to a count that must not exceed `most`.
pub(super) fn taken_below(count: &AtomicU32, most: u32) -> bool {
    let below = |taken: u32| (taken < most).then(|| taken + 1);
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, below)
        .is_ok()
}
