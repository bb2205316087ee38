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

use super::{Client, ClientTls, Fields, within};

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

/// A client that can send what no HTTP/2 library would.
pub(crate) struct RawH2 {
    client: Client,
    /// What the gateway has announced: identifier and value (RFC 9113 section 6.5).
    settings: Vec<(u16, u32)>,
}

/// What became of a stream of `RawH2`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// A response whose status is one of HPACK's static table; 0 for another one.
    Status(u16),
    Reset(u32),
    GoAway(u32),
    Closed,
}

#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
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

impl RawH2 {
    const DATA: u8 = 0;
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;
    const ACK: u8 = 1;

    /// Takes over a fresh connection and sends the preface.
    pub(crate) async fn over(mut client: Client) -> Self {
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        let mut raw = Self {
            client,
            settings: Vec::new(),
        };
        raw.frame(Self::SETTINGS, 0, 0, &[]).await;
        raw
    }

    /// Writes a frame; false when the gateway has hung up.
    pub(crate) async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let length = u32::try_from(payload.len()).expect("a short frame");
        let mut bytes = length.to_be_bytes()[1..].to_vec();
        bytes.extend_from_slice(&[kind, flags]);
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(payload);
        self.client.try_send(&bytes).await.is_ok()
    }

    /// A request head; with `end` there is no body.
    pub(crate) async fn headers(&mut self, stream: u32, fields: &[(&[u8], &[u8])], end: bool) {
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0);
            literal(name, &mut block);
            literal(value, &mut block);
        }
        let flags = Self::END_HEADERS | if end { Self::END_STREAM } else { 0 };
        self.frame(Self::HEADERS, flags, stream, &block).await;
    }

    pub(crate) async fn data(&mut self, stream: u32, bytes: &[u8], end: bool) {
        let flags = if end { Self::END_STREAM } else { 0 };
        self.frame(Self::DATA, flags, stream, bytes).await;
    }

    /// Reads frames until something is decided about `stream`, answering SETTINGS and PING.
    pub(crate) async fn end_of(&mut self, stream: u32) -> StreamEnd {
        while let Some(frame) = self.next_frame().await {
            let number = |at: usize| {
                frame
                    .payload
                    .get(at..at + 4)
                    .and_then(|four| four.try_into().ok())
                    .map_or(0, u32::from_be_bytes)
            };
            match frame.kind {
                Self::RST_STREAM if frame.stream == stream => return StreamEnd::Reset(number(0)),
                Self::GOAWAY => return StreamEnd::GoAway(number(4)),
                Self::HEADERS if frame.stream == stream => {
                    return StreamEnd::Status(static_status(&frame.payload));
                }
                _ => {}
            }
        }
        StreamEnd::Closed
    }

    /// Reads frames until the gateway ends the connection.
    pub(crate) async fn until_closed(&mut self) {
        while self.next_frame().await.is_some() {}
    }

    /// The value that the gateway has announced for a setting.
    pub(crate) fn setting(&self, identifier: u16) -> Option<u32> {
        self.settings
            .iter()
            .rev()
            .find(|(other, _)| *other == identifier)
            .map(|(_, value)| *value)
    }

    /// The next frame, or nothing at the end of the connection.
    pub(crate) async fn next_frame(&mut self) -> Option<Frame> {
        let head = self.client.try_bytes(9).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let payload = self.client.try_bytes(length).await?;
        let frame = Frame {
            kind: head[3],
            flags: head[4],
            stream,
            payload,
        };
        if frame.kind == Self::SETTINGS && frame.flags & Self::ACK == 0 {
            self.settings
                .extend(frame.payload.chunks_exact(6).map(|six| {
                    let value = u32::from_be_bytes([six[2], six[3], six[4], six[5]]);
                    (u16::from_be_bytes([six[0], six[1]]), value)
                }));
            self.frame(Self::SETTINGS, Self::ACK, 0, &[]).await;
        }
        if frame.kind == Self::PING && frame.flags & Self::ACK == 0 {
            let payload = frame.payload.clone();
            self.frame(Self::PING, Self::ACK, 0, &payload).await;
        }
        Some(frame)
    }
}

/// A string literal of HPACK without Huffman coding.
fn literal(text: &[u8], block: &mut Vec<u8>) {
    let mut rest = text.len();
    if rest < 127 {
        block.push(u8::try_from(rest).expect("a small length"));
    } else {
        block.push(127);
        rest -= 127;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128).expect("seven bits") | 128);
            rest /= 128;
        }
        block.push(u8::try_from(rest).expect("seven bits"));
    }
    block.extend_from_slice(text);
}

/// The status of a response whose first field is an entry of the static table (RFC 7541 appendix A).
fn static_status(block: &[u8]) -> u16 {
    // A change of the table's size may stand before the first field.
    let first = block.iter().find(|byte| **byte & 0xe0 != 0x20);
    match first {
        Some(0x88) => 200,
        Some(0x89) => 204,
        Some(0x8a) => 206,
        Some(0x8b) => 304,
        Some(0x8c) => 400,
        Some(0x8d) => 404,
        Some(0x8e) => 500,
        _ => 0,
    }
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
