//! A client's HTTP/1 connection: one request after the other, in order.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Buf;
use tokio::io::AsyncWriteExt;

use super::{
    age::end_of_life,
    body::{Fill, Source},
    client_h1::{ClientH1, DRAINED},
    deadline::{Deadline, Expired},
    door::{Arrival, LAST_CALL},
    exchange::{Carrier, Scratch},
    h1::{End, H1, SMALL},
    record::Recorded,
    socket::Socket,
    unwind::unwinding,
    worker::Worker,
};
use crate::{
    gateway::{Connection, Fault},
    http::{
        BodyLength,
        h1::{HeadScan, parse_request, read_method},
        request_body,
    },
};

/// How long a refused client is listened to, so that it gets to read the refusal.
const LINGER: Duration = Duration::from_secs(2);

/// Serves a connection to its end.
///
/// What an idle connection holds is mostly this future, and there may be many of them. So it is no `async fn`, which
/// holds its arguments a second time as its own, and what it seldom waits for is boxed.
pub(crate) fn serve(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    Arrival {
        socket,
        ahead,
        mut heard,
        head_by,
    }: Arrival,
) -> impl Future<Output = ()> {
    let until = end_of_life(&worker, &connection);
    let mut client = Client {
        deadline: worker.deadlines.register(),
        io: H1::new(socket, End::Client, ahead),
        worker,
        connection,
    };
    let mut served: u64 = 0;
    async move {
        loop {
            if client.io.inbound.is_empty() {
                match client.next(head_by, served == 0).await {
                    Arrived::Bytes => {}
                    Arrived::End => break,
                    Arrived::Never(reason) => {
                        let metrics = &client.connection.listener.metrics;
                        metrics.connection_ended(client.worker.id, reason);
                        break;
                    }
                }
            }
            served += 1;
            let Client {
                worker,
                connection,
                io,
                deadline,
            } = &mut client;
            let started = heard.take().unwrap_or_else(Instant::now);
            let head_by = if served == 1 {
                head_by
            } else {
                started + connection.listener.deadlines.head
            };
            let last = if served >= connection.listener.limits.requests {
                Some("max_requests")
            } else {
                until
                    .is_some_and(|until| until <= started)
                    .then_some("max_connection_age")
            };
            let mut scratch = worker.scratch();
            io.outbound = worker.buffers.outbound();
            // Boxed, so that an idle connection does not hold the room that an exchange needs.
            let after = Box::pin(serve_one(
                worker,
                connection,
                io,
                &mut scratch,
                deadline,
                (started, head_by, last),
            ))
            .await;
            client.worker.reuse(scratch);
            match after {
                After::Keep => {}
                After::Linger => {
                    Box::pin(linger(&mut client.io, &client.deadline)).await;
                    break;
                }
                After::Close => {
                    if !matches!(client.io.socket, Socket::Plain(_)) {
                        // TLS has an end of its own that has to be said.
                        let end = pin!(client.io.socket.shutdown());
                        let _ = client.deadline.bound(end).await;
                    }
                    break;
                }
                After::Cut => {
                    client.io.socket.break_off();
                    break;
                }
            }
            if client.io.inbound.is_empty() {
                client.worker.buffers.recycle(&mut client.io);
            }
        }
        client.worker.buffers.recycle(&mut client.io);
    }
}

/// A client whose requests are served, and what serves it.
struct Client {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    io: H1,
    deadline: Deadline,
}

impl Client {
    /// Waits for the first bytes of a request. Meanwhile the connection holds no buffer. The head of the first one has to
    /// be there at `head_by`.
    fn next(&mut self, head_by: Instant, is_first: bool) -> Waiting<'_> {
        let idle = self.connection.listener.deadlines.idle;
        self.deadline.set(if is_first {
            head_by
        } else {
            Instant::now() + idle
        });
        Waiting {
            client: self,
            first: is_first.then_some(head_by),
            is_leaving: false,
        }
    }
}

/// How the wait for the first bytes of a request ended.
enum Arrived {
    Bytes,
    /// The client has left.
    End,
    /// The gateway waits no longer, for that reason.
    Never(&'static str),
}

/// What becomes of a connection after an exchange.
enum After {
    /// It carries another request.
    Keep,
    /// It ends in order, and the client may still send.
    Linger,
    /// It ends in order, and the client has nothing more to send.
    Close,
    /// It breaks off: an orderly end would be taken for the end of the response.
    Cut,
}

/// The wait of [`Client::next`].
struct Waiting<'a> {
    client: &'a mut Client,
    /// When the head of a connection's first request has to be there. That one is not refused for what the gateway is
    /// short of.
    first: Option<Instant>,
    /// Whether the gateway would leave, and listens to a client that it has not heard yet.
    is_leaving: bool,
}

impl Future for Waiting<'_> {
    type Output = Arrived;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Arrived> {
        let Self {
            client,
            first,
            is_leaving,
        } = &mut *self;
        let Client {
            worker,
            connection,
            io,
            deadline,
        } = &mut **client;
        // The mark may be left over from the last read, which took all there was.
        while io.socket.poll_readable(cx).is_ready() {
            io.inbound = worker.buffers.inbound();
            if let Poll::Ready(read) = io.poll_read(cx, SMALL) {
                return Poll::Ready(match read {
                    Ok(true) => Arrived::Bytes,
                    Ok(false) | Err(_) => Arrived::End,
                });
            }
            worker.buffers.recycle(io);
        }
        let parting = if connection.retired.get() {
            Some("draining")
        } else {
            worker.parting()
        };
        match (parting, *first) {
            (Some(reason), None) => return Poll::Ready(Arrived::Never(reason)),
            (Some("draining"), Some(head_by)) if !*is_leaving => {
                *is_leaving = true;
                deadline.set(head_by.min(Instant::now() + LAST_CALL));
            }
            _ => {}
        }
        let late = match first {
            _ if *is_leaving => "draining",
            Some(_) => "head_timeout",
            None => "idle_timeout",
        };
        deadline.poll_expired(cx).map(|_| Arrived::Never(late))
    }
}

/// Serves one request, whose first bytes came at `started` and whose head must be there at `head_by`. `last` is why the
/// gateway takes no other one after it.
async fn serve_one(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    io: &mut H1,
    scratch: &mut Scratch,
    deadline: &Deadline,
    (started, head_by, last): (Instant, Instant, Option<&'static str>),
) -> After {
    scratch.request.clear();
    deadline.set(head_by);
    let refusal = read_head(io, scratch, deadline, connection).await.err();
    let may_keep = refusal.is_none() && last.is_none();
    let mut recorded = Recorded::begin(worker, connection, scratch, started);
    let (length, refusal) = match refusal {
        Some(fault) => (BodyLength::Empty, Some(fault)),
        None => match request_body(&recorded.scratch.request) {
            Ok(length) => (length, None),
            Err(error) => (BodyLength::Empty, Some(Fault::Request(error))),
        },
    };
    io.expect_body(length);
    let mut client = ClientH1::new(
        (worker, connection),
        io,
        &recorded.scratch.request,
        may_keep && refusal.is_none(),
    );
    let mut carrier = Carrier::new(worker, &mut client, deadline, &mut recorded);
    let panicked = match refusal {
        None => unwinding(pin!(carrier.run(length))).await.is_err(),
        Some(fault) => unwinding(pin!(carrier.give_up(fault))).await.is_err(),
    };
    if panicked {
        worker.metrics.gateway().panicked(worker.id);
        client.keep = false;
        let mut carrier = Carrier::new(worker, &mut client, deadline, &mut recorded);
        carrier.give_up(Fault::Internal).await;
    }
    let (keep, waits) = (client.keep, client.awaits_continue);
    let (aborted, until_close) = (client.aborted, client.until_close);
    let is_last = refusal.is_none() && client.is_last;
    drop(recorded);
    let why = match worker.parting() {
        _ if last.is_some() => last,
        None if connection.retired.get() => Some("draining"),
        parting => parting,
    };
    if let Some(reason) = why.filter(|_| refusal.is_none() && !aborted && !keep && !is_last) {
        let metrics = &connection.listener.metrics;
        metrics.connection_ended(worker.id, reason);
    }
    if aborted {
        // Nothing more may be written: the end of the connection is what tells the client.
        io.outbound.clear();
        return if until_close {
            After::Cut
        } else {
            After::Linger
        };
    }
    if keep && (io.is_read() || (!waits && read_over(io, deadline).await)) {
        After::Keep
    } else if is_last && io.is_read() && io.inbound.is_empty() && io.is_written() {
        After::Close
    } else {
        After::Linger
    }
}

/// Reads a whole head, which has one deadline whatever trickles in meanwhile.
async fn read_head(
    io: &mut H1,
    scratch: &mut Scratch,
    deadline: &Deadline,
    connection: &Connection,
) -> Result<(), Fault> {
    let limits = &connection.listener.limits.head;
    let mut scan = HeadScan::new();
    let fault = loop {
        match parse_request(&io.inbound, &mut scan, limits, &mut scratch.request) {
            Ok(Some(used)) => {
                io.inbound.advance(used);
                return Ok(());
            }
            Ok(None) => {}
            Err(error) => return Err(Fault::Request(error)),
        }
        match deadline.bound(poll_fn(|cx| io.poll_read(cx, SMALL))).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false) | Err(_)) => break Fault::ClientGone,
            Err(Expired) => break Fault::HeadTimeout,
        }
    };
    read_method(&io.inbound, &scan, &mut scratch.request);
    Err(fault)
}

/// Reads over the rest of a body that nobody wanted, if it is short, so that what follows it is the next request.
async fn read_over(io: &mut H1, deadline: &Deadline) -> bool {
    if !io.rest_within(DRAINED) {
        return false;
    }
    let mut left = DRAINED;
    deadline.set(Instant::now() + LINGER);
    let read = deadline
        .bound(poll_fn(|cx| {
            loop {
                match std::task::ready!(io.poll_fill(cx)) {
                    Ok(Fill::Data) => {
                        let piece = io.chunk().len();
                        io.consume(piece);
                        match left.checked_sub(piece as u64) {
                            Some(rest) => left = rest,
                            None => return Poll::Ready(false),
                        }
                    }
                    Ok(Fill::End) => {
                        drop(io.trailers());
                        return Poll::Ready(true);
                    }
                    Err(_) => return Poll::Ready(false),
                }
            }
        }))
        .await;
    read == Ok(true)
}

/// Closes our direction and listens a little longer: closing at once with bytes unread would make the kernel reset the
/// connection, and the client would lose what it was told.
async fn linger(io: &mut H1, deadline: &Deadline) {
    deadline.set(Instant::now() + LINGER);
    let mut left = DRAINED as usize;
    let _ = deadline
        .bound(pin!(async {
            let _ = io.socket.shutdown().await;
            while let Ok(true) = poll_fn(|cx| io.poll_read(cx, SMALL)).await {
                match left.checked_sub(io.inbound.len()) {
                    Some(rest) => left = rest,
                    None => break,
                }
                io.inbound.clear();
            }
        }))
        .await;
}
