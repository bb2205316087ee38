//! A connection as its task sees it: what it reads and writes, and what comes of it.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::BytesMut;
use tokio::io::AsyncWrite;

use super::{
    state::{Arrival, End, Role, State, Terms},
    stream::Stream,
};
use crate::{
    engine::{
        budget::Defence,
        exchange::Scratch,
        h1::{SMALL, poll_read_into},
        socket::Socket,
        worker::Worker,
    },
    gateway::{Fault, Violation},
    http::{
        BodyLength, HeadError, Method, RequestHead,
        h2::{frame::code, write_request},
    },
};

/// Bytes that are read before others have their turn.
const TURN: usize = 64 * 1024;
/// What one read takes at least.
const ROOM: usize = 4 * 1024;
/// So much beside bodies that nobody reads, and nothing more is read from the other end: frames that ask for an answer
/// pile up.
const MOST_UNREAD: usize = 128 * 1024;
/// The most that is written at once.
const MOST_WRITTEN: usize = 64 * 1024;

/// What the other end may still send when it is told that the connection is over.
const LINGER: usize = 256 * 1024;

/// One HTTP/2 connection, shared by its task and the exchanges on it.
#[derive(Debug)]
pub(crate) struct Http2(pub(super) RefCell<State>);

/// What a client's connection comes to next.
pub(crate) enum Turn {
    /// A request.
    Request(Asked),
    /// A stream that is none.
    Refused(Fault),
    /// The connection has failed; what is left to say goes out.
    Failed,
    /// There is nothing more to do.
    Ended,
}

/// A request that came on a stream of its own.
pub(crate) struct Asked {
    pub(crate) stream: Stream,
    /// Its head is in there.
    pub(crate) scratch: Box<Scratch>,
    /// The length of its body, or why it is to be refused.
    pub(crate) length: Result<BodyLength, HeadError>,
}

impl Http2 {
    /// A connection with a client, of which `ahead` has been read.
    pub(crate) fn serving(worker: &Rc<Worker>, terms: Terms, ahead: BytesMut) -> Rc<Self> {
        let mut state = State::new(Role::Server, Rc::clone(worker), terms);
        state.receiving.inbound = ahead;
        Rc::new(Self(RefCell::new(state)))
    }

    /// A connection with an endpoint.
    pub(crate) fn asking(worker: &Rc<Worker>, terms: Terms) -> Rc<Self> {
        let state = State::new(Role::Client, Rc::clone(worker), terms);
        Rc::new(Self(RefCell::new(state)))
    }

    /// Reads and writes what can be, and tells what has come of it. A request that somebody waits for is left where it is
    /// unless it `may_begin`, and so is what comes behind it.
    pub(crate) fn poll_turn(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        socket: &mut Socket,
        knows_failure: bool,
        may_begin: impl Fn() -> bool,
    ) -> Poll<Turn> {
        let mut state = self.0.borrow_mut();
        state.runs(cx);
        let mut is_held = false;
        loop {
            is_held = state.holds_request() && (is_held || !may_begin());
            if !is_held && let Some(arrival) = state.arrivals.pop_front() {
                drop(state);
                return Poll::Ready(self.turn_of(arrival));
            }
            if state.arrivals.len() > state.terms.streams {
                // More than there can be open: the first of them is waited for.
                break;
            }
            let heard = state.poll_receive(cx, socket).is_ready();
            if !heard && (is_held || state.arrivals.is_empty()) {
                break;
            }
        }
        state.yields(cx);
        if state.end.is_some() && !knows_failure {
            return Poll::Ready(Turn::Failed);
        }
        state.poll_send(cx, socket).map(|()| Turn::Ended)
    }

    /// Does all that there is to do for a connection with an endpoint; ready when it has ended.
    pub(crate) fn poll_run(&self, cx: &mut Context<'_>, socket: &mut Socket) -> Poll<()> {
        let mut state = self.0.borrow_mut();
        state.runs(cx);
        while state.poll_receive(cx, socket).is_ready() {}
        state.yields(cx);
        state.poll_send(cx, socket)
    }

    fn turn_of(self: &Rc<Self>, arrival: Arrival) -> Turn {
        match arrival {
            Arrival::Refused(fault) => Turn::Refused(fault),
            Arrival::Request {
                key,
                scratch,
                length,
            } => Turn::Request(Asked {
                stream: Stream::new(self, key),
                scratch,
                length,
            }),
        }
    }

    /// Opens a stream for a request, whose body follows unless the head is all of it.
    pub(crate) fn open(
        self: &Rc<Self>,
        head: &RequestHead,
        scheme: &str,
        ends: bool,
    ) -> Result<Stream, Fault> {
        let state = &mut *self.0.borrow_mut();
        let id = match state.highest {
            0 => 1,
            highest => highest + 2,
        };
        if state.end.is_some() || state.leaving || state.refuses || id > super::send::EVERY_STREAM {
            state.refuses = true;
            return Err(Fault::UpstreamRefused);
        }
        let window = state.window_of_streams();
        let key = state.streams.open(id, window, state.sending.stream_window);
        if let Some(slot) = state.streams.get_mut(key) {
            slot.bodiless = head.method == Method::Head;
            slot.asked = Some((Instant::now(), state.receiving.heard));
        }
        let sent = state.send_head(key, ends, |encoder, out| {
            write_request(encoder, head, scheme, out)
        });
        if let Err(refused) = sent {
            // The number is not used up, and the other end has heard nothing of it.
            if let Some(slot) = state.streams.get_mut(key) {
                slot.fault = Some(Fault::Internal);
            }
            state.streams.settle(key);
            state.streams.free(key, BytesMut::new());
            return Err(refused.unwrap_or_else(Fault::Request));
        }
        state.highest = id;
        Ok(Stream::new(self, key))
    }

    /// How many streams the endpoint takes at the same time; none once it takes no new ones.
    pub(crate) fn most_streams(&self) -> usize {
        let state = self.0.borrow();
        if state.end.is_some() || state.leaving || state.refuses {
            0
        } else {
            state.sending.streams
        }
    }

    /// Whether the endpoint, or we, take no new streams.
    pub(crate) fn is_closed(&self) -> bool {
        let state = self.0.borrow();
        state.end.is_some() || state.leaving || state.refuses
    }

    /// The connection shall end when what is under way on it has.
    pub(crate) fn leave(&self) {
        self.0.borrow_mut().leave();
    }

    /// The connection ends now: its client wants more than its share, or takes too long.
    pub(crate) fn leave_at_once(&self) {
        self.0.borrow_mut().fail(code::ENHANCE_YOUR_CALM, None);
    }

    /// A stream that comes too late.
    pub(crate) fn refuse(&self, stream: &Stream) {
        self.0
            .borrow_mut()
            .reset(stream.key(), code::REFUSED_STREAM);
    }

    /// The connection's task has ended, whatever for: so have the streams.
    pub(crate) fn abandon(&self) {
        self.0.borrow_mut().over(End::Gone);
    }

    /// How the client broke HTTP/2, if that has ended the connection.
    pub(crate) fn violation(&self) -> Option<Violation> {
        match self.0.borrow().end? {
            End::Told(error) => Violation::of_connection(error),
            End::Gone => None,
        }
    }

    /// The defence that has ended the connection.
    pub(crate) fn defence(&self) -> Option<Defence> {
        self.0.borrow().defence
    }

    /// The number of the head that the client is in the middle of.
    pub(crate) fn open_head(&self) -> Option<u64> {
        self.0.borrow().open_head()
    }

    /// Whether a request that somebody waits for is the next to be looked at.
    pub(crate) fn holds_request(&self) -> bool {
        self.0.borrow().holds_request()
    }

    /// Has the connection's task look at the world again.
    pub(crate) fn wake(&self) {
        self.0.borrow_mut().kick();
    }

    /// Whether the client has said that it speaks HTTP/2.
    pub(crate) fn has_begun(&self) -> bool {
        self.0.borrow().receiving.preface == 0
    }

    /// Whether the client has sent anything.
    pub(crate) fn has_heard(&self) -> bool {
        self.0.borrow().receiving.heard > 0
    }

    /// Whether all is said, and nothing but the other end's farewell is waited for.
    pub(crate) fn is_parting(&self) -> bool {
        self.0.borrow().sending.is_shut
    }

    /// Until when the client has time to take some of what waits for it; `None` when nothing does.
    pub(crate) fn patience(&self) -> Option<Instant> {
        let state = self.0.borrow();
        let since = state.sending.since?;
        Some(since + state.sending.pace.left())
    }

    /// Forgets the requests that nobody has looked at, the one of which the client has said only a part included, and
    /// tells how many they were.
    pub(crate) fn forget(&self) -> usize {
        let state = &mut *self.0.borrow_mut();
        let half = usize::from(state.has_half_a_head());
        state.receiving.block = None;
        std::mem::take(&mut state.arrivals).len() + half
    }
}

impl State {
    fn holds_request(&self) -> bool {
        match self.arrivals.front() {
            Some(Arrival::Request { key, .. }) => {
                let slot = self.streams.get(*key);
                slot.is_some_and(|slot| slot.fault.is_none())
            }
            Some(Arrival::Refused(_)) | None => false,
        }
    }

    /// After so many bytes others have their turn, and then it goes on.
    fn yields(&mut self, cx: &Context<'_>) {
        if self.receiving.turn >= TURN {
            self.receiving.turn = 0;
            cx.waker().wake_by_ref();
        }
    }

    /// Reads once, and goes on with what came; pending when there is nothing to read, or it has been enough.
    fn poll_receive(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> Poll<()> {
        if self.end.is_some() || self.is_done() {
            return Poll::Pending;
        }
        if self.sending.unwritten() > MOST_UNREAD.saturating_add(self.terms.send_buffer) {
            // Nothing here waits for the socket to have something to read, so the writer has to see to it.
            self.receiving.is_held_back = true;
            return Poll::Pending;
        }
        if self.receiving.heard == 0 && !self.receiving.inbound.is_empty() {
            // What was read to find out which protocol it is.
            self.parse();
            return Poll::Ready(());
        }
        let inbound = &mut self.receiving.inbound;
        if inbound.capacity() == 0 {
            // An idle connection has no buffer.
            match socket.poll_readable(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => *inbound = self.worker.buffers.inbound(),
                Poll::Ready(Err(_)) => {
                    self.over(End::Gone);
                    return Poll::Ready(());
                }
            }
        }
        if inbound.capacity() - inbound.len() < ROOM {
            inbound.reserve(SMALL);
        }
        if self.receiving.turn >= TURN {
            return Poll::Pending;
        }
        match poll_read_into(socket, inbound, cx) {
            Poll::Pending => {
                self.receiving.turn = 0;
                if inbound.is_empty() && self.streams.count() == 0 {
                    let spare = std::mem::take(inbound);
                    self.worker.buffers.reuse_inbound(spare);
                }
                Poll::Pending
            }
            Poll::Ready(Ok(count @ 1..)) => {
                self.receiving.turn += count;
                self.parse();
                Poll::Ready(())
            }
            Poll::Ready(Ok(0) | Err(_)) => {
                self.over(End::Gone);
                Poll::Ready(())
            }
        }
    }

    /// Writes what waits. Ready when the connection is over and all is said.
    fn poll_send(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> Poll<()> {
        loop {
            if self.end == Some(End::Gone) {
                return Poll::Ready(());
            }
            match self.poll_write(cx, socket) {
                // An endpoint that does not take the last words does without them: nobody waits for it, and no deadline.
                Poll::Pending
                    if self.role == Role::Client && (self.end.is_some() || self.is_done()) =>
                {
                    return Poll::Ready(());
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => {
                    self.over(End::Gone);
                    return Poll::Ready(());
                }
                Poll::Ready(Ok(())) => {}
            }
            self.wake_waiting();
            if std::mem::take(&mut self.receiving.is_held_back) {
                cx.waker().wake_by_ref();
            }
            if self.end.is_none() && !self.is_done() {
                return Poll::Pending;
            }
            let says_so = !std::mem::replace(&mut self.sending.is_shut, true);
            if says_so && self.role == Role::Client && self.end.is_none() {
                self.write_goaway(0, code::NO_ERROR);
                continue;
            }
            return self.poll_part(cx, socket);
        }
    }

    /// Says that nothing more comes, and lets the other end say the rest of what it has to say: a connection that is
    /// closed upon unread bytes takes back what was said last. What fails here has been said as well as it could be.
    fn poll_part(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> Poll<()> {
        if self.sending.linger == 0 {
            ready!(Pin::new(&mut *socket).poll_shutdown(cx)).ok();
            self.sending.linger = LINGER;
        }
        if self.role == Role::Client {
            return Poll::Ready(());
        }
        let mut buffer = self.worker.buffers.inbound();
        let parted = loop {
            buffer.clear();
            match poll_read_into(socket, &mut buffer, cx) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(Ok(count @ 1..)) if count < self.sending.linger => {
                    self.sending.linger -= count;
                }
                Poll::Ready(_) => break Poll::Ready(()),
            }
        };
        self.worker.buffers.reuse_inbound(buffer);
        parted
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, socket: &mut Socket) -> Poll<io::Result<()>> {
        let sending = &mut self.sending;
        while let Some(rest) = sending.out.get(sending.written..)
            && !rest.is_empty()
        {
            let piece = rest.get(..MOST_WRITTEN).unwrap_or(rest);
            match Pin::new(&mut *socket).poll_write(cx, piece) {
                Poll::Pending => {
                    sending.since.get_or_insert_with(Instant::now);
                    if sending.written >= MOST_WRITTEN {
                        // All that has gone out is not kept for the sake of what has not.
                        sending.out.drain(..sending.written);
                        sending.written = 0;
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(count)) => {
                    sending.written += count;
                    sending.unflushed = true;
                    if let Some(since) = sending.since {
                        let now = Instant::now();
                        let waited = now.saturating_duration_since(since);
                        sending.pace.moved(count as u64, waited);
                        sending.since = Some(now);
                    }
                }
            }
        }
        if sending.unflushed {
            match Pin::new(socket).poll_flush(cx) {
                Poll::Pending => {
                    sending.since.get_or_insert_with(Instant::now);
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) => sending.unflushed = false,
            }
        }
        sending.since = None;
        sending.written = 0;
        sending.out.clear();
        if self.streams.count() == 0 && sending.out.capacity() > 0 {
            let spare = std::mem::take(&mut sending.out);
            self.worker.buffers.reuse(spare);
        }
        Poll::Ready(Ok(()))
    }
}
