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

/// Looks at each of them once, and chooses by weight among those that are as little busy as the least busy.
fn walk(eligible: &Eligible<'_>, random: u64) -> Option<usize> {
    let mut least: Option<Equals> = None;
    for (place, load) in eligible.loads() {
        match &mut least {
            Some(equals) => match load.compare(equals.load) {
                Ordering::Less => *equals = Equals::only(place, load),
                Ordering::Equal => equals.add(place, load),
                Ordering::Greater => {}
            },
            None => least = Some(Equals::only(place, load)),
        }
    }
    least.map(|equals| equals.choose(eligible, random))
}

/// Places with the same load.
struct Equals {
    /// That of the first; the others may have other weights.
    load: Load,
    /// A bit for each place.
    places: u32,
    /// The weight of all.
    weight: u64,
    /// Whether all have the same weight.
    is_even: bool,
}

impl Equals {
    const fn only(place: usize, load: Load) -> Self {
        Self {
            load,
            places: 1 << place,
            weight: load.weight,
            is_even: true,
        }
    }

    const fn add(&mut self, place: usize, load: Load) {
        self.places |= 1 << place;
        self.weight += load.weight;
        self.is_even &= load.weight == self.load.weight;
    }

    /// One of them, as likely as its weight says.
    fn choose(&self, eligible: &Eligible<'_>, random: u64) -> usize {
        let mut places = self.places;
        if self.is_even {
            for _ in 0..scale(random, u64::from(places.count_ones())) {
                places &= places - 1;
            }
            return first(places);
        }
        let mut left = scale(random, self.weight);
        // The last one needs no look.
        while places.count_ones() > 1 {
            let weight = eligible
                .load(first(places))
                .map_or(0, |(_, load)| load.weight);
            match left.checked_sub(weight) {
                Some(rest) => left = rest,
                None => break,
            }
            places &= places - 1;
        }
        first(places)
    }
}

/// The place of the lowest bit.
const fn first(places: u32) -> usize {
    places.trailing_zeros() as usize
}

/// Up to so many endpoints are all looked at: as many as fit into the bits of [`Equals`].
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
    fn idle_endpoints_of_different_weights_are_chosen_by_weight() {
        // As many as are walked, so that every bit is used.
        let mut weights = vec![1; 32];
        weights[0] = 8;
        weights[31] = 9;
        let pool = pool(Policy::LeastConnections, &weights);
        let shares = shares(&pool, 47_000);
        assert!(shares[0].abs_diff(8_000) < 450, "{shares:?}");
        assert!(shares[31].abs_diff(9_000) < 450, "{shares:?}");
        assert!(
            shares[1..31]
                .iter()
                .all(|share| share.abs_diff(1_000) < 160),
            "{shares:?}"
        );
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
