//! How many exchanges an upstream takes, found out by how long its answers take.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::gradient::{Gradient, Window};

/// How the limit of an upstream is found, and between what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adaptive {
    /// The smallest limit, and the one to begin with.
    pub min: u32,
    /// The largest limit.
    pub max: u32,
    /// How many times the latency of an unhurried upstream is taken for normal; more than 1.
    pub tolerance: f64,
    /// How often the limit is thought over. With few answers it takes longer.
    pub window: Duration,
}

/// What is remembered of an upstream's latency, by its name and across reloads.
///
/// Every exchange adds its own to the window. Whoever finds that the window is over and wins it thinks the limit over;
/// nobody else writes limit and baseline, and all who ask for a place read the limit.
#[derive(Debug, Default)]
pub(super) struct AdaptiveState {
    /// 0 before the first answer.
    limit: AtomicU32,
    exact_limit: AtomicU64,
    has_settled: AtomicBool,
    baseline_us: AtomicU64,
    window_began: AtomicU64,
    answers: AtomicU32,
    sum_us: AtomicU64,
    most_in_flight: AtomicU32,
}

impl AdaptiveState {
    /// The limit of the moment.
    pub(super) fn limit(&self, settings: &Adaptive) -> u32 {
        match self.limit.load(Ordering::Relaxed) {
            0 => settings.min,
            limit => limit.clamp(settings.min, settings.max),
        }
    }

    /// The limit as scrapes see it; `None` if it was never asked for.
    pub(super) fn shown(&self) -> Option<u32> {
        Some(self.limit.load(Ordering::Relaxed)).filter(|limit| *limit > 0)
    }

    /// The latency of an unhurried upstream, as far as it is known.
    pub(super) fn baseline(&self) -> Option<Duration> {
        let microseconds = f64::from_bits(self.baseline_us.load(Ordering::Relaxed));
        (microseconds > 0.0).then(|| Duration::from_micros(microseconds as u64))
    }

    /// Notes how long an answer took, with so many in flight. Whether the limit has grown.
    pub(super) fn note(
        &self,
        settings: &Adaptive,
        took: Duration,
        in_flight: u32,
        now_ms: u64,
    ) -> bool {
        let took = took.as_micros() as f64;
        let baseline = f64::from_bits(self.baseline_us.load(Ordering::Relaxed));
        // One answer that took for ever says no more than one that took very long.
        let took = if baseline > 0.0 {
            took.min(baseline * OUTLIER)
        } else {
            took
        };
        self.sum_us.fetch_add(took as u64, Ordering::Relaxed);
        // Read first: it is seldom a new maximum.
        if self.most_in_flight.load(Ordering::Relaxed) < in_flight {
            self.most_in_flight.fetch_max(in_flight, Ordering::Relaxed);
        }
        let answers = self.answers.fetch_add(1, Ordering::Relaxed) + 1;
        if answers < FEWEST {
            return false;
        }
        let began = self.window_began.load(Ordering::Acquire);
        let window_ms = u64::try_from(settings.window.as_millis()).unwrap_or(u64::MAX);
        if now_ms.saturating_sub(began) < window_ms {
            return false;
        }
        let won = self.window_began.compare_exchange(
            began,
            now_ms.max(1),
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        won.is_ok() && self.think(settings)
    }

    fn think(&self, settings: &Adaptive) -> bool {
        let answers = self.answers.swap(0, Ordering::Relaxed);
        let sum = self.sum_us.swap(0, Ordering::Relaxed);
        let window = Window {
            mean_us: sum as f64 / f64::from(answers.max(1)),
            most_in_flight: self.most_in_flight.swap(0, Ordering::Relaxed),
        };
        let known = match f64::from_bits(self.exact_limit.load(Ordering::Relaxed)) {
            0.0 => Gradient::new(settings),
            limit => Gradient {
                limit,
                baseline_us: f64::from_bits(self.baseline_us.load(Ordering::Relaxed)),
                explores: !self.has_settled.load(Ordering::Relaxed),
            },
        };
        let next = known.after(window, settings);
        self.exact_limit
            .store(next.limit.to_bits(), Ordering::Relaxed);
        self.has_settled.store(!next.explores, Ordering::Relaxed);
        self.baseline_us
            .store(next.baseline_us.to_bits(), Ordering::Relaxed);
        let limit = next.limit as u32;
        limit > self.limit.swap(limit, Ordering::Relaxed)
    }
}

/// Answers without which a window says nothing.
const FEWEST: u32 = 10;

/// How many times the baseline one answer counts at most.
const OUTLIER: f64 = 10.0;

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Adaptive = Adaptive {
        min: 5,
        max: 100,
        tolerance: 1.5,
        window: Duration::from_millis(100),
    };

    fn answers(state: &AdaptiveState, count: u32, took_ms: u64, now_ms: u64) -> bool {
        let took = Duration::from_millis(took_ms);
        (0..count).fold(false, |grown, _| {
            state.note(&SETTINGS, took, state.limit(&SETTINGS), now_ms) || grown
        })
    }

    #[test]
    fn the_limit_is_thought_over_once_in_a_window_and_with_enough_answers() {
        let state = AdaptiveState::default();
        assert_eq!((state.limit(&SETTINGS), state.shown()), (5, None));
        assert!(!answers(&state, 9, 10, 1_000));
        assert_eq!(state.shown(), None);
        assert!(answers(&state, 1, 10, 1_000));
        let first = state.limit(&SETTINGS);
        assert_eq!(state.baseline(), Some(Duration::from_millis(10)));
        assert!(!answers(&state, 1_000, 10, 1_099));
        assert_eq!(state.limit(&SETTINGS), first);
        assert!(answers(&state, 1, 10, 1_100));
        assert!(state.limit(&SETTINGS) > first);
    }

    #[test]
    fn one_answer_that_took_for_ever_does_not_decide() {
        let state = AdaptiveState::default();
        answers(&state, 10, 10, 1_000);
        let before = state.limit(&SETTINGS);
        answers(&state, 1, 3_600_000, 1_050);
        answers(&state, 99, 10, 1_100);
        assert!(state.limit(&SETTINGS) >= before);
    }

    #[test]
    fn other_bounds_hold_at_once() {
        let state = AdaptiveState::default();
        answers(&state, 10, 10, 1_000);
        assert_eq!(state.limit(&SETTINGS), 10);
        let narrow = Adaptive { max: 7, ..SETTINGS };
        assert_eq!(state.limit(&narrow), 7);
    }

    #[test]
    fn threads_think_it_over_once() {
        let state = AdaptiveState::default();
        answers(&state, 10, 10, 1_000);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| answers(&state, 1_000, 10, 1_100));
            }
        });
        assert_eq!(state.limit(&SETTINGS), 20, "doubled once");
    }
}
