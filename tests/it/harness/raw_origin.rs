//! Origins that send exact bytes, and one that judges every byte it gets.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::{Broken, Connection, RequestMessage, within};

/// An origin whose connections follow a script.
pub(crate) struct RawOrigin {
    address: SocketAddr,
    /// What each connection has brought, growing.
    connections: watch::Receiver<Vec<watch::Receiver<Vec<u8>>>>,
    failed: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

/// An origin that reads requests strictly, answers each with 200 and remembers everything.
pub(crate) struct RecordingOrigin {
    origin: RawOrigin,
    record: watch::Receiver<Arrivals>,
}

/// What a `RecordingOrigin` has got so far.
#[derive(Clone, Debug, Default)]
struct Arrivals {
    /// The whole requests in the order in which they were complete.
    requests: Vec<RequestMessage>,
    connections: Vec<OriginConnection>,
}

/// How one connection of a `RecordingOrigin` went.
#[derive(Clone, Debug, Default)]
pub(crate) struct OriginConnection {
    /// How many requests were whole.
    pub(crate) whole: usize,
    /// How many bytes those were.
    bytes: usize,
    /// How it ended, once it has.
    pub(crate) end: Option<String>,
    /// Whether it ended inside a request.
    pub(crate) partial: bool,
    /// Whether it brought bytes that are no request.
    pub(crate) malformed: bool,
}

impl RawOrigin {
    /// Runs `script` for each connection; the first argument counts them from 0.
    pub(crate) async fn start<S, F>(script: S) -> Self
    where
        S: Fn(usize, Connection) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start_on(None, script).await
    }

    /// The same behind TLS.
    pub(crate) async fn start_tls<S, F>(tls: TlsAcceptor, script: S) -> Self
    where
        S: Fn(usize, Connection) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start_on(Some(tls), script).await
    }

    /// Answers each request on each connection with these bytes.
    pub(crate) async fn answering(bytes: &'static [u8]) -> Self {
        Self::start(move |_, mut connection| async move {
            while connection.request().await.is_ok() {
                if connection.try_send(bytes).await.is_err() {
                    return;
                }
            }
        })
        .await
    }

    async fn start_on<S, F>(tls: Option<TlsAcceptor>, script: S) -> Self
    where
        S: Fn(usize, Connection) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let (kept, connections) = watch::channel(Vec::new());
        let failed: Arc<Mutex<Option<String>>> = Arc::default();
        let failure = Arc::clone(&failed);
        let task = tokio::spawn(async move {
            let mut scripts = JoinSet::new();
            let mut count = 0;
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((stream, _peer)) = accepted else { return };
                        let connection = match &tls {
                            None => Connection::new(stream),
                            Some(tls) => match tls.accept(stream).await {
                                Ok(stream) => Connection::new(stream),
                                Err(_) => continue,
                            },
                        };
                        kept.send_modify(|all| all.push(connection.received()));
                        scripts.spawn(script(count, connection));
                        count += 1;
                    }
                    Some(ended) = scripts.join_next() => {
                        if let Err(error) = ended {
                            *failure.lock().expect("the failure") = Some(error.to_string());
                        }
                    }
                }
            }
        });
        Self {
            address,
            connections,
            failed,
            task,
        }
    }

    /// How many connections have been accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.borrow().len()
    }

    /// Everything that the connection of this number has brought so far.
    pub(crate) fn received(&self, connection: usize) -> Vec<u8> {
        self.connections.borrow()[connection].borrow().clone()
    }

    /// Waits until the connection of this number has brought these bytes.
    pub(crate) async fn until_received(&self, connection: usize, bytes: &[u8]) {
        let mut connections = self.connections.clone();
        let arrival = async {
            let mut received = connections
                .wait_for(|all| all.len() > connection)
                .await
                .expect("the origin")[connection]
                .clone();
            let contains = |all: &Vec<u8>| all.windows(bytes.len()).any(|part| part == bytes);
            received.wait_for(contains).await.expect("the connection");
        };
        within("bytes at the origin", arrival).await;
    }
}

impl Drop for RawOrigin {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(failure) = self.failed.lock().expect("the failure").take()
            && !std::thread::panicking()
        {
            panic!("the script of an origin failed: {failure}");
        }
    }
}

impl fmt::Display for RawOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl RecordingOrigin {
    pub(crate) async fn start() -> Self {
        let (sender, record) = watch::channel(Arrivals::default());
        let sender = Arc::new(sender);
        let origin = RawOrigin::start(move |index, connection| {
            Self::read(index, connection, Arc::clone(&sender))
        })
        .await;
        Self { origin, record }
    }

    async fn read(index: usize, mut connection: Connection, record: Arc<watch::Sender<Arrivals>>) {
        record.send_modify(|all| {
            let count = all.connections.len().max(index + 1);
            all.connections
                .resize_with(count, OriginConnection::default);
        });
        let broken = loop {
            let request = match connection.request().await {
                Ok(request) => request,
                Err(broken) => break broken,
            };
            let answer: &[u8] = if request.method == "HEAD" {
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
            } else {
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            };
            let bytes = connection.consumed();
            record.send_modify(|all| {
                all.requests.push(request);
                all.connections[index].whole += 1;
                all.connections[index].bytes = bytes;
            });
            if connection.try_send(answer).await.is_err() {
                break Broken::Closed;
            }
        };
        record.send_modify(|all| {
            let one = &mut all.connections[index];
            one.partial = matches!(broken, Broken::Truncated(_));
            one.malformed = matches!(broken, Broken::Malformed(_));
            one.end = Some(format!("{broken:?}"));
        });
    }

    /// The whole requests in the order of their completion.
    pub(crate) fn requests(&self) -> Vec<RequestMessage> {
        self.record.borrow().requests.clone()
    }

    /// How each connection has gone so far.
    pub(crate) fn connections(&self) -> Vec<OriginConnection> {
        self.record.borrow().connections.clone()
    }

    /// Waits until so many connections have come.
    pub(crate) async fn until_connections(&self, count: usize) {
        let mut record = self.record.clone();
        within(
            &format!("{count} connections at the origin"),
            record.wait_for(|all| all.connections.len() >= count),
        )
        .await
        .expect("the origin");
    }

    /// Waits until every connection that is inside a request has ended.
    pub(crate) async fn settled(&self) {
        let mut record = self.record.clone();
        let settled = record.wait_for(|all| {
            all.connections.iter().enumerate().all(|(index, one)| {
                one.end.is_some() || self.origin.received(index).len() == one.bytes
            })
        });
        within("the end of a half request at the origin", settled)
            .await
            .expect("the origin");
    }

    /// Every byte that has come, connection by connection.
    pub(crate) fn bytes(&self) -> Vec<Vec<u8>> {
        (0..self.origin.connections())
            .map(|index| self.origin.received(index))
            .collect()
    }
}

impl fmt::Display for RecordingOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.fmt(f)
    }
}
