//! A circuit breaker: after too many failures an upstream is left alone for a while, and comes back after a few trials.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::failures::FailureWindow;
use super::load::UpstreamLoad;
use super::settings::Percent;

/// When the breaker of one upstream opens, for how long, and how it closes.
#[derive(Debug)]
pub struct Breaker {
    /// The upstream's name, for the log.
    pub upstream: Box<str>,
    /// The share of failures among the requests of the window from which on it opens.
    pub failure_share: Percent,
    /// How far back failures count.
    pub window: Duration,
    /// With fewer requests in the window the share says nothing.
    pub minimum_requests: u32,
    /// So many failures in a row open it whatever the share; `None`: only the share does.
    pub consecutive_failures: Option<u32>,
    /// For how long it is open the first time; twice as long each time that the trials fail.
    pub open_for: Duration,
    /// For how long at most.
    pub longest: Duration,
    /// How many requests are let through after that; it closes when all of them succeed.
    pub trials: u16,
    /// The statuses that count as failures, as inclusive ranges.
    pub failure_status: Vec<(u16, u16)>,
    /// What it has seen, shared with the snapshots before and after.
    pub load: Arc<UpstreamLoad>,
}

/// What is remembered of an upstream's failures, by its name and across reloads.
///
/// Each exchange reads the phase and writes one count of the window. Whoever makes the phase another one has won a
/// compare-and-swap, so each transition happens once, is logged once and counted once.
#[derive(Debug, Default)]
pub(super) struct BreakerState {
    phase: AtomicU64,
    /// How often it has opened since it was closed last. Written by who opens or closes it.
    openings_in_a_row: AtomicU32,
    failures_in_a_row: AtomicU32,
    window: FailureWindow,
    opened: AtomicU64,
    tried: AtomicU64,
    closed: AtomicU64,
}

/// What a breaker lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerPhase {
    /// Everything.
    Closed,
    /// A few requests, which decide what comes next.
    HalfOpen,
    /// Nothing.
    Open,
}

impl BreakerPhase {
    /// The word for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half_open",
            Self::Open => "open",
        }
    }
}

/// The leave to try, from the breaker. One attempt has it until it is dropped.
#[derive(Debug)]
pub(super) struct Pass {
    breaker: Arc<Breaker>,
    generation: u64,
    is_trial: bool,
    /// Whether it has been said what came of it.
    judged: Cell<bool>,
}

impl Breaker {
    /// Lets an attempt through.
    ///
    /// # Errors
    /// It does not; the number says after how many milliseconds it may again.
    pub(super) fn admit(self: &Arc<Self>, now_ms: u64) -> Result<Pass, u64> {
        let state = self.load.breaker();
        loop {
            let word = state.phase.load(Ordering::Acquire);
            let phase = Phase::unpack(word);
            let next = match phase.kind {
                Kind::Unused => phase.to(Kind::Closed),
                Kind::Closed => return Ok(self.pass(phase)),
                Kind::Open { until_ms } if now_ms < until_ms => return Err(until_ms - now_ms),
                Kind::Open { .. } => phase.to(Kind::HalfOpen {
                    begun: 1,
                    succeeded: 0,
                }),
                Kind::HalfOpen { begun, succeeded } if begun < self.trials => Phase {
                    kind: Kind::HalfOpen {
                        begun: begun + 1,
                        succeeded,
                    },
                    ..phase
                },
                Kind::HalfOpen { .. } => return Err(TRIALS_TAKE_MS),
            };
            if !state.replace(word, next) {
                continue;
            }
            if let Kind::Open { .. } = phase.kind {
                state.tried.fetch_add(1, Ordering::Relaxed);
                tracing::info!(upstream = %self.upstream, trials = self.trials, "circuit breaker tries again");
            }
            return Ok(self.pass(next));
        }
    }

    /// The phase, and for how many milliseconds more it is open; `None` before the first request.
    #[must_use]
    pub fn phase(&self, now_ms: u64) -> Option<(BreakerPhase, u64)> {
        let phase = Phase::unpack(self.load.breaker().phase.load(Ordering::Acquire));
        let left = match phase.kind {
            Kind::Open { until_ms } => until_ms.saturating_sub(now_ms),
            Kind::Unused | Kind::Closed | Kind::HalfOpen { .. } => 0,
        };
        Some((phase.kind.shown()?, left))
    }

    /// Whether a response of that status is a failure.
    #[must_use]
    pub fn is_failure(&self, status: u16) -> bool {
        self.failure_status
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&status))
    }

    fn pass(self: &Arc<Self>, phase: Phase) -> Pass {
        Pass {
            breaker: Arc::clone(self),
            generation: phase.generation,
            is_trial: matches!(phase.kind, Kind::HalfOpen { .. }),
            judged: Cell::new(false),
        }
    }

    fn succeeded(&self, generation: u64, now_ms: u64) {
        let state = self.load.breaker();
        loop {
            let word = state.phase.load(Ordering::Acquire);
            let phase = Phase::unpack(word);
            // What began before the last transition says nothing about now.
            if phase.generation != generation {
                return;
            }
            let Kind::HalfOpen { begun, succeeded } = phase.kind else {
                state.window.note(now_ms, self.window, false);
                // Read first: the usual case must not write to a line that all workers read.
                if state.failures_in_a_row.load(Ordering::Relaxed) != 0 {
                    state.failures_in_a_row.store(0, Ordering::Relaxed);
                }
                return;
            };
            let succeeded = succeeded + 1;
            let closes = succeeded >= self.trials;
            let next = if closes {
                // Nobody else writes these while it is half open.
                state.window.clear();
                state.failures_in_a_row.store(0, Ordering::Relaxed);
                phase.to(Kind::Closed)
            } else {
                Phase {
                    kind: Kind::HalfOpen { begun, succeeded },
                    ..phase
                }
            };
            if !state.replace(word, next) {
                continue;
            }
            if closes {
                state.openings_in_a_row.store(0, Ordering::Relaxed);
                state.closed.fetch_add(1, Ordering::Relaxed);
                tracing::info!(upstream = %self.upstream, "circuit breaker closed");
                self.load.queue().call();
            }
            return;
        }
    }

    fn failed(&self, generation: u64, now_ms: u64) {
        let state = self.load.breaker();
        let phase = Phase::unpack(state.phase.load(Ordering::Acquire));
        if phase.generation != generation {
            return;
        }
        if let Kind::HalfOpen { .. } = phase.kind {
            self.open(generation, now_ms, "a trial failed");
            return;
        }
        state.window.note(now_ms, self.window, true);
        let row = state.failures_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        if self.consecutive_failures.is_some_and(|most| row >= most) {
            self.open(generation, now_ms, "failures in a row");
            return;
        }
        let (requests, failures) = state.window.sum(now_ms, self.window);
        if requests >= u64::from(self.minimum_requests)
            && !self.failure_share.exceeds(failures, requests)
        {
            self.open(generation, now_ms, "share of failures");
        }
    }

    fn open(&self, generation: u64, now_ms: u64, reason: &'static str) {
        let state = self.load.breaker();
        let row = state.openings_in_a_row.load(Ordering::Relaxed);
        let open_for = self
            .open_for
            .saturating_mul(1 << row.min(DOUBLINGS))
            .min(self.longest.max(self.open_for));
        let milliseconds = u64::try_from(open_for.as_millis()).unwrap_or(u64::MAX);
        let until_ms = now_ms.saturating_add(milliseconds);
        loop {
            let word = state.phase.load(Ordering::Acquire);
            let phase = Phase::unpack(word);
            if phase.generation != generation {
                return;
            }
            if state.replace(word, phase.to(Kind::Open { until_ms })) {
                break;
            }
        }
        state
            .openings_in_a_row
            .store(row.saturating_add(1), Ordering::Relaxed);
        state.opened.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(upstream = %self.upstream, reason, for_ms = milliseconds, "circuit breaker opened");
        // Those who wait for a place are told at once.
        self.load.queue().call();
    }

    fn abandoned(&self, generation: u64) {
        let state = self.load.breaker();
        loop {
            let word = state.phase.load(Ordering::Acquire);
            let phase = Phase::unpack(word);
            let Kind::HalfOpen { begun, succeeded } = phase.kind else {
                return;
            };
            if phase.generation != generation {
                return;
            }
            let next = Phase {
                kind: Kind::HalfOpen {
                    begun: begun.saturating_sub(1),
                    succeeded,
                },
                ..phase
            };
            if state.replace(word, next) {
                return;
            }
        }
    }
}

impl BreakerState {
    /// The phase as scrapes see it; `None` if there has never been a breaker.
    pub(super) fn shown(&self) -> Option<BreakerPhase> {
        Phase::unpack(self.phase.load(Ordering::Relaxed))
            .kind
            .shown()
    }

    /// How often it has become open, half open and closed.
    pub(super) fn transitions(&self) -> [(BreakerPhase, u64); 3] {
        [
            (BreakerPhase::Open, &self.opened),
            (BreakerPhase::HalfOpen, &self.tried),
            (BreakerPhase::Closed, &self.closed),
        ]
        .map(|(phase, count)| (phase, count.load(Ordering::Relaxed)))
    }

    fn replace(&self, word: u64, next: Phase) -> bool {
        self.phase
            .compare_exchange_weak(word, next.pack(), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }
}

impl Pass {
    /// Notes that the attempt did what it should, or did not. What is said later is heard too: a response may begin well
    /// and break off.
    pub(super) fn judge(&self, failed: bool, now_ms: u64) {
        self.judged.set(true);
        if failed {
            self.breaker.failed(self.generation, now_ms);
        } else {
            self.breaker.succeeded(self.generation, now_ms);
        }
    }

    pub(super) const fn breaker(&self) -> &Arc<Breaker> {
        &self.breaker
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        // A trial of which nothing is known (the client went away) makes room for another: else it would stay half open.
        if self.is_trial && !self.judged.get() {
            self.breaker.abandoned(self.generation);
        }
    }
}

/// The phase in one word, so that it changes as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Phase {
    /// Another number after each transition.
    generation: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Closed, and no request has been seen yet.
    Unused,
    Closed,
    Open {
        until_ms: u64,
    },
    HalfOpen {
        begun: u16,
        succeeded: u16,
    },
}

impl Kind {
    const fn shown(self) -> Option<BreakerPhase> {
        match self {
            Self::Unused => None,
            Self::Closed => Some(BreakerPhase::Closed),
            Self::Open { .. } => Some(BreakerPhase::Open),
            Self::HalfOpen { .. } => Some(BreakerPhase::HalfOpen),
        }
    }
}

impl Phase {
    const fn to(self, kind: Kind) -> Self {
        Self {
            generation: (self.generation + 1) & GENERATIONS,
            kind,
        }
    }

    fn pack(self) -> u64 {
        let (kind, rest) = match self.kind {
            Kind::Unused => (0, 0),
            Kind::Closed => (1, 0),
            Kind::Open { until_ms } => (2, until_ms.min(REST)),
            Kind::HalfOpen { begun, succeeded } => {
                (3, u64::from(begun) << 16 | u64::from(succeeded))
            }
        };
        kind << KIND_SHIFT | self.generation << REST_BITS | rest
    }

    fn unpack(word: u64) -> Self {
        let rest = word & REST;
        let low = |number: u64| u16::try_from(number & u64::from(u16::MAX)).unwrap_or_default();
        Self {
            generation: word >> REST_BITS & GENERATIONS,
            kind: match word >> KIND_SHIFT {
                0 => Kind::Unused,
                1 => Kind::Closed,
                2 => Kind::Open { until_ms: rest },
                _ => Kind::HalfOpen {
                    begun: low(rest >> 16),
                    succeeded: low(rest),
                },
            },
        }
    }
}

/// Milliseconds up to the year 10889.
const REST_BITS: u32 = 48;
const REST: u64 = (1 << REST_BITS) - 1;
const KIND_SHIFT: u32 = 62;
const GENERATIONS: u64 = (1 << (KIND_SHIFT - REST_BITS)) - 1;

/// After these the time is the longest one.
const DOUBLINGS: u32 = 16;

/// When to come again while the trials are under way: nobody knows, but soon.
const TRIALS_TAKE_MS: u64 = 1_000;

#[cfg(test)]
mod tests;
