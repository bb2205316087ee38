//! Accepting: one listening socket of one worker, and what a connection goes through before its first request.

use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsRawFd,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;

use super::{
    deadline::Deadline,
    h1::poll_read_into,
    serve_h1, serve_h2,
    socket::Socket,
    worker::{Open, Worker, pause},
    workers::Gate,
};
use crate::{
    gateway::{Connection, TlsSession},
    http::h2::frame::PREFACE,
    listener::{
        accept::{AcceptFault, AcceptPause},
        admission::{Admitted, Full},
        clients::{ClientLimits, ClientPlace, ClientRefused},
        proxy_protocol::{self, ProxyHeader},
        tls::{HandshakeFault, TlsInfo, handshake_fault},
    },
    observe::metrics::{OpenConnection, Resumed},
    snapshot::ListenerPlan,
};

/// The longest PROXY header that is waited for.
const PROXY_HEADER: usize = proxy_protocol::MAX_BYTES;

/// One listening socket of one worker.
#[derive(Debug)]
pub(crate) struct Door {
    /// What holds for the connections that come in now. A reload replaces it; those that are in keep theirs.
    plan: RefCell<Arc<ListenerPlan>>,
    gate: Gate,
    closed: Notify,
    /// Shared with the connections that came in: whether the door is closed for good.
    retired: Rc<Cell<bool>>,
}

impl Door {
    pub(crate) fn new(plan: Arc<ListenerPlan>, gate: Gate) -> Rc<Self> {
        Rc::new(Self {
            plan: RefCell::new(plan),
            gate,
            closed: Notify::new(),
            retired: Rc::default(),
        })
    }

    /// Changes what holds for the connections that come in from now on.
    pub(crate) fn replace(&self, plan: Arc<ListenerPlan>) {
        self.plan.replace(plan);
    }

    /// Ends accepting, once what the kernel has accepted already is in.
    pub(crate) fn close(&self) {
        self.retired.set(true);
        self.closed.notify_one();
    }

    /// Accepts until the door is closed.
    pub(crate) async fn run(self: Rc<Self>, worker: Rc<Worker>, socket: TcpListener) {
        let mut backing_off = AcceptPause::new();
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = self.closed.notified() => break,
            };
            match accepted {
                Ok((tcp, _)) if worker.pressure.is_reserved(tcp.as_raw_fd()) => {
                    // Traffic has all the descriptors that it may have. Others wait in the kernel meanwhile.
                    drop(tcp);
                    self.exhausted(&worker, "descriptors_full");
                    pause(backing_off.lengthen()).await;
                }
                Ok((tcp, peer)) => {
                    backing_off = AcceptPause::new();
                    self.welcome(&worker, tcp, peer);
                }
                Err(error) => match AcceptFault::of(&error) {
                    AcceptFault::Gone => {}
                    fault @ AcceptFault::Exhausted => {
                        let plan = Arc::clone(&self.plan.borrow());
                        plan.metrics.connection_refused(worker.id, fault.reason());
                        tracing::warn!(%error, listener = %plan.name, "cannot accept for now");
                        pause(backing_off.lengthen()).await;
                    }
                    AcceptFault::Broken => {
                        tracing::error!(%error, listener = %self.plan.borrow().name, "accepting failed");
                        return;
                    }
                },
            }
        }
        // The kernel has told these clients that they are connected, and may not have told the runtime of them yet.
        let Ok(socket) = socket.into_std() else {
            return;
        };
        while let Ok((tcp, peer)) = accept_now(&socket) {
            self.welcome(&worker, tcp, peer);
        }
    }

    fn exhausted(&self, worker: &Worker, reason: &'static str) {
        let plan = self.plan.borrow();
        plan.metrics.connection_refused(worker.id, reason);
        tracing::warn!(listener = %plan.name, reason, "no descriptors left: accepting pauses");
    }

    fn welcome(self: &Rc<Self>, worker: &Rc<Worker>, tcp: TcpStream, peer: SocketAddr) {
        let plan = Arc::clone(&self.plan.borrow());
        let announced = is_announced(&plan, peer);
        let admitted = self
            .gate
            .admission
            .try_admit()
            .map_err(Full::reason)
            .and_then(|admitted| {
                // Whoever is announced by a PROXY header is looked at when it has come.
                let place = if announced {
                    None
                } else {
                    self.client_place(worker, &plan, peer.ip())?
                };
                Ok((admitted, place))
            });
        let admitted = match admitted {
            Ok(admitted) => admitted,
            Err(reason) => return plan.metrics.connection_refused(worker.id, reason),
        };
        tracing::debug!(listener = %plan.name, %peer, "connection accepted");
        let (admitted, place) = admitted;
        let held = Held {
            counted: plan.metrics.connection_opened(worker.id),
            open: worker.opened(),
            admitted,
            place,
        };
        let reception = Reception {
            worker: Rc::clone(worker),
            door: Rc::clone(self),
            plan,
            held,
            peer,
        };
        tokio::task::spawn_local(Life::Received(Box::pin(receive(reception, tcp))));
    }

    /// Takes a client's own place; `None` for a peer that stands for many clients.
    fn client_place(
        &self,
        worker: &Worker,
        plan: &ListenerPlan,
        client: IpAddr,
    ) -> Result<Option<ClientPlace>, &'static str> {
        if worker.snapshot().trusts(client) {
            return Ok(None);
        }
        let limits = ClientLimits {
            connections: plan.limits.client_connections,
            rate: plan.limits.client_rate,
            ipv6_prefix: plan.limits.ipv6_prefix,
        };
        let clients = self.gate.admission.clients();
        clients
            .admit(client, limits, Instant::now())
            .map(Some)
            .map_err(ClientRefused::reason)
    }
}

/// Whether that peer says in a PROXY header who the client is.
fn is_announced(plan: &ListenerPlan, peer: SocketAddr) -> bool {
    let peer = peer.ip().to_canonical();
    plan.proxy_protocol.iter().any(|net| net.contains(&peer))
}

/// What a connection holds to its end. Whatever ends it, a panic too, gives it back.
struct Held {
    #[expect(dead_code, reason = "held for what its drop gives back")]
    counted: OpenConnection,
    open: Open,
    #[expect(dead_code, reason = "held for what its drop gives back")]
    admitted: Admitted,
    /// The client's own place; `None` for one who stands for many, or has not been announced yet.
    place: Option<ClientPlace>,
}

impl Drop for Held {
    /// Counts a panic that no exchange has caught: it ends a connection, and the process goes on. The runtime drops the task
    /// while it unwinds.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let worker = self.open.worker();
            worker.metrics.gateway().panicked(worker.id);
        }
    }
}

/// A connection that has come in, and where it did.
struct Reception {
    worker: Rc<Worker>,
    door: Rc<Door>,
    plan: Arc<ListenerPlan>,
    held: Held,
    peer: SocketAddr,
}

/// A connection's service to its end.
type Service = Pin<Box<dyn Future<Output = ()>>>;

/// A connection as a task: a small one, since there are many that do nothing. Two boxes, one after the other, hold what it
/// does, so that one that is served does not hold the room for its reception. An `async` block would be twice as large.
enum Life<R> {
    Received(Pin<Box<R>>),
    Served {
        service: Service,
        #[expect(dead_code, reason = "held for what its drop gives back")]
        held: Held,
    },
}

impl<R: Future<Output = Option<(Held, Service)>>> Future for Life<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Received(received) = &mut *self {
            match ready!(received.as_mut().poll(cx)) {
                Some((held, service)) => *self = Self::Served { service, held },
                None => return Poll::Ready(()),
            }
        }
        match &mut *self {
            Self::Served { service, .. } => service.as_mut().poll(cx),
            Self::Received(_) => Poll::Pending,
        }
    }
}

/// Accepts a connection that is there.
fn accept_now(socket: &std::net::TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (tcp, peer) = socket.accept()?;
    tcp.set_nonblocking(true)?;
    Ok((TcpStream::from_std(tcp)?, peer))
}

/// Takes a connection from its first byte to its protocol. `None`: it has ended.
async fn receive(reception: Reception, tcp: TcpStream) -> Option<(Held, Service)> {
    let Reception {
        worker,
        door,
        plan,
        mut held,
        peer,
    } = reception;
    let deadline = worker.deadlines.register();
    deadline.set(Instant::now() + plan.deadlines.handshake);
    let mut connection = Connection {
        listener: Arc::clone(&plan),
        peer,
        client: peer,
        tls: None,
        requests: door.gate.requests.clone(),
        retired: Rc::clone(&door.retired),
    };
    if is_announced(&plan, peer) {
        match deadline.bound(Box::pin(read_proxy_header(&tcp))).await {
            Ok(Ok(ProxyHeader::Forwarded { source, .. })) => connection.client = source,
            Ok(Ok(ProxyHeader::Local)) => {}
            Ok(Err(reason)) => {
                plan.metrics.connection_refused(worker.id, reason);
                return None;
            }
            Err(_) => {
                let reason = "proxy_header_timeout";
                plan.metrics.connection_refused(worker.id, reason);
                return None;
            }
        }
        match door.client_place(&worker, &plan, connection.client.ip()) {
            Ok(place) => held.place = place,
            Err(reason) => {
                plan.metrics.connection_refused(worker.id, reason);
                return None;
            }
        }
    }
    let socket = match &plan.tls {
        None => Socket::Plain(tcp),
        Some(config) => {
            // Boxed, so that the connection does not carry the room for it to its end.
            let handshake = Box::pin(TlsAcceptor::from(Arc::clone(config)).accept(tcp));
            match deadline.bound(handshake).await {
                Ok(Ok(tls)) => {
                    let info = TlsInfo::of(tls.get_ref().1);
                    let resumed = if info.resumed {
                        Resumed::Yes
                    } else {
                        Resumed::No
                    };
                    plan.metrics.tls_handshake(worker.id, info.version, resumed);
                    if info.outlived_its_certificate(unix_now()) {
                        // A resumed session outlives the certificate it began with; the handshake does not look again.
                        let reason = HandshakeFault::CertificateExpired.reason();
                        plan.metrics.tls_handshake_failed(worker.id, reason);
                        return None;
                    }
                    connection.tls = Some(Box::new(session_of(&info)));
                    Socket::Accepted(Box::new(tls))
                }
                Ok(Err(error)) => {
                    let reason = handshake_fault(&error).reason();
                    tracing::debug!(%error, client = %connection.client, listener = %plan.name, "TLS handshake failed");
                    plan.metrics.tls_handshake_failed(worker.id, reason);
                    return None;
                }
                Err(_) => {
                    let reason = "tls_timeout";
                    plan.metrics.tls_handshake_failed(worker.id, reason);
                    return None;
                }
            }
        }
    };
    let connection = Rc::new(connection);
    let (arrival, speaks) = detect(&worker, &connection, socket, &deadline).await?;
    // The service has a deadline of its own, which may be the same cell.
    drop(deadline);
    let service: Service = match speaks {
        Speaks::Http1 => Box::pin(serve_h1::serve(worker, connection, arrival)),
        Speaks::Http2 => Box::pin(serve_h2::serve(worker, connection, arrival)),
    };
    Some((held, service))
}

/// A client whose protocol is known.
pub(crate) struct Arrival {
    pub(crate) socket: Socket,
    /// What was read to find out.
    pub(crate) ahead: BytesMut,
    /// When the first bytes of it came.
    pub(crate) heard: Option<Instant>,
    /// When the first head has to be there: one time for all that comes before it.
    pub(crate) head_by: Instant,
}

enum Speaks {
    Http1,
    Http2,
}

/// How long a client that has not said anything yet is listened to when the gateway would leave: it has been told that
/// it is connected, so its first request may be on its way.
pub(super) const LAST_CALL: Duration = Duration::from_secs(1);

/// Finds out what the client speaks: by ALPN, or by its first bytes.
async fn detect(
    worker: &Worker,
    connection: &Connection,
    mut socket: Socket,
    deadline: &Deadline,
) -> Option<(Arrival, Speaks)> {
    let head_by = Instant::now() + connection.listener.deadlines.head;
    let unread = |socket| Arrival {
        socket,
        ahead: BytesMut::new(),
        heard: None,
        head_by,
    };
    if let Socket::Accepted(tls) = &socket {
        let speaks = if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
            Speaks::Http2
        } else {
            Speaks::Http1
        };
        return Some((unread(socket), speaks));
    }
    if !connection.listener.h2c {
        return Some((unread(socket), Speaks::Http1));
    }
    deadline.set(head_by);
    let mut is_leaving = false;
    let heard = poll_fn(|cx| {
        if let Poll::Ready(outcome) = socket.poll_readable(cx) {
            return Poll::Ready(outcome.map_err(|_| None));
        }
        if !is_leaving && (worker.is_draining() || connection.retired.get()) {
            is_leaving = true;
            deadline.set(head_by.min(Instant::now() + LAST_CALL));
        }
        let late = if is_leaving {
            "draining"
        } else {
            "head_timeout"
        };
        deadline.poll_expired(cx).map(|_| Err(Some(late)))
    })
    .await;
    if let Err(late) = heard {
        if let Some(reason) = late {
            let metrics = &connection.listener.metrics;
            metrics.connection_ended(worker.id, reason);
        }
        return None;
    }
    let heard = Some(Instant::now());
    let mut ahead = worker.buffers.inbound();
    let speaks = loop {
        match deadline
            .bound(poll_fn(|cx| poll_read_into(&mut socket, &mut ahead, cx)))
            .await
        {
            Ok(Ok(0)) | Ok(Err(_)) if ahead.is_empty() => return None,
            // What came so far is for HTTP/1 to judge, and to record.
            Ok(Ok(0)) | Ok(Err(_)) | Err(_) => break Speaks::Http1,
            Ok(Ok(_)) => {}
        }
        if ahead.starts_with(PREFACE) {
            break Speaks::Http2;
        }
        if !PREFACE.starts_with(&ahead) {
            break Speaks::Http1;
        }
    };
    let arrival = Arrival {
        socket,
        ahead,
        heard,
        head_by,
    };
    Some((arrival, speaks))
}

/// Reads a PROXY header and not a byte more: what follows may be TLS.
async fn read_proxy_header(tcp: &TcpStream) -> Result<ProxyHeader, &'static str> {
    let mut header = Vec::with_capacity(256);
    let mut peeked = vec![0; PROXY_HEADER];
    loop {
        let gone = |_: io::Error| "proxy_header_cut_off";
        let count = tcp.peek(&mut peeked).await.map_err(gone)?;
        if count == 0 {
            return Err("proxy_header_cut_off");
        }
        let known = header.len();
        header.extend_from_slice(peeked.get(..count).unwrap_or_default());
        let parsed = proxy_protocol::parse(&header).map_err(|error| error.reason())?;
        // Until it is complete, all that is there belongs to the header.
        let used = parsed
            .as_ref()
            .map_or(count, |(length, _)| length.saturating_sub(known));
        take(tcp, &mut peeked, used).await.map_err(gone)?;
        if let Some((_, header)) = parsed {
            return Ok(header);
        }
    }
}

/// Takes bytes that were peeked at off the socket.
async fn take(tcp: &TcpStream, buffer: &mut [u8], count: usize) -> io::Result<()> {
    let mut left = count;
    while left > 0 {
        tcp.readable().await?;
        let room = buffer.get_mut(..left).unwrap_or_default();
        match tcp.try_read(room) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => left -= read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn unix_now() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        })
}

fn session_of(info: &TlsInfo) -> TlsSession {
    TlsSession {
        version: info.version,
        cipher: info.cipher,
        sni: info.sni.as_deref().unwrap_or_default().to_owned(),
        client_subject: info
            .client_certificate
            .as_ref()
            .and_then(|certificate| certificate.subject())
            .unwrap_or_default(),
    }
}
