//! Peak EWMA: of two random endpoints the one that will probably answer first.
//!
//! What an endpoint costs is its decayed latency times the exchanges it has, the new one included. A slow answer counts at
//! once, quick ones bring it down slowly, and so does silence: an endpoint that is avoided becomes attractive again, and
//! after twenty seconds it counts as unmeasured. An unmeasured endpoint gets one request, and no second
//! one before that is answered.

use super::eligible::{Eligible, Load};
use super::ramp::FULL;
use super::random::Random;
use super::state::EndpointState;

/// The policy's frozen part.
#[derive(Debug)]
pub(super) struct PeakEwma {
    first: Random,
    /// What an endpoint of average weight has, in parts of [`FULL`].
    mean_weight: f32,
}

impl PeakEwma {
    pub(super) fn new(weights: &[u32]) -> Self {
        let total: u64 = weights.iter().copied().map(u64::from).sum();
        let count = weights.iter().filter(|weight| **weight > 0).count().max(1);
        Self {
            first: Random::new(weights),
            mean_weight: (total * FULL) as f32 / count as f32,
        }
    }

    /// Draws someone by weight and looks whether a rival is clearly cheaper.
    pub(super) fn choose(&self, eligible: &Eligible<'_>, random: u64) -> Option<usize> {
        let mut random = random;
        let first = self.first.choose(eligible, random)?;
        let Some(rival) = eligible.other_than(first, &mut random) else {
            return Some(first);
        };
        let cost = |place| {
            let (candidate, load) = eligible.load(place)?;
            Some(self.cost(&candidate.state, load, eligible.now_ms()))
        };
        // Latencies are never quite equal. Without a margin the quicker of two twins would get nearly everything.
        if cost(rival)? < cost(first)? * CLEARLY {
            Some(rival)
        } else {
            Some(first)
        }
    }

    fn cost(&self, state: &EndpointState, load: Load, now_ms: u64) -> f32 {
        // The weight says how much of its work an endpoint does at once, not how fast an idle one is.
        let busy = load.in_flight as f32 * self.mean_weight / load.weight as f32;
        match state.latency_us(now_ms) {
            Some(latency) => latency * (1.0 + busy),
            None if load.in_flight == 0 => 0.0,
            None => UNKNOWN * (1.0 + busy),
        }
    }
}

/// A rival must cost less than this part.
const CLEARLY: f32 = 0.875;
/// Microseconds for an endpoint that has not answered yet: more than any that has.
const UNKNOWN: f32 = 1e12;

#[cfg(test)]
mod tests {
    use crate::balance::Policy;
    use crate::balance::testing::{Simulation, pool};
    use std::time::Duration;

    #[test]
    fn a_slow_endpoint_gets_next_to_nothing() {
        let pool = pool(Policy::PeakEwma, &[1; 5]);
        // 1,000 requests a second at latencies of 10 and 100 ms.
        let outcome = Simulation::default().run(&pool, &[10, 10, 10, 10, 100], 1_000, 30_000);
        assert!(outcome.shares[4] < 150, "{:?}", outcome.shares);
        let fast = &outcome.shares[..4];
        assert!(fast.iter().all(|share| *share > 6_500), "{fast:?}");
        assert!(outcome.p99_ms <= 15, "{}", outcome.p99_ms);
    }

    #[test]
    fn an_endpoint_that_became_quick_again_gets_its_share_back() {
        let pool = pool(Policy::PeakEwma, &[1; 4]);
        let mut simulation = Simulation::default();
        simulation.run(&pool, &[10, 10, 10, 200], 2_000, 2_000);
        simulation.run(&pool, &[10; 4], 2_000, 15_000);
        let outcome = simulation.run(&pool, &[10; 4], 2_000, 10_000);
        assert!(outcome.shares[3] > 1_800, "{:?}", outcome.shares);
    }

    #[test]
    fn nobody_starves_however_slow_it_was() {
        let pool = pool(Policy::PeakEwma, &[1, 1]);
        for (other, latency) in [(1, 1), (0, 3_600_000)] {
            let lease = pool.pick(0, 0, &[other]).unwrap();
            lease.answered(Duration::from_millis(latency), 0);
        }
        assert_eq!(pool.pick(1, 1, &[]).unwrap().index(), 0);
        pool.pick(19_000, 0, &[1])
            .unwrap()
            .answered(Duration::from_millis(1), 19_000);
        assert_eq!(pool.pick(19_999, 1, &[]).unwrap().index(), 0);
        assert_eq!(pool.pick(20_000, 1, &[]).unwrap().index(), 1);
    }

    #[test]
    fn who_has_never_answered_gets_one_request_at_a_time() {
        let pool = pool(Policy::PeakEwma, &[1, 1]);
        pool.pick(0, 0, &[1])
            .unwrap()
            .answered(Duration::from_millis(5), 0);
        let probe = pool.pick(0, 0, &[]).unwrap();
        assert_eq!(probe.index(), 1);
        for random in 0..50_u64 {
            let random = random.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            assert_eq!(pool.pick(0, random, &[]).unwrap().index(), 0);
        }
        drop(probe);
    }
}
