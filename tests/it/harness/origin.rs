//! HTTP/1 origins on hyper, and addresses where nobody answers.

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::{Fields, within};

/// An origin; shows itself as its address, and dropping it closes its listener and its connections.
pub(crate) struct Origin {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// A request as the origin saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    /// Which of the origin's connections, counted from 0.
    pub(crate) connection: usize,
}

/// Holds the answers of an origin back until it is opened.
#[derive(Clone)]
pub(crate) struct Gate {
    waiting: watch::Sender<usize>,
    permits: Arc<Semaphore>,
}

impl Origin {
    /// An origin that answers 200 with this text.
    pub(crate) async fn answering(text: &'static str) -> Self {
        Self::http(move |_seen| async move { ok(text) }).await
    }

    /// An origin that answers 200 with this text, each answer when the gate lets it.
    pub(crate) async fn gated(text: &'static str) -> (Self, Gate) {
        let gate = Gate::new();
        (Self::behind(&gate, text).await, gate)
    }

    /// The same behind a gate that other origins may share.
    pub(crate) async fn behind(gate: &Gate, text: &'static str) -> Self {
        let gate = gate.clone();
        Self::http(move |_seen| {
            let gate = gate.clone();
            async move {
                gate.pass().await;
                ok(text)
            }
        })
        .await
    }

    /// An origin that answers what `handler` makes of the request.
    pub(crate) async fn http<H, F>(handler: H) -> Self
    where
        H: Fn(Seen) -> F + Send + Sync + 'static,
        F: Future<Output = http::Response<Full<Bytes>>> + Send + 'static,
    {
        Self::on(listen().await, None, handler)
    }

    /// The same over connections that take little of what nobody reads.
    pub(crate) fn narrowly<H, F>(handler: H) -> Self
    where
        H: Fn(Seen) -> F + Send + Sync + 'static,
        F: Future<Output = http::Response<Full<Bytes>>> + Send + 'static,
    {
        let socket = TcpSocket::new_v4().expect("a socket");
        narrow(&socket);
        socket
            .bind(SocketAddr::from(([127, 0, 0, 1], 0)))
            .expect("a port");
        Self::on(socket.listen(4096).expect("a listener"), None, handler)
    }

    /// The same behind TLS.
    pub(crate) async fn https<H, F>(tls: TlsAcceptor, handler: H) -> Self
    where
        H: Fn(Seen) -> F + Send + Sync + 'static,
        F: Future<Output = http::Response<Full<Bytes>>> + Send + 'static,
    {
        Self::on(listen().await, Some(tls), handler)
    }

    /// The same on an address that is known already.
    pub(crate) async fn answering_at(address: SocketAddr, text: &'static str) -> Self {
        let listener = TcpListener::bind(address).await.expect("the address");
        Self::on(listener, None, move |_seen| async move { ok(text) })
    }

    /// The same where nobody has listened so far, and where nobody else can begin to in between.
    pub(crate) fn listening(guard: TcpSocket, text: &'static str) -> Self {
        let listener = guard.listen(128).expect("a listener");
        Self::on(listener, None, move |_seen| async move { ok(text) })
    }

    fn on<H, F>(listener: TcpListener, tls: Option<TlsAcceptor>, handler: H) -> Self
    where
        H: Fn(Seen) -> F + Send + Sync + 'static,
        F: Future<Output = http::Response<Full<Bytes>>> + Send + 'static,
    {
        let address = listener.local_addr().expect("an address");
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let connections = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(serve(
            listener,
            tls,
            Arc::new(handler),
            Arc::clone(&seen),
            Arc::clone(&connections),
        ));
        Self {
            address,
            seen,
            connections,
            task,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request so far whose body has ended.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("the record").clone()
    }

    /// The only request so far.
    pub(crate) fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }

    /// How many connections have been accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Closes the listener and every connection, and waits until that is done.
    pub(crate) async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self {
            waiting: watch::Sender::new(0),
            permits: Arc::new(Semaphore::new(0)),
        }
    }

    /// Waits until the gate lets one through.
    pub(crate) async fn pass(&self) {
        self.waiting.send_modify(|count| *count += 1);
        self.permits.acquire().await.expect("the gate").forget();
    }

    /// Waits until this many requests have come to the gate in total.
    pub(crate) async fn reached(&self, count: usize) {
        let mut waiting = self.waiting.subscribe();
        within(
            &format!("{count} requests at the gate"),
            waiting.wait_for(|now| *now >= count),
        )
        .await
        .expect("the gate");
    }

    /// Lets this many through.
    pub(crate) fn release(&self, count: usize) {
        self.permits.add_permits(count);
    }

    /// Lets everyone through, now and later.
    pub(crate) fn open(&self) {
        self.permits.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

/// An address that refuses connections as long as the guard lives.
pub(crate) fn refusing_address() -> (SocketAddr, TcpSocket) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a bound socket");
    (socket.local_addr().expect("an address"), socket)
}

/// An address where a connection attempt gets no answer as long as the guards live: its accept queue is full.
pub(crate) async fn blackhole() -> (SocketAddr, TcpListener, TcpStream) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a bound socket");
    let listener = socket.listen(0).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let filler = TcpStream::connect(address).await.expect("a connection");
    (address, listener, filler)
}

pub(crate) fn ok(text: impl Into<Bytes>) -> http::Response<Full<Bytes>> {
    http::Response::new(Full::new(text.into()))
}

/// Bounds what the kernel takes for both ends of a connection when nobody reads.
pub(crate) fn narrow(socket: &TcpSocket) {
    const BUFFER: usize = 16 * 1024;
    const PACKET: u32 = 1400;
    let socket = socket2::SockRef::from(socket);
    socket.set_tcp_mss(PACKET).expect("TCP_MAXSEG");
    socket.set_recv_buffer_size(BUFFER).expect("SO_RCVBUF");
    socket.set_send_buffer_size(BUFFER).expect("SO_SNDBUF");
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a listener")
}

async fn serve<H, F>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    handler: Arc<H>,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
) where
    H: Fn(Seen) -> F + Send + Sync + 'static,
    F: Future<Output = http::Response<Full<Bytes>>> + Send + 'static,
{
    // Dropping the set with this task ends the connections as well.
    let mut tasks = JoinSet::new();
    while let Ok((stream, _peer)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let connection = connections.fetch_add(1, Ordering::SeqCst);
        let (handler, seen, tls) = (Arc::clone(&handler), Arc::clone(&seen), tls.clone());
        tasks.spawn(async move {
            let service = service_fn(move |request: http::Request<Incoming>| {
                let (handler, seen) = (Arc::clone(&handler), Arc::clone(&seen));
                async move {
                    let Some(request) = read(request, connection).await else {
                        return Ok::<_, Infallible>(ok(""));
                    };
                    seen.lock().expect("the record").push(request.clone());
                    Ok(handler(request).await)
                }
            });
            let http = hyper::server::conn::http1::Builder::new();
            match tls {
                None => {
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                }
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        let _ = http.serve_connection(TokioIo::new(stream), service).await;
                    }
                }
            }
        });
    }
}

/// The whole request, or nothing when its body was cut off.
async fn read(request: http::Request<Incoming>, connection: usize) -> Option<Seen> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.ok()?;
    Some(Seen {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        fields: fields(&parts.headers),
        body: body.to_bytes().to_vec(),
        connection,
    })
}

pub(super) fn fields(map: &http::HeaderMap) -> Fields {
    let mut fields = Fields::default();
    for (name, value) in map {
        fields.push(name.as_str(), value.as_bytes());
    }
    fields
}
