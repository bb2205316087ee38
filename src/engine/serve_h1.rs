//! A client's HTTP/1 connection: one request after the other, in order.

use std::{
    future::poll_fn,
    pin::pin,
    rc::Rc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWriteExt;

use super::{
    body::{Fill, Source},
    client_h1::ClientH1,
    deadline::{Deadline, Expired},
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
        h1::{HeadScan, parse_request},
        request_body,
    },
};

/// The rest of an unwanted body that is read over, so that the connection can go on.
const DRAINED: u64 = 64 * 1024;
/// How long a refused client is listened to, so that it gets to read the refusal.
const LINGER: Duration = Duration::from_secs(2);

/// What became of the wait for a head.
enum Arrival {
    /// A head is in the scratch; its first byte came then.
    Head(Instant),
    /// What came is no request.
    Refused(Fault, Instant),
}

/// Serves a connection to its end.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    socket: Socket,
    ahead: BytesMut,
) {
    let deadline = worker.deadlines.register();
    let mut io = H1::new(socket, End::Client, ahead);
    let mut served: u64 = 0;
    loop {
        if let Wait::Over = wait_for_request(&worker, &connection, &mut io, &deadline, served).await
        {
            break;
        }
        let mut scratch = worker.scratch();
        io.outbound = worker.buffers.outbound();
        // Boxed, so that an idle connection does not hold the room that an exchange needs.
        let after = Box::pin(serve_one(
            &worker,
            &connection,
            &mut io,
            &mut scratch,
            &deadline,
            served,
        ))
        .await;
        worker.reuse(scratch);
        served += 1;
        match after {
            After::Keep => {}
            After::Linger => {
                linger(&mut io, &deadline).await;
                break;
            }
            After::Close => {
                if !matches!(io.socket, Socket::Plain(_)) {
                    // TLS has an end of its own that has to be said.
                    let _ = deadline.bound(pin!(io.socket.shutdown())).await;
                }
                break;
            }
            After::Cut => {
                io.socket.break_off();
                break;
            }
        }
        if io.inbound.is_empty() {
            worker.buffers.recycle(&mut io);
        }
    }
    worker.buffers.recycle(&mut io);
}

enum Wait {
    Ready,
    Over,
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

/// Waits for the first bytes of a request. Meanwhile the connection holds no buffer.
async fn wait_for_request(
    worker: &Rc<Worker>,
    connection: &Connection,
    io: &mut H1,
    deadline: &Deadline,
    served: u64,
) -> Wait {
    let deadlines = &connection.listener.deadlines;
    if io.inbound.is_empty() {
        let limit = if served == 0 {
            deadlines.head
        } else {
            deadlines.idle
        };
        deadline.set(Instant::now() + limit);
        let arrived = poll_fn(|cx| {
            // The mark may be left over from the last read, which took all there was.
            while io.socket.poll_readable(cx).is_ready() {
                io.inbound = worker.buffers.inbound();
                if let Poll::Ready(read) = io.poll_read(cx, SMALL) {
                    return Poll::Ready(matches!(read, Ok(true)));
                }
                worker.buffers.recycle(io);
            }
            if deadline.poll_expired(cx).is_ready()
                || worker.is_draining()
                || connection.retired.get()
            {
                return Poll::Ready(false);
            }
            Poll::Pending
        })
        .await;
        if !arrived {
            return Wait::Over;
        }
    }
    Wait::Ready
}

/// Serves one request.
async fn serve_one(
    worker: &Rc<Worker>,
    connection: &Rc<Connection>,
    io: &mut H1,
    scratch: &mut Scratch,
    deadline: &Deadline,
    served: u64,
) -> After {
    scratch.request.clear();
    let listener = &connection.listener;
    let (started, refusal) = match read_head(io, scratch, deadline, connection).await {
        Arrival::Head(started) => (started, None),
        Arrival::Refused(fault, started) => (started, Some(fault)),
    };
    let may_keep = refusal.is_none() && served + 1 < listener.limits.requests;
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

async fn read_head(
    io: &mut H1,
    scratch: &mut Scratch,
    deadline: &Deadline,
    connection: &Connection,
) -> Arrival {
    let started = Instant::now();
    let listener = &connection.listener;
    // The whole head has one deadline, whatever trickles in meanwhile.
    deadline.set(started + listener.deadlines.head);
    let mut scan = HeadScan::new();
    loop {
        match parse_request(
            &io.inbound,
            &mut scan,
            &listener.limits.head,
            &mut scratch.request,
        ) {
            Ok(Some(used)) => {
                io.inbound.advance(used);
                return Arrival::Head(started);
            }
            Ok(None) => {}
            Err(error) => return Arrival::Refused(Fault::Request(error), started),
        }
        match deadline.bound(poll_fn(|cx| io.poll_read(cx, SMALL))).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false) | Err(_)) => return Arrival::Refused(Fault::ClientGone, started),
            Err(Expired) => return Arrival::Refused(Fault::HeadTimeout, started),
        }
    }
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
