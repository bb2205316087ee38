//! When the next check is due: pure, with chance as an argument.

use std::time::Duration;

/// The wait before the first check of an endpoint, when so many others begin with it: short, so that a start finds out
/// soon, but no more than some hundred checks a second, and never longer than the interval.
pub(super) fn first_wait(interval: Duration, others: usize, random: u64) -> Duration {
    let others = u32::try_from(others).unwrap_or(u32::MAX);
    let window = FIRST_CHECKS.max(EACH.saturating_mul(others));
    part(interval.min(window), random)
}

/// From the first check to the second one: any part of the interval, so that checks that began together lie apart.
pub(super) fn second_wait(interval: Duration, random: u64) -> Duration {
    part(interval, random).max(SHORTEST)
}

/// From one check to the next: the interval, so many hundredths more or less.
pub(super) fn wait(interval: Duration, jitter: u8, random: u64) -> Duration {
    let most = interval.saturating_mul(u32::from(jitter.min(100))) / 100;
    (interval - most + part(most.saturating_mul(2), random)).max(SHORTEST)
}

/// A random part of a duration.
fn part(whole: Duration, random: u64) -> Duration {
    let whole = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX - 1);
    Duration::from_micros(random % (whole + 1))
}

/// Endpoints that are few are checked for the first time within this time.
const FIRST_CHECKS: Duration = Duration::from_millis(500);
/// With many, each takes so much of the time.
const EACH: Duration = Duration::from_millis(2);
/// No wait is shorter.
const SHORTEST: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_varies_by_its_jitter_and_no_more() {
        let interval = Duration::from_secs(10);
        assert_eq!(wait(interval, 10, 0), Duration::from_secs(9));
        assert_eq!(wait(interval, 0, 77_777_777), interval);
        for random in [1, 77_777_777, u64::MAX] {
            let wait = wait(interval, 10, random);
            assert!(wait >= Duration::from_secs(9) && wait <= Duration::from_secs(11));
        }
        assert_eq!(wait(interval, 100, 0), SHORTEST);
        assert_eq!(wait(Duration::ZERO, 10, 5), SHORTEST);
    }

    #[test]
    fn first_checks_come_soon_but_not_all_at_once() {
        let interval = Duration::from_secs(10);
        let latest = |interval, others| {
            let waits = (0..1_000).map(|random| first_wait(interval, others, random * 7_919));
            waits.max().unwrap()
        };
        assert!(latest(interval, 3) <= FIRST_CHECKS);
        let many = latest(interval, 1_000);
        assert!(many > Duration::from_millis(1_900) && many <= Duration::from_secs(2));
        assert!(latest(Duration::from_millis(5), 1_000) <= Duration::from_millis(5));
    }

    #[test]
    fn a_thousand_checks_that_began_together_come_one_after_the_other() {
        let interval = Duration::from_secs(5);
        let mut random = fastrand::Rng::with_seed(7);
        let mut tenths = vec![0_u32; 300];
        for _ in 0..1_000 {
            let mut at = first_wait(interval, 1_000, random.u64(..));
            let mut wait_now = second_wait(interval, random.u64(..));
            while at < Duration::from_secs(30) {
                tenths[usize::try_from(at.as_millis() / 100).unwrap()] += 1;
                at += wait_now;
                wait_now = wait(interval, 10, random.u64(..));
            }
        }
        // 200 a second are 20 in a tenth of one; the first ones come at 500 a second, and some second ones with them.
        assert!(tenths.iter().all(|count| *count <= 90), "{tenths:?}");
        assert!(tenths[100..].iter().all(|count| *count <= 45), "{tenths:?}");
    }
}
