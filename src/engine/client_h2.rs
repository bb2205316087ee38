//! The client's side of one exchange over HTTP/2: one stream.

use std::task::{Context, Poll};

use ::h2::{Reason, RecvStream, server::SendResponse};
use bytes::Bytes;

use super::{
    body::{Fill, Sink, Source},
    exchange::Client,
    h1::End,
    h2::H2,
};
use crate::{
    gateway::Fault,
    http::{BodyLength, Fields, Method, RequestHead, ResponseHead, h2::response_to_h2},
};

/// A client over HTTP/2.
#[derive(Debug)]
pub(crate) struct ClientH2 {
    stream: H2,
    respond: SendResponse<Bytes>,
    responded: bool,
}

impl ClientH2 {
    pub(crate) fn new(body: RecvStream, respond: SendResponse<Bytes>) -> Self {
        let mut stream = H2::new(End::Client);
        stream.expect_body(body);
        Self {
            stream,
            respond,
            responded: false,
        }
    }
}

impl Client for ClientH2 {
    fn interim(&mut self, _: &RequestHead, head: &ResponseHead) {
        if let Ok(response) = response_to_h2(head) {
            // A stream that ended meanwhile shows that at the next step.
            let _ = self.respond.send_informational(response);
        }
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
        let response = response_to_h2(head).map_err(Fault::UpstreamMalformed)?;
        let body = self
            .respond
            .send_response(response, bodiless)
            .map_err(|_| Fault::ClientGone)?;
        self.responded = true;
        if !bodiless {
            self.stream.promise_body(body);
        }
        Ok(())
    }

    fn has_responded(&self) -> bool {
        self.responded
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.stream.is_sending() {
            self.stream.poll_reset(cx)
        } else {
            self.respond.poll_reset(cx).map(drop)
        }
    }

    fn abort(&mut self) {
        self.stream.reset(Reason::INTERNAL_ERROR);
        self.respond.send_reset(Reason::INTERNAL_ERROR);
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
