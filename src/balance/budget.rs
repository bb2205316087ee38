//! How many attempts beyond the first an upstream's exchanges may make: a share of what is asked, and a floor.

use std::sync::atomic::{AtomicU64, Ordering};

use super::settings::Percent;

/// What bounds the attempts beyond the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    /// Their share of the requests of the last ten seconds.
    pub share: Percent,
    /// So many are granted in each second, whatever the share says.
    pub floor: u32,
}

/// The requests and the attempts beyond the first that one upstream has had lately, over all workers; kept across
/// reloads.
///
/// Workers count each exchange in a cache line that few of them share, and grant attempts by a compare-and-swap, so that
/// all of them together never grant more than the budget. It is dropped when no snapshot has the upstream any more.
#[derive(Debug, Default)]
pub struct RetryCounts {
    requests: [Window; SHARDS],
    granted: Window,
}

/// Counts of the last seconds, one slot a second: the second in the upper half, the count in the lower.
#[derive(Debug, Default)]
#[repr(align(128))] // Workers write next to each other otherwise.
struct Window([AtomicU64; SLOTS as usize]);

impl RetryCounts {
    /// Counts an exchange that is about to ask the upstream.
    pub fn asked(&self, worker: usize, now_ms: u64) {
        if let Some(window) = self.requests.get(worker % SHARDS) {
            window.add(second(now_ms));
        }
    }

    /// Whether the budget has one more attempt, which is then spent.
    #[must_use]
    pub fn grant(&self, budget: RetryBudget, now_ms: u64) -> bool {
        let now = second(now_ms);
        let Some(slot) = self.granted.slot(now) else {
            return false;
        };
        loop {
            let known = slot.load(Ordering::Relaxed);
            let just_now = if known >> 32 == now { known & COUNT } else { 0 };
            if just_now >= u64::from(budget.floor) && !self.has_share(budget.share, now) {
                return false;
            }
            let next = (now << 32) | (just_now + 1);
            if slot
                .compare_exchange(known, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
            {
                return true;
            }
        }
    }

    fn has_share(&self, share: Percent, now: u64) -> bool {
        let requests: u64 = self.requests.iter().map(|window| window.sum(now)).sum();
        let granted = self.granted.sum(now);
        (granted + 1) * 100 <= requests * u64::from(share.hundredths())
    }
}

impl Window {
    fn slot(&self, second: u64) -> Option<&AtomicU64> {
        self.0.get(usize::try_from(second % SLOTS).ok()?)
    }

    fn add(&self, second: u64) {
        let Some(slot) = self.slot(second) else {
            return;
        };
        let known = slot.load(Ordering::Relaxed);
        if known >> 32 == second {
            slot.fetch_add(1, Ordering::Relaxed);
        } else if slot
            .compare_exchange(
                known,
                (second << 32) | 1,
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_err()
        {
            // Somebody else has just begun the second.
            slot.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What was counted in the last ten seconds, this one included.
    fn sum(&self, now: u64) -> u64 {
        self.0
            .iter()
            .map(|slot| slot.load(Ordering::Relaxed))
            .filter(|known| now.saturating_sub(known >> 32) < SECONDS)
            .map(|known| known & COUNT)
            .sum()
    }
}

fn second(now_ms: u64) -> u64 {
    (now_ms / 1_000) & COUNT
}

/// How far back a request earns attempts.
const SECONDS: u64 = 10;
/// More than are summed up, so that a slot is not begun anew while it is still counted.
const SLOTS: u64 = 16;
const SHARDS: usize = 8;
const COUNT: u64 = u32::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(share: u8, floor: u32) -> RetryBudget {
        RetryBudget {
            share: Percent::new(share).unwrap(),
            floor,
        }
    }

    fn granted(counts: &RetryCounts, budget: RetryBudget, now_ms: u64) -> usize {
        (0..10_000)
            .take_while(|_| counts.grant(budget, now_ms))
            .count()
    }

    #[test]
    fn attempts_are_a_share_of_the_requests_of_all_workers() {
        let counts = RetryCounts::default();
        for request in 0..1_000_u64 {
            counts.asked(request as usize, 5_000 + request);
        }
        assert_eq!(granted(&counts, budget(20, 0), 6_500), 200);
        counts.asked(3, 6_500);
        assert_eq!(granted(&counts, budget(20, 0), 6_500), 0);
        assert_eq!(granted(&counts, budget(100, 0), 6_500), 801);
    }

    #[test]
    fn what_is_old_neither_earns_nor_costs() {
        let counts = RetryCounts::default();
        for _ in 0..100 {
            counts.asked(0, 1_000);
        }
        assert_eq!(granted(&counts, budget(10, 0), 10_999), 10);
        assert_eq!(granted(&counts, budget(10, 0), 11_000), 0);
        for _ in 0..100 {
            counts.asked(0, 1_000_000);
        }
        assert_eq!(granted(&counts, budget(10, 0), 1_000_000), 10);
    }

    #[test]
    fn the_floor_holds_in_each_second_when_the_share_is_spent() {
        let counts = RetryCounts::default();
        for at in [0, 999, 1_000, 1_999] {
            let first = at % 1_000 == 0;
            let wanted = if first { 3 } else { 0 };
            assert_eq!(granted(&counts, budget(20, 3), at), wanted, "{at}");
        }
        assert_eq!(granted(&counts, budget(0, 0), 9_000), 0);
    }

    #[test]
    fn threads_together_get_no_more_than_the_budget() {
        let counts = RetryCounts::default();
        let sum: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|worker| {
                    let counts = &counts;
                    scope.spawn(move || {
                        for _ in 0..1_000 {
                            counts.asked(worker, 7_000);
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| granted(&counts, budget(20, 5), 7_000)))
                .collect();
            threads.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(sum, 800);
    }
}
