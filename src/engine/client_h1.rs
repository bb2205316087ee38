//! The client's side of one exchange over HTTP/1.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::{
    body::{Fill, Sink, Source},
    conduit::Conduit,
    exchange::Client,
    h1::{H1, SMALL},
    worker::Worker,
};
use crate::{
    gateway::{Connection, Fault},
    http::{
        BodyLength, Fields, Known, Method, RequestHead, ResponseHead, Version, content_length,
        h1::{ConnectionHeader, Framing, write_response_head},
        keep_alive,
    },
};

/// The rest of an unwanted body that is read over, so that the connection can go on.
pub(crate) const DRAINED: u64 = 64 * 1024;

/// A client over HTTP/1.
#[derive(Debug)]
pub(crate) struct ClientH1<'a> {
    worker: &'a Worker,
    facts: &'a Connection,
    pub(crate) connection: &'a mut H1,
    /// Whether the connection carries another request after this one.
    pub(crate) keep: bool,
    /// Whether the client has said that it sends nothing after this request (RFC 9112 section 9.6).
    pub(crate) is_last: bool,
    /// Whether the client waits for a 100 before it sends its body.
    pub(crate) awaits_continue: bool,
    /// Whether a part of a response was cut off.
    pub(crate) aborted: bool,
    /// Whether the end of the connection is what ends the response.
    pub(crate) until_close: bool,
    responded: bool,
}

impl<'a> ClientH1<'a> {
    /// `may_keep` tells whether the gateway, for its part, would take another request.
    pub(crate) fn new(
        (worker, facts): (&'a Worker, &'a Connection),
        connection: &'a mut H1,
        request: &RequestHead,
        may_keep: bool,
    ) -> Self {
        // What follows a CONNECT may be what was meant for the tunnel.
        let may_keep = may_keep && !matches!(request.method, Method::Connect | Method::Trace);
        let goes_on = keep_alive(request.version, &request.fields);
        Self {
            worker,
            facts,
            connection,
            keep: may_keep && goes_on,
            is_last: !goes_on,
            awaits_continue: request.version > Version::Http10 && request.fields.has(Known::Expect),
            aborted: false,
            until_close: false,
            responded: false,
        }
    }
}

impl Client for ClientH1<'_> {
    fn interim(&mut self, request: &RequestHead, head: &ResponseHead) {
        if request.version == Version::Http10 {
            return;
        }
        if head.status == 100 {
            if !self.awaits_continue {
                return;
            }
            self.awaits_continue = false;
        }
        let outbound = &mut self.connection.outbound;
        write_response_head(head, Framing::None, ConnectionHeader::None, outbound);
    }

    fn respond(
        &mut self,
        request: &RequestHead,
        head: &ResponseHead,
        length: BodyLength,
        upgrade: Option<&[u8]>,
    ) -> Result<(), Fault> {
        self.responded = true;
        // The world may have changed while the endpoint thought about it.
        self.keep &= self.worker.parting().is_none() && !self.facts.retired.get();
        if self.awaits_continue && !self.connection.is_read() {
            // Whether the body will come now is for the client to decide, so nothing can follow it here.
            self.keep = false;
        }
        let outbound = &mut self.connection.outbound;
        if head.status == 101 {
            let protocol = upgrade.unwrap_or_default();
            write_response_head(
                head,
                Framing::None,
                ConnectionHeader::Upgrade(protocol),
                outbound,
            );
            return Ok(());
        }
        let (framing, body) = match length {
            BodyLength::Empty => (declared_length(request, head), BodyLength::Empty),
            BodyLength::Exact(bytes) if request.method == Method::Head => {
                (Framing::Length(bytes), BodyLength::Empty)
            }
            BodyLength::Exact(bytes) => (Framing::Length(bytes), length),
            BodyLength::Chunked | BodyLength::UntilClose if request.version == Version::Http10 => {
                self.keep = false;
                self.until_close = true;
                (Framing::UntilClose, BodyLength::UntilClose)
            }
            BodyLength::Chunked | BodyLength::UntilClose => (Framing::Chunked, BodyLength::Chunked),
        };
        let connection = match (self.keep, request.version) {
            (false, _) => ConnectionHeader::Close,
            (true, Version::Http10) => ConnectionHeader::KeepAlive,
            (true, _) => ConnectionHeader::None,
        };
        write_response_head(head, framing, connection, outbound);
        self.connection.promise_body(body);
        Ok(())
    }

    fn has_responded(&self) -> bool {
        self.responded
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // What a client sends ahead is kept, up to a buffer; more waits in the kernel.
        while self.connection.inbound.len() < SMALL {
            match self.connection.poll_read(cx, SMALL) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Pending
    }

    fn abort(&mut self) {
        self.aborted = true;
        self.keep = false;
    }

    fn forgo_body(&mut self) {
        // What is too long to be read over ends the connection, and the response has to say so.
        self.keep &= self.connection.rest_within(DRAINED);
    }

    fn last(&mut self) {
        self.keep = false;
    }

    fn tunnel(&mut self) {
        self.keep = false;
        self.connection.tunnel();
    }
}

/// What a response without a body says of the one it would have had.
fn declared_length(request: &RequestHead, head: &ResponseHead) -> Framing {
    if request.method != Method::Head && head.status != 304 {
        return Framing::None;
    }
    match content_length(&head.fields) {
        Ok(Some(length)) => Framing::Length(length),
        Ok(None) | Err(_) => Framing::None,
    }
}

impl Source for ClientH1<'_> {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Fault>> {
        self.connection.poll_fill(cx)
    }

    fn chunk(&self) -> &[u8] {
        self.connection.chunk()
    }

    fn consume(&mut self, bytes: usize) {
        self.connection.consume(bytes);
    }

    fn take(&mut self, most: usize) -> Bytes {
        self.connection.take(most)
    }

    fn ends_after(&self, bytes: usize) -> bool {
        self.connection.ends_after(bytes)
    }

    fn trailers(&mut self) -> Option<Fields> {
        self.connection.trailers()
    }

    fn raw_rest(&self) -> Option<u64> {
        self.connection.raw_rest()
    }

    fn poll_pour(
        &mut self,
        cx: &mut Context<'_>,
        conduit: &mut Conduit,
    ) -> Poll<Result<(), Fault>> {
        self.connection.poll_pour(cx, conduit)
    }
}

impl Sink for ClientH1<'_> {
    fn poll_accept<S: Source>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
    ) -> Poll<Result<(), Fault>> {
        self.connection.poll_accept(cx, source)
    }

    fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), Fault> {
        self.connection.finish(trailers)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.connection.poll_flush(cx)
    }

    fn is_raw(&self) -> bool {
        self.connection.is_raw()
    }

    fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        conduit: &mut Conduit,
    ) -> Poll<Result<usize, Fault>> {
        self.connection.poll_drain(cx, conduit)
    }
}
