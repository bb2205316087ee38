//! Large bodies between two plain sockets: the kernel moves them through a pipe, and no byte is copied here.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    task::{Context, Poll, ready},
};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::{io::Interest, net::TcpStream};

/// The size of a pipe, and the most that one call moves.
const SIZE: usize = 256 * 1024;
/// A rest of a body from which on a pipe pays for its making.
const WORTHWHILE: u64 = 192 * 1024;
const FLAGS: SpliceFlags = SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE);

/// A pipe between the two sockets of one direction.
#[derive(Debug)]
pub(crate) struct Conduit {
    reader: OwnedFd,
    writer: OwnedFd,
    /// Bytes that have left the source and not yet reached the sink.
    held: usize,
}

/// Whether a body with that much still to come is moved by the kernel.
pub(crate) const fn is_worthwhile(rest: u64) -> bool {
    rest >= WORTHWHILE
}

impl Conduit {
    /// A new pipe. It fails when there are no descriptors or no memory for pipes left: copying still works then.
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        fcntl_setpipe_size(&writer, SIZE)?;
        Ok(Self {
            reader,
            writer,
            held: 0,
        })
    }

    /// Whether bytes are under way.
    pub(crate) const fn is_filled(&self) -> bool {
        self.held > 0
    }

    /// Takes at most so many bytes out of the socket; `0` is its end. The pipe must be empty.
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        source: &TcpStream,
        most: u64,
    ) -> Poll<io::Result<usize>> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(SIZE);
        let count = ready!(poll_io(cx, source, Interest::READABLE, || {
            Ok(splice(
                source.as_fd(),
                None,
                &self.writer,
                None,
                most,
                FLAGS,
            )?)
        }))?;
        self.held = count;
        Poll::Ready(Ok(count))
    }

    /// Hands bytes over to the socket, at least one.
    pub(crate) fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        sink: &TcpStream,
    ) -> Poll<io::Result<usize>> {
        let count = ready!(poll_io(cx, sink, Interest::WRITABLE, || {
            Ok(splice(
                &self.reader,
                None,
                sink.as_fd(),
                None,
                self.held,
                FLAGS,
            )?)
        }))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.held = self.held.saturating_sub(count);
        Poll::Ready(Ok(count))
    }
}

/// Tries until the socket is not ready, and then waits for it.
fn poll_io(
    cx: &mut Context<'_>,
    socket: &TcpStream,
    interest: Interest,
    mut operation: impl FnMut() -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        match socket.try_io(interest, &mut operation) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(if interest.is_readable() {
                    socket.poll_read_ready(cx)
                } else {
                    socket.poll_write_ready(cx)
                })?;
            }
            outcome => return Poll::Ready(outcome),
        }
    }
}
