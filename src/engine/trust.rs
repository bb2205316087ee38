//! How many requests of one HTTP/2 client are under way at once: few at first, more as it takes its answers.
//!
//! A hundred requests cost their client a few hundred bytes, and those behind the gateway a hundred connections and as
//! many answers. So a connection begins with some, as TCP does with its segments, and what else it has asked for
//! follows with each exchange that has come to its end, and with time.

use std::{cell::Cell, time::Duration};

/// Requests that a client may have under way before anything is known of it.
const AT_FIRST: usize = 8;
/// How many more there may be each time that a client has been kept waiting for so long: it may wait for all of its
/// answers without one having ended.
const PATIENTLY: usize = 4;
/// How long a client is kept waiting at once.
pub(crate) const PAUSE: Duration = Duration::from_millis(10);
/// A client with no more requests under way than this begins `MANY` before others have their turn, otherwise `FEW`.
const LIGHT: usize = 16;
const MANY: u32 = 8;
const FEW: u32 = 2;

/// What is known of one client.
#[derive(Debug)]
pub(crate) struct Trust {
    most: Cell<usize>,
}

impl Trust {
    pub(crate) const fn new() -> Self {
        Self {
            most: Cell::new(AT_FIRST),
        }
    }

    /// Whether one more request may begin beside those that are under way.
    pub(crate) const fn admits(&self, under_way: usize) -> bool {
        under_way < self.most.get()
    }

    /// An exchange has ended, and the client was there.
    pub(crate) fn answered(&self) {
        self.most.set(self.most.get().saturating_add(1));
    }

    /// A client has been kept waiting.
    pub(crate) fn waited(&self) {
        self.most.set(self.most.get().saturating_add(PATIENTLY));
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
        trust.answered();
        assert!(trust.admits(AT_FIRST));
        assert!(!trust.admits(AT_FIRST + 1));
        trust.waited();
        assert!(trust.admits(AT_FIRST + PATIENTLY));
        assert!(!trust.admits(AT_FIRST + PATIENTLY + 1));
    }

    #[test]
    fn the_more_there_are_under_way_the_fewer_begin_at_once() {
        assert_eq!(at_once(1), MANY);
        assert_eq!(at_once(LIGHT), MANY);
        assert_eq!(at_once(LIGHT + 1), FEW);
    }
}
