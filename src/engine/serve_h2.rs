//! A client's HTTP/2 connection: its streams are exchanges of their own, side by side.

use std::{
    cell::Cell,
    future::poll_fn,
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{
    age::end_of_life,
    budget::Defence,
    client_h2::ClientH2,
    deadline::{Deadline, Expired},
    door::Arrival,
    exchange::{Carrier, Client},
    h2::{Asked, Http2, Terms, Turn},
    pace::Pace,
    record::Recorded,
    refused::Refusals,
    trust::{PAUSE, Trust, at_once},
    unwind::unwinding,
    worker::Worker,
};
use crate::{
    gateway::{Connection, Fault, Violation},
    snapshot::ListenerPlan,
};

/// How long a connection that was told to go away may take over it.
const GOODBYE: Duration = Duration::from_secs(5);
/// How long one that has been told everything may take to hear so.
const PARTING: Duration = Duration::from_secs(1);

/// What a connection and its streams share.
struct Shared {
    connection: Rc<Connection>,
    http2: Rc<Http2>,
    streams: Cell<usize>,
    trust: Trust,
    /// Streams that the client gave up before it had a response.
    given_up: Cell<u64>,
    /// Whether the client has been told to go away.
    leaving: Cell<bool>,
    deadline: Deadline,
}

/// What clients of a listener may do.
fn terms(listener: &ListenerPlan) -> Terms {
    let limits = &listener.limits;
    Terms {
        streams: limits.streams as usize,
        head: limits.head,
        stream_window: limits.http2.stream_window,
        connection_window: limits.http2.connection_window,
        send_buffer: limits.http2.send_buffer,
        error_resets: limits.http2.error_resets,
        frames: limits.http2.frames,
        pace: Pace::new(limits.send_rate, listener.deadlines.body),
    }
}

/// Serves a connection to its end.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    Arrival {
        mut socket,
        ahead,
        head_by,
        ..
    }: Arrival,
) {
    let listener = Rc::clone(&connection);
    let listener = &listener.listener;
    let http2 = Http2::serving(&worker, terms(listener), ahead);
    let refusals = Refusals::new(&worker, &connection, &http2);
    let shared = Rc::new(Shared {
        deadline: worker.deadlines.register(),
        http2: Rc::clone(&http2),
        connection,
        streams: Cell::new(0),
        trust: Trust::new(),
        given_up: Cell::new(0),
        leaving: Cell::new(false),
    });
    shared.deadline.set(head_by);
    let age = worker.deadlines.register();
    if let Some(until) = end_of_life(&worker, &shared.connection) {
        age.set(until);
    }
    let mut served: u64 = 0;
    let (mut late, mut begun): (u32, u32) = (0, 0);
    let (mut has_begun, mut is_shut, mut is_parting) = (false, false, false);
    let mut pause = None;
    let patience = worker.deadlines.register();
    let mut head = HeadTimer::new(&worker, listener.deadlines.head);
    loop {
        let leaving = shared.leaving.get();
        let next = poll_fn(|cx| {
            let may_begin = || {
                is_shut
                    || shared.trust.admits(shared.streams.get())
                    || worker.rush.admits(Instant::now())
            };
            if let Poll::Ready(turn) = http2.poll_turn(cx, &mut socket, is_shut, may_begin) {
                return Poll::Ready(Next::Turn(turn));
            }
            if http2.holds_request() {
                let pause = pause.get_or_insert_with(|| {
                    let pause = worker.deadlines.register();
                    pause.set(Instant::now() + PAUSE);
                    pause
                });
                if pause.poll_expired(cx).is_ready() {
                    return Poll::Ready(Next::Waited);
                }
            } else {
                pause = None;
            }
            if !has_begun && http2.has_begun() {
                has_begun = true;
                if shared.streams.get() == 0 {
                    shared
                        .deadline
                        .set(Instant::now() + listener.deadlines.idle);
                }
            }
            if !is_parting && http2.is_parting() {
                is_parting = true;
                shared.deadline.set(Instant::now() + PARTING);
            }
            if !is_shut {
                if shared.is_rapid(served, &refusals) {
                    return Poll::Ready(Next::Rapid);
                }
                if head.poll_late(cx, http2.open_head()).is_ready() {
                    return Poll::Ready(Next::HeadTimeout);
                }
                if let Some(end) = http2.patience() {
                    if end <= Instant::now() {
                        return Poll::Ready(Next::TooSlow);
                    }
                    patience.set(end);
                    let _ = patience.poll_expired(cx);
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
            Next::Turn(turn) => match turn {
                Turn::Request(asked) => {
                    served += 1;
                    late += u32::from(leaving);
                    if is_shut || late > listener.limits.streams {
                        // It may have crossed the GOAWAY on its way; as many as this have not.
                        http2.refuse(&asked.stream);
                        refusals
                            .record_request(asked.scratch, Fault::Http2(Violation::AfterGoaway));
                        continue;
                    }
                    if let Some(fault) = asked.stream.fault() {
                        // Nobody waits for an answer any more.
                        shared.given_up.set(shared.given_up.get() + 1);
                        refusals.record_given_up(asked.scratch, asked.length, fault);
                        continue;
                    }
                    let under_way = shared.streams.get() + 1;
                    shared.streams.set(under_way);
                    shared.deadline.clear();
                    if served >= listener.limits.requests && !leaving {
                        shared.leave(&worker, "max_requests");
                    }
                    let (worker, shared) = (Rc::clone(&worker), Rc::clone(&shared));
                    // Boxed, since spawning moves what it is given several times.
                    tokio::task::spawn_local(Box::pin(serve_stream(worker, shared, asked)));
                    begun += 1;
                    if begun >= at_once(under_way) {
                        begun = 0;
                        // Others begin theirs before this client goes on.
                        tokio::task::yield_now().await;
                    }
                }
                Turn::Refused(fault) => refusals.record(fault),
                Turn::Failed => {
                    is_shut = true;
                    shared.leaving.set(true);
                    shared.deadline.set(Instant::now() + PARTING);
                    if let Some(defence) = http2.defence() {
                        shared.defended(&worker, defence);
                    }
                    if let Some(violation) = http2.violation() {
                        tracing::debug!(reason = violation.reason(), client = %shared.connection.client, "HTTP/2 connection failed");
                        refusals.broken_off(violation, shared.streams.get());
                    } else if !http2.has_begun() {
                        refusals.never_began(Fault::ClientGone);
                    }
                }
                Turn::Ended => return,
            },
            Next::Waited => {
                pause = None;
                shared.trust.grows();
            }
            Next::Rapid => {
                shared.defended(&worker, Defence::RapidReset);
                refusals.broken_off(Violation::Excess, shared.streams.get());
                is_shut = true;
                shared.leave_at_once();
            }
            Next::HeadTimeout => {
                refusals.ends_for(Fault::HeadTimeout);
                is_shut = true;
                shared.leave_at_once();
            }
            Next::TooSlow => {
                shared.defended(&worker, Defence::SlowReader);
                refusals.ends_for(Fault::ClientTooSlow);
                // What waits will not be taken: nothing more is said.
                return;
            }
            Next::Idle if is_shut => return,
            Next::Idle if !has_begun => return refusals.never_began(Fault::HeadTimeout),
            Next::Idle if shared.streams.get() > 0 => shared.deadline.clear(),
            Next::Idle if !leaving && http2.patience().is_some() => {
                // The exchanges have ended, and a slow client is still taking what they left here.
                shared
                    .deadline
                    .set(Instant::now() + listener.deadlines.body);
            }
            Next::Idle if leaving => return refusals.ends_for(Fault::HeadTimeout),
            Next::Idle => {
                shared.leave(&worker, "idle_timeout");
                shared.deadline.set(Instant::now() + GOODBYE);
            }
            Next::Leave(reason) => {
                shared.leave(&worker, reason);
                if shared.streams.get() == 0 {
                    shared.deadline.set(Instant::now() + GOODBYE);
                }
            }
        }
    }
}

impl Shared {
    /// Tells the client to go away.
    fn leave(&self, worker: &Worker, reason: &'static str) {
        self.leaving.set(true);
        let metrics = &self.connection.listener.metrics;
        metrics.connection_ended(worker.id, reason);
        self.http2.leave();
    }

    /// Whether the client opens streams mostly in order to give them up, since each has cost a connect or a request
    /// upstream. Streams that are ended for their errors belong to them.
    fn is_rapid(&self, served: u64, refusals: &Refusals) -> bool {
        let wasted = self.given_up.get() + refusals.count();
        wasted >= self.connection.listener.limits.http2.cancelled
            && wasted.saturating_mul(2) > served + refusals.count()
    }

    /// A defence has ended the connection.
    fn defended(&self, worker: &Worker, defence: Defence) {
        let defence = defence.word();
        tracing::debug!(defence, client = %self.connection.client, "HTTP/2 connection ended");
        self.connection
            .listener
            .metrics
            .http2_defended(worker.id, defence);
    }

    /// Ends the connection with what is under way on it.
    fn leave_at_once(&self) {
        self.http2.leave_at_once();
        self.leaving.set(true);
        self.deadline.set(Instant::now() + GOODBYE);
    }
}

/// What a connection's task is woken for.
enum Next {
    Turn(Turn),
    /// A request has waited for its turn.
    Waited,
    /// The client gives up most of what it asks for.
    Rapid,
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

async fn serve_stream(worker: Rc<Worker>, shared: Rc<Shared>, asked: Asked) {
    let Asked {
        stream,
        mut scratch,
        length,
    } = asked;
    let _open = StreamOpen(&shared);
    let started = Instant::now();
    let deadline = worker.deadlines.register();
    let mut client = ClientH2::new(stream);
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
    if client.has_responded() {
        shared.trust.grows();
    } else {
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
        if self.0.http2.holds_request() {
            self.0.http2.wake();
        }
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
