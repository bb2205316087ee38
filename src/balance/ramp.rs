//! Slow start: an endpoint that is new or back gets its full share only after a while.

use std::sync::atomic::{AtomicU64, Ordering};

/// How far an endpoint has warmed up.
///
/// The clock starts with the first pick that considers the endpoint, so whoever cools it needs no clock. It is set back
/// by health checks, operators and workers; only picks of pools with a slow start advance it.
#[derive(Debug)]
pub(super) struct Ramp(AtomicU64);

impl Ramp {
    /// The share of its weight that the endpoint has by now, of [`FULL`]; at least [`LEAST`].
    pub(super) fn share(&self, now_ms: u64, window_ms: u64) -> u64 {
        let begun = match self.0.load(Ordering::Relaxed) {
            WARM => return FULL,
            COLD => {
                // If another worker was first, it was so within this millisecond.
                let now = now_ms.saturating_add(1);
                let _ = self
                    .0
                    .compare_exchange(COLD, now, Ordering::Relaxed, Ordering::Relaxed);
                return LEAST;
            }
            begun => begun,
        };
        let elapsed = now_ms.saturating_add(1).saturating_sub(begun);
        if elapsed >= window_ms {
            let _ = self
                .0
                .compare_exchange(begun, WARM, Ordering::Relaxed, Ordering::Relaxed);
            return FULL;
        }
        elapsed
            .saturating_mul(FULL)
            .checked_div(window_ms)
            .map_or(FULL, |share| share.max(LEAST))
    }

    /// Begins anew with the next pick.
    pub(super) fn cool(&self) {
        self.0.store(COLD, Ordering::Relaxed);
    }

    /// Ends the slow start.
    pub(super) fn warm(&self) {
        self.0.store(WARM, Ordering::Relaxed);
    }

    /// Whether no pick has considered the endpoint since it joined or came back.
    pub(super) fn is_cold(&self) -> bool {
        self.0.load(Ordering::Relaxed) == COLD
    }
}

impl Default for Ramp {
    fn default() -> Self {
        Self(AtomicU64::new(COLD))
    }
}

/// The whole weight.
pub(super) const FULL: u64 = 1_024;
/// A tenth: less would leave a light endpoint without any request to warm up with.
const LEAST: u64 = 102;

const WARM: u64 = 0;
const COLD: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_grows_in_a_straight_line_from_the_first_look() {
        let ramp = Ramp::default();
        let shares = [5_000, 5_001, 10_000, 12_500, 14_999].map(|now| ramp.share(now, 10_000));
        assert_eq!(shares, [102, 102, 512, 768, 1_023]);
        assert!(!ramp.is_cold());
        assert_eq!(ramp.share(15_000, 10_000), FULL);
        // Once it is warm it stays so, whatever the window becomes.
        assert_eq!(ramp.share(15_001, 60_000), FULL);
    }

    #[test]
    fn who_comes_back_begins_anew() {
        let ramp = Ramp::default();
        ramp.warm();
        assert_eq!(ramp.share(1, 1_000), FULL);
        ramp.cool();
        assert!(ramp.is_cold());
        assert_eq!(ramp.share(2, 1_000), LEAST);
        assert_eq!(ramp.share(502, 1_000), 512);
    }
}
