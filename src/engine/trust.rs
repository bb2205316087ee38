//! How many requests of one HTTP/2 client are under way at once where very many come together: few at first, more as it
//! is answered.
//!
//! A hundred requests cost their client a few hundred bytes, and those behind the gateway a hundred connections and as
//! many answers. That is what a browser asks for, so nobody waits as long as a worker begins no more than a `CROWD` of
//! them in one breath. In a crowd a connection gets on as TCP does with its segments: with some requests at first, and
//! with one more for each exchange that has come to its end, and for each time that it had to wait.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// Requests that a client may have under way whatever happens.
const AT_FIRST: usize = 8;
/// How long a breath is, and how long a client is kept waiting at once.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);
/// Requests that begin in one breath although their clients have had few answers.
const CROWD: u32 = 128;
/// A client with no more requests under way than this begins `MANY` before others have their turn, otherwise `FEW`.
const LIGHT: usize = 16;
const MANY: u32 = 8;
const FEW: u32 = 2;

/// What is known of one client.
#[derive(Debug)]
pub(crate) struct Trust {
    most: Cell<usize>,
}

/// How many requests have begun in this breath, of those that their clients' answers do not speak for.
#[derive(Debug, Default)]
pub(crate) struct Rush {
    begun: Cell<u32>,
    since: Cell<Option<Instant>>,
}

impl Trust {
    pub(crate) const fn new() -> Self {
        Self {
            most: Cell::new(AT_FIRST),
        }
    }

    /// Whether one more request may begin beside those that are under way, also in a crowd.
    pub(crate) const fn admits(&self, under_way: usize) -> bool {
        under_way < self.most.get()
    }

    /// An exchange has ended with an answer, or the client has been kept waiting.
    pub(crate) fn grows(&self) {
        self.most.set(self.most.get().saturating_add(1));
    }
}

impl Rush {
    /// Whether there is no crowd. If so, one more request counts as begun.
    pub(crate) fn admits(&self, now: Instant) -> bool {
        let is_over = |since: Instant| now.saturating_duration_since(since) >= PAUSE;
        if self.since.get().is_none_or(is_over) {
            self.since.set(Some(now));
            self.begun.set(0);
        }
        let begun = self.begun.get();
        let admits = begun < CROWD;
        self.begun.set(begun + u32::from(admits));
        admits
    }
}

/// Requests that a client begins before others have their turn.
pub(crate) const fn at_once(under_way: usize) -> u32 {
    if under_way <= LIGHT { MANY } else { FEW }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_trusted_with_more_as_its_exchanges_end() {
        let trust = Trust::new();
        assert!(trust.admits(AT_FIRST - 1));
        assert!(!trust.admits(AT_FIRST));
        trust.grows();
        assert!(trust.admits(AT_FIRST));
        assert!(!trust.admits(AT_FIRST + 1));
    }

    #[test]
    fn a_crowd_begins_in_one_breath_and_the_next_one_in_the_next() {
        let rush = Rush::default();
        let now = Instant::now();
        for _ in 0..CROWD {
            assert!(rush.admits(now));
        }
        assert!(!rush.admits(now));
        assert!(!rush.admits(now + PAUSE / 2));
        assert!(rush.admits(now + PAUSE));
        assert!(rush.admits(now + PAUSE));
    }

    #[test]
    fn the_more_there_are_under_way_the_fewer_begin_at_once() {
        assert_eq!(at_once(1), MANY);
        assert_eq!(at_once(LIGHT), MANY);
        assert_eq!(at_once(LIGHT + 1), FEW);
    }
}
