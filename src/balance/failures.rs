//! How many requests there were lately, and how many of them failed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A sliding window of ten slots; what is older than the window is not counted.
///
/// Each slot is one word, so a count never mixes with that of another time. All workers write the slot of the moment.
#[derive(Debug, Default)]
pub(super) struct FailureWindow {
    slots: [AtomicU64; SLOTS],
}

/// What one slot says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slot {
    /// Which slot since the clock began, as far as it fits.
    number: u64,
    requests: u64,
    failures: u64,
}

impl FailureWindow {
    /// Counts a request.
    pub(super) fn note(&self, now_ms: u64, window: Duration, failed: bool) {
        let number = number(now_ms, window);
        let Some(slot) = self.slots.get(place(number)) else {
            return;
        };
        let count = |word| {
            let known = Slot::unpack(word);
            let before = if known.number == number & NUMBERS {
                known
            } else {
                Slot {
                    number: number & NUMBERS,
                    ..Slot::default()
                }
            };
            let next = Slot {
                requests: (before.requests + 1).min(MOST),
                failures: (before.failures + u64::from(failed)).min(MOST),
                ..before
            };
            Some(next.pack())
        };
        // It cannot fail: `count` always has a next one.
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
    }

    /// How many requests there were in the window, and how many of them failed.
    pub(super) fn sum(&self, now_ms: u64, window: Duration) -> (u64, u64) {
        let now = number(now_ms, window);
        self.slots
            .iter()
            .map(|slot| Slot::unpack(slot.load(Ordering::Relaxed)))
            .filter(|slot| (now.wrapping_sub(slot.number) & NUMBERS) < SLOTS as u64)
            .fold((0, 0), |(requests, failures), slot| {
                (requests + slot.requests, failures + slot.failures)
            })
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        for slot in &self.slots {
            slot.store(0, Ordering::Relaxed);
        }
    }
}

impl Slot {
    const fn pack(self) -> u64 {
        self.number << (2 * COUNT_BITS) | self.requests << COUNT_BITS | self.failures
    }

    const fn unpack(word: u64) -> Self {
        Self {
            number: word >> (2 * COUNT_BITS),
            requests: word >> COUNT_BITS & MOST,
            failures: word & MOST,
        }
    }
}

fn number(now_ms: u64, window: Duration) -> u64 {
    let window_ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
    now_ms / (window_ms / SLOTS as u64).max(1)
}

fn place(number: u64) -> usize {
    usize::try_from(number % SLOTS as u64).unwrap_or_default()
}

const SLOTS: usize = 10;
const COUNT_BITS: u32 = 24;
const MOST: u64 = (1 << COUNT_BITS) - 1;
const NUMBERS: u64 = (1 << (u64::BITS - 2 * COUNT_BITS)) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    #[test]
    fn what_is_older_than_the_window_is_not_counted() {
        let window = FailureWindow::default();
        for second in 0..20 {
            window.note(second * 1_000, WINDOW, second % 2 == 0);
        }
        assert_eq!(window.sum(19_999, WINDOW), (10, 5));
        assert_eq!(window.sum(20_000, WINDOW), (9, 4));
        assert_eq!(window.sum(24_500, WINDOW), (5, 2));
        assert_eq!(window.sum(29_000, WINDOW), (0, 0));
    }

    #[test]
    fn what_is_counted_in_one_moment_is_in_one_slot() {
        let window = FailureWindow::default();
        for request in 0..1_000 {
            window.note(5_000 + request % 50, WINDOW, request % 10 == 0);
        }
        assert_eq!(window.sum(5_000, WINDOW), (1_000, 100));
        window.clear();
        assert_eq!(window.sum(5_000, WINDOW), (0, 0));
    }

    #[test]
    fn counts_stop_at_the_most_that_fits() {
        let full = Slot {
            number: 3,
            requests: MOST,
            failures: MOST,
        };
        assert_eq!(Slot::unpack(full.pack()), full);
        let window = FailureWindow::default();
        window.slots[3].store(full.pack(), Ordering::Relaxed);
        window.note(3_000, WINDOW, true);
        assert_eq!(window.sum(3_000, WINDOW), (MOST, MOST));
    }

    #[test]
    fn a_window_shorter_than_its_slots_is_a_slot_for_each_millisecond() {
        let window = FailureWindow::default();
        let short = Duration::from_millis(1);
        window.note(7, short, true);
        assert_eq!(window.sum(7, short), (1, 1));
        assert_eq!(window.sum(17, short), (0, 0));
    }

    #[test]
    fn threads_lose_no_count() {
        let window = FailureWindow::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        window.note(1_000, WINDOW, true);
                    }
                });
            }
        });
        assert_eq!(window.sum(1_000, WINDOW), (20_000, 20_000));
    }
}
