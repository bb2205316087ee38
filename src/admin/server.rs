//! The socket side of the admin address: a small HTTP/1.1 server with its own cap and deadlines.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};

use super::{operations::Operations, reply, routes};

/// Open connections; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;
/// For a request head, and between two requests of a kept connection.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// For one request, its body and the work that it asks for.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// For a connection, so that nobody who never reads holds one for ever; afterwards it may end its last answer.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(300);
const LAST_ANSWER_DEADLINE: Duration = Duration::from_secs(10);
/// After a failed accept, most likely for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The bound admin address.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    local: SocketAddr,
}

impl Admin {
    /// Binds `address`, within a tokio runtime; port 0 lets the system choose.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::from_listener(std::net::TcpListener::bind(address)?)
    }

    /// Takes a socket that listens already, within a tokio runtime.
    pub fn from_listener(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let local = listener.local_addr()?;
        Ok(Self {
            listener: TcpListener::from_std(listener)?,
            local,
        })
    }

    /// The address in use.
    #[must_use]
    pub const fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// Serves until the future is dropped: the admin address answers as long as the process lives, also while draining.
    pub async fn serve<O: Operations>(self, operations: Arc<O>) -> Infallible {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let slot = Arc::clone(&slots).acquire_owned().await;
            match self.listener.accept().await {
                Ok((stream, _peer)) => {
                    let operations = Arc::clone(&operations);
                    tokio::spawn(async move {
                        connection(stream, operations).await;
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the admin address cannot accept");
                    pause().await;
                }
            }
        }
    }
}

async fn connection<O: Operations>(stream: TcpStream, operations: Arc<O>) {
    let Ok(local) = stream.local_addr().map(|address| address.ip()) else {
        return;
    };
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let operations = Arc::clone(&operations);
        async move { Ok::<_, Infallible>(answer(&*operations, local, request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_DEADLINE)
            .max_buf_size(16 << 10)
            .serve_connection(TokioIo::new(stream), service)
    );
    // What a client does wrong here concerns nobody: the outcome of a connection is not kept.
    if timeout(CONNECTION_DEADLINE, connection.as_mut())
        .await
        .is_err()
    {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(LAST_ANSWER_DEADLINE, connection).await;
    }
}

async fn answer<O: Operations>(
    operations: &O,
    local: IpAddr,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = timeout(
        REQUEST_DEADLINE,
        routes::respond(operations, local, request),
    )
    .await
    .unwrap_or_else(|_elapsed| reply::error(StatusCode::GATEWAY_TIMEOUT, "it took too long"));
    tracing::debug!(%method, path, status = response.status().as_u16(), "admin request");
    response
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing tells when descriptors are free again; without a pause this loop would burn a core"
)]
async fn pause() {
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::admin::operations::fake::Fake;

    /// The admin address in front of a gateway on paper.
    async fn admin() -> (SocketAddr, Arc<Fake>) {
        let admin = Admin::bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let address = admin.local_address();
        let fake = Arc::new(Fake::default());
        tokio::spawn(admin.serve(Arc::clone(&fake)));
        (address, fake)
    }

    /// Everything that comes back for those bytes until the server closes.
    async fn exchange(address: SocketAddr, bytes: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn two_requests_on_one_connection_are_answered_in_order() {
        let (address, _) = admin().await;
        let answer = exchange(
            address,
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n\
             GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )
        .await;
        let health = answer.find("\r\n\r\nok\n").unwrap();
        let figures = answer.find("\r\n\r\nfigures 1\n").unwrap();
        assert!(health < figures);
        assert!(answer.contains("content-type: text/plain; version=0.0.4"));
    }

    #[tokio::test]
    async fn a_drain_over_the_wire_reaches_the_gateway() {
        let (address, fake) = admin().await;
        let answer = exchange(
            address,
            "POST /drain HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 202 "));
        assert_eq!(fake.drains(), 1);
    }

    #[tokio::test]
    async fn a_head_request_gets_no_body() {
        let (address, _) = admin().await;
        let answer = exchange(
            address,
            "HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 200 "));
        assert!(answer.contains("content-length: 3\r\n"));
        assert!(answer.ends_with("\r\n\r\n"));
    }

    #[tokio::test]
    async fn a_malformed_request_is_answered_and_closed() {
        let (address, _) = admin().await;
        assert!(
            exchange(address, "GET\r\n\r\n")
                .await
                .starts_with("HTTP/1.1 400 ")
        );
    }

    #[tokio::test]
    async fn more_connections_than_the_cap_are_served_in_turn() {
        let (address, _) = admin().await;
        let mut idle = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        let late = tokio::spawn(exchange(
            address,
            "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        ));
        drop(idle);
        assert!(late.await.unwrap().ends_with("ok\n"));
    }
}
