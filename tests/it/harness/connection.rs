//! One connection, client's or origin's side: exact bytes out, strictly read messages in.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::message::{self, Fields, Length, RequestMessage, ResponseMessage};
use super::within;

/// More than any head or chunk line that a test may legally meet.
const LINE_LIMIT: usize = 256 * 1024;

/// A byte stream over TCP, plain or inside TLS.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Unpin + Send {
    fn tcp(&self) -> &TcpStream;
}

impl Transport for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Transport for tokio_rustls::client::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

impl Transport for tokio_rustls::server::TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// A connection whose reader is strict.
pub(crate) struct Connection {
    stream: Box<dyn Transport>,
    buffer: BytesMut,
    received: watch::Sender<Vec<u8>>,
    ended: Option<Ended>,
}

/// How the peer ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// By a FIN, and inside TLS by a close_notify before it.
    Orderly,
    /// By an error: a reset, or TLS cut short.
    Error(io::ErrorKind),
}

/// Why a message could not be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The peer closed before the first byte of a message.
    Closed,
    /// The peer closed or reset in the middle of a message.
    Truncated(String),
    /// The bytes are no message.
    Malformed(String),
}

impl Connection {
    pub(crate) fn new(stream: impl Transport + 'static) -> Self {
        stream.tcp().set_nodelay(true).expect("TCP_NODELAY");
        Self {
            stream: Box::new(stream),
            buffer: BytesMut::new(),
            received: watch::Sender::default(),
            ended: None,
        }
    }

    /// Everything received, growing, so that it can be read while the connection lives elsewhere.
    pub(crate) fn received(&self) -> watch::Receiver<Vec<u8>> {
        self.received.subscribe()
    }

    /// How many of the received bytes have been read as messages.
    pub(crate) fn consumed(&self) -> usize {
        self.received.borrow().len() - self.buffer.len()
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.stream.tcp().local_addr().expect("a local address")
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).await.expect("a write");
    }

    /// Writes; an error is left to the caller, for peers that may have hung up.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        within("a write", async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        })
        .await
    }

    /// Writes each byte on its own and notes what the peer says meanwhile; stops when the peer hangs up.
    pub(crate) async fn send_split(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if self.try_send(std::slice::from_ref(byte)).await.is_err() {
                return;
            }
            // The peer's reader gets a turn, so that it does see single bytes.
            tokio::task::yield_now().await;
        }
    }

    /// Tells the peer that nothing more will be sent.
    pub(crate) async fn finish(&mut self) {
        within("a shutdown", self.stream.shutdown())
            .await
            .expect("a shutdown");
    }

    /// The same for a peer that may have hung up.
    pub(crate) async fn try_finish(&mut self) -> io::Result<()> {
        within("a shutdown", self.stream.shutdown()).await
    }

    /// Ends the connection with a TCP reset.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(self.stream.tcp())
            .set_linger(Some(Duration::ZERO))
            .expect("SO_LINGER");
    }

    /// Limits what the kernel takes for this connection before the reader reads.
    pub(crate) fn small_receive_buffer(&self) {
        socket2::SockRef::from(self.stream.tcp())
            .set_recv_buffer_size(256 * 1024)
            .expect("SO_RCVBUF");
    }

    /// Reads exactly these bytes.
    pub(crate) async fn expect(&mut self, bytes: &[u8]) {
        while self.buffer.len() < bytes.len() && self.fill().await {}
        let got = &self.buffer[..bytes.len().min(self.buffer.len())];
        assert_eq!(
            String::from_utf8_lossy(got),
            String::from_utf8_lossy(bytes),
            "the bytes on the wire"
        );
        self.buffer.advance(bytes.len());
    }

    /// Reads `count` bytes.
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count && self.fill().await {}
        assert!(self.buffer.len() >= count, "closed: {:?}", self.buffer);
        self.buffer.split_to(count).to_vec()
    }

    /// Reads `count` bytes, or nothing when the peer ends the connection before.
    pub(crate) async fn try_bytes(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count && self.fill().await {}
        (self.buffer.len() >= count).then(|| self.buffer.split_to(count).to_vec())
    }

    /// Waits until the peer closes or resets, and fails when more bytes come before.
    pub(crate) async fn closed(&mut self) {
        let rest = self.rest().await;
        assert!(
            rest.is_empty(),
            "bytes before the close: {:?}",
            String::from_utf8_lossy(&rest)
        );
    }

    /// Everything until the peer closes or resets.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        self.buffer.split().to_vec()
    }

    /// Whether the end came as a reset rather than an orderly close; only known after the end.
    pub(crate) fn was_reset(&self) -> bool {
        self.ended == Some(Ended::Error(io::ErrorKind::ConnectionReset))
    }

    pub(crate) async fn request(&mut self) -> Result<RequestMessage, Broken> {
        let (mut message, length) = self.request_head().await?;
        (message.body, message.trailers) = self.body(length).await?;
        Ok(message)
    }

    pub(crate) async fn request_head(&mut self) -> Result<(RequestMessage, Length), Broken> {
        let head = self.head().await?;
        message::request_head(&head).map_err(Broken::Malformed)
    }

    /// The next final response, with the interim ones before it.
    pub(crate) async fn response(&mut self, method: &str) -> Result<ResponseMessage, Broken> {
        let mut interim = Vec::new();
        loop {
            let (mut message, length) = self.response_head(method).await?;
            if message.status < 200 && message.status != 101 {
                interim.push(message);
                continue;
            }
            (message.body, message.trailers) = self.body(length).await?;
            message.interim = interim;
            return Ok(message);
        }
    }

    /// The next response head, an interim one too.
    pub(crate) async fn response_head(
        &mut self,
        method: &str,
    ) -> Result<(ResponseMessage, Length), Broken> {
        let head = self.head().await?;
        message::response_head(&head, method).map_err(Broken::Malformed)
    }

    /// Reads a body into memory, with its trailers.
    pub(crate) async fn body(&mut self, length: Length) -> Result<(Vec<u8>, Fields), Broken> {
        let mut body = Vec::new();
        let trailers = self
            .stream_body(length, &mut |part| body.extend_from_slice(part))
            .await?;
        Ok((body, trailers))
    }

    /// Reads a body, shows it part by part, and gives its trailers.
    pub(crate) async fn stream_body(
        &mut self,
        length: Length,
        each: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Fields, Broken> {
        match length {
            Length::Exact(count) => self.exactly(count, each).await?,
            Length::UntilClose => self.until_close(each).await?,
            Length::Chunked => {
                while let Some(size) = self.chunk_size().await? {
                    self.exactly(size, each).await?;
                    self.chunk_end().await?;
                }
                return self.trailers().await;
            }
        }
        Ok(Fields::default())
    }

    /// The data of the next chunk, or nothing after the last one and its trailers.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut data = Vec::new();
        match self.chunk_size().await.expect("a chunk") {
            Some(size) => {
                self.exactly(size, &mut |part| data.extend_from_slice(part))
                    .await
                    .expect("a whole chunk");
                self.chunk_end().await.expect("the end of a chunk");
                Some(data)
            }
            None => {
                self.trailers().await.expect("the end of the body");
                None
            }
        }
    }

    async fn chunk_size(&mut self) -> Result<Option<u64>, Broken> {
        let line = self.line().await?;
        let size = message::chunk_size(&line).map_err(Broken::Malformed)?;
        Ok((size > 0).then_some(size))
    }

    async fn chunk_end(&mut self) -> Result<(), Broken> {
        if self.line().await?.is_empty() {
            return Ok(());
        }
        Err(Broken::Malformed("no CRLF after a chunk".to_owned()))
    }

    async fn trailers(&mut self) -> Result<Fields, Broken> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return message::trailers(&lines).map_err(Broken::Malformed);
            }
            lines.push(line);
        }
    }

    async fn until_close(&mut self, each: &mut (dyn FnMut(&[u8]) + Send)) -> Result<(), Broken> {
        loop {
            each(&self.buffer.split());
            if !self.fill().await {
                break;
            }
        }
        match self.ended {
            Some(Ended::Orderly) => Ok(()),
            other => Err(Broken::Truncated(format!("until close: {other:?}"))),
        }
    }

    async fn exactly(
        &mut self,
        mut count: u64,
        each: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<(), Broken> {
        while count > 0 {
            if self.buffer.is_empty() && !self.fill().await {
                return Err(Broken::Truncated(format!(
                    "{count} bytes of a body missing"
                )));
            }
            let take = usize::try_from(count)
                .unwrap_or(usize::MAX)
                .min(self.buffer.len());
            each(&self.buffer.split_to(take));
            count -= take as u64;
        }
        Ok(())
    }

    async fn head(&mut self) -> Result<Vec<u8>, Broken> {
        let mut searched = 0usize;
        loop {
            let from = searched.saturating_sub(3);
            if let Some(at) = self.buffer[from..]
                .windows(4)
                .position(|four| four == b"\r\n\r\n")
            {
                return Ok(self.buffer.split_to(from + at + 4).to_vec());
            }
            searched = self.buffer.len();
            if searched > LINE_LIMIT {
                return Err(Broken::Malformed("a head without end".to_owned()));
            }
            if !self.fill().await {
                return Err(if self.buffer.is_empty() {
                    Broken::Closed
                } else {
                    self.truncated()
                });
            }
        }
    }

    async fn line(&mut self) -> Result<Vec<u8>, Broken> {
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(at + 1).to_vec();
                return match line.strip_suffix(b"\r\n") {
                    Some(line) => Ok(line.to_vec()),
                    None => Err(Broken::Malformed(format!("a bare line feed in {line:?}"))),
                };
            }
            if self.buffer.len() > LINE_LIMIT {
                return Err(Broken::Malformed("a line without end".to_owned()));
            }
            if !self.fill().await {
                return Err(self.truncated());
            }
        }
    }

    fn truncated(&self) -> Broken {
        Broken::Truncated(format!(
            "{:?} after {:?}",
            self.ended,
            String::from_utf8_lossy(&self.buffer)
        ))
    }

    /// Reads once; false when the peer has ended the connection.
    async fn fill(&mut self) -> bool {
        if self.ended.is_some() {
            return false;
        }
        self.buffer.reserve(64 * 1024);
        let before = self.buffer.len();
        let read = within(
            "bytes from the peer",
            self.stream.read_buf(&mut self.buffer),
        )
        .await;
        match read {
            Ok(0) => self.ended = Some(Ended::Orderly),
            Ok(_) => {
                // A body of 100 MiB is not worth keeping twice.
                if self.received.borrow().len() < LINE_LIMIT {
                    self.received
                        .send_modify(|all| all.extend_from_slice(&self.buffer[before..]));
                }
            }
            Err(error) => self.ended = Some(Ended::Error(error.kind())),
        }
        self.ended.is_none()
    }
}
