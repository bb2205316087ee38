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
    connections: Arc<Mutex<Vec<Arc<Mutex<Vec<u8>>>>>>,
    failed: Arc<Mutex<Option<String>>>,
    task: JoinHandle<()>,
}

/// An origin that reads requests strictly, answers each with 200 and remembers everything.
pub(crate) struct RecordingOrigin {
    origin: RawOrigin,
    record: watch::Receiver<Vec<OriginConnection>>,
}

/// What one connection of a `RecordingOrigin` has brought.
#[derive(Clone, Debug, Default)]
pub(crate) struct OriginConnection {
    /// The requests that were whole.
    pub(crate) requests: Vec<RequestMessage>,
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
        let connections: Arc<Mutex<Vec<Arc<Mutex<Vec<u8>>>>>> = Arc::default();
        let failed: Arc<Mutex<Option<String>>> = Arc::default();
        let (kept, failure) = (Arc::clone(&connections), Arc::clone(&failed));
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
                        kept.lock().expect("the record").push(connection.received());
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
        self.connections.lock().expect("the record").len()
    }

    /// Everything that the connection of this number has brought.
    pub(crate) fn received(&self, connection: usize) -> Vec<u8> {
        let connections = self.connections.lock().expect("the record");
        connections[connection].lock().expect("the bytes").clone()
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
        let (sender, record) = watch::channel(Vec::new());
        let sender = Arc::new(sender);
        let origin = RawOrigin::start(move |index, mut connection| {
            let sender = Arc::clone(&sender);
            async move {
                sender.send_modify(|all: &mut Vec<OriginConnection>| {
                    all.resize_with(all.len().max(index + 1), OriginConnection::default);
                });
                loop {
                    let request = connection.request().await;
                    let broken = match request {
                        Ok(request) => {
                            let answer: &[u8] = if request.method == "HEAD" {
                                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
                            } else {
                                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                            };
                            sender.send_modify(|all| all[index].requests.push(request));
                            if connection.try_send(answer).await.is_ok() {
                                continue;
                            }
                            Broken::Closed
                        }
                        Err(broken) => broken,
                    };
                    sender.send_modify(|all| {
                        all[index].partial = matches!(broken, Broken::Truncated(_));
                        all[index].malformed = matches!(broken, Broken::Malformed(_));
                        all[index].end = Some(format!("{broken:?}"));
                    });
                    return;
                }
            }
        })
        .await;
        Self { origin, record }
    }

    /// The whole requests of all connections; within one connection in order.
    pub(crate) fn requests(&self) -> Vec<RequestMessage> {
        self.record
            .borrow()
            .iter()
            .flat_map(|connection| connection.requests.clone())
            .collect()
    }

    /// What each connection has brought so far.
    pub(crate) fn connections(&self) -> Vec<OriginConnection> {
        self.record.borrow().clone()
    }

    /// Waits until there are so many whole requests.
    pub(crate) async fn until_requests(&self, count: usize) {
        let mut record = self.record.clone();
        within(
            &format!("{count} requests at the origin"),
            record.wait_for(|all| {
                all.iter()
                    .map(|connection| connection.requests.len())
                    .sum::<usize>()
                    >= count
            }),
        )
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
