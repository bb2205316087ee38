//! One byte stream, whatever it runs over: plain TCP or TLS, accepted or connected.

use std::{
    io::{self, BufRead, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{client, server};

/// A connected byte stream.
#[derive(Debug)]
pub(crate) enum Socket {
    /// TCP as it is.
    Plain(TcpStream),
    /// TLS that a client opened to us.
    Accepted(Box<server::TlsStream<TcpStream>>),
    /// TLS that we opened to an endpoint.
    Connected(Box<client::TlsStream<TcpStream>>),
}

impl Socket {
    /// The TCP stream beneath.
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Accepted(tls) => tls.get_ref().0,
            Self::Connected(tls) => tls.get_ref().0,
        }
    }

    /// Waits until there is something to read (or the end), without a buffer to read into: an idle connection has none.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => tcp.poll_read_ready(cx),
            Self::Accepted(tls) => Pin::new(tls).poll_fill_buf(cx).map_ok(drop),
            Self::Connected(tls) => Pin::new(tls).poll_fill_buf(cx).map_ok(drop),
        }
    }

    /// Whether an idle connection is still what it was: nothing arrived and nobody closed it. One that is not has lost a
    /// byte by being asked, and is of no further use. Costs no system call while it is quiet: the runtime has been told of
    /// anything that happened.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let would_block = |error: &io::Error| matches!(error.kind(), io::ErrorKind::WouldBlock);
        if let Self::Connected(tls) = self {
            // What came in one record with an answer is not in the socket any more.
            let decrypted = tls.get_mut().1.reader().fill_buf().map(<[u8]>::len);
            if !decrypted.is_err_and(|error| would_block(&error)) {
                return false;
            }
        }
        self.tcp()
            .try_read(&mut [0])
            .is_err_and(|error| would_block(&error))
    }

    /// Makes the end of the connection, which is to follow, one that nobody takes for the end of a message.
    pub(crate) fn break_off(&self) {
        // Without it the client sees a plain end, which is the best that is left.
        let _ = self.tcp().set_zero_linger();
    }

    /// Whether a vectored write is worth while.
    pub(crate) fn gathers(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Accepted(tls) => Pin::new(tls).poll_read(cx, buf),
            Self::Connected(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Accepted(tls) => Pin::new(tls).poll_write(cx, bytes),
            Self::Connected(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, slices),
            Self::Accepted(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
            Self::Connected(tls) => Pin::new(tls).poll_write_vectored(cx, slices),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Accepted(tls) => Pin::new(tls).poll_flush(cx),
            Self::Connected(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Accepted(tls) => Pin::new(tls).poll_shutdown(cx),
            Self::Connected(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

/// The name to ask an endpoint for: the configured one, or what its address says.
pub(crate) fn server_name(
    configured: Option<&ServerName<'static>>,
    host: &str,
) -> Option<ServerName<'static>> {
    configured
        .cloned()
        .or_else(|| ServerName::try_from(host.to_owned()).ok())
}
