//! What a client may send over HTTP/2 besides requests and bodies: frames that cost us work and move nothing are limited
//! to far more than any honest client needs, in relation to what it moves.

use std::time::{Duration, Instant};

use super::frames::{
    ACK, CONTINUATION, DATA, Frame, GOAWAY, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE,
};

/// What a connection is ended by, when its client sends more of something than any client needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defence {
    /// Most streams were given up before they had a response, or were ended for their errors.
    RapidReset,
    /// The client's errors made us reset stream after stream.
    MadeYouReset,
    Settings,
    Ping,
    Priority,
    WindowUpdate,
    /// Frames of DATA with next to nothing in them.
    Data,
    /// A head that does not end.
    Continuation,
    /// A head that is small on the wire and large in memory.
    HeaderBomb,
    /// Frames of unknown kinds, which have to be passed over.
    Unknown,
}

impl Defence {
    /// The word for the metrics, from a closed set.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::RapidReset => "rapid_reset",
            Self::MadeYouReset => "made_you_reset",
            Self::Settings => "settings_flood",
            Self::Ping => "ping_flood",
            Self::Priority => "priority_flood",
            Self::WindowUpdate => "window_update_flood",
            Self::Data => "data_flood",
            Self::Continuation => "continuation_flood",
            Self::HeaderBomb => "header_bomb",
            Self::Unknown => "unknown_frame_flood",
        }
    }

    /// The defence of the `h2` crate that ended a connection, by what it says in its GOAWAY.
    pub(crate) fn of_goaway(says: &[u8]) -> Option<Self> {
        [
            (&b"too_many_resets"[..], Self::RapidReset),
            (b"too_many_internal_resets", Self::MadeYouReset),
            (b"too_many_data_frames", Self::Data),
            (b"too_many_continuations", Self::Continuation),
            (b"header_list_way_too_large", Self::HeaderBomb),
        ]
        .iter()
        .find(|(words, _)| says == *words)
        .map(|(_, defence)| *defence)
    }
}

/// The time that an allowance is for.
const PERIOD: Duration = Duration::from_secs(10);

/// What a connection may send of one kind of frame in a period: so many, and so many more for each frame that moved
/// something.
#[derive(Clone, Copy, Debug)]
struct Allowance {
    base: u32,
    each: u32,
    defence: Defence,
}

const fn allowance(base: u32, each: u32, defence: Defence) -> Allowance {
    Allowance {
        base,
        each,
        defence,
    }
}

/// By the places that `place_of` gives.
const ALLOWANCES: [Allowance; 6] = [
    allowance(100, 0, Defence::Settings),
    // Clients that measure the bandwidth send one in each round trip while data flows.
    allowance(1000, 2, Defence::Ping),
    // We ask for one at most.
    allowance(10, 0, Defence::Ping),
    allowance(1000, 10, Defence::Priority),
    allowance(1000, 10, Defence::WindowUpdate),
    allowance(1000, 10, Defence::Unknown),
];

fn place_of(frame: &Frame<'_>) -> Option<usize> {
    Some(match frame.kind {
        DATA | HEADERS | RST_STREAM | CONTINUATION => return None,
        SETTINGS => 0,
        PING if frame.flags & ACK == 0 => 1,
        PING => 2,
        PRIORITY => 3,
        WINDOW_UPDATE => 4,
        // One GOAWAY would do.
        GOAWAY => 5,
        _ => 5,
    })
}

/// What one connection has used up in this period.
#[derive(Debug)]
pub(crate) struct Budget {
    used: [u32; ALLOWANCES.len()],
    moved: u32,
    since: Instant,
}

impl Budget {
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            used: [0; ALLOWANCES.len()],
            moved: 0,
            since: now,
        }
    }

    /// A frame that moved something has passed, in either direction.
    pub(crate) const fn moved(&mut self) {
        self.moved = self.moved.saturating_add(1);
    }

    /// A frame has come from the client. The clock is only asked when an allowance is used up.
    pub(crate) fn spend(
        &mut self,
        frame: &Frame<'_>,
        now: impl FnOnce() -> Instant,
    ) -> Option<Defence> {
        let place = place_of(frame)?;
        let allowed = ALLOWANCES.get(place)?;
        let used = self.used.get_mut(place)?;
        *used = used.saturating_add(1);
        let most = allowed
            .base
            .saturating_add(allowed.each.saturating_mul(self.moved));
        if *used <= most {
            return None;
        }
        let now = now();
        if now.saturating_duration_since(self.since) < PERIOD {
            return Some(allowed.defence);
        }
        *self = Self::new(now);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn frame(kind: u8, flags: u8) -> Frame<'static> {
        Frame {
            kind,
            flags,
            length: 8,
            stream: 0,
            kept: &[],
        }
    }

    /// How many frames are taken until a defence answers, and which.
    fn until_defence(budget: &mut Budget, kind: u8, flags: u8, now: Instant) -> (u32, Defence) {
        let mut taken = 0;
        loop {
            if let Some(defence) = budget.spend(&frame(kind, flags), || now) {
                return (taken, defence);
            }
            taken += 1;
        }
    }

    #[test]
    fn each_kind_has_its_allowance_and_its_defence() {
        let now = Instant::now();
        for (kind, flags, most, defence) in [
            (SETTINGS, 0, 100, Defence::Settings),
            (PING, 0, 1000, Defence::Ping),
            (PING, ACK, 10, Defence::Ping),
            (PRIORITY, 0, 1000, Defence::Priority),
            (WINDOW_UPDATE, 0, 1000, Defence::WindowUpdate),
            (0x42, 0, 1000, Defence::Unknown),
        ] {
            let mut budget = Budget::new(now);
            let got = until_defence(&mut budget, kind, flags, now);
            assert_eq!(got, (most, defence), "kind {kind}");
        }
    }

    #[test]
    fn who_moves_something_may_send_more() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        for _ in 0..50 {
            budget.moved();
        }
        assert_eq!(until_defence(&mut budget, WINDOW_UPDATE, 0, now).0, 1500);
    }

    #[test]
    fn a_new_period_has_a_new_allowance() {
        let began = Instant::now();
        let mut budget = Budget::new(began);
        for _ in 0..100 {
            assert_eq!(budget.spend(&frame(SETTINGS, 0), || began), None);
        }
        let later = began + PERIOD;
        assert_eq!(budget.spend(&frame(SETTINGS, 0), || later), None);
        assert_eq!(until_defence(&mut budget, SETTINGS, 0, later).0, 100);
    }
}
