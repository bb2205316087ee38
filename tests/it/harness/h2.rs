//! HTTP/2 origins and clients on the `h2` crate, and a client that writes frames by hand.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{ClientTls, Fields, within};

/// An HTTP/2 origin; shows itself as its address.
pub(crate) struct H2Origin {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// One stream at an HTTP/2 origin.
pub(crate) struct H2Exchange {
    pub(crate) request: http::Request<RecvStream>,
    pub(crate) respond: SendResponse<Bytes>,
}

/// A client's HTTP/2 connection.
pub(crate) struct H2Client {
    send: h2::client::SendRequest<Bytes>,
    driver: JoinHandle<Result<(), h2::Error>>,
}

/// A whole answer over HTTP/2.
#[derive(Debug)]
pub(crate) struct H2Answer {
    pub(crate) status: u16,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Fields,
}

impl H2Origin {
    /// An origin with prior knowledge, on plain TCP.
    pub(crate) async fn start<H, F>(handler: H) -> Self
    where
        H: Fn(H2Exchange) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start_on(None, handler).await
    }

    /// The same behind TLS.
    pub(crate) async fn start_tls<H, F>(tls: TlsAcceptor, handler: H) -> Self
    where
        H: Fn(H2Exchange) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self::start_on(Some(tls), handler).await
    }

    /// Answers each request with 200 and this text.
    pub(crate) async fn answering(text: &'static str) -> Self {
        Self::start(move |mut exchange| async move {
            exchange.body().await;
            exchange.answer(200, text);
        })
        .await
    }

    async fn start_on<H, F>(tls: Option<TlsAcceptor>, handler: H) -> Self
    where
        H: Fn(H2Exchange) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let handler = Arc::new(handler);
        let task = tokio::spawn(async move {
            let mut tasks = JoinSet::new();
            while let Ok((stream, _peer)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                count.fetch_add(1, Ordering::SeqCst);
                let (tls, handler) = (tls.clone(), Arc::clone(&handler));
                tasks.spawn(async move {
                    match tls {
                        None => streams(stream, handler).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                streams(stream, handler).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            connections,
            task,
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for H2Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Display for H2Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl H2Exchange {
    /// The whole body and the trailers; a stream that was reset gives what had come.
    pub(crate) async fn body(&mut self) -> (Vec<u8>, Fields) {
        read_body(self.request.body_mut()).await.unwrap_or_default()
    }

    /// Answers with a status and a text.
    pub(crate) fn answer(&mut self, status: u16, text: &'static str) {
        if let Ok(mut stream) = self.begin(status) {
            let _ = stream.send_data(Bytes::from_static(text.as_bytes()), true);
        }
    }

    /// Sends the response head and leaves the body open.
    pub(crate) fn begin(&mut self, status: u16) -> Result<SendStream<Bytes>, h2::Error> {
        let response = http::Response::builder()
            .status(status)
            .body(())
            .expect("a response");
        self.respond.send_response(response, false)
    }
}

impl H2Client {
    /// Prior knowledge on a plain listener.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        Self::over(stream).await
    }

    pub(crate) async fn connect_tls(address: SocketAddr, tls: &ClientTls) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let connector = TlsConnector::from(tls.config());
        let stream = within(
            "a TLS handshake",
            connector.connect(tls.server_name(), stream),
        )
        .await
        .expect("a TLS handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        Self::over(stream).await
    }

    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (send, connection) = within(
            "the HTTP/2 preface",
            // One stream that is not read leaves room for others.
            h2::client::Builder::new()
                .initial_connection_window_size(1024 * 1024)
                .handshake(stream),
        )
        .await
        .expect("an HTTP/2 connection");
        Self {
            send,
            driver: tokio::spawn(connection),
        }
    }

    /// Opens a stream; with `end` the request has no body.
    pub(crate) async fn open(
        &self,
        request: http::Request<()>,
        end: bool,
    ) -> (h2::client::ResponseFuture, SendStream<Bytes>) {
        let ready = self.send.clone().ready();
        let mut send = within("a free stream", ready).await.expect("a free stream");
        send.send_request(request, end).expect("a request")
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn ask(&self, request: http::Request<Bytes>) -> H2Answer {
        self.try_ask(request).await.expect("a response")
    }

    pub(crate) async fn try_ask(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<H2Answer, h2::Error> {
        let (parts, body) = request.into_parts();
        let request = http::Request::from_parts(parts, ());
        let (response, mut stream) = self.open(request, body.is_empty()).await;
        if !body.is_empty() {
            let _ = stream.send_data(body, true);
        }
        H2Answer::read(response).await
    }

    pub(crate) async fn get(&self, path: &str) -> H2Answer {
        self.ask(
            h2_request("GET", path)
                .body(Bytes::new())
                .expect("a request"),
        )
        .await
    }

    /// Waits until the connection has ended, by a GOAWAY or otherwise.
    pub(crate) async fn ended(self) -> Result<(), h2::Error> {
        drop(self.send);
        within("the end of the HTTP/2 connection", self.driver)
            .await
            .expect("the connection's task")
    }
}

impl H2Answer {
    pub(crate) async fn read(response: h2::client::ResponseFuture) -> Result<Self, h2::Error> {
        let (parts, mut body) = within("a response", response).await?.into_parts();
        let (body, trailers) = read_body(&mut body).await?;
        Ok(Self {
            status: parts.status.as_u16(),
            fields: super::origin::fields(&parts.headers),
            body,
            trailers,
        })
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }
}

/// A request to `http://gateway.test`.
pub(crate) fn h2_request(method: &str, path: &str) -> http::request::Builder {
    http::Request::builder()
        .method(method)
        .uri(format!("http://gateway.test{path}"))
        .version(http::Version::HTTP_2)
}

async fn streams<H, F>(stream: impl AsyncRead + AsyncWrite + Unpin, handler: Arc<H>)
where
    H: Fn(H2Exchange) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let Ok(mut accepted) = h2::server::handshake(stream).await else {
        return;
    };
    let mut tasks = JoinSet::new();
    while let Some(Ok((request, respond))) = accepted.accept().await {
        tasks.spawn(handler(H2Exchange { request, respond }));
    }
}

/// Reads a body and gives the window back as it goes.
async fn read_body(body: &mut RecvStream) -> Result<(Vec<u8>, Fields), h2::Error> {
    let mut bytes = Vec::new();
    while let Some(part) = within("a part of the body", body.data()).await {
        let part = part?;
        let _ = body.flow_control().release_capacity(part.len());
        bytes.extend_from_slice(&part);
    }
    let trailers = within("the trailers", body.trailers()).await?;
    Ok((
        bytes,
        trailers
            .as_ref()
            .map(super::origin::fields)
            .unwrap_or_default(),
    ))
}
