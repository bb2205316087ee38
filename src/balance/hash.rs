//! Consistent hashing: the same endpoint for the same key, as long as it is there and not too busy.
//!
//! With a bounded load (Mirrokni, Thorup, Zadimoghaddam 2016) an endpoint has no more exchanges than its weight's share of
//! all that are in flight, and a quarter more; what is above goes to the next in the table. So one hot key cannot
//! overwhelm its endpoint, and a key whose endpoint is down has the same substitute every time.

use std::sync::Arc;

use super::cursor::Cursor;
use super::eligible::Eligible;
use super::maglev::Maglev;
use super::settings::LoadBound;
use super::weights::next_random;

/// The policy's frozen part, and the count of the set's exchanges.
#[derive(Debug)]
pub(super) struct Hash {
    table: Maglev,
    bound: LoadBound,
    cursor: Arc<Cursor>,
}

impl Hash {
    /// The endpoints come as what their slots depend on, and their weights.
    pub(super) fn new(endpoints: &[(u64, u32)], bound: LoadBound, cursor: Arc<Cursor>) -> Self {
        Self {
            table: Maglev::new(endpoints),
            bound,
            cursor,
        }
    }

    /// Where leases of this set are counted; `None` without a bound.
    pub(super) fn counter(&self) -> Option<&Arc<Cursor>> {
        self.bound.hundredths().map(|_| &self.cursor)
    }

    /// The key's endpoint or the first after it that is eligible and has room. `weight` is that of all who share the load.
    pub(super) fn choose(&self, eligible: &Eligible<'_>, key: u64, weight: u64) -> Option<usize> {
        let total = self.cursor.in_flight();
        let mut busy = None;
        for place in self.table.walk(key).take(PATIENCE) {
            if !eligible.accepts(place) {
                continue;
            }
            if self.has_room(eligible, place, (total, weight)) {
                return Some(place);
            }
            busy.get_or_insert(place);
        }
        // If all are busy it shall be the key's own endpoint. If most are down, chance decides, the same for a key each time.
        busy.or_else(|| eligible.by_weight(next_random(key)))
    }

    fn has_room(&self, eligible: &Eligible<'_>, place: usize, (total, weight): (u64, u64)) -> bool {
        let Some(hundredths) = self.bound.hundredths() else {
            return true;
        };
        let Some((candidate, _)) = eligible.load(place) else {
            return false;
        };
        // in_flight < bound × (total + 1) × own weight / weight of all: rounded up, and with the new exchange counted.
        let own = u128::from(candidate.state.in_flight()) * u128::from(weight) * 100;
        let share = u128::from(total.saturating_add(1)) * u128::from(candidate.weight);
        own < share * u128::from(hundredths)
    }
}

/// The key hash of some text, for [`super::PickContext::key`]; the same in every process and version (FNV-1a, mixed).
#[must_use]
pub fn key_hash(text: &[u8]) -> u64 {
    let hash = text.iter().fold(FNV_OFFSET, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
    });
    // FNV leaves the last bytes of the text in the lower bits, and the table goes by the upper ones.
    next_random(hash)
}

const FNV_OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01B3;
/// How many slots are looked at before something else decides.
const PATIENCE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::testing::{Upstream, pool};
    use crate::balance::{PickContext, Policy, Pool, Settings};
    use std::net::SocketAddr;
    use std::time::UNIX_EPOCH;

    fn unbounded() -> Settings {
        Settings {
            load_bound: LoadBound::NONE,
            ..Policy::Hash.into()
        }
    }

    fn with_key<'a>(key: u64, tried: &'a [usize]) -> PickContext<'a> {
        PickContext {
            key: Some(key_hash(&key.to_le_bytes())),
            ..PickContext::new(0, 99, tried)
        }
    }

    /// Where each of some keys is.
    fn map(pool: &Pool, keys: u64) -> Vec<SocketAddr> {
        (0..keys)
            .map(|key| {
                let lease = pool.pick_for(&with_key(key, &[])).unwrap();
                lease.endpoint().address
            })
            .collect()
    }

    #[test]
    fn keys_are_shared_by_weight_and_stay() {
        let pool = pool(Policy::Hash, &[1, 2, 5]);
        let places = map(&pool, 80_000);
        assert_eq!(places, map(&pool, 80_000));
        for (endpoint, expected) in pool.endpoints().iter().zip([10_000, 20_000, 50_000]) {
            let share = places
                .iter()
                .filter(|address| **address == endpoint.address)
                .count();
            assert!(share.abs_diff(expected) < 800, "{share} for {expected}");
        }
    }

    #[test]
    fn without_one_of_n_endpoints_about_one_nth_of_the_keys_move() {
        for count in [3_usize, 10, 100] {
            let upstream = Upstream::default();
            let mut weights = vec![1; count];
            let before = map(&upstream.pool(Policy::Hash, &weights), 50_000);
            weights.pop();
            let after = map(&upstream.pool(Policy::Hash, &weights), 50_000);
            let moved = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            let nth = 50_000 / count;
            assert!(
                (nth * 9 / 10..nth + 50_000 / 30).contains(&moved),
                "{count}: {moved}"
            );
        }
    }

    #[test]
    fn an_endpoint_that_is_down_moves_only_its_own_keys_and_gets_them_back() {
        let pool = pool(Policy::Hash, &[1; 10]);
        let before = map(&pool, 20_000);
        let down = &pool.endpoints()[3];
        down.state.set_health(false, "", UNIX_EPOCH);
        let during = map(&pool, 20_000);
        let mut substitutes = vec![0_usize; 10];
        for (before, during) in before.iter().zip(&during) {
            assert_ne!(*during, down.address);
            if *before == down.address {
                substitutes[usize::from(during.port() - 9_000)] += 1;
            } else {
                assert_eq!(before, during);
            }
        }
        // All the others share what it had: 222 each.
        assert!(
            substitutes.iter().filter(|keys| **keys > 100).count() == 9,
            "{substitutes:?}"
        );
        down.state.set_health(true, "", UNIX_EPOCH);
        assert_eq!(before, map(&pool, 20_000));
    }

    #[test]
    fn another_attempt_goes_to_the_next_endpoint() {
        let pool = pool(Policy::Hash, &[1, 1, 1]);
        let mut tried = Vec::new();
        while let Some(lease) = pool.pick_for(&with_key(5, &tried)) {
            tried.push(lease.index());
        }
        let mut all = tried.clone();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
        let again = pool.pick_for(&with_key(5, &tried[..1])).unwrap();
        assert_eq!(again.index(), tried[1]);
    }

    #[test]
    fn a_hot_key_overflows_at_the_bound() {
        let pool = pool(Policy::Hash, &[1, 1, 2]);
        let leases: Vec<_> = (0..400)
            .map(|_| pool.pick_for(&with_key(1, &[])).unwrap())
            .collect();
        for (endpoint, weight) in pool.endpoints().iter().zip([1, 1, 2]) {
            let in_flight = endpoint.state.in_flight();
            assert!(in_flight <= 125 * weight, "{in_flight} for {weight}");
        }
        drop(leases);
        let home = pool.pick_for(&with_key(1, &[])).unwrap().index();
        assert_eq!(pool.pick_for(&with_key(1, &[])).unwrap().index(), home);
    }

    #[test]
    fn the_bound_is_shared_by_those_that_are_left() {
        let pool = pool(Policy::Hash, &[1; 4]);
        for endpoint in &pool.endpoints()[..2] {
            endpoint.state.set_health(false, "", UNIX_EPOCH);
        }
        let leases: Vec<_> = (0..200)
            .map(|_| pool.pick_for(&with_key(1, &[])).unwrap())
            .collect();
        let left = pool.endpoints()[2..].iter();
        let mut in_flight: Vec<_> = left.map(|endpoint| endpoint.state.in_flight()).collect();
        in_flight.sort_unstable();
        assert_eq!(in_flight, [75, 125]);
        drop(leases);
    }

    #[test]
    fn without_a_bound_a_key_stays() {
        let upstream = Upstream::default();
        let pool = upstream.pool(unbounded(), &[1, 1, 1]);
        let leases: Vec<_> = (0..100)
            .map(|_| pool.pick_for(&with_key(1, &[])).unwrap())
            .collect();
        assert!(
            leases
                .iter()
                .all(|lease| lease.index() == leases[0].index())
        );
    }

    #[test]
    fn what_is_in_flight_counts_in_the_next_pool() {
        let upstream = Upstream::default();
        let old = upstream.pool(Policy::Hash, &[1, 1]);
        let new = upstream.pool(Policy::Hash, &[1, 1]);
        let mut leases: Vec<_> = (0..100)
            .map(|_| old.pick_for(&with_key(1, &[])).unwrap())
            .collect();
        let home = leases[0].index();
        let next = loop {
            let next = old.pick_for(&with_key(1, &[])).unwrap();
            if next.index() != home {
                break next;
            }
            leases.push(next);
        };
        drop(next);
        // The key's endpoint is at its bound, whichever pool looks.
        assert_ne!(new.pick_for(&with_key(1, &[])).unwrap().index(), home);
        drop(leases);
        assert_eq!(new.pick_for(&with_key(1, &[])).unwrap().index(), home);
    }

    #[test]
    fn without_a_key_chance_decides() {
        let pool = pool(Policy::Hash, &[1, 1, 1]);
        let mut random = fastrand::Rng::with_seed(1);
        let mut shares = [0_usize; 3];
        for _ in 0..3_000 {
            shares[pool.pick(0, random.u64(..), &[]).unwrap().index()] += 1;
        }
        assert!(
            shares.iter().all(|share| share.abs_diff(1_000) < 150),
            "{shares:?}"
        );
    }

    #[test]
    fn similar_texts_have_unrelated_hashes_and_they_never_change() {
        let near = key_hash(b"user-1") ^ key_hash(b"user-2");
        assert!((16..48).contains(&near.count_ones()));
        assert_eq!(key_hash(b"user-1"), 0xF16D_8D44_0FBB_25D5);
    }
}
