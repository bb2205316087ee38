//! The client's side of one exchange over HTTP/2: one stream.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::{
    body::{Fill, Sink, Source},
    exchange::Client,
    h2::Stream,
};
use crate::{
    gateway::Fault,
    http::{BodyLength, Fields, Method, RequestHead, ResponseHead, h2::write_response},
};

/// A client over HTTP/2.
#[derive(Debug)]
pub(crate) struct ClientH2 {
    stream: Stream,
    responded: bool,
}

impl ClientH2 {
    pub(crate) const fn new(stream: Stream) -> Self {
        Self {
            stream,
            responded: false,
        }
    }

    fn send_head(&self, head: &ResponseHead, ends: bool) -> Result<(), Fault> {
        self.stream
            .send_head(ends, |encoder, out| write_response(encoder, head, out))
            .map_err(|refused| refused.unwrap_or_else(Fault::UpstreamMalformed))
    }
}

impl Client for ClientH2 {
    fn interim(&mut self, _: &RequestHead, head: &ResponseHead) {
        // What a client that does not read is told ahead of its answer would pile up, with each stream.
        if !self.stream.has_room_ahead() {
            return;
        }
        // A stream that ended meanwhile shows that at the next step, and what HTTP/2 does not know can be left out.
        let _ = self.send_head(head, false);
    }

    fn respond(
        &mut self,
        request: &RequestHead,
        head: &ResponseHead,
        length: BodyLength,
        _: Option<&[u8]>,
    ) -> Result<(), Fault> {
        let bodiless = matches!(length, BodyLength::Empty | BodyLength::Exact(0))
            || request.method == Method::Head;
        self.send_head(head, bodiless)?;
        self.responded = true;
        Ok(())
    }

    fn has_responded(&self) -> bool {
        self.responded
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        self.stream.poll_gone(cx)
    }

    fn abort(&mut self) {
        self.stream.abort();
    }

    fn forgo_body(&mut self) {}

    fn last(&mut self) {}

    fn tunnel(&mut self) {}
}

impl Source for ClientH2 {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Fault>> {
        self.stream.poll_fill(cx)
    }

    fn chunk(&self) -> &[u8] {
        self.stream.chunk()
    }

    fn consume(&mut self, bytes: usize) {
        self.stream.consume(bytes);
    }

    fn take(&mut self, most: usize) -> Bytes {
        self.stream.take(most)
    }

    fn ends_after(&self, bytes: usize) -> bool {
        self.stream.ends_after(bytes)
    }

    fn trailers(&mut self) -> Option<Fields> {
        self.stream.trailers()
    }
}

impl Sink for ClientH2 {
    fn poll_accept<S: Source>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
    ) -> Poll<Result<(), Fault>> {
        self.stream.poll_accept(cx, source)
    }

    fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), Fault> {
        self.stream.finish(trailers)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.stream.poll_flush(cx)
    }
}
