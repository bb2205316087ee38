//! A request's body, kept up to a size while it goes out, so that another attempt can send the same bytes again.

use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::{
    body::{Fill, Source},
    buffers::Buffers,
    conduit::Conduit,
};
use crate::{gateway::Fault, http::Fields};

/// What was taken of a request's body.
///
/// It has a buffer from the first byte of a body that may be needed again until that is no more so; an exchange whose body
/// nobody would ask for again never has one. The buffer is a spare one of the worker, and goes back.
#[derive(Debug)]
pub(crate) struct Replay<'a> {
    buffers: &'a Buffers,
    kept: Vec<u8>,
    /// How much may be kept; 0: nothing more is.
    most: usize,
    /// How much of `kept` the present attempt has sent.
    sent: usize,
    /// Whether the present piece is the client's, and not one of `kept`.
    is_fresh: bool,
    /// Whether the client's body has come to its end.
    ended: bool,
    /// What came behind it.
    trailers: Option<Fields>,
    /// Whether bytes were taken that are not kept.
    gone: bool,
    /// Bytes that the present attempt has sent and an earlier one had sent before.
    repeated: u64,
}

/// The client's body with what is kept of it in front, as one attempt sends it.
pub(crate) struct Replayed<'r, 'a, S> {
    pub(crate) client: &'r mut S,
    pub(crate) replay: &'r mut Replay<'a>,
}

impl<'a> Replay<'a> {
    /// Keeps at most so many bytes.
    pub(crate) fn new(most: usize, buffers: &'a Buffers) -> Self {
        Self {
            buffers,
            kept: Vec::new(),
            most,
            sent: 0,
            is_fresh: true,
            ended: false,
            trailers: None,
            gone: false,
            repeated: 0,
        }
    }

    /// Begins another attempt, with the first byte.
    pub(crate) fn rewind(&mut self) {
        self.sent = 0;
        self.repeated = 0;
    }

    /// There will be no other attempt: what has been sent is not needed any more.
    pub(crate) fn release(&mut self) {
        self.most = 0;
        self.gone |= !self.kept.is_empty();
        if self.sent == self.kept.len() {
            self.buffers.reuse(std::mem::take(&mut self.kept));
            self.sent = 0;
        }
    }

    /// Whether bytes of the body were taken that cannot be sent again.
    pub(crate) const fn is_gone(&self) -> bool {
        self.gone
    }

    /// Bytes that the present attempt has sent and an earlier one had sent before.
    pub(crate) const fn repeated(&self) -> u64 {
        self.repeated
    }

    /// Whether what the client sends goes on untouched.
    fn is_idle(&self) -> bool {
        !self.is_behind() && (self.most == 0 || self.gone)
    }

    fn is_behind(&self) -> bool {
        self.sent < self.kept.len()
    }

    fn resend(&mut self, bytes: usize) {
        let bytes = bytes.min(self.kept.len() - self.sent);
        self.sent += bytes;
        self.repeated += bytes as u64;
    }

    /// Keeps a piece that goes out for the first time; everything before it has been sent.
    fn keep(&mut self, piece: &[u8]) {
        if self.gone || piece.is_empty() {
            return;
        }
        if self.kept.len() + piece.len() > self.most {
            self.gone = true;
            self.release();
            return;
        }
        if self.kept.capacity() == 0 {
            self.kept = self.buffers.outbound();
        }
        self.kept.extend_from_slice(piece);
        self.sent = self.kept.len();
    }
}

impl Drop for Replay<'_> {
    fn drop(&mut self) {
        self.buffers.reuse(std::mem::take(&mut self.kept));
    }
}

impl<S: Source> Source for Replayed<'_, '_, S> {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Fault>> {
        self.replay.is_fresh = !self.replay.is_behind();
        if !self.replay.is_fresh {
            return Poll::Ready(Ok(Fill::Data));
        }
        if self.replay.ended {
            return Poll::Ready(Ok(Fill::End));
        }
        self.client.poll_fill(cx)
    }

    fn chunk(&self) -> &[u8] {
        if self.replay.is_fresh {
            return self.client.chunk();
        }
        self.replay.kept.get(self.replay.sent..).unwrap_or_default()
    }

    fn consume(&mut self, bytes: usize) {
        if !self.replay.is_fresh {
            self.replay.resend(bytes);
            return;
        }
        let piece = self.client.chunk();
        self.replay.keep(piece.get(..bytes).unwrap_or(piece));
        self.client.consume(bytes);
    }

    fn take(&mut self, most: usize) -> Bytes {
        if self.replay.is_fresh {
            let piece = self.client.take(most);
            self.replay.keep(&piece);
            return piece;
        }
        let rest = self.chunk();
        let piece = Bytes::copy_from_slice(rest.get(..most).unwrap_or(rest));
        self.replay.resend(piece.len());
        piece
    }

    fn ends_after(&self, bytes: usize) -> bool {
        if self.replay.is_fresh {
            return self.client.ends_after(bytes);
        }
        let rest = self.replay.kept.len() - self.replay.sent;
        rest == bytes && self.replay.ended && self.replay.trailers.is_none()
    }

    fn trailers(&mut self) -> Option<Fields> {
        if self.replay.ended {
            return self.replay.trailers.clone();
        }
        let trailers = self.client.trailers();
        if self.replay.most > 0 {
            self.replay.ended = true;
            self.replay.trailers.clone_from(&trailers);
        }
        trailers
    }

    fn raw_rest(&self) -> Option<u64> {
        self.client.raw_rest().filter(|_| self.replay.is_idle())
    }

    fn poll_pour(
        &mut self,
        cx: &mut Context<'_>,
        conduit: &mut Conduit,
    ) -> Poll<Result<(), Fault>> {
        ready!(self.client.poll_pour(cx, conduit))?;
        self.replay.gone = true;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;
    use crate::engine::body::{Flow, Present, Sink, Waits};

    /// Takes so many bytes at a time, and fails when its room is full.
    struct Narrow {
        step: usize,
        room: usize,
        got: Vec<u8>,
        ended: bool,
    }

    impl Sink for Narrow {
        fn poll_accept<S: Source>(
            &mut self,
            _: &mut Context<'_>,
            source: &mut S,
        ) -> Poll<Result<(), Fault>> {
            if self.got.len() >= self.room {
                return Poll::Ready(Err(Fault::UpstreamClosed));
            }
            let piece = source.chunk();
            let taken = piece.len().min(self.step);
            self.got.extend_from_slice(&piece[..taken]);
            source.consume(taken);
            Poll::Ready(Ok(()))
        }

        fn finish(&mut self, _: Option<&Fields>) -> Result<(), Fault> {
            self.ended = true;
            Ok(())
        }

        fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
            Poll::Ready(Ok(()))
        }
    }

    /// One attempt to an endpoint that fails after so many bytes: what it got, whether to the end, and the count.
    fn attempt(replay: &mut Replay<'_>, client: &mut Present, room: usize) -> (Vec<u8>, bool, u64) {
        let mut sink = Narrow {
            step: 3,
            room,
            got: Vec::new(),
            ended: false,
        };
        let mut cx = Context::from_waker(Waker::noop());
        replay.rewind();
        let mut source = Replayed { client, replay };
        let (mut flow, mut moved, mut waits) = (Flow::default(), 0, Waits::Sink);
        let _ = flow.poll(&mut cx, &mut source, &mut sink, &mut moved, &mut waits);
        (sink.got, sink.ended, moved)
    }

    #[test]
    fn each_attempt_sends_the_same_bytes_from_the_first() {
        let buffers = Buffers::default();
        let body = b"0123456789";
        let mut client = Present::new(Bytes::from_static(body));
        let mut replay = Replay::new(10, &buffers);
        for (room, repeated) in [(4, 0), (1, 3), (8, 6), (100, 9)] {
            let (got, ended, moved) = attempt(&mut replay, &mut client, room);
            assert_eq!(got, &body[..got.len()]);
            assert_eq!(moved, got.len() as u64);
            assert_eq!(replay.repeated(), repeated, "{room}");
            assert_eq!(ended, room == 100);
            assert!(!replay.is_gone());
        }
        let (got, ended, _) = attempt(&mut replay, &mut client, 100);
        assert_eq!((got.as_slice(), ended), (body.as_slice(), true));
    }

    #[test]
    fn a_body_over_the_limit_is_sent_on_and_not_kept() {
        let buffers = Buffers::default();
        let mut client = Present::new(Bytes::from_static(b"0123456789"));
        let mut replay = Replay::new(9, &buffers);
        let (got, ended, _) = attempt(&mut replay, &mut client, 100);
        assert_eq!((got.as_slice(), ended), (b"0123456789".as_slice(), true));
        assert!(replay.is_gone());
        assert_eq!(replay.kept.capacity(), 0);
    }

    #[test]
    fn what_is_released_in_the_middle_is_sent_to_its_end() {
        let buffers = Buffers::default();
        let mut client = Present::new(Bytes::from_static(b"0123456789"));
        let mut replay = Replay::new(64, &buffers);
        attempt(&mut replay, &mut client, 6);
        replay.rewind();
        replay.release();
        let mut source = Replayed {
            client: &mut client,
            replay: &mut replay,
        };
        let mut cx = Context::from_waker(Waker::noop());
        let mut got = Vec::new();
        while let Poll::Ready(Ok(Fill::Data)) = source.poll_fill(&mut cx) {
            got.extend_from_slice(&source.take(4));
        }
        assert_eq!(got, b"0123456789");
    }
}
