//! Weighted least connections: the endpoint with the fewest exchanges for its weight, counted over all workers.
//!
//! Reads one counter an endpoint, so a large set is not walked but sampled: the best of some random ones is as good as
//! never a busy one, and costs the same whatever the size. Among equals chance decides by weight, or every gateway that
//! starts would send its first requests to the same endpoint.

use std::cmp::Ordering;

use super::eligible::{Eligible, Load};
use super::p2c::Sample;
use super::weights::scale;

/// The policy's frozen part.
#[derive(Debug)]
pub(super) enum LeastConnections {
    /// All endpoints are looked at.
    Walk,
    /// Some of them are.
    Sample(Sample),
}

impl LeastConnections {
    pub(super) fn new(weights: &[u32]) -> Self {
        if weights.len() <= WALKED {
            Self::Walk
        } else {
            Self::Sample(Sample::new(weights, RIVALS))
        }
    }

    /// Finds one with few exchanges for its weight.
    pub(super) fn choose(&self, eligible: &Eligible<'_>, random: u64) -> Option<usize> {
        match self {
            Self::Walk => walk(eligible, random),
            Self::Sample(sample) => sample.choose(eligible, random),
        }
    }
}

/// Walks the set twice: to find how busy the least busy are, and to choose one of those by weight.
fn walk(eligible: &Eligible<'_>, random: u64) -> Option<usize> {
    let mut best: Option<Load> = None;
    let mut equals = 0;
    for (_, load) in eligible.loads() {
        match best.map_or(Ordering::Less, |best| load.compare(best)) {
            Ordering::Less => {
                best = Some(load);
                equals = load.weight;
            }
            Ordering::Equal => equals += load.weight,
            Ordering::Greater => {}
        }
    }
    let best = best?;
    let mut left = scale(random, equals);
    let mut last = None;
    for (place, load) in eligible.loads() {
        if load.compare(best) == Ordering::Greater {
            continue;
        }
        last = Some(place);
        match left.checked_sub(load.weight) {
            Some(rest) => left = rest,
            None => break,
        }
    }
    // Other workers may have given something to all of them in the meantime.
    last.or_else(|| eligible.by_weight(random))
}

/// Up to so many endpoints are all looked at.
const WALKED: usize = 32;
/// In a larger set one drawn by weight is compared with so many others.
const RIVALS: usize = 4;

#[cfg(test)]
mod tests {
    use crate::balance::Policy;
    use crate::balance::testing::{pool, shares};

    #[test]
    fn load_is_shared_by_weight() {
        let pool = pool(Policy::LeastConnections, &[1, 2, 5]);
        let leases: Vec<_> = (0..80)
            .map(|turn| pool.pick(0, turn, &[]).unwrap())
            .collect();
        let in_flight: Vec<_> = pool
            .endpoints()
            .iter()
            .map(|endpoint| endpoint.state.in_flight())
            .collect();
        assert_eq!(in_flight, [10, 20, 50]);
        drop(leases);
    }

    #[test]
    fn the_one_that_gets_free_is_next() {
        let pool = pool(Policy::LeastConnections, &[1, 1, 1]);
        let mut leases: Vec<_> = (0..6)
            .map(|turn| pool.pick(0, turn, &[]).unwrap())
            .collect();
        let freed = leases.remove(3).index();
        assert_eq!(pool.pick(0, 1, &[]).unwrap().index(), freed);
    }

    #[test]
    fn equals_are_chosen_by_chance() {
        let pool = pool(Policy::LeastConnections, &[1, 1, 1, 1]);
        // One that is busy between two that are idle must not double the chance of its neighbour.
        let busy: Vec<_> = (0..4).filter_map(|_| pool.pick(0, 0, &[0, 2, 3])).collect();
        assert_eq!(busy.len(), 4);
        let shares = shares(&pool, 30_000);
        assert_eq!(shares[1], 0);
        for index in [0, 2, 3] {
            assert!(shares[index].abs_diff(10_000) < 450, "{shares:?}");
        }
    }

    #[test]
    fn a_large_set_is_filled_evenly() {
        let pool = pool(Policy::LeastConnections, &[1; 1_000]);
        let mut random = fastrand::Rng::with_seed(7);
        let leases: Vec<_> = (0..10_000)
            .map(|_| pool.pick(0, random.u64(..), &[]).unwrap())
            .collect();
        let in_flight = pool
            .endpoints()
            .iter()
            .map(|endpoint| endpoint.state.in_flight());
        let (least, most) = (in_flight.clone().min().unwrap(), in_flight.max().unwrap());
        // Pure chance would leave some at 1 and bring others to 22.
        assert!(least >= 7 && most <= 12, "{least}..{most}");
        drop(leases);
    }
}
