//! Which endpoints stand out among the others of their pool: pure.

use super::tally::Window;
use super::{Ejection, OutlierSettings};

/// The endpoints of a pool beside each other.
#[derive(Debug)]
pub(super) struct Comparison<'a> {
    settings: &'a OutlierSettings,
    windows: &'a [Window],
    requests: u64,
    failures: u64,
    /// The mean latencies that count, with the places of their endpoints, the shortest first.
    latencies: Vec<(u64, usize)>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(settings: &'a OutlierSettings, windows: &'a [Window]) -> Self {
        let sum = |part: fn(&Window) -> u32| windows.iter().map(|one| u64::from(part(one))).sum();
        let counts = |window: &Window| window.answers >= settings.minimum_requests;
        let mut latencies: Vec<_> = windows
            .iter()
            .enumerate()
            .filter(|(_, window)| settings.latency.is_some() && counts(window))
            .map(|(index, window)| (window.latency_us, index))
            .collect();
        latencies.sort_unstable();
        Self {
            settings,
            windows,
            requests: sum(|window| window.requests),
            failures: sum(|window| window.failures),
            latencies,
        }
    }

    /// The places of those that stand out, with the reason; the worst first, for not all of them may be spared.
    pub(super) fn outliers(&self) -> Vec<(usize, Ejection)> {
        let mut failing: Vec<_> = (0..self.windows.len())
            .filter(|index| self.fails(*index))
            .collect();
        failing.sort_by_key(|index| std::cmp::Reverse(self.share(*index)));
        let slow = self.latencies.iter().enumerate().rev();
        let slow = slow.filter(|(rank, _)| self.is_slow(*rank));
        failing
            .iter()
            .map(|index| (*index, Ejection::FailureShare))
            .chain(slow.map(|(_, (_, index))| (*index, Ejection::Latency)))
            .collect()
    }

    /// Failures in a million requests.
    fn share(&self, index: usize) -> u64 {
        let window = self.windows.get(index).copied().unwrap_or_default();
        let share = u64::from(window.failures).saturating_mul(1_000_000);
        share.checked_div(u64::from(window.requests)).unwrap_or(0)
    }

    fn fails(&self, index: usize) -> bool {
        let (Some(window), Some(most)) = (self.windows.get(index), self.settings.failure_share)
        else {
            return false;
        };
        if window.requests < self.settings.minimum_requests {
            return false;
        }
        let (requests, failures) = (u64::from(window.requests), u64::from(window.failures));
        let (others, others_failures) = (self.requests - requests, self.failures - failures);
        // Twice as bad as the others: where all of them fail, the fault is not the endpoint's.
        let stands_out = u128::from(failures) * u128::from(others)
            >= 2 * u128::from(others_failures) * u128::from(requests);
        !most.exceeds(failures, requests) && stands_out
    }

    /// Whether the endpoint of that rank among the latencies is so much slower than the median of the others.
    fn is_slow(&self, rank: usize) -> bool {
        let Some(excess) = self.settings.latency else {
            return false;
        };
        let others = self.latencies.len().saturating_sub(1);
        // The median of the others, the longer one if there are two: what is behind the endpoint itself is one place on.
        let middle = others / 2;
        let middle = if middle >= rank { middle + 1 } else { middle };
        let (Some((own, _)), Some((median, _))) =
            (self.latencies.get(rank), self.latencies.get(middle))
        else {
            return false;
        };
        others > 0
            && own.saturating_mul(100) >= median.saturating_mul(u64::from(excess))
            && own.saturating_sub(*median) >= LEAST_EXCESS_US
    }
}

/// Below this difference nobody would notice which endpoint it was.
const LEAST_EXCESS_US: u64 = 10_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::balance::Percent;

    const NOBODY: [usize; 0] = [];

    fn settings() -> OutlierSettings {
        OutlierSettings {
            consecutive_failures: None,
            failure_share: Percent::new(50),
            latency: Some(300),
            minimum_requests: 20,
            failure_status: vec![(500, 599)],
            interval: Duration::from_secs(10),
            ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            max_ejected: Percent::new(50).unwrap(),
        }
    }

    fn failing(counts: &[(u32, u32)]) -> Vec<usize> {
        let window = |(failures, requests): &(u32, u32)| Window {
            requests: *requests,
            failures: *failures,
            ..Window::default()
        };
        let windows: Vec<_> = counts.iter().map(window).collect();
        let settings = settings();
        let outliers = Comparison::new(&settings, &windows).outliers();
        assert!(
            outliers
                .iter()
                .all(|(_, reason)| *reason == Ejection::FailureShare)
        );
        outliers.into_iter().map(|(index, _)| index).collect()
    }

    fn slow(milliseconds: &[u64]) -> Vec<usize> {
        let window = |milliseconds: &u64| Window {
            requests: 20,
            answers: 20,
            latency_us: milliseconds * 1_000,
            ..Window::default()
        };
        let windows: Vec<_> = milliseconds.iter().map(window).collect();
        let settings = settings();
        let outliers = Comparison::new(&settings, &windows).outliers();
        assert!(
            outliers
                .iter()
                .all(|(_, reason)| *reason == Ejection::Latency)
        );
        outliers.into_iter().map(|(index, _)| index).collect()
    }

    #[test]
    fn who_fails_half_of_its_requests_stands_out() {
        assert_eq!(failing(&[(0, 100), (49, 100), (0, 100)]), NOBODY);
        assert_eq!(failing(&[(0, 100), (50, 100), (0, 100)]), [1]);
        assert_eq!(failing(&[(60, 100), (90, 100), (0, 1_000)]), [1, 0]);
    }

    #[test]
    fn a_few_requests_say_nothing() {
        assert_eq!(failing(&[(19, 19), (0, 100)]), NOBODY);
        assert_eq!(failing(&[(20, 20), (0, 100)]), [0]);
        assert_eq!(failing(&[]), NOBODY);
    }

    #[test]
    fn where_all_fail_nobody_stands_out() {
        assert_eq!(failing(&[(90, 100), (95, 100), (85, 100)]), NOBODY);
        assert_eq!(failing(&[(60, 100), (60, 100)]), NOBODY);
        // Alone it is compared with nobody; that the last one stays is for the pool to say.
        assert_eq!(failing(&[(60, 100)]), [0]);
    }

    #[test]
    fn who_is_three_times_as_slow_as_the_median_of_the_others_stands_out() {
        assert_eq!(slow(&[20, 20, 59, 20]), NOBODY);
        assert_eq!(slow(&[20, 20, 60, 20]), [2]);
        assert_eq!(slow(&[10, 100]), [1]);
        assert_eq!(slow(&[500, 20, 60, 20, 20]), [0, 2]);
        assert_eq!(slow(&[500]), NOBODY);
        // Half of them are slow: then that is how it is.
        assert_eq!(slow(&[20, 20, 90, 90, 90]), NOBODY);
    }

    #[test]
    fn milliseconds_are_no_reason() {
        assert_eq!(slow(&[1, 1, 10]), NOBODY);
        assert_eq!(slow(&[1, 1, 11]), [2]);
    }

    #[test]
    fn latencies_of_few_answers_are_not_looked_at() {
        let window = |answers, latency_us| Window {
            requests: 20,
            answers,
            latency_us,
            ..Window::default()
        };
        let settings = settings();
        let windows = [window(20, 20_000), window(19, 900_000), window(20, 20_000)];
        assert_eq!(Comparison::new(&settings, &windows).outliers(), Vec::new());
    }
}
