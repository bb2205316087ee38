//! One HTTP/2 stream, whichever end of it we are: the body that comes in, the body that goes out.

use std::{
    cell::Cell,
    task::{Context, Poll, ready},
};

use ::h2::{Reason, RecvStream, SendStream};
use bytes::{Buf, Bytes};

use super::{
    body::{Fill, Sink, Source},
    budget::SMALL_PIECE,
    h1::End,
    watch::violation_of_reset,
};
use crate::{
    gateway::{Fault, Violation},
    http::{
        Fields,
        h2::{trailers_from_h2, trailers_to_h2},
    },
};

/// The most that is handed to a stream at once.
const PIECE: usize = 64 * 1024;

/// One stream.
#[derive(Debug)]
pub(crate) struct H2 {
    /// `None` once the body that comes in is complete.
    incoming: Option<RecvStream>,
    /// Whether it is known that nothing comes behind the piece. Each question to the stream takes its connection's lock.
    is_last: Cell<bool>,
    /// `None` until our head is sent, and once our body is complete.
    outgoing: Option<SendStream<Bytes>>,
    piece: Bytes,
    trailers: Option<Fields>,
    /// Whether the other end's windows cut a small piece off what there was to send.
    cut_small: bool,
    end: End,
}

impl H2 {
    pub(crate) fn new(end: End) -> Self {
        Self {
            incoming: None,
            is_last: Cell::new(false),
            outgoing: None,
            piece: Bytes::new(),
            trailers: None,
            cut_small: false,
            end,
        }
    }

    /// The body that comes in now, unless it was complete with its head.
    pub(crate) fn expect_body(&mut self, body: RecvStream, is_complete: bool) {
        self.incoming = (!is_complete).then_some(body);
        self.is_last.set(is_complete);
    }

    /// The body that goes out now.
    pub(crate) fn promise_body(&mut self, body: SendStream<Bytes>) {
        self.outgoing = Some(body);
    }

    /// Whether a body is going out.
    pub(crate) const fn is_sending(&self) -> bool {
        self.outgoing.is_some()
    }

    /// Whether a small piece was cut off since it was last asked.
    pub(crate) const fn take_cut_small(&mut self) -> bool {
        std::mem::replace(&mut self.cut_small, false)
    }

    /// Ends the stream so that the other end cannot take what it got for all.
    pub(crate) fn reset(&mut self, reason: Reason) {
        if let Some(mut outgoing) = self.outgoing.take() {
            outgoing.send_reset(reason);
        }
    }

    /// Whether the stream has been reset, and with what.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reason, ::h2::Error>> {
        match &mut self.outgoing {
            Some(outgoing) => outgoing.poll_reset(cx),
            None => Poll::Pending,
        }
    }

    /// What an error on this stream means for the exchange.
    pub(crate) fn fault(&self, error: &::h2::Error) -> Fault {
        stream_fault(self.end, error)
    }

    fn release(&mut self, bytes: usize) {
        if let Some(incoming) = &mut self.incoming {
            // Refused only for more than was received, which cannot be.
            let _ = incoming.flow_control().release_capacity(bytes);
        }
    }
}

/// What an error on a stream means for the exchange.
pub(crate) fn stream_fault(end: End, error: &::h2::Error) -> Fault {
    match end {
        End::Client => client_fault(error).map_or(Fault::ClientGone, Fault::Http2),
        End::Endpoint if is_unprocessed(error) => Fault::UpstreamRefused,
        End::Endpoint => Fault::UpstreamClosed,
    }
}

/// Whether the endpoint says that it has not looked at the stream: its GOAWAY fails those above the last one that it did
/// (RFC 9113 section 6.8).
fn is_unprocessed(error: &::h2::Error) -> bool {
    error.reason() == Some(Reason::REFUSED_STREAM) || (error.is_go_away() && error.is_remote())
}

/// How the client broke HTTP/2, if it did.
fn client_fault(error: &::h2::Error) -> Option<Violation> {
    let code = error.reason().filter(|_| !error.is_remote())?.into();
    if error.is_go_away() {
        Violation::of_connection(code)
    } else {
        violation_of_reset(code)
    }
}

impl Source for H2 {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Fault>> {
        loop {
            if !self.piece.is_empty() {
                return Poll::Ready(Ok(Fill::Data));
            }
            let Some(incoming) = self.incoming.as_mut().filter(|_| !self.is_last.get()) else {
                self.incoming = None;
                return Poll::Ready(Ok(Fill::End));
            };
            match ready!(incoming.poll_data(cx)) {
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(error)) => return Poll::Ready(Err(self.fault(&error))),
                None => match ready!(incoming.poll_trailers(cx)) {
                    Ok(trailers) => {
                        self.trailers = trailers.as_ref().map(trailers_from_h2);
                        self.incoming = None;
                    }
                    Err(error) => return Poll::Ready(Err(self.fault(&error))),
                },
            }
        }
    }

    fn chunk(&self) -> &[u8] {
        &self.piece
    }

    fn consume(&mut self, bytes: usize) {
        let bytes = bytes.min(self.piece.len());
        self.piece.advance(bytes);
        self.release(bytes);
    }

    fn take(&mut self, most: usize) -> Bytes {
        let taken = self.piece.split_to(most.min(self.piece.len()));
        self.release(taken.len());
        taken
    }

    fn ends_after(&self, bytes: usize) -> bool {
        if self.piece.len() != bytes {
            return false;
        }
        if !self.is_last.get() {
            let is_last = self.incoming.as_ref().is_none_or(RecvStream::is_end_stream);
            self.is_last.set(is_last);
        }
        self.is_last.get()
    }

    fn trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }
}

impl Sink for H2 {
    fn poll_accept<S: Source>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
    ) -> Poll<Result<(), Fault>> {
        let (end, Some(outgoing)) = (self.end, &mut self.outgoing) else {
            return Poll::Ready(Err(gone(self.end)));
        };
        let wanted = source.chunk().len().min(PIECE);
        outgoing.reserve_capacity(wanted);
        let granted = loop {
            match outgoing.capacity() {
                0 => {}
                capacity => break capacity.min(wanted),
            }
            match ready!(outgoing.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(stream_fault(end, &error))),
                None => return Poll::Ready(Err(gone(end))),
            }
        };
        self.cut_small |= granted < SMALL_PIECE && granted < wanted;
        let last = source.ends_after(granted);
        let piece = source.take(granted);
        if let Err(error) = outgoing.send_data(piece, last) {
            return Poll::Ready(Err(stream_fault(end, &error)));
        }
        if last {
            self.outgoing = None;
        }
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), Fault> {
        let Some(mut outgoing) = self.outgoing.take() else {
            return Ok(());
        };
        let sent = match trailers {
            Some(trailers) => outgoing.send_trailers(trailers_to_h2(trailers)),
            None => outgoing.send_data(Bytes::new(), true),
        };
        sent.map_err(|error| stream_fault(self.end, &error))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        // The connection's own task writes.
        Poll::Ready(Ok(()))
    }
}

fn gone(end: End) -> Fault {
    match end {
        End::Client => Fault::ClientGone,
        End::Endpoint => Fault::UpstreamClosed,
    }
}
