//! What a client may send over HTTP/2 besides requests and bodies: frames that cost us work and move nothing are limited
//! to far more than any honest client needs, in relation to what it moves.

use std::time::Instant;

use crate::{
    http::h2::frame::{
        FrameHead, flag,
        kind::{CONTINUATION, DATA, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE},
    },
    snapshot::FrameLimits,
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
    /// Frames for streams that have ended.
    ClosedStream,
    /// Frames of unknown kinds, which have to be passed over.
    Unknown,
    /// Windows so small that a response goes out in crumbs.
    SmallPieces,
    /// What was answered is not taken.
    SlowReader,
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
            Self::ClosedStream => "closed_stream_flood",
            Self::Unknown => "unknown_frame_flood",
            Self::SmallPieces => "small_pieces",
            Self::SlowReader => "slow_reader",
        }
    }
}

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

/// Kinds of frames that have an allowance, the acknowledgements of PING, DATA without data, and what is too late.
const KINDS: usize = 8;
const EMPTY_DATA: usize = 6;
const LATE: usize = 7;

/// By the places that `place_of` gives.
const fn allowances(limits: &FrameLimits) -> [Allowance; KINDS] {
    [
        allowance(limits.settings, 0, Defence::Settings),
        // Clients that measure the bandwidth send one in each round trip while data flows.
        allowance(limits.pings, 2, Defence::Ping),
        // We ask for one at most.
        allowance(10, 0, Defence::Ping),
        allowance(limits.priorities, 10, Defence::Priority),
        allowance(limits.window_updates, 10, Defence::WindowUpdate),
        allowance(limits.unknown, 10, Defence::Unknown),
        // Some senders end their messages with one.
        allowance(100, 1, Defence::Data),
        // A reset and trailers may cross the end of each stream.
        allowance(100, 2, Defence::ClosedStream),
    ]
}

/// A piece of a response of fewer bytes is small.
pub(crate) const SMALL_PIECE: usize = 256;
/// The bytes of responses that make good for one small piece: a window may well end in one.
const EACH_SMALL_PIECE: u64 = 4096;

fn place_of(frame: FrameHead) -> Option<usize> {
    Some(match frame.kind {
        DATA | HEADERS | RST_STREAM | CONTINUATION => return None,
        SETTINGS => 0,
        PING if !frame.has(flag::ACK) => 1,
        PING => 2,
        PRIORITY => 3,
        WINDOW_UPDATE => 4,
        // Of GOAWAY one would do.
        _ => 5,
    })
}

/// What one connection has used up in this period.
#[derive(Debug)]
pub(crate) struct Budget {
    limits: FrameLimits,
    used: [u32; KINDS],
    moved: u32,
    /// Bytes of responses that went out.
    sent: u64,
    small_pieces: u32,
    since: Instant,
}

impl Budget {
    pub(crate) const fn new(limits: FrameLimits, now: Instant) -> Self {
        Self {
            limits,
            used: [0; KINDS],
            moved: 0,
            sent: 0,
            small_pieces: 0,
            since: now,
        }
    }

    /// A frame that moved something has come from the client.
    pub(crate) const fn moved(&mut self) {
        self.moved = self.moved.saturating_add(1);
    }

    /// So many bytes of a response have gone to the client in a frame.
    pub(crate) const fn sent(&mut self, bytes: usize) {
        self.moved();
        self.sent = self.sent.saturating_add(bytes as u64);
    }

    /// A frame has come from the client. The clock is only asked when an allowance is used up.
    pub(crate) fn spend(
        &mut self,
        frame: FrameHead,
        now: impl FnOnce() -> Instant,
    ) -> Option<Defence> {
        self.spend_at(place_of(frame)?, now)
    }

    /// A frame of DATA has come that neither holds nor ends anything.
    pub(crate) fn spend_empty_data(&mut self, now: impl FnOnce() -> Instant) -> Option<Defence> {
        self.spend_at(EMPTY_DATA, now)
    }

    /// A reset or a head has come for a stream that has ended.
    pub(crate) fn spend_late(&mut self, now: impl FnOnce() -> Instant) -> Option<Defence> {
        self.spend_at(LATE, now)
    }

    fn spend_at(&mut self, place: usize, now: impl FnOnce() -> Instant) -> Option<Defence> {
        let used = self.used.get_mut(place)?;
        *used = used.saturating_add(1);
        let allowed = allowances(&self.limits).get(place).copied()?;
        let most = allowed
            .base
            .saturating_add(allowed.each.saturating_mul(self.moved));
        if *used <= most {
            return None;
        }
        self.exceeded(allowed.defence, now())
    }

    /// The client's windows have cut a small piece off a response that had more to send.
    pub(crate) fn spend_small_piece(&mut self, now: impl FnOnce() -> Instant) -> Option<Defence> {
        self.small_pieces = self.small_pieces.saturating_add(1);
        let most = u64::from(self.limits.small_pieces) + self.sent / EACH_SMALL_PIECE;
        if u64::from(self.small_pieces) <= most || self.limits.small_pieces == u32::MAX {
            return None;
        }
        self.exceeded(Defence::SmallPieces, now())
    }

    /// An allowance is used up: in this period, or over several.
    fn exceeded(&mut self, defence: Defence, now: Instant) -> Option<Defence> {
        if now.saturating_duration_since(self.since) < self.limits.period {
            return Some(defence);
        }
        *self = Self::new(self.limits, now);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: FrameLimits = FrameLimits {
        period: Duration::from_secs(10),
        settings: 100,
        pings: 1000,
        priorities: 1000,
        window_updates: 1000,
        unknown: 1000,
        small_pieces: 1000,
    };

    const fn frame(kind: u8, flags: u8) -> FrameHead {
        FrameHead {
            kind,
            flags,
            length: 8,
            stream: 0,
        }
    }

    /// How many frames are taken until a defence answers, and which.
    fn until_defence(budget: &mut Budget, kind: u8, flags: u8, now: Instant) -> (u32, Defence) {
        let mut taken = 0;
        loop {
            if let Some(defence) = budget.spend(frame(kind, flags), || now) {
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
            (PING, flag::ACK, 10, Defence::Ping),
            (PRIORITY, 0, 1000, Defence::Priority),
            (WINDOW_UPDATE, 0, 1000, Defence::WindowUpdate),
            (0x42, 0, 1000, Defence::Unknown),
        ] {
            let mut budget = Budget::new(LIMITS, now);
            let got = until_defence(&mut budget, kind, flags, now);
            assert_eq!(got, (most, defence), "kind {kind}");
        }
    }

    #[test]
    fn who_moves_something_may_send_more() {
        let now = Instant::now();
        let mut budget = Budget::new(LIMITS, now);
        for _ in 0..50 {
            budget.moved();
        }
        assert_eq!(until_defence(&mut budget, WINDOW_UPDATE, 0, now).0, 1500);
    }

    #[test]
    fn a_new_period_has_a_new_allowance() {
        let began = Instant::now();
        let mut budget = Budget::new(LIMITS, began);
        for _ in 0..100 {
            assert_eq!(budget.spend(frame(SETTINGS, 0), || began), None);
        }
        let later = began + LIMITS.period;
        assert_eq!(budget.spend(frame(SETTINGS, 0), || later), None);
        assert_eq!(until_defence(&mut budget, SETTINGS, 0, later).0, 100);
    }

    #[test]
    fn small_pieces_are_forgiven_to_who_takes_large_ones() {
        let now = Instant::now();
        let count = |budget: &mut Budget| {
            (0..).find(|_| budget.spend_small_piece(|| now) == Some(Defence::SmallPieces))
        };
        assert_eq!(count(&mut Budget::new(LIMITS, now)), Some(1000));
        let mut budget = Budget::new(LIMITS, now);
        for _ in 0..100 {
            budget.sent(16 * 1024);
        }
        assert_eq!(count(&mut budget), Some(1400));
        let off = FrameLimits {
            small_pieces: u32::MAX,
            ..LIMITS
        };
        let mut budget = Budget::new(off, now);
        assert!((0..5000).all(|_| budget.spend_small_piece(|| now).is_none()));
    }
}
