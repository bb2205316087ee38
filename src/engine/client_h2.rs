//! The client's side of one exchange over HTTP/2: one stream.

use std::{
    rc::Rc,
    task::{Context, Poll, Waker},
};

use ::h2::{Reason, RecvStream, server::SendResponse};
use bytes::Bytes;

use super::{
    body::{Fill, Sink, Source},
    exchange::Client,
    h1::End,
    h2::H2,
    watch::Watch,
};
use crate::{
    gateway::{Fault, Violation},
    http::{BodyLength, Fields, Method, RequestHead, ResponseHead, h2::response_to_h2},
};

/// A client over HTTP/2.
#[derive(Debug)]
pub(crate) struct ClientH2 {
    stream: H2,
    respond: SendResponse<Bytes>,
    responded: bool,
    watch: Rc<Watch>,
    /// Whether the body's length was announced.
    measured: bool,
}

impl ClientH2 {
    pub(crate) fn new(
        body: RecvStream,
        respond: SendResponse<Bytes>,
        length: Option<BodyLength>,
        is_complete: bool,
        watch: &Rc<Watch>,
    ) -> Self {
        let mut stream = H2::new(End::Client);
        stream.expect_body(body, is_complete);
        Self {
            stream,
            respond,
            responded: false,
            watch: Rc::clone(watch),
            measured: matches!(length, Some(BodyLength::Exact(_))),
        }
    }

    /// The fault, as exactly as it can be told: on a stream whose body has a length, a protocol error is a body of
    /// another one.
    fn exactly(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Http2(Violation::Protocol)
                if self.measured && self.watch.ended_for().is_none() =>
            {
                Fault::Http2(Violation::Length)
            }
            other => other,
        }
    }

    /// Notes when all of the response has been handed over.
    fn note_end(&self) {
        if !self.stream.is_sending() {
            self.watch.left(self.respond.stream_id().as_u32());
        }
    }

    /// Why the stream takes nothing any more.
    fn why_closed(&mut self, fault: Fault) -> Fault {
        if fault != Fault::ClientGone {
            return self.exactly(fault);
        }
        match self.poll_gone(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(fault) => fault,
            Poll::Pending => Fault::ClientGone,
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
            .map_err(|_| self.why_closed(Fault::ClientGone))?;
        self.responded = true;
        if !bodiless {
            self.stream.promise_body(body);
        }
        Ok(())
    }

    fn has_responded(&self) -> bool {
        self.responded
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        let reset = if self.stream.is_sending() {
            self.stream.poll_reset(cx)
        } else {
            self.respond.poll_reset(cx)
        };
        reset.map(|reset| {
            let fault = reset.map_or(Fault::ClientGone, |code| {
                self.watch
                    .reset(self.respond.stream_id().as_u32(), code.into())
            });
            self.exactly(fault)
        })
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
        self.stream
            .poll_fill(cx)
            .map_err(|fault| self.exactly(fault))
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
        let accepted = self.stream.poll_accept(cx, source);
        if self.stream.take_cut_small() {
            self.watch.cut_small();
        }
        if let Poll::Ready(Ok(())) = accepted {
            self.note_end();
        }
        accepted.map_err(|fault| self.why_closed(fault))
    }

    fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), Fault> {
        let is_sending = self.stream.is_sending();
        let finished = self.stream.finish(trailers);
        if is_sending && finished.is_ok() {
            self.note_end();
        }
        finished.map_err(|fault| self.why_closed(fault))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.stream.poll_flush(cx)
    }
}
