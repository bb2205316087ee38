//! As much of HTTP/1 as load and origins need: heads that `httparse` reads, bodies by `Content-Length`.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection with what was read and not used yet.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of the buffer in front that are done with.
    used: usize,
}

/// What counts of a head.
pub(crate) struct Head {
    /// Of a response; 0 of a request.
    pub(crate) status: u16,
    pub(crate) length: usize,
    pub(crate) close: bool,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(64 * 1024),
            used: 0,
        })
    }

    /// Whether the other side is still there, as far as this side has heard. Clients look before they use a connection again,
    /// for whoever closes one that idles has failed nobody.
    pub(crate) fn is_open(&self) -> bool {
        let heard = self.stream.try_read(&mut [0]);
        self.used == self.buffer.len()
            && heard.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// The next message, its body read and forgotten; `None` at the end of the connection.
    pub(crate) async fn receive(&mut self, parse: Parse) -> io::Result<Option<Head>> {
        let head = loop {
            let unused = self.buffer.get(self.used..).unwrap_or_default();
            if let Some((size, head)) = parse(unused)? {
                self.used += size;
                break head;
            }
            if !self.fill().await? {
                return Ok(None);
            }
        };
        let mut missing = head.length;
        loop {
            let here = (self.buffer.len() - self.used).min(missing);
            self.used += here;
            missing -= here;
            if missing == 0 {
                return Ok(Some(head));
            }
            if !self.fill().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads more; `false` at the end.
    async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.reserve(64 * 1024);
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }
}

/// Finds a head at the start of the bytes, and its size.
type Parse = fn(&[u8]) -> io::Result<Option<(usize, Head)>>;

pub(crate) fn request(bytes: &[u8]) -> io::Result<Option<(usize, Head)>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes).map_err(io::Error::other)? {
        httparse::Status::Complete(size) => Ok(Some((size, head(0, request.headers)?))),
        httparse::Status::Partial => Ok(None),
    }
}

pub(crate) fn response(bytes: &[u8]) -> io::Result<Option<(usize, Head)>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(bytes).map_err(io::Error::other)? {
        httparse::Status::Complete(size) => {
            let status = response.code.unwrap_or_default();
            Ok(Some((size, head(status, response.headers)?)))
        }
        httparse::Status::Partial => Ok(None),
    }
}

fn head(status: u16, fields: &[httparse::Header<'_>]) -> io::Result<Head> {
    let mut head = Head {
        status,
        length: 0,
        close: false,
    };
    for field in fields {
        if field.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(field.value).map_err(io::Error::other)?;
            head.length = text.parse().map_err(io::Error::other)?;
        } else if field.name.eq_ignore_ascii_case("connection") {
            head.close |= field.value.eq_ignore_ascii_case(b"close");
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(io::Error::other(
                "a body in chunks, which this does not read",
            ));
        }
    }
    Ok(head)
}
