//! The power of two choices: of two random endpoints the less busy one.
//!
//! The first is drawn by weight, the second evenly, and it takes the request only if it has fewer exchanges for its weight.
//! So an idle upstream shares by weight, and a busy one evens out its load, at a cost that does not grow with the number
//! of endpoints. Nobody follows the same least busy endpoint as all the other gateways do.

use std::cmp::Ordering;

use super::eligible::Eligible;
use super::random::Random;

/// The policy's frozen part: the best of one drawn by weight and some rivals.
#[derive(Debug)]
pub(super) struct Sample {
    first: Random,
    rivals: usize,
}

impl Sample {
    pub(super) fn new(weights: &[u32], rivals: usize) -> Self {
        Self {
            first: Random::new(weights),
            rivals,
        }
    }

    /// Draws someone and looks whether a rival is less busy.
    pub(super) fn choose(&self, eligible: &Eligible<'_>, random: u64) -> Option<usize> {
        let mut random = random;
        let first = self.first.choose(eligible, random)?;
        let mut best = (first, eligible.load(first)?.1);
        for _ in 0..self.rivals {
            let Some(rival) = eligible.other_than(best.0, &mut random) else {
                break;
            };
            let (_, load) = eligible.load(rival)?;
            if load.compare(best.1) == Ordering::Less {
                best = (rival, load);
            }
        }
        Some(best.0)
    }
}

/// Two choices: one and its rival.
pub(super) const RIVALS: usize = 1;

#[cfg(test)]
mod tests {
    use crate::balance::Policy;
    use crate::balance::testing::{Simulation, pool};
    use std::time::UNIX_EPOCH;

    #[test]
    fn of_two_the_less_busy_is_taken() {
        let pool = pool(Policy::P2c, &[1, 1]);
        let busy = pool.pick(0, 0, &[1]).unwrap();
        for random in 0..50_u64 {
            let random = random.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            assert_eq!(pool.pick(0, random, &[]).unwrap().index(), 1);
        }
        drop(busy);
    }

    #[test]
    fn a_set_is_filled_much_more_evenly_than_by_chance() {
        let pool = pool(Policy::P2c, &[1; 500]);
        let mut random = fastrand::Rng::with_seed(7);
        let leases: Vec<_> = (0..5_000)
            .map(|_| pool.pick(0, random.u64(..), &[]).unwrap())
            .collect();
        let most = pool
            .endpoints()
            .iter()
            .map(|endpoint| endpoint.state.in_flight())
            .max();
        // Pure chance would bring someone to 20 and more.
        assert!(most <= Some(13), "{most:?}");
        drop(leases);
    }

    #[test]
    fn a_rival_that_is_down_is_no_rival() {
        let pool = pool(Policy::P2c, &[1, 1, 1]);
        pool.endpoints()[2].state.set_health(false, "", UNIX_EPOCH);
        let busy = pool.pick(0, 0, &[1]).unwrap();
        assert_eq!(pool.pick(0, 1, &[1]).unwrap().index(), 0);
        drop(busy);
    }

    #[test]
    fn a_slow_endpoint_gets_as_little_as_it_can_bear() {
        // One of five needs ten times as long; by weight alone it would get 2,000 of 10,000.
        let pool = pool(Policy::P2c, &[1; 5]);
        let outcome = Simulation::default().run(&pool, &[10, 10, 10, 10, 100], 1_000, 10_000);
        assert!(outcome.shares[4] < 900, "{:?}", outcome.shares);
    }
}
