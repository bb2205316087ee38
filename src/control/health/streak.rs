//! How many checks in a row it takes to change one's mind: pure.

/// An endpoint's state as its checks see it, and how far the next change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streak {
    healthy: bool,
    /// Checks in a row that spoke against `healthy`.
    against: u32,
    /// Whether `healthy` is a mere assumption, which the first check confirms or not.
    assumed: bool,
}

impl Streak {
    /// A state that no check has spoken against yet.
    #[must_use]
    pub fn new(healthy: bool) -> Self {
        Self {
            healthy,
            against: 0,
            assumed: false,
        }
    }

    /// An endpoint that gets no requests because nobody has checked it. One success is enough for it.
    #[must_use]
    pub fn unchecked() -> Self {
        Self {
            healthy: false,
            against: 0,
            assumed: true,
        }
    }

    /// Whether the endpoint gets requests.
    #[must_use]
    pub fn healthy(self) -> bool {
        self.healthy
    }

    /// Whether no check has come yet, so that the endpoint is out of use by assumption.
    #[must_use]
    pub fn is_assumed(self) -> bool {
        self.assumed
    }

    /// Takes the outcome of one check; true when it changed the state. `unhealthy_after` failures in a row, or
    /// `healthy_after` successes in a row, are needed for that; 0 counts as 1.
    pub fn note(&mut self, passed: bool, unhealthy_after: u32, healthy_after: u32) -> bool {
        let assumed = std::mem::take(&mut self.assumed);
        if passed == self.healthy {
            self.against = 0;
            return false;
        }
        self.against = self.against.saturating_add(1);
        let needed = match (self.healthy, assumed) {
            (true, _) => unhealthy_after,
            (false, true) => 1,
            (false, false) => healthy_after,
        };
        if self.against < needed {
            return false;
        }
        self.healthy = passed;
        self.against = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(start: bool, outcomes: &[bool]) -> Vec<bool> {
        let mut streak = Streak::new(start);
        outcomes
            .iter()
            .map(|&passed| streak.note(passed, 3, 2))
            .collect()
    }

    #[test]
    fn failures_in_a_row_take_an_endpoint_out() {
        assert_eq!(changes(true, &[false, false, false]), [false, false, true]);
    }

    #[test]
    fn one_success_in_between_starts_the_count_again() {
        assert_eq!(
            changes(true, &[false, false, true, false, false, false]),
            [false, false, false, false, false, true]
        );
    }

    #[test]
    fn successes_in_a_row_bring_it_back() {
        assert_eq!(
            changes(false, &[true, false, true, true]),
            [false, false, false, true]
        );
    }

    #[test]
    fn a_confirmed_state_never_reports_a_change() {
        assert_eq!(changes(true, &[true, true, true]), [false; 3]);
        assert_eq!(changes(false, &[false, false, false]), [false; 3]);
    }

    #[test]
    fn an_unchecked_endpoint_needs_one_success_if_it_comes_first() {
        assert!(Streak::unchecked().note(true, 3, 2));
        let mut failed = Streak::unchecked();
        let outcomes = [false, true, true].map(|passed| failed.note(passed, 3, 2));
        assert_eq!(outcomes, [false, false, true]);
    }

    #[test]
    fn a_threshold_of_zero_counts_as_one() {
        let mut streak = Streak::new(true);
        assert!(streak.note(false, 0, 0));
        assert!(!streak.healthy());
        assert!(streak.note(true, 0, 0));
        assert!(streak.healthy());
    }
}
