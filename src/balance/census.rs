//! How many endpoints of a set are healthy, counted again only after one of them has changed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::eligible::Candidate;

/// How many endpoints of a set are healthy. Endpoints without weight do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// Endpoints that no operator has taken out of use.
    pub(super) endpoints: u64,
    /// Their weight.
    pub(super) weight: u64,
    /// Those of them that pass their checks and are not ejected.
    pub(super) healthy: u64,
    /// The weight of those.
    pub(super) healthy_weight: u64,
}

/// The last count. Whoever picks reads it; the first to see that the pool has changed counts again and writes it.
#[derive(Debug)]
pub(super) struct Census {
    /// How often the pool had changed when the count was made.
    made_at: AtomicU64,
    endpoints: AtomicU64,
    weight: AtomicU64,
    healthy: AtomicU64,
    healthy_weight: AtomicU64,
    /// Held by who writes, so that no two counts are mixed. Nobody waits for it.
    writing: Mutex<()>,
}

impl Census {
    /// The count as of `changes`.
    pub(super) fn count(&self, candidates: &[Candidate], changes: u64) -> Count {
        if self.made_at.load(Ordering::Acquire) == changes {
            return Count {
                endpoints: self.endpoints.load(Ordering::Relaxed),
                weight: self.weight.load(Ordering::Relaxed),
                healthy: self.healthy.load(Ordering::Relaxed),
                healthy_weight: self.healthy_weight.load(Ordering::Relaxed),
            };
        }
        let count = Count::of(candidates);
        if let Ok(_writing) = self.writing.try_lock() {
            self.endpoints.store(count.endpoints, Ordering::Relaxed);
            self.weight.store(count.weight, Ordering::Relaxed);
            self.healthy.store(count.healthy, Ordering::Relaxed);
            self.healthy_weight
                .store(count.healthy_weight, Ordering::Relaxed);
            self.made_at.store(changes, Ordering::Release);
        }
        count
    }
}

impl Default for Census {
    fn default() -> Self {
        Self {
            made_at: AtomicU64::new(NEVER),
            endpoints: AtomicU64::new(0),
            weight: AtomicU64::new(0),
            healthy: AtomicU64::new(0),
            healthy_weight: AtomicU64::new(0),
            writing: Mutex::new(()),
        }
    }
}

impl Count {
    fn of(candidates: &[Candidate]) -> Self {
        let mut count = Self::default();
        for candidate in candidates {
            if candidate.weight == 0 || !candidate.state.is_in_service() {
                continue;
            }
            let weight = u64::from(candidate.weight);
            count.endpoints += 1;
            count.weight += weight;
            if candidate.state.is_healthy() && !candidate.state.is_ejected() {
                count.healthy += 1;
                count.healthy_weight += weight;
            }
        }
        count
    }
}

const NEVER: u64 = u64::MAX;
