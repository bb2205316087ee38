//! The socket of a client's HTTP/2 connection: it gives first what was read ahead, and a watch sees all that passes.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{socket::Socket, watch::Watch};

/// Gives the bytes that were read ahead, then the socket's own.
#[derive(Debug)]
pub(crate) struct Watched {
    ahead: BytesMut,
    socket: Socket,
    watch: Rc<Watch>,
}

impl Watched {
    pub(crate) const fn new(socket: Socket, ahead: BytesMut, watch: Rc<Watch>) -> Self {
        Self {
            ahead,
            socket,
            watch,
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.watch.exceeded().is_some() {
            // Nothing more is taken from this client; the connection's task looks after its end.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let read = if this.ahead.is_empty() {
            Pin::new(&mut this.socket).poll_read(cx, buf)
        } else {
            let count = this.ahead.len().min(buf.remaining());
            buf.put_slice(this.ahead.get(..count).unwrap_or_default());
            this.ahead.advance(count);
            Poll::Ready(Ok(()))
        };
        if read.is_pending() {
            this.watch.drained();
        } else {
            this.watch
                .received(buf.filled().get(before..).unwrap_or_default());
        }
        read
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let taken = match slices {
            [only] => Pin::new(&mut this.socket).poll_write(cx, only),
            several => Pin::new(&mut this.socket).poll_write_vectored(cx, several),
        };
        let mut left = match &taken {
            Poll::Ready(Ok(taken)) => *taken,
            // Nobody reads any of it; but it still says what the connection has come to.
            Poll::Ready(Err(_)) => usize::MAX,
            Poll::Pending => {
                this.watch.blocked();
                0
            }
        };
        for slice in slices {
            let passed = left.min(slice.len());
            this.watch.sent(slice.get(..passed).unwrap_or_default());
            left -= passed;
        }
        taken
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
