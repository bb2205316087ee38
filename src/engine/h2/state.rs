//! What both ends of a connection have said so far.

use std::{
    collections::VecDeque,
    ops::RangeInclusive,
    rc::Rc,
    task::{Context, Waker},
    time::Instant,
};

use bytes::BytesMut;

use super::streams::{Key, Streams};
use crate::{
    engine::{
        budget::{Budget, Defence},
        exchange::Scratch,
        pace::Pace,
        worker::Worker,
    },
    gateway::{Fault, Violation},
    http::{
        BodyLength, HeadError, HeadLimits,
        h2::{
            Decoder, Encoder,
            frame::{
                FIRST_WINDOW, MOST_PAYLOAD, PREFACE, code, kind, setting, write_frame,
                write_settings,
            },
        },
    },
    snapshot::FrameLimits,
};

/// Streams that we have reset and still know, so that what was under way to them is passed over: twice as many as a
/// client may have open, since it opens no others before it has heard of those that were reset, within these bounds.
const REMEMBERED: RangeInclusive<usize> = 64..=4096;
/// Streams of an endpoint that has not said how many it takes.
const UNTOLD_STREAMS: usize = 100;

/// What the other end of a connection may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Streams that a client may have open.
    pub(crate) streams: usize,
    pub(crate) head: HeadLimits,
    /// Bytes of one stream, and of all, that it may send before anybody has taken them.
    pub(crate) stream_window: u32,
    pub(crate) connection_window: u32,
    /// Bytes of bodies that wait for the socket.
    pub(crate) send_buffer: usize,
    /// Streams that it may make us reset.
    pub(crate) error_resets: usize,
    pub(crate) frames: FrameLimits,
    /// How long it may take over what waits for the socket.
    pub(crate) pace: Pace,
}

/// Which end we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The other end is a client.
    Server,
    /// The other end is an endpoint.
    Client,
}

/// What a client has opened a stream for.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A request; its body's length, or why it is refused with an answer.
    Request {
        key: Key,
        scratch: Box<Scratch>,
        length: Result<BodyLength, HeadError>,
    },
    /// Nothing that could be answered.
    Refused(Fault),
}

/// How a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The other end is gone.
    Gone,
    /// We said that it is over, and with what error code.
    Told(u32),
}

/// One connection. Every change is made on one thread.
#[derive(Debug)]
pub(super) struct State {
    pub(super) role: Role,
    pub(super) worker: Rc<Worker>,
    pub(super) terms: Terms,
    pub(super) streams: Streams,
    /// Requests that nobody has looked at.
    pub(super) arrivals: VecDeque<Arrival>,
    /// The highest stream that was opened.
    pub(super) highest: u32,
    /// The highest of those that have become requests, or were refused as such.
    pub(super) taken: u32,
    /// Streams above it are none of ours: the other end was told that nobody will look at them.
    pub(super) last: u32,
    pub(super) end: Option<End>,
    /// The defence that has ended it.
    pub(super) defence: Option<Defence>,
    /// Whether it shall end when its streams have.
    pub(super) leaving: bool,
    /// Whether the other end said that it takes no more streams.
    pub(super) refuses: bool,
    pub(super) receiving: Receiving,
    pub(super) sending: Sending,
    pub(super) budget: Budget,
    pub(super) error_resets: usize,
    reset_ids: VecDeque<u32>,
    /// The lowest and the highest of the streams that were passed over when a later one was opened, the last time.
    pub(super) skipped: (u32, u32),
    /// The connection's own task, and whether it has been woken since it ran.
    task: Option<Waker>,
    kicked: bool,
}

/// The direction that comes in.
#[derive(Debug)]
pub(super) struct Receiving {
    /// What has come and is not a whole frame yet.
    pub(super) inbound: BytesMut,
    /// How often something has come.
    pub(super) heard: u64,
    /// Bytes of the preface that are still to come.
    pub(super) preface: usize,
    /// Whether the other end's first SETTINGS have come, and whether it knows ours.
    pub(super) settled: bool,
    pub(super) acknowledged: bool,
    pub(super) decoder: Decoder,
    /// The field block that goes on in the next frame.
    pub(super) block: Option<Block>,
    /// How many heads have begun, and whether the frame that is coming in is part of one.
    pub(super) heads: u64,
    pub(super) in_head: bool,
    /// What the other end may still send, and what of it was taken here and not given back yet.
    pub(super) window: i64,
    pub(super) unreleased: u32,
    /// Bytes that were read since others had their turn.
    pub(super) turn: usize,
    /// Whether nothing is read because too much is to be written.
    pub(super) is_held_back: bool,
}

/// Part of a field block.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    pub(super) ends: bool,
    pub(super) is_own_parent: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) frames: u32,
}

/// The direction that goes out.
#[derive(Debug)]
pub(super) struct Sending {
    /// What waits for the socket, and how much of it is out.
    pub(super) out: Vec<u8>,
    pub(super) written: usize,
    pub(super) encoder: Encoder,
    /// What the other end takes: on the connection, on a new stream, in one frame, at the same time.
    pub(super) window: i64,
    pub(super) stream_window: u32,
    pub(super) frame: usize,
    pub(super) streams: usize,
    /// Streams that wait for room, in order; behind them those that have had some in this round.
    pub(super) waiting: VecDeque<Key>,
    pub(super) sated: VecDeque<Key>,
    /// Each time that there is room again a round begins, and who waited then is called: how many of them have not
    /// come for it.
    pub(super) round: u64,
    pub(super) called: usize,
    /// Since when the socket has taken nothing, and the patience with that.
    pub(super) since: Option<Instant>,
    pub(super) pace: Pace,
    /// Whether the socket may hold something that it has not sent.
    pub(super) unflushed: bool,
    pub(super) is_shut: bool,
    /// What may still come when all is said.
    pub(super) linger: usize,
}

impl Sending {
    /// Bytes that wait for the socket.
    pub(super) fn unwritten(&self) -> usize {
        self.out.len().saturating_sub(self.written)
    }
}

impl State {
    /// A connection that has just been made, with what we say first.
    pub(super) fn new(role: Role, worker: Rc<Worker>, terms: Terms) -> Self {
        let mut out = worker.buffers.outbound();
        let is_client = role == Role::Client;
        if is_client {
            out.extend_from_slice(PREFACE);
        }
        let head = u32::try_from(terms.head.bytes).unwrap_or(u32::MAX);
        let parameters = [
            (setting::ENABLE_PUSH, 0),
            (
                setting::MAX_CONCURRENT_STREAMS,
                u32::try_from(terms.streams).unwrap_or(u32::MAX),
            ),
            (setting::INITIAL_WINDOW_SIZE, terms.stream_window),
            (setting::MAX_HEADER_LIST_SIZE, head),
        ];
        // Push is for clients to forbid, and streams are for us to limit only where we serve.
        let [push, streams, window, list] = parameters;
        if is_client {
            write_settings(&[push, window, list], &mut out);
        } else {
            write_settings(&[streams, window, list], &mut out);
        }
        let mut window = FIRST_WINDOW;
        if let Some(more @ 1..) = terms.connection_window.checked_sub(window) {
            write_frame(kind::WINDOW_UPDATE, 0, 0, &more.to_be_bytes(), &mut out);
            window = terms.connection_window;
        }
        Self {
            role,
            streams: Streams::default(),
            arrivals: VecDeque::new(),
            highest: 0,
            taken: 0,
            last: u32::MAX,
            end: None,
            defence: None,
            leaving: false,
            refuses: false,
            receiving: Receiving {
                inbound: BytesMut::new(),
                heard: 0,
                preface: if is_client { 0 } else { PREFACE.len() },
                settled: false,
                acknowledged: false,
                decoder: Decoder::new(),
                block: None,
                heads: 0,
                in_head: false,
                window: i64::from(window),
                unreleased: 0,
                turn: 0,
                is_held_back: false,
            },
            sending: Sending {
                out,
                written: 0,
                encoder: Encoder::new(),
                window: i64::from(FIRST_WINDOW),
                stream_window: FIRST_WINDOW,
                frame: MOST_PAYLOAD,
                streams: UNTOLD_STREAMS,
                waiting: VecDeque::new(),
                sated: VecDeque::new(),
                round: 1,
                called: 0,
                since: None,
                pace: terms.pace,
                unflushed: false,
                is_shut: false,
                linger: 0,
            },
            budget: Budget::new(terms.frames, Instant::now()),
            error_resets: 0,
            reset_ids: VecDeque::new(),
            skipped: (1, 0),
            task: None,
            kicked: false,
            worker,
            terms,
        }
    }

    /// The connection's task runs.
    pub(super) fn runs(&mut self, cx: &Context<'_>) {
        self.kicked = false;
        let known = self.task.as_ref();
        if !known.is_some_and(|task| task.will_wake(cx.waker())) {
            self.task = Some(cx.waker().clone());
        }
    }

    /// There is something for the connection's task to do.
    pub(super) fn kick(&mut self) {
        if !std::mem::replace(&mut self.kicked, true)
            && let Some(task) = &self.task
        {
            task.wake_by_ref();
        }
    }

    /// The connection is over: the other end broke the protocol, or wants more than its share.
    pub(super) fn fail(&mut self, error: u32, defence: Option<Defence>) {
        if self.end.is_some() {
            return;
        }
        self.write_goaway(self.taken, error);
        self.defence = defence;
        self.over(End::Told(error));
    }

    /// The connection is over, and so is whatever was under way on it.
    pub(super) fn over(&mut self, end: End) {
        if self.end.is_some() {
            return;
        }
        self.end = Some(end);
        let fault = self.fault_of(end);
        self.streams.end_where(fault, |_| true);
        self.kick();
    }

    /// What the end of the connection means to those who were using it.
    fn fault_of(&self, end: End) -> Fault {
        match (self.role, end) {
            (Role::Client, _) => Fault::UpstreamClosed,
            (Role::Server, End::Gone) => Fault::ClientGone,
            (Role::Server, End::Told(error)) => {
                Violation::of_connection(error).map_or(Fault::ClientGone, Fault::Http2)
            }
        }
    }

    /// What it means that there is nothing on a stream any more.
    pub(super) fn gone(&self) -> Fault {
        match self.role {
            Role::Server => Fault::ClientGone,
            Role::Client => Fault::UpstreamClosed,
        }
    }

    pub(super) fn write_goaway(&mut self, last: u32, error: u32) {
        // Those that an endpoint opened, of which there are none, are what a client speaks of.
        let last = match self.role {
            Role::Server => last,
            Role::Client => 0,
        };
        let [l0, l1, l2, l3] = last.to_be_bytes();
        let [e0, e1, e2, e3] = error.to_be_bytes();
        let payload = [l0, l1, l2, l3, e0, e1, e2, e3];
        write_frame(kind::GOAWAY, 0, 0, &payload, &mut self.sending.out);
        self.kick();
    }

    pub(super) fn write_reset(&mut self, id: u32, error: u32) {
        let out = &mut self.sending.out;
        write_frame(kind::RST_STREAM, 0, id, &error.to_be_bytes(), out);
        if self.role == Role::Server {
            let most = self.terms.streams.saturating_mul(2);
            if self.reset_ids.len() >= most.clamp(*REMEMBERED.start(), *REMEMBERED.end()) {
                self.reset_ids.pop_front();
            }
            self.reset_ids.push_back(id);
        }
        self.kick();
    }

    /// Whether frames may still be under way on a stream that is closed: we have reset it, not so long ago. All that an
    /// endpoint can send on it is passed over.
    pub(super) fn was_reset(&self, id: u32) -> bool {
        self.role == Role::Client || self.reset_ids.contains(&id)
    }

    /// The other end broke the protocol on one stream, of which nobody will hear any more.
    pub(super) fn refuse(&mut self, id: u32, error: u32) {
        self.write_reset(id, error);
        self.error_resets += 1;
        if self.error_resets <= self.terms.error_resets {
            return;
        }
        match self.role {
            Role::Server => self.fail(code::ENHANCE_YOUR_CALM, Some(Defence::MadeYouReset)),
            // What is under way with an endpoint is other clients'.
            Role::Client => self.leave(),
        }
    }

    /// The same for a stream that an exchange uses.
    pub(super) fn refuse_open(&mut self, key: Key, error: u32, violation: Violation) {
        let fault = match self.role {
            Role::Server => Fault::Http2(violation),
            Role::Client if violation == Violation::Length => {
                Fault::UpstreamMalformed(HeadError::LengthMismatch)
            }
            Role::Client => Fault::UpstreamProtocol,
        };
        let Some(slot) = self.streams.get_mut(key) else {
            return;
        };
        let id = slot.id;
        slot.fault.get_or_insert(fault);
        slot.wake();
        self.streams.settle(key);
        self.refuse(id, error);
    }

    /// The connection shall end when what is under way on it has. It takes two words: streams may be on their way to us
    /// while we speak (RFC 9113 section 6.8).
    pub(super) fn leave(&mut self) {
        if std::mem::replace(&mut self.leaving, true) || self.end.is_some() {
            return;
        }
        match self.role {
            Role::Server => {
                self.write_goaway(super::send::EVERY_STREAM, code::NO_ERROR);
                write_frame(
                    kind::PING,
                    0,
                    0,
                    &super::send::LAST_CALL,
                    &mut self.sending.out,
                );
            }
            Role::Client => self.last = 0,
        }
        self.kick();
    }

    /// The other end has heard that we leave: what it opens from now on is not looked at.
    pub(super) fn heard_last_call(&mut self) {
        if self.leaving && self.last == u32::MAX {
            self.last = self.highest;
            self.write_goaway(self.highest, code::NO_ERROR);
        }
    }

    /// Whether nothing is to come any more of a connection that shall end.
    pub(super) fn is_done(&self) -> bool {
        self.leaving
            && self.last != u32::MAX
            && self.streams.count() == 0
            && self.receiving.block.is_none()
    }
}
