//! One HTTP/2 stream, whichever end of it we are: the heads, the body that comes in, the body that goes out.

use std::{
    rc::Rc,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};

use super::{connection::Http2, send::Grant, streams::Key};
use crate::{
    engine::body::{Fill, Sink, Source},
    gateway::Fault,
    http::{
        Fields, HeadError, ResponseHead,
        h2::{Encoder, frame::code},
    },
};

/// Bytes that may wait beyond those of bodies, which fill their room whenever they can, for a head that can be left out.
const AHEAD: usize = 64 * 1024;

/// The use of one stream by one exchange. Dropping it ends the stream, if it has not ended.
#[derive(Debug)]
pub(crate) struct Stream {
    connection: Rc<Http2>,
    key: Key,
    /// What is in hand of the body that comes in.
    piece: BytesMut,
    trailers: Option<Fields>,
}

impl Stream {
    pub(super) fn new(connection: &Rc<Http2>, key: Key) -> Self {
        Self {
            connection: Rc::clone(connection),
            key,
            piece: BytesMut::new(),
            trailers: None,
        }
    }

    pub(super) const fn key(&self) -> Key {
        self.key
    }

    /// Sends a head, with nothing behind it if `ends`. `write` appends the field block; its error is the inner one.
    pub(crate) fn send_head(
        &self,
        ends: bool,
        write: impl FnOnce(&mut Encoder, &mut Vec<u8>) -> Result<(), HeadError>,
    ) -> Result<(), Result<Fault, HeadError>> {
        let state = &mut *self.connection.0.borrow_mut();
        state.send_head(self.key, ends, write)
    }

    /// Whether there is room for a head that can be left out.
    pub(crate) fn has_room_ahead(&self) -> bool {
        let state = self.connection.0.borrow();
        let most = state.terms.send_buffer.saturating_add(AHEAD);
        state.sending.unwritten() < most
    }

    /// The next head of a response, interim ones included, and whether nothing follows it.
    pub(crate) fn poll_head(
        &self,
        cx: &Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<bool, Fault>> {
        let state = &mut *self.connection.0.borrow_mut();
        let Some(slot) = state.streams.get_mut(self.key) else {
            return Poll::Ready(Err(Fault::Internal));
        };
        if let Some(mut next) = slot.heads.pop_front() {
            std::mem::swap(head, &mut next);
            let is_complete = slot.ended_in && slot.pending.is_empty() && slot.trailers.is_none();
            let is_last = slot.heads.is_empty() && slot.answered;
            // The memory that was in `head` serves a later one.
            let mut scratch = state.worker.scratch();
            scratch.response = next;
            state.worker.reuse(scratch);
            return Poll::Ready(Ok(is_complete && is_last));
        }
        if let Some(fault) = slot.fault {
            return Poll::Ready(Err(fault));
        }
        slot.wait(cx);
        Poll::Pending
    }

    /// Ready when there is nothing to come and nowhere to go any more, with the reason.
    pub(crate) fn poll_gone(&self, cx: &Context<'_>) -> Poll<Fault> {
        let state = &mut *self.connection.0.borrow_mut();
        let Some(slot) = state.streams.get_mut(self.key) else {
            return Poll::Ready(Fault::Internal);
        };
        if let Some(fault) = slot.fault {
            return Poll::Ready(fault);
        }
        slot.wait(cx);
        Poll::Pending
    }

    /// Why the stream has ended already, if it has.
    pub(crate) fn fault(&self) -> Option<Fault> {
        let state = self.connection.0.borrow();
        state.streams.get(self.key)?.fault
    }

    /// Ends the stream so that the other end cannot take what it got for all.
    pub(crate) fn abort(&self) {
        let state = &mut *self.connection.0.borrow_mut();
        state.reset(self.key, code::INTERNAL_ERROR);
    }

    fn release(&self, bytes: usize) {
        if bytes > 0 {
            self.connection.0.borrow_mut().release(self.key, bytes);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let piece = std::mem::take(&mut self.piece);
        self.connection.0.borrow_mut().let_go(self.key, piece);
    }
}

impl Source for Stream {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Fault>> {
        if !self.piece.is_empty() {
            return Poll::Ready(Ok(Fill::Data));
        }
        let state = &mut *self.connection.0.borrow_mut();
        let Some(slot) = state.streams.get_mut(self.key) else {
            return Poll::Ready(Err(Fault::Internal));
        };
        if !slot.pending.is_empty() {
            // The memory of the last piece serves the next one.
            self.piece.clear();
            std::mem::swap(&mut self.piece, &mut slot.pending);
            return Poll::Ready(Ok(Fill::Data));
        }
        if slot.ended_in {
            if let Some(trailers) = slot.trailers.take() {
                self.trailers = Some(trailers);
            }
            return Poll::Ready(Ok(Fill::End));
        }
        if let Some(fault) = slot.fault {
            return Poll::Ready(Err(fault));
        }
        slot.wait(cx);
        Poll::Pending
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
        let taken = self.piece.split_to(most.min(self.piece.len())).freeze();
        self.release(taken.len());
        taken
    }

    fn ends_after(&self, bytes: usize) -> bool {
        if self.piece.len() != bytes {
            return false;
        }
        let state = self.connection.0.borrow();
        state
            .streams
            .get(self.key)
            .is_some_and(|slot| slot.ended_in && slot.pending.is_empty() && slot.trailers.is_none())
    }

    fn trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }
}

impl Sink for Stream {
    fn poll_accept<S: Source>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
    ) -> Poll<Result<(), Fault>> {
        let wanted = source.chunk().len();
        let granted = {
            let state = &mut *self.connection.0.borrow_mut();
            match state.grant(self.key, wanted) {
                Ok(Grant::Bytes(granted)) => granted,
                Ok(Grant::Later) => {
                    if let Some(slot) = state.streams.get_mut(self.key) {
                        slot.wait(cx);
                    }
                    return Poll::Pending;
                }
                Err(fault) => return Poll::Ready(Err(fault)),
            }
        };
        let ends = source.ends_after(granted);
        let piece = source.chunk().get(..granted).unwrap_or_default();
        self.connection
            .0
            .borrow_mut()
            .send_data(self.key, piece, ends);
        source.consume(granted);
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), Fault> {
        self.connection.0.borrow_mut().finish(self.key, trailers)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        // The connection's own task writes.
        Poll::Ready(Ok(()))
    }
}
