//! When a burst of file events is over: pure, time is an argument.

use std::time::{Duration, Instant};

/// Turns a burst of hints into one moment to look. An editor writes a file in several steps and a deployment replaces
/// many files one by one; looking in the middle would read half of it.
#[derive(Debug)]
pub struct Debounce {
    quiet: Duration,
    at_most: Duration,
    burst: Option<Burst>,
}

#[derive(Debug)]
struct Burst {
    first: Instant,
    last: Instant,
}

impl Debounce {
    /// Waits until nothing has happened for `quiet`, but never longer than `at_most` after the first hint.
    #[must_use]
    pub fn new(quiet: Duration, at_most: Duration) -> Self {
        Self {
            quiet,
            at_most,
            burst: None,
        }
    }

    /// Something happened.
    pub fn note(&mut self, now: Instant) {
        match &mut self.burst {
            Some(burst) => burst.last = now,
            None => {
                self.burst = Some(Burst {
                    first: now,
                    last: now,
                });
            }
        }
    }

    /// The moment to look; `None` while nothing has happened.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        let burst = self.burst.as_ref()?;
        Some((burst.last + self.quiet).min(burst.first + self.at_most))
    }

    /// The burst has been dealt with.
    pub fn clear(&mut self) {
        self.burst = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_millis(200);
    const AT_MOST: Duration = Duration::from_secs(2);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn nothing_is_due_before_the_first_hint() {
        assert_eq!(Debounce::new(QUIET, AT_MOST).due(), None);
    }

    #[test]
    fn a_single_hint_is_due_after_the_quiet_time() {
        let start = Instant::now();
        let mut debounce = Debounce::new(QUIET, AT_MOST);
        debounce.note(start);
        assert_eq!(debounce.due(), Some(start + QUIET));
    }

    #[test]
    fn each_further_hint_puts_the_look_off() {
        let start = Instant::now();
        let mut debounce = Debounce::new(QUIET, AT_MOST);
        debounce.note(start);
        debounce.note(start + ms(150));
        debounce.note(start + ms(300));
        assert_eq!(debounce.due(), Some(start + ms(500)));
    }

    #[test]
    fn endless_hints_cannot_put_the_look_off_for_ever() {
        let start = Instant::now();
        let mut debounce = Debounce::new(QUIET, AT_MOST);
        for step in 0..100 {
            debounce.note(start + ms(100 * step));
        }
        assert_eq!(debounce.due(), Some(start + AT_MOST));
    }

    #[test]
    fn after_a_look_the_next_hint_begins_a_new_burst() {
        let start = Instant::now();
        let mut debounce = Debounce::new(QUIET, AT_MOST);
        debounce.note(start);
        debounce.clear();
        assert_eq!(debounce.due(), None);
        debounce.note(start + ms(5_000));
        assert_eq!(debounce.due(), Some(start + ms(5_200)));
    }
}
