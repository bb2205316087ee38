//! Accepting: one listening socket of one worker, and what a connection goes through before its first request.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Instant,
};

use bytes::BytesMut;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;

use super::{
    deadline::Deadline,
    frames::PREFACE,
    h1::poll_read_into,
    serve_h1, serve_h2,
    socket::Socket,
    worker::{Worker, pause},
};
use crate::{
    gateway::{Connection, TlsSession},
    listener::{
        accept::{AcceptFault, AcceptPause},
        admission::{Admission, Full},
        proxy_protocol::{self, ProxyHeader},
        tls::{HandshakeFault, TlsInfo, handshake_fault},
    },
    observe::metrics::Resumed,
    snapshot::ListenerPlan,
};

/// The longest PROXY header that is waited for.
const PROXY_HEADER: usize = proxy_protocol::MAX_BYTES;

/// One listening socket of one worker.
#[derive(Debug)]
pub(crate) struct Door {
    /// What holds for the connections that come in now. A reload replaces it; those that are in keep theirs.
    plan: RefCell<Arc<ListenerPlan>>,
    admission: Admission,
    closed: Notify,
    /// Shared with the connections that came in: whether the door is closed for good.
    retired: Rc<Cell<bool>>,
}

impl Door {
    pub(crate) fn new(plan: Arc<ListenerPlan>, admission: Admission) -> Rc<Self> {
        Rc::new(Self {
            plan: RefCell::new(plan),
            admission,
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
                Ok((tcp, peer)) => {
                    backing_off = AcceptPause::new();
                    self.welcome(&worker, tcp, peer);
                }
                Err(error) => match AcceptFault::of(&error) {
                    AcceptFault::Gone => {}
                    AcceptFault::Exhausted => {
                        tracing::warn!(%error, listener = %self.plan.borrow().name, "cannot accept for now");
                        pause(backing_off.lengthen()).await;
                    }
                    AcceptFault::Broken => {
                        tracing::error!(%error, listener = %self.plan.borrow().name, "accepting failed");
                        return;
                    }
                },
            }
        }
        // The kernel has told these clients that they are connected.
        while let Some((tcp, peer)) = accept_now(&socket).await {
            self.welcome(&worker, tcp, peer);
        }
    }

    fn welcome(&self, worker: &Rc<Worker>, tcp: TcpStream, peer: SocketAddr) {
        let plan = Arc::clone(&self.plan.borrow());
        let admitted = match self.admission.try_admit() {
            Ok(admitted) => admitted,
            Err(full) => {
                let reason = match full {
                    Full::Listener => "listener_full",
                    Full::Process => "process_full",
                };
                plan.metrics.connection_refused(worker.id, reason);
                return;
            }
        };
        let worker = Rc::clone(worker);
        let open = worker.opened();
        let retired = Rc::clone(&self.retired);
        tracing::debug!(listener = %plan.name, %peer, "connection accepted");
        tokio::task::spawn_local(async move {
            plan.metrics.connection_opened(worker.id);
            receive(&worker, &plan, tcp, peer, retired).await;
            plan.metrics.connection_closed(worker.id);
            drop((open, admitted));
        });
    }
}

async fn accept_now(socket: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    poll_fn(|cx| match socket.poll_accept(cx) {
        Poll::Ready(accepted) => Poll::Ready(accepted.ok()),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// Takes a connection from its first byte to its protocol.
async fn receive(
    worker: &Rc<Worker>,
    plan: &Arc<ListenerPlan>,
    tcp: TcpStream,
    peer: SocketAddr,
    retired: Rc<Cell<bool>>,
) {
    let deadline = worker.deadlines.register();
    deadline.set(Instant::now() + plan.deadlines.handshake);
    let mut connection = Connection {
        listener: Arc::clone(plan),
        peer,
        client: peer,
        tls: None,
        retired,
    };
    let announced = plan
        .proxy_protocol
        .iter()
        .any(|net| net.contains(&peer.ip().to_canonical()));
    if announced {
        match deadline.bound(Box::pin(read_proxy_header(&tcp))).await {
            Ok(Ok(ProxyHeader::Forwarded { source, .. })) => connection.client = source,
            Ok(Ok(ProxyHeader::Local)) => {}
            Ok(Err(reason)) => return plan.metrics.connection_refused(worker.id, reason),
            Err(_) => {
                return plan
                    .metrics
                    .connection_refused(worker.id, "proxy_header_timeout");
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
                        return plan.metrics.tls_handshake_failed(
                            worker.id,
                            HandshakeFault::CertificateExpired.reason(),
                        );
                    }
                    connection.tls = Some(session_of(&info));
                    Socket::Accepted(Box::new(tls))
                }
                Ok(Err(error)) => {
                    let reason = handshake_fault(&error).reason();
                    tracing::debug!(%error, client = %connection.client, listener = %plan.name, "TLS handshake failed");
                    return plan.metrics.tls_handshake_failed(worker.id, reason);
                }
                Err(_) => {
                    return plan.metrics.tls_handshake_failed(worker.id, "tls_timeout");
                }
            }
        }
    };
    let (worker, connection) = (Rc::clone(worker), Rc::new(connection));
    match detect(&worker, &connection, socket, &deadline).await {
        Some((socket, ahead, Speaks::Http1)) => {
            drop(deadline);
            Box::pin(serve_h1::serve(worker, connection, socket, ahead)).await;
        }
        Some((socket, ahead, Speaks::Http2)) => {
            drop(deadline);
            Box::pin(serve_h2::serve(worker, connection, socket, ahead)).await;
        }
        None => {}
    }
}

enum Speaks {
    Http1,
    Http2,
}

/// Finds out what the client speaks: by ALPN, or by its first bytes.
async fn detect(
    worker: &Worker,
    connection: &Connection,
    mut socket: Socket,
    deadline: &Deadline,
) -> Option<(Socket, BytesMut, Speaks)> {
    if let Socket::Accepted(tls) = &socket {
        let speaks = if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
            Speaks::Http2
        } else {
            Speaks::Http1
        };
        return Some((socket, BytesMut::new(), speaks));
    }
    if !connection.listener.h2c {
        return Some((socket, BytesMut::new(), Speaks::Http1));
    }
    deadline.set(Instant::now() + connection.listener.deadlines.head);
    let readable = poll_fn(|cx| {
        if let Poll::Ready(outcome) = socket.poll_readable(cx) {
            return Poll::Ready(outcome.is_ok());
        }
        if deadline.poll_expired(cx).is_ready() || worker.is_draining() || connection.retired.get()
        {
            return Poll::Ready(false);
        }
        Poll::Pending
    })
    .await;
    if !readable {
        return None;
    }
    let mut ahead = worker.buffers.inbound();
    loop {
        match deadline
            .bound(poll_fn(|cx| poll_read_into(&mut socket, &mut ahead, cx)))
            .await
        {
            Ok(Ok(0)) | Ok(Err(_)) if ahead.is_empty() => return None,
            // What came so far is for HTTP/1 to judge, and to record.
            Ok(Ok(0)) | Ok(Err(_)) | Err(_) => return Some((socket, ahead, Speaks::Http1)),
            Ok(Ok(_)) => {}
        }
        if ahead.starts_with(PREFACE) {
            return Some((socket, ahead, Speaks::Http2));
        }
        if !PREFACE.starts_with(&ahead) {
            return Some((socket, ahead, Speaks::Http1));
        }
    }
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
