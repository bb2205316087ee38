//! An HTTP/1 connection, whichever end of it we are: two buffers, and how the bodies in them are framed.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::{
    body::{Fill, Sink, Source},
    conduit::Conduit,
    socket::Socket,
};
use crate::{
    gateway::Fault,
    http::{
        BodyLength, Fields, HeadError,
        h1::{Chunk, ChunkDecoder, ChunkLimits, write_chunk, write_last_chunk},
    },
};

/// What a head or a small body needs; also the size that is kept for the next exchange.
pub(crate) const SMALL: usize = 8 * 1024;
/// What one read of a large body takes.
const LARGE: usize = 64 * 1024;
/// A piece up to this size is copied behind the head, so that both leave in one write.
const COPIED: usize = 16 * 1024;

/// One HTTP/1 connection.
#[derive(Debug)]
pub(crate) struct H1 {
    pub(crate) socket: Socket,
    /// Bytes that were read and not yet used.
    pub(crate) inbound: BytesMut,
    /// Bytes to be written, from `written` on.
    pub(crate) outbound: Vec<u8>,
    written: usize,
    /// Whether a byte of the current message has reached the socket.
    touched: bool,
    incoming: Incoming,
    outgoing: Outgoing,
    /// The part of `inbound`, from its start, that is body.
    piece: usize,
    end: End,
}

/// Whose bytes come in: it decides what an early end is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The other end is a client.
    Client,
    /// The other end is an endpoint.
    Endpoint,
}

/// How the body that comes in is framed.
#[derive(Debug)]
enum Incoming {
    Done,
    Exact(u64),
    Chunked(Box<ChunkDecoder>),
    UntilClose,
}

/// How the body that goes out is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outgoing {
    Done,
    Exact(u64),
    Chunked,
    /// Until the connection ends.
    UntilClose,
    /// The body is complete and the end of the connection, in our direction, has to say so.
    Closing,
}

impl H1 {
    pub(crate) fn new(socket: Socket, end: End, inbound: BytesMut) -> Self {
        Self {
            socket,
            inbound,
            outbound: Vec::new(),
            written: 0,
            touched: false,
            incoming: Incoming::Done,
            outgoing: Outgoing::Done,
            piece: 0,
            end,
        }
    }

    /// Reads once, at least one byte unless the other end is at its end (`false`).
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
    ) -> Poll<io::Result<bool>> {
        if self.inbound.capacity() - self.inbound.len() < room.min(SMALL / 2) {
            self.inbound.reserve(room);
        }
        poll_read_into(&mut self.socket, &mut self.inbound, cx).map_ok(|count| count > 0)
    }

    /// The framing of the body that comes in now, `inbound` being just behind its head.
    pub(crate) fn expect_body(&mut self, length: BodyLength) {
        self.piece = 0;
        self.incoming = match length {
            BodyLength::Empty | BodyLength::Exact(0) => Incoming::Done,
            BodyLength::Exact(bytes) => Incoming::Exact(bytes),
            BodyLength::Chunked => {
                Incoming::Chunked(Box::new(ChunkDecoder::new(ChunkLimits::default())))
            }
            BodyLength::UntilClose => Incoming::UntilClose,
        };
    }

    /// The framing of the body that goes out now, its head being in `outbound`.
    pub(crate) fn promise_body(&mut self, length: BodyLength) {
        self.touched = false;
        self.outgoing = match length {
            BodyLength::Empty | BodyLength::Exact(0) => Outgoing::Done,
            BodyLength::Exact(bytes) => Outgoing::Exact(bytes),
            BodyLength::Chunked => Outgoing::Chunked,
            BodyLength::UntilClose => Outgoing::UntilClose,
        };
    }

    /// Whether the body that comes in has been read to its end.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.incoming, Incoming::Done) && self.piece == 0
    }

    /// Whether the rest of the body that comes in is known to be at most so long.
    pub(crate) fn rest_within(&self, most: u64) -> bool {
        match self.incoming {
            Incoming::Done => true,
            Incoming::Exact(rest) => rest <= most,
            Incoming::Chunked(_) => true,
            Incoming::UntilClose => false,
        }
    }

    /// Whether everything that was to go out is out.
    pub(crate) fn is_written(&self) -> bool {
        self.outgoing == Outgoing::Done && self.outbound.len() == self.written
    }

    /// Writes what waits in `outbound`.
    pub(crate) fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.outbound.get(self.written..)
            && !rest.is_empty()
        {
            let count = ready!(Pin::new(&mut self.socket).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.touched = true;
        }
        self.outbound.clear();
        self.written = 0;
        // TCP has nothing to flush; TLS may hold a record that the socket did not take.
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Whether a byte of the message that goes out has reached the socket.
    pub(crate) fn has_written(&self) -> bool {
        self.touched
    }

    /// From here on both directions are plain bytes until either side ends.
    pub(crate) fn tunnel(&mut self) {
        self.piece = 0;
        self.incoming = Incoming::UntilClose;
        self.outgoing = Outgoing::UntilClose;
    }

    fn broken(&self) -> Fault {
        match self.end {
            End::Client => Fault::ClientGone,
            End::Endpoint => Fault::UpstreamClosed,
        }
    }

    fn malformed(&self, error: HeadError) -> Fault {
        match self.end {
            End::Client => Fault::Request(error),
            End::Endpoint => Fault::UpstreamMalformed(error),
        }
    }

    /// How much one read takes for what is still to come.
    fn read_size(&self) -> usize {
        match self.incoming {
            Incoming::Exact(rest) if rest <= SMALL as u64 => SMALL,
            Incoming::Exact(_) | Incoming::Chunked(_) | Incoming::UntilClose => LARGE,
            Incoming::Done => SMALL,
        }
    }
}

impl Source for H1 {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Fault>> {
        loop {
            if self.piece > 0 {
                return Poll::Ready(Ok(Fill::Data));
            }
            match &mut self.incoming {
                Incoming::Done => return Poll::Ready(Ok(Fill::End)),
                Incoming::Exact(rest) if !self.inbound.is_empty() => {
                    self.piece = usize::try_from(*rest)
                        .unwrap_or(usize::MAX)
                        .min(self.inbound.len());
                    continue;
                }
                Incoming::UntilClose if !self.inbound.is_empty() => {
                    self.piece = self.inbound.len();
                    continue;
                }
                Incoming::Chunked(decoder) if !self.inbound.is_empty() => {
                    match decoder.decode(&self.inbound) {
                        Ok(Chunk::Data { skip, len }) => {
                            self.inbound.advance(skip);
                            self.piece = len;
                            continue;
                        }
                        Ok(Chunk::End { used }) => {
                            self.inbound.advance(used);
                            return Poll::Ready(Ok(Fill::End));
                        }
                        Ok(Chunk::More { used }) => self.inbound.advance(used),
                        Err(error) => return Poll::Ready(Err(self.malformed(error))),
                    }
                }
                Incoming::Exact(_) | Incoming::UntilClose | Incoming::Chunked(_) => {}
            }
            let room = self.read_size();
            match ready!(self.poll_read(cx, room)) {
                Ok(true) => {}
                Ok(false) if matches!(self.incoming, Incoming::UntilClose) => {
                    self.incoming = Incoming::Done;
                }
                Ok(false) | Err(_) => return Poll::Ready(Err(self.broken())),
            }
        }
    }

    fn chunk(&self) -> &[u8] {
        self.inbound.get(..self.piece).unwrap_or_default()
    }

    fn consume(&mut self, bytes: usize) {
        let bytes = bytes.min(self.piece);
        self.inbound.advance(bytes);
        self.account(bytes);
    }

    fn take(&mut self, most: usize) -> Bytes {
        let bytes = most.min(self.piece);
        let taken = self.inbound.split_to(bytes).freeze();
        self.account(bytes);
        taken
    }

    fn ends_after(&self, bytes: usize) -> bool {
        matches!(self.incoming, Incoming::Exact(rest) if rest == bytes as u64)
    }

    fn trailers(&mut self) -> Option<Fields> {
        match std::mem::replace(&mut self.incoming, Incoming::Done) {
            Incoming::Chunked(mut decoder) => decoder.take_trailers(),
            Incoming::Done | Incoming::Exact(_) | Incoming::UntilClose => None,
        }
    }

    fn raw_rest(&self) -> Option<u64> {
        match (&self.incoming, &self.socket) {
            (Incoming::Exact(rest), Socket::Plain(_)) if self.inbound.is_empty() => Some(*rest),
            _ => None,
        }
    }

    fn poll_pour(
        &mut self,
        cx: &mut Context<'_>,
        conduit: &mut Conduit,
    ) -> Poll<Result<(), Fault>> {
        let Some(rest) = self.raw_rest() else {
            return Poll::Ready(Err(Fault::Internal));
        };
        match ready!(conduit.poll_fill(cx, self.socket.tcp(), rest)) {
            Ok(0) | Err(_) => Poll::Ready(Err(self.broken())),
            Ok(count) => {
                self.piece += count;
                self.account(count);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl H1 {
    fn account(&mut self, bytes: usize) {
        self.piece -= bytes;
        if let Incoming::Exact(rest) = &mut self.incoming {
            *rest = rest.saturating_sub(bytes as u64);
            if *rest == 0 {
                self.incoming = Incoming::Done;
            }
        }
    }

    /// Puts one piece behind what waits already, framed.
    fn append(&mut self, piece: &[u8]) {
        if self.outgoing == Outgoing::Chunked {
            write_chunk(piece, &mut self.outbound);
        } else {
            self.outbound.extend_from_slice(piece);
        }
    }

    /// Writes a large unframed piece together with what waits, without copying it.
    fn poll_gather(&mut self, cx: &mut Context<'_>, piece: &[u8]) -> Poll<io::Result<usize>> {
        let waiting = self.outbound.get(self.written..).unwrap_or_default();
        let before = waiting.len();
        let count = if before == 0 {
            ready!(Pin::new(&mut self.socket).poll_write(cx, piece))?
        } else {
            let slices = [IoSlice::new(waiting), IoSlice::new(piece)];
            ready!(Pin::new(&mut self.socket).poll_write_vectored(cx, &slices))?
        };
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.touched = true;
        if count < before {
            self.written += count;
            return Poll::Ready(Ok(0));
        }
        self.outbound.clear();
        self.written = 0;
        Poll::Ready(Ok(count - before))
    }
}

impl Sink for H1 {
    fn poll_accept<S: Source>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
    ) -> Poll<Result<(), Fault>> {
        let room = match self.outgoing {
            Outgoing::Exact(rest) => usize::try_from(rest).unwrap_or(usize::MAX),
            Outgoing::Chunked | Outgoing::UntilClose => usize::MAX,
            // More than was promised: the source's framing has checked lengths, so this is a body that nobody expects.
            Outgoing::Done | Outgoing::Closing => return Poll::Ready(Err(Fault::Internal)),
        };
        let piece = source.chunk();
        let piece = piece.get(..piece.len().min(room)).unwrap_or(piece);
        let mut taken = piece.len();
        if piece.len() <= COPIED {
            // Behind the head or other small pieces; only a full buffer has to go out first.
            if self.outbound.len() - self.written > COPIED {
                match ready!(self.poll_write_out(cx)) {
                    Ok(()) => {}
                    Err(_) => return Poll::Ready(Err(self.broken())),
                }
            }
            self.append(piece);
        } else if self.outgoing == Outgoing::Chunked
            || (!self.socket.gathers() && self.outbound.len() > self.written)
        {
            if self.outbound.len() - self.written > COPIED {
                match ready!(self.poll_write_out(cx)) {
                    // Nothing waits any more, so a piece that needs no frame needs no copy either.
                    Ok(()) if self.outgoing != Outgoing::Chunked => {
                        return self.poll_accept(cx, source);
                    }
                    Ok(()) => {}
                    Err(_) => return Poll::Ready(Err(self.broken())),
                }
            }
            taken = piece.len().min(LARGE);
            self.append(piece.get(..taken).unwrap_or(piece));
        } else {
            match ready!(self.poll_gather(cx, piece)) {
                Ok(0) => return self.poll_accept(cx, source),
                Ok(count) => taken = count,
                Err(_) => return Poll::Ready(Err(self.broken())),
            }
        }
        source.consume(taken);
        if let Outgoing::Exact(rest) = &mut self.outgoing {
            *rest -= taken as u64;
        }
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), Fault> {
        match self.outgoing {
            Outgoing::UntilClose => {
                self.outgoing = Outgoing::Closing;
                return Ok(());
            }
            Outgoing::Done | Outgoing::Closing | Outgoing::Exact(0) => {}
            Outgoing::Chunked => write_last_chunk(trailers, &mut self.outbound),
            // Less than was promised: only the end of the connection tells the other side.
            Outgoing::Exact(_) => return Err(Fault::UpstreamClosed),
        }
        self.outgoing = Outgoing::Done;
        Ok(())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if ready!(self.poll_write_out(cx)).is_err() {
            return Poll::Ready(Err(self.broken()));
        }
        if self.outgoing == Outgoing::Closing {
            // An other end that is gone already needs no goodbye.
            let _ = ready!(Pin::new(&mut self.socket).poll_shutdown(cx));
            self.outgoing = Outgoing::Done;
        }
        Poll::Ready(Ok(()))
    }
    fn is_raw(&self) -> bool {
        matches!(
            (self.outgoing, &self.socket),
            (Outgoing::Exact(_), Socket::Plain(_))
        )
    }

    fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        conduit: &mut Conduit,
    ) -> Poll<Result<usize, Fault>> {
        // What was copied before, the head at least, goes first.
        if ready!(self.poll_write_out(cx)).is_err() {
            return Poll::Ready(Err(self.broken()));
        }
        match ready!(conduit.poll_drain(cx, self.socket.tcp())) {
            Err(_) => Poll::Ready(Err(self.broken())),
            Ok(count) => {
                self.touched = true;
                if let Outgoing::Exact(rest) = &mut self.outgoing {
                    *rest = rest.saturating_sub(count as u64);
                }
                Poll::Ready(Ok(count))
            }
        }
    }
}

/// Reads once into the spare room of a buffer.
pub(crate) fn poll_read_into(
    socket: &mut Socket,
    buffer: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    std::pin::pin!(socket.read_buf(buffer)).poll(cx)
}
