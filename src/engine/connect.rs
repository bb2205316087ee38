//! New connections to endpoints.

use std::{
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    os::fd::AsRawFd,
    pin::pin,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::{
    deadline::Deadline,
    h2::{Http2, Terms},
    pace::Pace,
    places,
    pool::{MOST_STREAMS, PoolKey, Shared, StreamSlot},
    socket::{Socket, server_name},
    upstream::HEAD_LIMITS,
    worker::Worker,
};
use crate::{
    balance::{Endpoint, OpenConnection},
    gateway::{Exchange, Fault},
    snapshot::{FrameLimits, ServerIdentity, Upstream},
};

/// Windows for what endpoints send: large enough for one fast stream, bounded for a hostile endpoint. The connection has
/// room for all streams: clients that do not read hold back theirs and nobody else's.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * MOST_STREAMS as u32;
/// What an endpoint may do. It is trusted with more frames than a client, and not with any number.
const TERMS: Terms = Terms {
    streams: 0,
    head: HEAD_LIMITS,
    stream_window: STREAM_WINDOW,
    connection_window: CONNECTION_WINDOW,
    send_buffer: 256 * 1024,
    error_resets: 1024,
    frames: FrameLimits {
        period: Duration::from_secs(10),
        settings: 1000,
        pings: 10_000,
        priorities: 10_000,
        window_updates: 100_000,
        unknown: 10_000,
        small_pieces: u32::MAX,
    },
    pace: Pace::new(0, Duration::MAX),
};

/// What makes two connections to this endpoint different.
pub(crate) const fn pool_key(endpoint: &Endpoint) -> PoolKey {
    PoolKey {
        connection: endpoint.connection,
        address: endpoint.address,
    }
}

/// How long connecting may take, whatever it consists of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience<'a> {
    deadline: &'a Deadline,
    /// When the attempt began.
    pub(crate) began: Instant,
    /// The end of the upstream's time for connecting, and of the attempt.
    connect: Instant,
    /// The time for TLS alone.
    tls: Option<Duration>,
    /// The end of the whole exchange, and what that is called.
    whole: Option<(Instant, Fault)>,
}

impl<'a> Patience<'a> {
    pub(crate) fn new(
        deadline: &'a Deadline,
        upstream: &Upstream,
        exchange: &Exchange,
        began: Instant,
    ) -> Self {
        let times = exchange
            .connect_timeouts()
            .unwrap_or(upstream.timeouts.connect);
        let own = exchange.per_try().unwrap_or(times.whole);
        Self {
            deadline,
            began,
            connect: began + own.min(times.whole),
            tls: times.tls,
            whole: exchange.ends_at(),
        }
    }

    /// The same for the TLS handshake, if it begins now.
    fn for_tls(self) -> Self {
        let end = self.tls.map(|time| Instant::now() + time);
        Self {
            connect: end.map_or(self.connect, |end| end.min(self.connect)),
            ..self
        }
    }

    pub(crate) async fn bound<T>(
        &self,
        step: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        let (end, fault) = match self.whole {
            Some((whole, fault)) if whole < self.connect => (whole, fault),
            _ => (self.connect, Fault::ConnectTimeout),
        };
        self.deadline.set(end);
        self.deadline.bound(pin!(step)).await.unwrap_or(Err(fault))
    }
}

/// A new byte stream to the endpoint, TLS included.
pub(crate) async fn connect(
    worker: &Worker,
    upstream: &Upstream,
    endpoint: &Endpoint,
    patience: Patience<'_>,
) -> Result<Socket, Fault> {
    // Seldom, and large: they do not make every exchange's future larger.
    let tcp = patience.bound(Box::pin(open(worker, endpoint))).await?;
    let socket = match &upstream.transport.tls {
        None => Socket::Plain(tcp),
        Some(tls) => {
            patience
                .for_tls()
                .bound(Box::pin(secure(upstream, endpoint, tls, tcp)))
                .await?
        }
    };
    endpoint.metrics.connection_opened(worker.id);
    Ok(socket)
}

/// A place on an HTTP/2 connection to the endpoint, on one that is open (`true`) or on a new one.
pub(crate) async fn stream_slot(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    endpoint: &Endpoint,
    patience: Patience<'_>,
) -> Result<(StreamSlot, bool), Fault> {
    let shared = worker.pools.shared(pool_key(endpoint));
    loop {
        if let Some(slot) = shared.usable() {
            return Ok((slot, true));
        }
        if let Some(_turn) = shared.turn() {
            let leave = leave_for_streams(worker, upstream, endpoint, &shared)?;
            let socket = connect(worker, upstream, endpoint, patience).await?;
            let http2 = speak_http2(worker, socket)?;
            let slot = shared.add(http2, leave, upstream.timeouts.idle);
            return Ok((slot, false));
        }
        // Somebody else connects: its success serves us too, its failure makes it our turn.
        patience
            .bound(async {
                shared.outcome().await;
                Ok(())
            })
            .await?;
    }
}

/// Leave for one more HTTP/2 connection. The first one of a worker needs none: there is no sharing it between threads.
fn leave_for_streams(
    worker: &Rc<Worker>,
    upstream: &Upstream,
    endpoint: &Endpoint,
    shared: &Shared,
) -> Result<OpenConnection, Fault> {
    endpoint.state.bells().add(&worker.bell);
    let Some(limits) = places::limits(upstream) else {
        return Ok(OpenConnection::counted(endpoint));
    };
    match places::at_once(worker, endpoint, limits) {
        Ok(open) => Ok(open),
        Err(_) if shared.is_empty() => Ok(OpenConnection::counted(endpoint)),
        Err(_) => Err(Fault::UpstreamOverloaded),
    }
}

async fn open(worker: &Worker, endpoint: &Endpoint) -> Result<TcpStream, Fault> {
    let socket = match endpoint.address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let socket = socket.map_err(|error| connect_fault(&error))?;
    // Before the wait for the endpoint, which may be long.
    if worker.pressure.is_reserved(socket.as_raw_fd()) {
        return Err(Fault::NoDescriptors);
    }
    let connecting = socket.connect(endpoint.address);
    let tcp = connecting.await.map_err(|error| connect_fault(&error))?;
    // A socket that cannot be told so still works.
    let _ = tcp.set_nodelay(true);
    Ok(tcp)
}

async fn secure(
    upstream: &Upstream,
    endpoint: &Endpoint,
    tls: &ServerIdentity,
    tcp: TcpStream,
) -> Result<Socket, Fault> {
    let name = server_name(tls.name.as_ref(), &endpoint.host).ok_or(Fault::UpstreamTls)?;
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    match connector.connect(name, tcp).await {
        Ok(stream) => Ok(Socket::Connected(Box::new(stream))),
        Err(error) => {
            tracing::debug!(
                upstream = %upstream.name,
                endpoint = %endpoint.address,
                %error,
                "TLS with the endpoint failed"
            );
            Err(Fault::UpstreamTls)
        }
    }
}

/// Whose fault it is that there is no connection.
fn connect_fault(error: &io::Error) -> Fault {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    match error.raw_os_error() {
        Some(ENFILE | EMFILE) => Fault::NoDescriptors,
        _ => Fault::ConnectFailed,
    }
}

/// Starts HTTP/2 and the task that drives the connection.
fn speak_http2(worker: &Rc<Worker>, mut socket: Socket) -> Result<Rc<Http2>, Fault> {
    if let Socket::Connected(tls) = &socket
        && tls.get_ref().1.alpn_protocol() != Some(b"h2")
    {
        return Err(Fault::UpstreamTls);
    }
    let http2 = Http2::asking(worker, TERMS);
    let driven = Rc::clone(&http2);
    tokio::task::spawn_local(async move {
        poll_fn(|cx| driven.poll_run(cx, &mut socket)).await;
        driven.abandon();
    });
    Ok(http2)
}
