//! How slow a client may be: an amount of patience that waiting uses up and bytes restore.
//!
//! A plain limit on the time without progress is met by one byte now and then. Patience is not: it is never more than
//! that limit, each byte restores the time that it may take at the least rate, and when it is spent the client is cut off.
//! Only time in which nothing but the client was waited for counts.

use std::time::Duration;

const NANOS: u64 = 1_000_000_000;

/// The patience with one direction of a client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Bytes per second; 0: it may be as slow as it likes.
    rate: u64,
    most: Duration,
    left: Duration,
}

impl Pace {
    /// Patience of at most that much with whoever must keep up `rate` bytes per second; 0: any.
    pub(crate) const fn new(rate: u64, most: Duration) -> Self {
        Self {
            rate,
            most,
            left: most,
        }
    }

    /// How long it may be waited for now.
    pub(crate) const fn left(&self) -> Duration {
        self.left
    }

    /// Whether earlier waiting has used some of it up.
    pub(crate) fn is_strained(&self) -> bool {
        self.left < self.most
    }

    /// Notes that so many bytes have moved, and for how long they were waited for.
    pub(crate) fn moved(&mut self, bytes: u64, waited: Duration) {
        if let Some(restored) = bytes.saturating_mul(NANOS).checked_div(self.rate) {
            let left = self.left.saturating_sub(waited);
            self.left = left
                .saturating_add(Duration::from_nanos(restored))
                .min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_trickle_uses_patience_up() {
        let mut pace = Pace::new(100, 30 * SECOND);
        for _ in 0..30 {
            assert!(pace.left() > Duration::ZERO);
            pace.moved(1, SECOND);
        }
        pace.moved(1, SECOND);
        // What the last byte restores is all that is left.
        assert_eq!(pace.left(), SECOND / 100);
        assert!(pace.is_strained());
    }

    #[test]
    fn whoever_keeps_the_rate_may_go_on_for_ever_and_saves_nothing_up() {
        let mut pace = Pace::new(100, 30 * SECOND);
        for _ in 0..10_000 {
            pace.moved(1_000, 10 * SECOND);
        }
        assert!(!pace.is_strained());
        pace.moved(u64::MAX, Duration::ZERO);
        assert_eq!(pace.left(), 30 * SECOND);
    }

    #[test]
    fn without_a_rate_only_the_silence_counts() {
        let mut pace = Pace::new(0, SECOND);
        pace.moved(0, 100 * SECOND);
        assert_eq!(pace.left(), SECOND);
        assert!(!pace.is_strained());
    }
}
