//! Weighted least connections: the endpoint with the fewest exchanges for its weight, counted over all workers.
//!
//! Walks the pool and reads one counter an endpoint: made for pools of tens, not of thousands. Among equals chance
//! decides, or every gateway that starts would send its first requests to the same endpoint.

use std::cmp::Ordering;

use super::eligible::Eligible;
use super::weights::{next_random, scale};

/// The policy; it has nothing to freeze.
#[derive(Debug)]
pub(super) struct LeastConnections;

impl LeastConnections {
    /// Finds the least loaded one that is eligible, had it one exchange more.
    pub(super) fn choose(&self, eligible: &Eligible<'_>, random: u64) -> Option<usize> {
        let mut random = random;
        let mut best: Option<Candidate> = None;
        let mut equals = 1;
        for (index, endpoint) in eligible.iter() {
            let candidate = Candidate {
                index,
                exchanges: u64::from(endpoint.state.in_flight()) + 1,
                weight: u64::from(endpoint.weight),
            };
            let order = best.map_or(Ordering::Less, |best| candidate.load_against(&best));
            match order {
                Ordering::Less => equals = 1,
                // Each of n equals replaces the one before with a chance of 1/n: all end up equally likely.
                Ordering::Equal => {
                    equals += 1;
                    random = next_random(random);
                    if scale(random, equals) != 0 {
                        continue;
                    }
                }
                Ordering::Greater => continue,
            }
            best = Some(candidate);
        }
        best.map(|best| best.index)
    }
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    index: usize,
    exchanges: u64,
    weight: u64,
}

impl Candidate {
    /// Compares exchanges per weight, without a division: both are below 2³³.
    fn load_against(&self, other: &Self) -> Ordering {
        let own = u128::from(self.exchanges) * u128::from(other.weight);
        own.cmp(&(u128::from(other.exchanges) * u128::from(self.weight)))
    }
}

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
}
