//! Weighted random: by chance, as likely as the weights say.
//!
//! Costs a binary search over the weights' sums and shares no counter between workers. A draw that hits an endpoint that
//! is unavailable is repeated; after some misses the pool is walked, with the same likelihoods.

use super::eligible::Eligible;
use super::weights::{Ranges, next_random};

/// The policy's frozen part.
#[derive(Debug)]
pub(super) struct Random {
    ranges: Ranges,
}

impl Random {
    pub(super) fn new(weights: &[u32]) -> Self {
        Self {
            ranges: Ranges::new(weights),
        }
    }

    /// Draws someone eligible.
    pub(super) fn choose(&self, eligible: &Eligible<'_>, random: u64) -> Option<usize> {
        let mut random = random;
        for _ in 0..DRAWS {
            let index = self.ranges.hit(random);
            if eligible.accepts(index) {
                return Some(index);
            }
            random = next_random(random);
        }
        eligible.by_weight(random)
    }
}

/// With half of the pool down, one pick in 250 has to walk.
const DRAWS: usize = 8;

#[cfg(test)]
mod tests {
    use crate::balance::Policy;
    use crate::balance::testing::{pool, shares};
    use std::time::UNIX_EPOCH;

    #[test]
    fn shares_follow_the_weights() {
        let shares = shares(&pool(Policy::Random, &[5, 3, 2, 0]), 100_000);
        // Five standard deviations of the first are 790.
        for (share, expected) in shares.iter().zip([50_000, 30_000, 20_000, 0]) {
            assert!(share.abs_diff(expected) < 800, "{shares:?}");
        }
    }

    #[test]
    fn those_that_remain_keep_their_shares() {
        let pool = pool(Policy::Random, &[1_000, 3, 1]);
        pool.endpoints()[0].state.set_health(false, "", UNIX_EPOCH);
        let shares = shares(&pool, 10_000);
        assert_eq!(shares[0], 0);
        assert!(shares[1].abs_diff(7_500) < 250, "{shares:?}");
    }
}
