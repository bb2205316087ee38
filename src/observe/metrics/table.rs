//! A small table from label values to cells that one worker writes and scrapes read, without a lock.
//!
//! Label values are packed into one non-zero number. A table begins with room for four of them and grows by whole
//! levels; nothing ever moves, so a reader needs no more than the order "value first, key last".

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::cells::{Cell, Sharded};
use super::histogram::{Histogram, LazyHistogram};

/// Cells by key. Bounded: 1,364 keys at most, fewer if they collide.
#[derive(Debug, Default)]
pub(super) struct Table<V> {
    first: Bucket<V>,
    more: [OnceLock<Box<[Bucket<V>]>>; 4],
}

/// What a table holds for a key.
pub(super) trait Value: Default {
    /// Back to nothing counted.
    fn reset(&self);
}

impl<V: Value> Table<V> {
    /// The cells of this key, made if need be; `None` if the table has no room left for it.
    pub(super) fn at(&self, key: u64) -> Option<&V> {
        // All places where the key may be come before the first free one: `forget` may have left a hole in front of it.
        match self.first.find(key) {
            Some(found) => Some(found),
            None => self.at_level(key),
        }
    }

    fn at_level(&self, key: u64) -> Option<&V> {
        let mut free = self.first.free();
        for (level, buckets) in (1..).zip(&self.more) {
            let buckets = match (buckets.get(), free) {
                (Some(buckets), _) => buckets,
                (None, Some(_)) => break,
                (None, None) => buckets.get_or_init(|| new_level(level)),
            };
            let Some(bucket) = buckets.get(place(key, level)) else {
                continue;
            };
            if let Some(found) = bucket.find(key) {
                return Some(found);
            }
            free = free.or_else(|| bucket.free());
        }
        free.map(|slot| slot.claim(key))
    }

    /// Every key in use, with its cells, in no particular order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, &V)> {
        self.slots()
            .map(|slot| (slot.key.load(Ordering::Acquire), &slot.value))
            .filter(|(key, _)| *key != FREE)
    }

    /// Frees the places of keys that nobody will use again; called by one thread at a time.
    pub(super) fn forget(&self, dead: impl Fn(u64) -> bool) {
        for slot in self.slots() {
            let key = slot.key.load(Ordering::Acquire);
            if key != FREE && dead(key) {
                // The worker takes a place only when it is free, so nobody else stores to this one now.
                slot.key.store(FREE, Ordering::Release);
            }
        }
    }

    fn slots(&self) -> impl Iterator<Item = &Slot<V>> {
        let more = self.more.iter().filter_map(OnceLock::get);
        self.first
            .0
            .iter()
            .chain(more.flatten().flat_map(|bucket| &bucket.0))
    }
}

#[derive(Debug, Default)]
struct Bucket<V>([Slot<V>; 4]);

#[derive(Debug, Default)]
struct Slot<V> {
    key: AtomicU64,
    value: V,
}

impl<V: Value> Bucket<V> {
    fn find(&self, key: u64) -> Option<&V> {
        self.0
            .iter()
            .find(|slot| slot.key.load(Ordering::Relaxed) == key)
            .map(|slot| &slot.value)
    }

    fn free(&self) -> Option<&Slot<V>> {
        self.0
            .iter()
            .find(|slot| slot.key.load(Ordering::Acquire) == FREE)
    }
}

impl<V: Value> Slot<V> {
    fn claim(&self, key: u64) -> &V {
        self.value.reset();
        self.key.store(key, Ordering::Release);
        &self.value
    }
}

impl Value for Cell {
    fn reset(&self) {
        Self::reset(self);
    }
}

impl Value for LazyHistogram {
    fn reset(&self) {
        if let Some(histogram) = self.get() {
            Histogram::reset(histogram);
        }
    }
}

/// Adds one to a key's cell. The keys of such tables are words, of which there are never too many for a table.
pub(super) fn count(table: &Table<Cell>, key: u64) {
    if let Some(cell) = table.at(key) {
        cell.add(1);
    }
}

/// The sum over all writers for each key, in the order of the keys.
pub(super) fn sums<T: Default>(
    cells: &Sharded<T>,
    table: impl Fn(&T) -> &Table<Cell>,
) -> BTreeMap<u64, u64> {
    let mut sums = BTreeMap::new();
    for part in cells.written() {
        for (key, cell) in table(part).entries() {
            let sum: &mut u64 = sums.entry(key).or_default();
            *sum = sum.wrapping_add(cell.get());
        }
    }
    sums
}

fn new_level<V: Value>(level: u32) -> Box<[Bucket<V>]> {
    (0..4_usize.pow(level)).map(|_| Bucket::default()).collect()
}

/// The bucket of a key: the highest bits of a product (Fibonacci hashing), two more for each level.
fn place(key: u64, level: u32) -> usize {
    let spread = key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::try_from(spread >> (u64::BITS - 2 * level)).unwrap_or_default()
}

/// The key of a slot that nobody has taken.
const FREE: u64 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(table: &Table<Cell>) -> u64 {
        table.entries().map(|(_, cell)| cell.get()).sum()
    }

    #[test]
    fn each_key_has_its_own_cells() {
        let table: Table<Cell> = Table::default();
        for round in 0..3 {
            for key in 1..=100 {
                table.at(key).unwrap().add(key + round);
            }
        }
        let mut entries: Vec<_> = table
            .entries()
            .map(|(key, cell)| (key, cell.get()))
            .collect();
        entries.sort_unstable();
        let expected: Vec<_> = (1..=100).map(|key| (key, 3 * key + 3)).collect();
        assert_eq!(entries, expected);
    }

    #[test]
    fn a_full_table_says_so_and_keeps_what_it_has() {
        let table: Table<Cell> = Table::default();
        let placed = (1..=20_000)
            .filter_map(|key| table.at(key))
            .inspect(|cell| cell.add(1))
            .count();
        assert!((900..=1_364).contains(&placed), "{placed}");
        assert_eq!(sum(&table), placed as u64);
        table.at(1).unwrap().add(1);
        assert_eq!(sum(&table), placed as u64 + 1);
    }

    #[test]
    fn a_forgotten_place_is_used_again_and_starts_at_nothing() {
        let table: Table<Cell> = Table::default();
        for key in 1..=6 {
            table.at(key).unwrap().add(10);
        }
        table.forget(|key| key == 1);
        assert_eq!(sum(&table), 50);
        table.at(7).unwrap().add(1);
        assert_eq!(sum(&table), 51);
        for key in 2..=6 {
            table.at(key).unwrap().add(1);
        }
        assert_eq!(table.entries().count(), 6);
        assert_eq!(sum(&table), 56);
    }
}
