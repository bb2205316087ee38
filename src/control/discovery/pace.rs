//! How long an answer is good, and when to ask again after a failure: pure.

use std::time::Duration;

/// When to ask a polled source again.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    shortest: Duration,
    longest: Duration,
    failures: u32,
}

impl Pace {
    /// A good answer is good for these times at least and at most, whatever it says itself.
    #[must_use]
    pub const fn new(shortest: Duration, longest: Duration) -> Self {
        Self {
            shortest,
            longest,
            failures: 0,
        }
    }

    /// The wait after an answer that says how long it is good.
    pub fn after_answer(&mut self, good_for: Duration) -> Duration {
        self.failures = 0;
        good_for.max(self.shortest).min(self.longest)
    }

    /// The wait after a failure: twice as long each time, and somewhere between half and all of it, so that many
    /// sources that failed together do not ask together.
    pub fn after_failure(&mut self, random: u64) -> Duration {
        let whole = FIRST_RETRY
            .saturating_mul(1 << self.failures.min(16))
            .min(LAST_RETRY);
        self.failures = self.failures.saturating_add(1);
        let half = whole / 2;
        let spread = u64::try_from(half.as_micros())
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        half + Duration::from_micros(random % spread)
    }
}

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    const SHORTEST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(300);

    fn pace() -> Pace {
        Pace::new(SHORTEST, LONGEST)
    }

    #[test]
    fn an_answer_is_good_for_its_lifetime_within_bounds() {
        let mut pace = pace();
        assert_eq!(
            pace.after_answer(Duration::from_secs(60)),
            Duration::from_secs(60)
        );
        assert_eq!(pace.after_answer(Duration::ZERO), SHORTEST);
        assert_eq!(pace.after_answer(Duration::from_secs(86_400)), LONGEST);
    }

    #[test]
    fn failures_are_retried_ever_more_slowly() {
        let mut pace = pace();
        let shortest: Vec<u64> = (0..7)
            .map(|_| u64::try_from(pace.after_failure(0).as_millis()).unwrap())
            .collect();
        assert_eq!(shortest, [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
    }

    #[test]
    fn a_retry_never_waits_longer_than_the_whole_step() {
        let mut pace = pace();
        for random in [0, 1, 499_999, 500_000, 500_001, u64::MAX] {
            let mut first = pace;
            let wait = first.after_failure(random);
            assert!(wait >= FIRST_RETRY / 2 && wait <= FIRST_RETRY, "{wait:?}");
        }
        for random in 0..100 {
            assert!(pace.after_failure(random * 7_919) <= LAST_RETRY);
        }
    }

    #[test]
    fn an_answer_makes_the_next_failure_a_first_one() {
        let mut pace = pace();
        for _ in 0..5 {
            pace.after_failure(0);
        }
        pace.after_answer(Duration::from_secs(5));
        assert_eq!(pace.after_failure(0), FIRST_RETRY / 2);
    }
}
