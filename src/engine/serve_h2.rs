//! A client's HTTP/2 connection: its streams are exchanges of their own, side by side.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use ::h2::{
    Reason, RecvStream,
    server::{Builder, SendResponse},
};
use bytes::Bytes;

use super::{
    age::end_of_life,
    budget::Defence,
    client_h2::ClientH2,
    deadline::{Deadline, Expired},
    door::Arrival,
    exchange::{Carrier, Client},
    leftovers::Look,
    record::Recorded,
    refused::Refusals,
    unwind::unwinding,
    watch::Watch,
    watched::Watched,
    worker::Worker,
};
use crate::{
    gateway::{Connection, Fault, Violation},
    http::{BodyLength, h2::request_from_h2, request_body},
};

/// Streams that were reset, by either side, and are still remembered.
const RESET_STREAMS: usize = 64;
/// How long a connection that was told to go away may take over it.
const GOODBYE: Duration = Duration::from_secs(5);

/// What a connection and its streams share.
struct Shared {
    connection: Rc<Connection>,
    watch: Rc<Watch>,
    streams: Cell<usize>,
    /// Streams that the client gave up before it had a response.
    given_up: Cell<u64>,
    /// Whether the client has been told to go away.
    leaving: Cell<bool>,
    deadline: Deadline,
}

/// Serves a connection to its end.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    Arrival {
        socket,
        ahead,
        head_by,
        ..
    }: Arrival,
) {
    let refusals = Refusals::new(&worker, &connection);
    let shared = Rc::new(Shared {
        deadline: worker.deadlines.register(),
        watch: Rc::clone(&refusals.watch),
        connection,
        streams: Cell::new(0),
        given_up: Cell::new(0),
        leaving: Cell::new(false),
    });
    let listener = Rc::clone(&shared.connection);
    let listener = &listener.listener;
    shared.deadline.set(head_by);
    let socket = Watched::new(socket, ahead, Rc::clone(&refusals.watch));
    let handshake = Builder::new()
        .max_concurrent_streams(listener.limits.streams)
        .max_header_list_size(u32::try_from(listener.limits.head.bytes).unwrap_or(u32::MAX))
        .initial_window_size(listener.limits.http2.stream_window)
        .initial_connection_window_size(listener.limits.http2.connection_window)
        .max_send_buffer_size(listener.limits.http2.send_buffer)
        .max_concurrent_reset_streams(RESET_STREAMS)
        .max_pending_accept_reset_streams(RESET_STREAMS)
        .max_local_error_reset_streams(Some(listener.limits.http2.error_resets))
        .handshake::<_, Bytes>(socket);
    let mut io = match shared.deadline.bound(pin!(handshake)).await {
        Ok(Ok(io)) => io,
        Ok(Err(error)) => {
            refusals.never_began(Fault::ClientGone);
            return refusals.failed(&error, 0);
        }
        Err(Expired) => return refusals.never_began(Fault::HeadTimeout),
    };
    shared
        .deadline
        .set(Instant::now() + listener.deadlines.idle);
    let age = worker.deadlines.register();
    if let Some(until) = end_of_life(&worker, &shared.connection) {
        age.set(until);
    }
    let mut served: u64 = 0;
    let mut late: u32 = 0;
    let mut is_shut = false;
    let patience = worker.deadlines.register();
    let mut head = HeadTimer::new(&worker, listener.deadlines.head);
    loop {
        let leaving = shared.leaving.get();
        let next = poll_fn(|cx| {
            if let Poll::Ready(next) = io.poll_accept(cx) {
                let next = next.map(|asked| {
                    asked.map(|(request, respond)| Box::new(Asked { request, respond }))
                });
                return Poll::Ready(Next::Stream(next));
            }
            refusals.settled();
            if !is_shut {
                if let Some(defence) = shared.defence(served, &refusals) {
                    return Poll::Ready(Next::Defend(defence));
                }
                if head.poll_late(cx, shared.watch.open_head()).is_ready() {
                    return Poll::Ready(Next::HeadTimeout);
                }
                match shared.watch.look_at_leftovers() {
                    Look::Nothing => {}
                    Look::Until(end) => {
                        patience.set(end);
                        let _ = patience.poll_expired(cx);
                    }
                    Look::TooSlow => return Poll::Ready(Next::TooSlow),
                }
            }
            if (worker.is_draining() || shared.connection.retired.get()) && !leaving {
                return Poll::Ready(Next::Leave("draining"));
            }
            if !leaving
                && shared.streams.get() == 0
                && served > 0
                && worker.strain().ends_connections()
            {
                return Poll::Ready(Next::Leave("overload"));
            }
            if !leaving && age.poll_expired(cx).is_ready() {
                return Poll::Ready(Next::Leave("max_connection_age"));
            }
            if shared.deadline.poll_expired(cx).is_ready() {
                return Poll::Ready(Next::Idle);
            }
            Poll::Pending
        })
        .await;
        match next {
            Next::Stream(Some(Ok(mut asked))) => {
                refusals.asked(asked.respond.stream_id().as_u32());
                served += 1;
                late += u32::from(leaving);
                if is_shut || late > listener.limits.streams {
                    // It may have crossed the GOAWAY on its way; as many as this have not.
                    asked.respond.send_reset(Reason::REFUSED_STREAM);
                    refusals.record(Fault::Http2(Violation::AfterGoaway));
                    continue;
                }
                shared.streams.set(shared.streams.get() + 1);
                shared.deadline.clear();
                if served >= listener.limits.requests && !leaving {
                    shared.leave(&worker, "max_requests");
                    io.graceful_shutdown();
                }
                let (worker, shared) = (Rc::clone(&worker), Rc::clone(&shared));
                // Boxed, since spawning moves what it is given several times.
                tokio::task::spawn_local(Box::pin(serve_stream(worker, shared, asked)));
            }
            Next::Stream(Some(Err(error))) => {
                tracing::debug!(%error, client = %shared.connection.client, "HTTP/2 connection failed");
                if let Some(defence) = refusals.watch.exceeded().filter(|_| !is_shut) {
                    listener.metrics.http2_defended(worker.id, defence.word());
                }
                return refusals.failed(&error, shared.streams.get());
            }
            Next::Stream(None) => return,
            Next::Defend(defence) => {
                tracing::debug!(defence = defence.word(), client = %shared.connection.client, "HTTP/2 connection ended");
                listener.metrics.http2_defended(worker.id, defence.word());
                refusals.broken_off(Violation::Excess, shared.streams.get());
                is_shut = true;
                shared.leave_at_once(&mut io);
            }
            Next::HeadTimeout => {
                refusals.ends_for(Fault::HeadTimeout);
                is_shut = true;
                shared.leave_at_once(&mut io);
            }
            Next::Idle if shared.streams.get() > 0 => shared.deadline.clear(),
            Next::TooSlow => {
                let defence = Defence::SlowReader.word();
                tracing::debug!(defence, client = %shared.connection.client, "HTTP/2 connection ended");
                listener.metrics.http2_defended(worker.id, defence);
                refusals.ends_for(Fault::ClientTooSlow);
                is_shut = true;
                shared.leave_at_once(&mut io);
            }
            Next::Idle if !is_shut && refusals.watch.has_leftovers() => {
                // The exchanges have ended, and a slow client is still taking what they left here.
                shared
                    .deadline
                    .set(Instant::now() + listener.deadlines.body);
            }
            Next::Idle if leaving => return refusals.ends_for(Fault::HeadTimeout),
            Next::Idle => {
                shared.leave(&worker, "idle_timeout");
                io.graceful_shutdown();
                shared.deadline.set(Instant::now() + GOODBYE);
            }
            Next::Leave(reason) => {
                shared.leave(&worker, reason);
                io.graceful_shutdown();
                if shared.streams.get() == 0 {
                    shared.deadline.set(Instant::now() + GOODBYE);
                }
            }
        }
    }
}

impl Shared {
    /// Notes that the client is told to go away, and why.
    fn leave(&self, worker: &Worker, reason: &'static str) {
        self.leaving.set(true);
        let metrics = &self.connection.listener.metrics;
        metrics.connection_ended(worker.id, reason);
    }

    /// What the client does more of than any client needs. To open streams mostly in order to give them up belongs to
    /// it, since each has cost a connect or a request upstream, and so do streams that are ended for their errors.
    fn defence(&self, served: u64, refusals: &Refusals) -> Option<Defence> {
        let wasted = self.given_up.get() + refusals.count();
        let is_rapid = wasted >= self.connection.listener.limits.http2.cancelled
            && wasted.saturating_mul(2) > served + refusals.count();
        self.watch
            .exceeded()
            .or_else(|| is_rapid.then_some(Defence::RapidReset))
    }

    /// Ends the connection with what is under way on it.
    fn leave_at_once(&self, io: &mut ::h2::server::Connection<Watched, Bytes>) {
        io.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        self.leaving.set(true);
        if self.streams.get() == 0 {
            self.deadline.set(Instant::now() + GOODBYE);
        }
    }
}

/// What a connection's task is woken for.
enum Next {
    Stream(Option<Result<Box<Asked>, ::h2::Error>>),
    /// The client wants more than its share.
    Defend(Defence),
    /// The client takes too long over a head.
    HeadTimeout,
    /// The client takes too long over what it was answered.
    TooSlow,
    Idle,
    /// The connection shall end, for that reason.
    Leave(&'static str),
}

/// The deadline of the head that a client is in the middle of, whatever trickles in meanwhile.
struct HeadTimer {
    deadline: Deadline,
    limit: Duration,
    timed: Option<u64>,
}

impl HeadTimer {
    fn new(worker: &Worker, limit: Duration) -> Self {
        Self {
            deadline: worker.deadlines.register(),
            limit,
            timed: None,
        }
    }

    /// Ready when the open head is late.
    fn poll_late(&mut self, cx: &Context<'_>, open: Option<u64>) -> Poll<Expired> {
        if self.timed != open {
            self.timed = open;
            match open {
                Some(_) => self.deadline.set(Instant::now() + self.limit),
                None => self.deadline.clear(),
            }
        }
        if open.is_some() {
            self.deadline.poll_expired(cx)
        } else {
            Poll::Pending
        }
    }
}

/// A request on a new stream, and the way to answer it.
struct Asked {
    request: ::http::Request<RecvStream>,
    respond: SendResponse<Bytes>,
}

async fn serve_stream(worker: Rc<Worker>, shared: Rc<Shared>, asked: Box<Asked>) {
    let Asked { request, respond } = *asked;
    let _open = StreamOpen(&shared);
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let complete = body.is_end_stream();
    let limits = &shared.connection.listener.limits.head;
    let mut scratch = worker.scratch();
    scratch.request.clear();
    let length = request_from_h2(&parts, &mut scratch.request, limits).and_then(|()| {
        if complete {
            Ok(BodyLength::Empty)
        } else {
            request_body(&scratch.request)
        }
    });
    let deadline = worker.deadlines.register();
    let mut client = ClientH2::new(body, respond, length.ok(), complete, &shared.watch);
    let mut recorded = Recorded::begin(&worker, &shared.connection, &mut scratch, started);
    let mut carrier = Carrier::new(&worker, &mut client, &deadline, &mut recorded);
    let outcome = match length {
        Ok(length) => unwinding(pin!(carrier.run(length))).await,
        Err(error) => unwinding(pin!(carrier.give_up(Fault::Request(error)))).await,
    };
    if outcome.is_err() {
        worker.metrics.gateway().panicked(worker.id);
        let mut carrier = Carrier::new(&worker, &mut client, &deadline, &mut recorded);
        carrier.give_up(Fault::Internal).await;
    }
    drop(recorded);
    if !client.has_responded() {
        shared.given_up.set(shared.given_up.get() + 1);
    }
    worker.reuse(scratch);
}

/// Counts a stream as open until it is dropped; the last one starts the connection's idle time.
struct StreamOpen<'a>(&'a Shared);

impl Drop for StreamOpen<'_> {
    fn drop(&mut self) {
        let left = self.0.streams.get().saturating_sub(1);
        self.0.streams.set(left);
        if left == 0 {
            let limit = if self.0.leaving.get() {
                GOODBYE
            } else {
                self.0.connection.listener.deadlines.idle
            };
            self.0.deadline.set(Instant::now() + limit);
        }
    }
}
