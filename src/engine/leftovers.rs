//! Responses that an exchange has handed over to the `h2` crate as a whole, and that a client has not taken yet.
//!
//! Their exchanges have ended, so nobody waits for the client any more, and what it does not take is kept in memory for
//! it. The client needs the patience here that it needs in an exchange: for each stream, whatever moves on others.

use std::time::Instant;

use super::pace::Pace;

/// Written by the streams' tasks and by the connection's socket, read by the connection's task.
#[derive(Debug)]
pub(crate) struct Leftovers {
    all: Vec<Leftover>,
    /// The patience that each begins with.
    patience: Pace,
    /// Bytes of all kinds that the socket has taken since the last look, and whether it takes no more for now.
    written: u64,
    is_blocked: bool,
}

#[derive(Debug)]
struct Leftover {
    stream: u32,
    /// Bytes that have gone out since the last look.
    sent: u64,
    pace: Pace,
    /// Since when it has been waited for; nobody asks the clock for what goes out at once.
    since: Option<Instant>,
}

/// What a look at the leftovers has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// There are none.
    Nothing,
    /// The client may take until then.
    Until(Instant),
    /// The client takes too long.
    TooSlow,
}

/// Room for more is given back when all is out.
const KEPT: usize = 16;

impl Leftovers {
    pub(crate) const fn new(patience: Pace) -> Self {
        Self {
            all: Vec::new(),
            patience,
            written: 0,
            is_blocked: false,
        }
    }

    /// The rest of a response has been handed over.
    pub(crate) fn add(&mut self, stream: u32) {
        self.all.push(Leftover {
            stream,
            sent: 0,
            pace: self.patience,
            since: None,
        });
    }

    /// Part of a response has gone out.
    pub(crate) fn sent(&mut self, stream: u32, bytes: usize) {
        if let Some(one) = self.all.iter_mut().find(|one| one.stream == stream) {
            one.sent = one.sent.saturating_add(bytes as u64);
        }
    }

    /// A response has gone out to its end, or the stream was reset by anybody.
    pub(crate) fn ended(&mut self, stream: u32) {
        if let Some(at) = self.all.iter().position(|one| one.stream == stream) {
            self.all.swap_remove(at);
            if self.all.is_empty() {
                self.all.shrink_to(KEPT);
            }
        }
    }

    /// The socket has taken bytes.
    pub(crate) const fn written(&mut self, bytes: u64) {
        self.written = self.written.saturating_add(bytes);
        self.is_blocked = false;
    }

    /// The socket takes nothing for now.
    pub(crate) const fn blocked(&mut self) {
        self.is_blocked = true;
    }

    /// Whether there are any.
    pub(crate) const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Looks whether the client takes what there is. Streams that share a socket which takes no more wait for each
    /// other, so that all that the socket took counts for each.
    pub(crate) fn look(&mut self, now: impl FnOnce() -> Instant) -> Look {
        if self.all.is_empty() {
            self.written = 0;
            return Look::Nothing;
        }
        let now = now();
        let shared = if self.is_blocked { self.written } else { 0 };
        self.written = 0;
        let mut until: Option<Instant> = None;
        for one in &mut self.all {
            let since = *one.since.get_or_insert(now);
            let moved = std::mem::take(&mut one.sent).max(shared);
            let mut end = since + one.pace.left();
            if end <= now {
                return Look::TooSlow;
            }
            if moved > 0 {
                one.pace.moved(moved, now.saturating_duration_since(since));
                one.since = Some(now);
                end = now + one.pace.left();
            }
            until = Some(until.map_or(end, |known| known.min(end)));
        }
        until.map_or(Look::Nothing, Look::Until)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn leftovers(rate: u64) -> Leftovers {
        Leftovers::new(Pace::new(rate, 30 * SECOND))
    }

    #[test]
    fn what_goes_out_at_once_needs_no_clock() {
        let mut leftovers = leftovers(100);
        leftovers.add(1);
        leftovers.sent(1, 5000);
        leftovers.ended(1);
        assert!(leftovers.is_empty());
        assert_eq!(leftovers.look(|| unreachable!("the clock")), Look::Nothing);
    }

    #[test]
    fn what_nobody_takes_has_its_time() {
        for rate in [0, 100] {
            let (mut leftovers, began) = (leftovers(rate), Instant::now());
            leftovers.add(1);
            let end = began + 30 * SECOND;
            assert_eq!(leftovers.look(|| began), Look::Until(end));
            assert_eq!(leftovers.look(|| began + 29 * SECOND), Look::Until(end));
            assert_eq!(leftovers.look(|| end), Look::TooSlow);
        }
    }

    #[test]
    fn a_trickle_uses_the_time_up_whatever_others_take() {
        let (mut leftovers, began) = (leftovers(100), Instant::now());
        leftovers.add(1);
        leftovers.add(3);
        leftovers.look(|| began);
        let slow = (1..100).find(|second| {
            leftovers.sent(1, 10);
            leftovers.sent(3, 100_000);
            leftovers.written(100_010);
            leftovers.look(|| began + *second * SECOND) == Look::TooSlow
        });
        // A second costs a second, and ten bytes bring a tenth of it back.
        assert!(
            slow.is_some_and(|slow| (30..=34).contains(&slow)),
            "{slow:?}"
        );
    }

    #[test]
    fn streams_that_wait_for_one_socket_are_not_held_against_each_other() {
        let (mut leftovers, began) = (leftovers(100), Instant::now());
        leftovers.add(1);
        leftovers.add(3);
        leftovers.look(|| began);
        for second in 1..1000 {
            leftovers.sent(1, 200);
            leftovers.written(200);
            leftovers.blocked();
            let look = leftovers.look(|| began + second * SECOND);
            assert!(matches!(look, Look::Until(_)), "{second}: {look:?}");
        }
    }
}
