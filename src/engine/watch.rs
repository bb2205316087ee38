//! What is seen of a client's HTTP/2 connection from outside the `h2` crate, which refuses what breaks the protocol
//! without telling us: the frames that pass, and which of the streams that a client opened never became a request.

use std::{cell::RefCell, collections::VecDeque, time::Instant};

use super::{
    budget::{Budget, Defence},
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PREFACE, RST_STREAM,
    },
    leftovers::{Leftovers, Look},
    pace::Pace,
};
use crate::{
    gateway::{Fault, Violation},
    http::HeadError,
    snapshot::ListenerPlan,
};

/// Clients' resets with an error code that are remembered, so that nobody takes them for resets of ours.
const COMPLAINTS: usize = 8;

/// Written by the connection's socket, read by its task and by those of its streams, all on one thread.
#[derive(Debug)]
pub(crate) struct Watch(RefCell<Seen>);

#[derive(Debug)]
struct Seen {
    from_client: Frames,
    to_client: Frames,
    /// The highest stream that the client has opened.
    opened: u32,
    /// Streams above it are none of ours: the client was told that nobody will look at them.
    last: u32,
    /// Streams that were opened and have not become requests, in order. Short: most become requests in the same turn.
    waiting: VecDeque<Waiting>,
    /// The error code that the client was told when the connection was ended.
    ended_for: u32,
    complaints: [u32; COMPLAINTS],
    next_complaint: usize,
    budget: Budget,
    /// What the client has sent too much of.
    exceeded: Option<Defence>,
    leftovers: Leftovers,
    /// How many heads have begun, trailers included.
    heads: u64,
    /// Whether the last of them goes on in another frame.
    head_goes_on: bool,
    /// Whether the last frame was part of a head.
    in_head: bool,
    /// Whether all that came has been looked at: the crate asks for more only then.
    drained: bool,
    read: u64,
}

#[derive(Debug)]
struct Waiting {
    stream: u32,
    /// Why it will not become a request, once that is known.
    refused: Option<Fault>,
    /// The client has reset it, and may never be told more of it.
    taken_back: bool,
}

impl Watch {
    /// What a client of that listener may do.
    pub(crate) fn new(listener: &ListenerPlan) -> Self {
        let limits = &listener.limits;
        Self(RefCell::new(Seen {
            from_client: Frames::after(PREFACE.len()),
            to_client: Frames::after(0),
            opened: 0,
            last: u32::MAX,
            waiting: VecDeque::new(),
            ended_for: 0,
            complaints: [0; COMPLAINTS],
            next_complaint: 0,
            budget: Budget::new(limits.http2.frames, Instant::now()),
            exceeded: None,
            leftovers: Leftovers::new(Pace::new(limits.send_rate, listener.deadlines.body)),
            heads: 0,
            head_goes_on: false,
            in_head: false,
            drained: false,
            read: 0,
        }))
    }

    /// Bytes came from the client.
    pub(crate) fn received(&self, bytes: &[u8]) {
        let seen = &mut *self.0.borrow_mut();
        seen.read = seen.read.wrapping_add(bytes.len() as u64);
        seen.drained = false;
        let Seen {
            from_client,
            opened,
            last,
            waiting,
            complaints,
            next_complaint,
            budget,
            exceeded,
            leftovers,
            heads,
            head_goes_on,
            in_head,
            ..
        } = seen;
        from_client.pass(bytes, |frame| {
            if let Some(defence) = budget.spend(frame, Instant::now) {
                exceeded.get_or_insert(defence);
            }
            *in_head = matches!(frame.kind, HEADERS | CONTINUATION);
            if *in_head {
                *head_goes_on = frame.flags & END_HEADERS == 0;
            }
            match frame.kind {
                HEADERS => *heads = heads.wrapping_add(1),
                DATA if frame.length > 0 => budget.moved(),
                _ => {}
            }
            match frame.kind {
                // A client's streams have odd numbers that rise (RFC 9113 section 5.1.1).
                HEADERS if frame.stream % 2 == 1 && frame.stream > *opened => {
                    *opened = frame.stream;
                    budget.moved();
                    if frame.stream <= *last {
                        waiting.push_back(Waiting {
                            stream: frame.stream,
                            refused: None,
                            taken_back: false,
                        });
                    }
                }
                RST_STREAM => {
                    leftovers.ended(frame.stream);
                    let mut reset = waiting.iter_mut().rev();
                    if let Some(reset) = reset.find(|waiting| waiting.stream == frame.stream) {
                        reset.taken_back = true;
                    }
                    if violation_of_reset(frame.number(0)).is_some() {
                        if let Some(place) = complaints.get_mut(*next_complaint % COMPLAINTS) {
                            *place = frame.stream;
                        }
                        *next_complaint = next_complaint.wrapping_add(1);
                    }
                }
                _ => {}
            }
        });
    }

    /// The client has sent no more for now, and what it has sent before has been looked at.
    pub(crate) fn drained(&self) {
        self.0.borrow_mut().drained = true;
    }

    /// Bytes went to the client.
    pub(crate) fn sent(&self, bytes: &[u8]) {
        let seen = &mut *self.0.borrow_mut();
        let Seen {
            to_client,
            last,
            waiting,
            ended_for,
            budget,
            exceeded,
            leftovers,
            ..
        } = seen;
        leftovers.written(bytes.len() as u64);
        to_client.pass(bytes, |frame| match frame.kind {
            RST_STREAM => {
                leftovers.ended(frame.stream);
                refuse(waiting, frame.stream, || {
                    Fault::Http2(Violation::of_opening(frame.number(0)))
                });
            }
            HEADERS => {
                if frame.flags & END_STREAM != 0 {
                    leftovers.ended(frame.stream);
                }
                // The one answer that is not ours: 431, for a head that is larger than was allowed.
                refuse(waiting, frame.stream, || {
                    Fault::Request(HeadError::HeadTooLarge)
                });
            }
            GOAWAY if frame.number(4) == 0 => {
                *last = frame.number(0);
                waiting.retain(|waiting| waiting.stream <= *last);
            }
            GOAWAY => {
                *ended_for = frame.number(4);
                let says = frame.kept.get(8..).unwrap_or_default();
                *exceeded = exceeded.or_else(|| Defence::of_goaway(says));
            }
            DATA => {
                if frame.length > 0 {
                    budget.sent(frame.length);
                }
                if frame.flags & END_STREAM != 0 {
                    leftovers.ended(frame.stream);
                } else if !leftovers.is_empty() {
                    leftovers.sent(frame.stream, frame.length);
                }
            }
            _ => {}
        });
    }

    /// The client takes nothing for now.
    pub(crate) fn blocked(&self) {
        self.0.borrow_mut().leftovers.blocked();
    }

    /// The rest of a response has been handed over, and its exchange waits no longer for the client.
    pub(crate) fn left(&self, stream: u32) {
        self.0.borrow_mut().leftovers.add(stream);
    }

    /// Whether the client still has to take what exchanges have left.
    pub(crate) fn has_leftovers(&self) -> bool {
        !self.0.borrow().leftovers.is_empty()
    }

    /// Looks whether the client takes what exchanges have left.
    pub(crate) fn look_at_leftovers(&self) -> Look {
        self.0.borrow_mut().leftovers.look(Instant::now)
    }

    /// The client's windows have cut a small piece off a response that had more to send.
    pub(crate) fn cut_small(&self) {
        let seen = &mut *self.0.borrow_mut();
        if let Some(defence) = seen.budget.spend_small_piece(Instant::now) {
            seen.exceeded.get_or_insert(defence);
        }
    }

    /// A stream has become a request. What was opened before it and has not, never will: `refused` is called for it.
    pub(crate) fn asked(&self, stream: u32, mut refused: impl FnMut(Fault)) {
        loop {
            let next = {
                let waiting = &mut self.0.borrow_mut().waiting;
                match waiting.front() {
                    Some(next) if next.stream <= stream => waiting.pop_front(),
                    Some(_) | None => None,
                }
            };
            match next {
                Some(next) if next.stream < stream => refused(next.why()),
                Some(_) | None => return,
            }
        }
    }

    /// All requests that there are have been taken: `refused` is called for each stream that is known to be none.
    pub(crate) fn settled(&self, mut refused: impl FnMut(Fault)) {
        loop {
            let known = {
                let seen = &mut *self.0.borrow_mut();
                let drained = seen.drained;
                let mut waiting = seen.waiting.iter();
                waiting
                    .position(|one| one.refused.is_some() || (one.taken_back && drained))
                    .and_then(|at| seen.waiting.remove(at))
            };
            match known {
                Some(known) => refused(known.why()),
                None => return,
            }
        }
    }

    /// The connection has ended for `fault`: so have the streams that nobody will look at now.
    pub(crate) fn ended(&self, fault: Fault, mut refused: impl FnMut(Fault)) {
        let waiting = std::mem::take(&mut self.0.borrow_mut().waiting);
        for waiting in waiting {
            refused(waiting.refused.unwrap_or(fault));
        }
    }

    /// What the client was told that the connection is ended for, if it was told of an error.
    pub(crate) fn ended_for(&self) -> Option<Violation> {
        Violation::of_connection(self.0.borrow().ended_for)
    }

    /// What it means that a stream, which had become a request, was reset with this code by somebody else than us.
    pub(crate) fn reset(&self, stream: u32, code: u32) -> Fault {
        if let Some(violation) = self.ended_for() {
            return Fault::Http2(violation);
        }
        if self.0.borrow().complaints.contains(&stream) {
            return Fault::ClientGone;
        }
        violation_of_reset(code).map_or(Fault::ClientGone, Fault::Http2)
    }

    /// What the client has sent too much of.
    pub(crate) fn exceeded(&self) -> Option<Defence> {
        self.0.borrow().exceeded
    }

    /// The number of the head that the client is in the middle of.
    pub(crate) fn open_head(&self) -> Option<u64> {
        let seen = self.0.borrow();
        let is_open = seen.head_goes_on || (seen.in_head && seen.from_client.is_inside());
        is_open.then_some(seen.heads)
    }

    /// Whether the client has sent anything.
    pub(crate) fn has_heard(&self) -> bool {
        self.0.borrow().read > 0
    }
}

impl Waiting {
    fn why(&self) -> Fault {
        self.refused
            .unwrap_or(Fault::Http2(Violation::MalformedHead))
    }
}

/// How a client broke HTTP/2 on a stream that was reset with this code; `None` for the codes of those who have only
/// lost interest.
pub(crate) const fn violation_of_reset(code: u32) -> Option<Violation> {
    match code {
        1 => Some(Violation::Protocol),
        3 => Some(Violation::FlowControl),
        5 => Some(Violation::StreamClosed),
        6 => Some(Violation::FrameSize),
        9 => Some(Violation::Compression),
        11 => Some(Violation::Excess),
        _ => None,
    }
}

fn refuse(waiting: &mut VecDeque<Waiting>, stream: u32, why: impl FnOnce() -> Fault) {
    if let Some(refused) = waiting.iter_mut().find(|waiting| waiting.stream == stream) {
        refused.refused.get_or_insert_with(why);
    }
}
