//! Counter cells: one writer each, a cache line apart, summed when scraped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// A number that one thread changes and any thread reads.
///
/// It is a plain load and store, not a locked addition: a tenth of the cost, and right as long as a cell has one writer
/// at a time, which [`Sharded`] sees to. It wraps, so that a gauge may go up in one worker's cell and down in another's:
/// the sum is right.
#[derive(Debug, Default)]
pub(super) struct Cell(AtomicU64);

impl Cell {
    pub(super) fn add(&self, amount: u64) {
        self.0
            .store(self.get().wrapping_add(amount), Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, amount: u64) {
        self.0
            .store(self.get().wrapping_sub(amount), Ordering::Relaxed);
    }

    pub(super) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One `T` for each worker, made by that worker when it first writes, so that 10,000 routes nobody asks for cost little.
///
/// A worker writes its own without a lock. Threads that are no workers share one more behind a mutex. Scrapes read all.
#[derive(Debug)]
pub(super) struct Sharded<T> {
    workers: Box<[Shard<T>]>,
    others: Shard<T>,
    others_turn: Mutex<()>,
}

impl<T: Default> Sharded<T> {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers).map(|_| Shard::default()).collect(),
            others: Shard::default(),
            others_turn: Mutex::new(()),
        }
    }

    /// Changes the cells of this worker, or the common ones when there is no worker of that number.
    pub(super) fn write<R>(&self, worker: usize, change: impl FnOnce(&T) -> R) -> R {
        if let Some(shard) = self.workers.get(worker) {
            return change(shard.cells());
        }
        let _turn = self
            .others_turn
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        change(self.others.cells())
    }

    /// Everything that has been written so far, one `T` a writer.
    pub(super) fn written(&self) -> impl Iterator<Item = &T> {
        self.workers
            .iter()
            .chain([&self.others])
            .filter_map(|shard| shard.0.get())
            .map(|apart| &apart.0)
    }

    /// The sum of one number over all writers.
    pub(super) fn sum(&self, part: impl Fn(&T) -> &Cell) -> u64 {
        self.written()
            .fold(0, |sum, cells| sum.wrapping_add(part(cells).get()))
    }
}

#[derive(Debug)]
struct Shard<T>(OnceLock<Box<Apart<T>>>);

impl<T: Default> Shard<T> {
    fn cells(&self) -> &T {
        &self.0.get_or_init(Box::default).0
    }
}

impl<T> Default for Shard<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

/// Keeps what two threads write out of one cache line, and out of the pair of lines that are fetched together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_and_other_threads_are_summed() {
        let sharded: Sharded<Cell> = Sharded::new(2);
        sharded.write(0, |cell| cell.add(1));
        sharded.write(1, |cell| cell.add(2));
        sharded.write(usize::MAX, |cell| cell.add(4));
        assert_eq!(sharded.sum(|cell| cell), 7);
    }

    #[test]
    fn a_gauge_may_rise_in_one_shard_and_fall_in_another() {
        let sharded: Sharded<Cell> = Sharded::new(2);
        sharded.write(0, |cell| cell.add(3));
        sharded.write(1, |cell| cell.subtract(2));
        assert_eq!(sharded.sum(|cell| cell), 1);
    }

    #[test]
    fn threads_that_are_no_workers_lose_nothing() {
        let sharded: Sharded<Cell> = Sharded::new(1);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        sharded.write(usize::MAX, |cell| cell.add(1));
                    }
                });
            }
        });
        assert_eq!(sharded.sum(|cell| cell), 4_000);
    }
}
