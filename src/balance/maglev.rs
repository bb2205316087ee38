//! A lookup table for consistent hashing, filled as in Google's Maglev (NSDI 2016, section 3.4).
//!
//! Each endpoint has its own order in which it would like to have the slots of the table, and takes the best free one
//! when it is its turn, as often as its weight says. So each has its exact share of the slots, a look-up is one access,
//! and when an endpoint comes or goes nearly all slots of the others stay.
//!
//! Not a ring of points (ketama): with a hundred points an endpoint the shares are a tenth off, and a look-up is a search.
//! The `pingora-ketama` crate has points for each unit of weight, a hundred and sixty of them, so that large weights fill
//! the memory, overflows at 65,536 endpoints and panics at a weight of 0.

/// The table: for each slot the place of its endpoint.
#[derive(Debug)]
pub(super) struct Maglev {
    slots: Box<[u32]>,
}

impl Maglev {
    /// A table for endpoints with these identities and weights. Equal lists make equal tables, in every process.
    pub(super) fn new(endpoints: &[(u64, u32)]) -> Self {
        let total: u64 = endpoints.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let Some(lightest) = endpoints
            .iter()
            .map(|(_, weight)| *weight)
            .filter(|weight| *weight > 0)
            .min()
        else {
            return Self {
                slots: Box::default(),
            };
        };
        let shares = total.div_ceil(u64::from(lightest));
        let size = size(shares, endpoints.len());
        Self {
            slots: fill(endpoints, size),
        }
    }

    /// The places to try for a key, best first. A place may come several times.
    pub(super) fn walk(&self, key: u64) -> impl Iterator<Item = usize> {
        let size = u64::try_from(self.slots.len()).unwrap_or_default();
        let (before, after) = self
            .slots
            .split_at_checked(super::weights::place(key, size))
            .unwrap_or_default();
        after
            .iter()
            .chain(before)
            .map(|place| usize::try_from(*place).unwrap_or(usize::MAX))
    }
}

/// The smallest size that gives the lightest endpoint enough slots.
fn size(shares: u64, endpoints: usize) -> u64 {
    let wanted = shares.saturating_mul(SLOTS_EACH);
    // Very uneven weights must not make a small upstream's table a large one.
    let most = u64::try_from(endpoints)
        .unwrap_or(u64::MAX)
        .saturating_mul(MOST_SLOTS_EACH);
    let wanted = wanted.min(most);
    SIZES
        .into_iter()
        .find(|size| *size >= wanted)
        .unwrap_or(LARGEST)
}

fn fill(endpoints: &[(u64, u32)], size: u64) -> Box<[u32]> {
    let heaviest = endpoints
        .iter()
        .map(|(_, weight)| *weight)
        .max()
        .unwrap_or(1);
    let mut wishes: Vec<Wish> = endpoints
        .iter()
        .zip(0..)
        .filter(|((_, weight), _)| *weight > 0)
        .map(|((identity, weight), place)| Wish::new(*identity, *weight, place, size))
        .collect();
    // The same slots must go to the same endpoints, whatever the order in which a source names them.
    wishes.sort_by_key(|wish| (wish.identity, wish.place));
    let mut slots = vec![FREE; usize::try_from(size).unwrap_or_default()];
    let mut free = slots.len();
    while free > 0 {
        for wish in &mut wishes {
            // The heaviest has a turn in each round, another one in as many as its weight says.
            wish.credit += u64::from(wish.weight);
            if wish.credit < u64::from(heaviest) {
                continue;
            }
            wish.credit -= u64::from(heaviest);
            if free > 0 && wish.take(&mut slots) {
                free -= 1;
            }
        }
    }
    slots.into()
}

/// The order in which one endpoint would like to have the slots, and how far it has got.
#[derive(Debug)]
struct Wish {
    identity: u64,
    place: u32,
    weight: u32,
    credit: u64,
    slot: u64,
    skip: u64,
    size: u64,
}

impl Wish {
    fn new(identity: u64, weight: u32, place: u32, size: u64) -> Self {
        let random = super::weights::next_random(identity);
        Self {
            identity,
            place,
            weight,
            credit: 0,
            slot: identity % size,
            // The size is a prime: with any step the walk comes to every slot.
            skip: random % (size - 1) + 1,
            size,
        }
    }

    /// Takes the best slot that is free. There must be one.
    fn take(&mut self, slots: &mut [u32]) -> bool {
        for _ in 0..self.size {
            let slot = usize::try_from(self.slot)
                .ok()
                .and_then(|slot| slots.get_mut(slot));
            self.slot += self.skip;
            if self.slot >= self.size {
                self.slot -= self.size;
            }
            if let Some(slot) = slot.filter(|slot| **slot == FREE) {
                *slot = self.place;
                return true;
            }
        }
        false
    }
}

const FREE: u32 = u32::MAX;
/// Slots for the lightest endpoint: its share is then exact within a third of a percent, and so many are enough for what
/// it had to be spread over all the others when it is down.
const SLOTS_EACH: u64 = 300;
/// However uneven the weights are, the table has no more slots than so many for each endpoint.
const MOST_SLOTS_EACH: u64 = 2_000;
/// Primes, each about four times the one before; the largest table has 4 MiB and takes a tenth of a second.
const SIZES: [u64; 6] = [1_021, 4_093, 16_381, 65_521, 262_139, LARGEST];
const LARGEST: u64 = 1_048_573;

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(count: u64) -> Vec<(u64, u32)> {
        (0..count)
            .map(|number| (super::super::weights::next_random(number), 1))
            .collect()
    }

    fn owners(table: &Maglev, endpoints: &[(u64, u32)]) -> Vec<u64> {
        let owner = |place: &u32| endpoints[usize::try_from(*place).unwrap()].0;
        table.slots.iter().map(owner).collect()
    }

    fn shares(table: &Maglev, count: usize) -> Vec<usize> {
        let mut shares = vec![0; count];
        for place in &table.slots {
            shares[usize::try_from(*place).unwrap()] += 1;
        }
        shares
    }

    #[test]
    fn slots_follow_the_weights() {
        let mut endpoints = endpoints(4);
        for (endpoint, weight) in endpoints.iter_mut().zip([1, 0, 3, 6]) {
            endpoint.1 = weight;
        }
        let table = Maglev::new(&endpoints);
        let total = table.slots.len();
        for (share, weight) in shares(&table, 4).into_iter().zip([1, 0, 3, 6]) {
            assert!(
                share.abs_diff(total * weight / 10) <= 6,
                "{share} of {total}"
            );
        }
    }

    #[test]
    fn the_order_of_the_list_does_not_matter() {
        let forwards = endpoints(20);
        let backwards: Vec<_> = forwards.iter().rev().copied().collect();
        assert_eq!(
            owners(&Maglev::new(&forwards), &forwards),
            owners(&Maglev::new(&backwards), &backwards)
        );
    }

    #[test]
    fn without_one_endpoint_the_slots_of_the_others_stay() {
        for count in [5, 10, 50, 200] {
            let all = endpoints(count);
            let before = owners(&Maglev::new(&all), &all);
            let (gone, rest) = all.split_first().unwrap();
            let after = owners(&Maglev::new(rest), rest);
            assert_eq!(before.len(), after.len());
            let moved = before
                .iter()
                .zip(&after)
                .filter(|(before, after)| **before != gone.0 && before != after)
                .count();
            assert!(
                moved * 20 < before.len(),
                "{count}: {moved} of {}",
                before.len()
            );
        }
    }

    #[test]
    fn a_walk_comes_to_everyone() {
        let table = Maglev::new(&endpoints(7));
        for key in [0, 1 << 40, u64::MAX] {
            let walk = table.walk(key);
            assert_eq!(walk.count(), table.slots.len());
            let mut seen: Vec<_> = table.walk(key).take(100).collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
        }
    }

    #[test]
    fn nobody_or_nothing_makes_an_empty_table() {
        assert_eq!(Maglev::new(&[]).walk(5).count(), 0);
        assert_eq!(Maglev::new(&[(1, 0), (2, 0)]).walk(5).count(), 0);
    }

    #[test]
    fn very_uneven_weights_and_many_endpoints_stay_small() {
        let table = Maglev::new(&[(1, 1), (2, u32::MAX)]);
        assert_eq!(table.slots.len(), 4_093);
        assert_eq!(size(10_000, 10_000), LARGEST);
        assert_eq!(size(u64::MAX, 100_000), LARGEST);
    }
}
