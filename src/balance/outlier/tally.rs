//! What has become of an endpoint's requests: counts that workers write and comparisons take.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::Ejection;

/// What has become of an endpoint's requests. Written with each attempt where outliers are looked for.
#[derive(Debug, Default)]
#[repr(align(128))] // Written by all workers: what picks read is not next to it.
pub(in crate::balance) struct Tally {
    /// Failures since the last success.
    row: AtomicU32,
    /// Since the last comparison; the upper half counts failures, the lower one all.
    window: AtomicU64,
    latency_us: AtomicU64,
    latencies: AtomicU32,
    /// How many times the ejection is now, for the next one to be longer.
    times: AtomicU32,
    /// Why the endpoint was ejected last, as its place in [`Ejection::ALL`], from 1.
    reason: AtomicU8,
    /// What the log was told last: such a place, or 0 for an endpoint in use.
    told: AtomicU8,
}

/// What had become of an endpoint's requests between two comparisons.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Window {
    pub(super) requests: u32,
    pub(super) failures: u32,
    /// Those with a latency.
    pub(super) answers: u32,
    /// The mean of those, in microseconds.
    pub(super) latency_us: u64,
}

impl Tally {
    pub(super) fn succeeded(&self) {
        self.window.fetch_add(ONE, Ordering::Relaxed);
        // Read first: the usual case must not write a second time.
        if self.row.load(Ordering::Relaxed) != 0 {
            self.row.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a failure; how many in a row that makes.
    pub(super) fn failed(&self) -> u32 {
        self.window.fetch_add(ONE | ONE_FAILURE, Ordering::Relaxed);
        self.row.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    pub(super) fn answered(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.latency_us.fetch_add(took, Ordering::Relaxed);
        self.latencies.fetch_add(1, Ordering::Relaxed);
    }

    /// What there is since the last time, and begins anew. An answer that comes in between may be split: one in thousands.
    pub(super) fn take(&self) -> Window {
        let window = self.window.swap(0, Ordering::Relaxed);
        let answers = self.latencies.swap(0, Ordering::Relaxed);
        let latency_us = self.latency_us.swap(0, Ordering::Relaxed);
        Window {
            requests: u32::try_from(window & (ONE_FAILURE - 1)).unwrap_or(u32::MAX),
            failures: u32::try_from(window >> 32).unwrap_or(u32::MAX),
            answers,
            latency_us: latency_us.checked_div(u64::from(answers)).unwrap_or(0),
        }
    }

    /// Counts an ejection; how many times as long as the first one it is.
    pub(super) fn one_more_time(&self) -> u32 {
        self.times.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Takes one time off.
    pub(super) fn forgive(&self) {
        let _ = self
            .times
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |times| {
                times.checked_sub(1)
            });
    }

    /// Begins anew: what came before the ejection says nothing about the time after it.
    pub(in crate::balance) fn begin_anew(&self, reason: Ejection) {
        self.row.store(0, Ordering::Relaxed);
        let _ = self.take();
        self.reason.store(code(Some(reason)), Ordering::Relaxed);
    }

    pub(in crate::balance) fn reason(&self) -> Option<Ejection> {
        ejection(self.reason.load(Ordering::Relaxed))
    }

    pub(in crate::balance) fn told(&self) -> Option<Ejection> {
        ejection(self.told.load(Ordering::Relaxed))
    }

    pub(in crate::balance) fn tell(&self, now: Option<Ejection>) {
        self.told.store(code(now), Ordering::Relaxed);
    }
}

fn code(reason: Option<Ejection>) -> u8 {
    let place = reason.and_then(|reason| Ejection::ALL.iter().position(|one| *one == reason));
    place.map_or(0, |place| u8::try_from(place + 1).unwrap_or(0))
}

fn ejection(code: u8) -> Option<Ejection> {
    let place = usize::from(code).checked_sub(1)?;
    Ejection::ALL.get(place).copied()
}

const ONE: u64 = 1;
const ONE_FAILURE: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_success_ends_a_row() {
        let tally = Tally::default();
        assert_eq!([tally.failed(), tally.failed()], [1, 2]);
        tally.succeeded();
        assert_eq!(tally.failed(), 1);
    }

    #[test]
    fn a_window_is_taken_once() {
        let tally = Tally::default();
        assert_eq!(tally.take(), Window::default());
        tally.failed();
        for milliseconds in [10, 20] {
            tally.succeeded();
            tally.answered(Duration::from_millis(milliseconds));
        }
        let expected = Window {
            requests: 3,
            failures: 1,
            answers: 2,
            latency_us: 15_000,
        };
        assert_eq!(tally.take(), expected);
        assert_eq!(tally.take(), Window::default());
    }

    #[test]
    fn times_go_up_and_down_but_not_below_zero() {
        let tally = Tally::default();
        tally.forgive();
        assert_eq!([tally.one_more_time(), tally.one_more_time()], [1, 2]);
        tally.forgive();
        assert_eq!(tally.one_more_time(), 2);
    }

    #[test]
    fn every_reason_is_kept() {
        let tally = Tally::default();
        assert_eq!((tally.reason(), tally.told()), (None, None));
        for reason in Ejection::ALL {
            tally.begin_anew(reason);
            tally.tell(Some(reason));
            assert_eq!((tally.reason(), tally.told()), (Some(reason), Some(reason)));
        }
        tally.tell(None);
        assert_eq!(tally.told(), None);
    }
}
