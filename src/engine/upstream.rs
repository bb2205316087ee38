//! The endpoint's side of one exchange, over either protocol.

use std::{
    rc::Rc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};

use super::{
    asserted::Asserted,
    body::{Fill, Sink, Source},
    conduit::Conduit,
    connect::{Patience, connect, pool_key, stream_slot},
    h1::{End, H1, SMALL},
    h2::Stream,
    places::leave,
    pool::{PoolKey, StreamSlot},
    worker::Worker,
};
use crate::{
    balance::{Endpoint, OpenConnection},
    gateway::{Exchange, Fault, grpc_status},
    http::{
        BodyLength, Fields, HeadLimits, Method, RequestHead, ResponseHead,
        h1::{self, ConnectionHeader, Framing, HeadScan},
        keep_alive, response_body,
    },
    snapshot::{Protocol, Upstream},
};

/// What an endpoint's head may be.
pub(crate) const HEAD_LIMITS: HeadLimits = HeadLimits {
    bytes: 64 * 1024,
    fields: 128,
    target: 8 * 1024,
};

/// The endpoint's side of one exchange.
pub(crate) trait Remote: Source + Sink {
    /// How long connecting took; `None` on a connection that was open already.
    fn connect_time(&self) -> Option<Duration>;
    /// Hands over the head of the request. A body of that length follows it.
    fn request(
        &mut self,
        head: &RequestHead,
        length: BodyLength,
        exchange: &Exchange,
    ) -> Result<(), Fault>;
    /// The next head that the endpoint sends, 1xx included, and the length of the body behind it.
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        method: &Method,
        head: &mut ResponseHead,
    ) -> Poll<Result<BodyLength, Fault>>;
    /// Whether the endpoint may have seen any of the request.
    fn is_touched(&self) -> bool;
    /// Whether anything came from the endpoint.
    fn has_heard(&self) -> bool;
    /// The `grpc-status` that stood in the trailers.
    fn grpc_status(&self) -> Option<u32>;
    /// Turns both bodies into bytes until either side ends.
    fn tunnel(&mut self);
}

/// An endpoint that was chosen, before there is a connection.
pub(crate) struct UpstreamSide<'a> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) upstream: &'a Upstream,
    pub(crate) endpoint: &'a Endpoint,
}

impl<'a> UpstreamSide<'a> {
    pub(crate) fn speaks_http2(&self) -> bool {
        self.upstream.transport.protocol == Protocol::Http2
    }

    /// A kept connection, unless a fresh one is wanted, or a new one.
    pub(crate) async fn open_h1(
        &self,
        fresh: bool,
        patience: Patience<'_>,
    ) -> Result<RemoteH1<'a>, Fault> {
        let key = pool_key(self.endpoint);
        let kept = if fresh {
            None
        } else {
            self.worker.pools.take(key, patience.began)
        };
        let (socket, open, connect_time) = match kept {
            Some((socket, open)) => {
                self.endpoint.metrics.connection_reused(self.worker.id);
                (socket, open, None)
            }
            None => {
                let open = leave(self.worker, self.upstream, self.endpoint, patience).await?;
                let socket = connect(self.worker, self.upstream, self.endpoint, patience).await?;
                (socket, open, Some(patience.began.elapsed()))
            }
        };
        let mut connection = H1::new(socket, End::Endpoint, self.worker.buffers.inbound());
        connection.outbound = self.worker.buffers.outbound();
        Ok(RemoteH1 {
            worker: self.worker,
            upstream: self.upstream,
            connection,
            scan: HeadScan::new(),
            key,
            connect_time,
            heard: false,
            grpc_status: None,
            asserted: Asserted::default(),
            keep: false,
            open,
        })
    }

    /// A stream's place on a connection that is open, or on a new one.
    pub(crate) async fn open_h2(&self, patience: Patience<'_>) -> Result<RemoteH2, Fault> {
        let (slot, open) = stream_slot(self.worker, self.upstream, self.endpoint, patience).await?;
        if open {
            self.endpoint.metrics.connection_reused(self.worker.id);
        }
        Ok(RemoteH2 {
            stream: None,
            slot,
            connect_time: (!open).then(|| patience.began.elapsed()),
            heard: false,
            grpc_status: None,
            asserted: Asserted::default(),
        })
    }
}

/// An endpoint over HTTP/1.
#[derive(Debug)]
pub(crate) struct RemoteH1<'a> {
    worker: &'a Rc<Worker>,
    upstream: &'a Upstream,
    connection: H1,
    scan: HeadScan,
    key: PoolKey,
    connect_time: Option<Duration>,
    heard: bool,
    grpc_status: Option<u32>,
    asserted: Asserted,
    /// Whether the endpoint will take another request on this connection.
    keep: bool,
    /// After the connection: it is closed before it is no longer counted.
    open: OpenConnection,
}

impl RemoteH1<'_> {
    /// Gives the connection back for the next request, if both messages are complete and nothing else has come.
    pub(crate) fn recycle(mut self) {
        let clean = self.keep
            && self.connection.is_read()
            && self.connection.is_written()
            && self.connection.inbound.is_empty();
        if clean && !self.worker.is_draining() {
            let until = Instant::now() + self.upstream.timeouts.idle;
            self.worker.buffers.recycle(&mut self.connection);
            self.worker.pools.put(
                self.key,
                (self.connection.socket, self.open),
                until,
                self.upstream.max_idle,
            );
        } else {
            self.worker.buffers.recycle(&mut self.connection);
        }
    }
}

impl Remote for RemoteH1<'_> {
    fn connect_time(&self) -> Option<Duration> {
        self.connect_time
    }

    fn request(
        &mut self,
        head: &RequestHead,
        length: BodyLength,
        exchange: &Exchange,
    ) -> Result<(), Fault> {
        let (framing, body) = match length {
            BodyLength::Empty => (Framing::None, length),
            BodyLength::Exact(bytes) => (Framing::Length(bytes), length),
            BodyLength::Chunked | BodyLength::UntilClose => (Framing::Chunked, BodyLength::Chunked),
        };
        let connection = exchange
            .upgrade()
            .map_or(ConnectionHeader::None, ConnectionHeader::Upgrade);
        h1::write_request_head(head, framing, connection, &mut self.connection.outbound);
        if body == BodyLength::Chunked {
            self.asserted = Asserted::by(head);
        }
        self.connection.promise_body(body);
        Ok(())
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        method: &Method,
        head: &mut ResponseHead,
    ) -> Poll<Result<BodyLength, Fault>> {
        loop {
            let inbound = &mut self.connection.inbound;
            if !inbound.is_empty() {
                self.heard = true;
                match h1::parse_response(inbound, &mut self.scan, &HEAD_LIMITS, head) {
                    Ok(None) => {}
                    Ok(Some(used)) => {
                        inbound.advance(used);
                        break;
                    }
                    Err(error) => return Poll::Ready(Err(Fault::UpstreamMalformed(error))),
                }
            }
            match ready!(self.connection.poll_read(cx, SMALL)) {
                Ok(true) => {}
                Ok(false) | Err(_) => return Poll::Ready(Err(Fault::UpstreamClosed)),
            }
        }
        let length = match response_body(method, head) {
            Ok(length) => length,
            Err(error) => return Poll::Ready(Err(Fault::UpstreamMalformed(error))),
        };
        if head.status >= 200 {
            self.keep = keep_alive(head.version, &head.fields) && length != BodyLength::UntilClose;
            self.connection.expect_body(length);
        }
        Poll::Ready(Ok(length))
    }

    fn is_touched(&self) -> bool {
        self.connection.has_written()
    }

    fn has_heard(&self) -> bool {
        self.heard
    }

    fn grpc_status(&self) -> Option<u32> {
        self.grpc_status
    }

    fn tunnel(&mut self) {
        self.keep = false;
        self.connection.tunnel();
    }
}

impl Source for RemoteH1<'_> {
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
        let trailers = self.connection.trailers();
        self.grpc_status = trailers.as_ref().and_then(grpc_status);
        trailers
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

impl Sink for RemoteH1<'_> {
    fn poll_accept<S: Source>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
    ) -> Poll<Result<(), Fault>> {
        self.connection.poll_accept(cx, source)
    }

    fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), Fault> {
        self.connection
            .finish(self.asserted.keep(trailers).as_ref())
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

/// An endpoint over HTTP/2.
#[derive(Debug)]
pub(crate) struct RemoteH2 {
    /// Before the slot: it has ended before its place is free.
    stream: Option<Stream>,
    slot: StreamSlot,
    connect_time: Option<Duration>,
    heard: bool,
    grpc_status: Option<u32>,
    asserted: Asserted,
}

impl Remote for RemoteH2 {
    fn connect_time(&self) -> Option<Duration> {
        self.connect_time
    }

    fn request(
        &mut self,
        head: &RequestHead,
        length: BodyLength,
        exchange: &Exchange,
    ) -> Result<(), Fault> {
        let bodiless = matches!(length, BodyLength::Empty | BodyLength::Exact(0));
        let http2 = &self.slot.0.http2;
        self.stream = Some(http2.open(head, exchange.scheme(), bodiless)?);
        if !bodiless {
            // Here trailers can follow a body of known length, too.
            self.asserted = Asserted::by(head);
        }
        Ok(())
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        method: &Method,
        head: &mut ResponseHead,
    ) -> Poll<Result<BodyLength, Fault>> {
        let Some(stream) = &self.stream else {
            return Poll::Ready(Err(Fault::Internal));
        };
        let complete = ready!(stream.poll_head(cx, head))?;
        self.heard = true;
        if head.status < 200 {
            return Poll::Ready(Ok(BodyLength::Empty));
        }
        let length = response_body(method, head).map(|length| match length {
            // A stream has an end of its own, so no length is needed to find it.
            BodyLength::UntilClose if complete => BodyLength::Exact(0),
            BodyLength::UntilClose => BodyLength::Chunked,
            known => known,
        });
        Poll::Ready(length.map_err(Fault::UpstreamMalformed))
    }

    fn is_touched(&self) -> bool {
        self.stream.is_some()
    }

    fn has_heard(&self) -> bool {
        self.heard
    }

    fn grpc_status(&self) -> Option<u32> {
        self.grpc_status
    }

    fn tunnel(&mut self) {}
}

impl Source for RemoteH2 {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Fault>> {
        match &mut self.stream {
            Some(stream) => stream.poll_fill(cx),
            None => Poll::Ready(Err(Fault::Internal)),
        }
    }

    fn chunk(&self) -> &[u8] {
        self.stream.as_ref().map_or(&[], Stream::chunk)
    }

    fn consume(&mut self, bytes: usize) {
        if let Some(stream) = &mut self.stream {
            stream.consume(bytes);
        }
    }

    fn take(&mut self, most: usize) -> Bytes {
        let stream = self.stream.as_mut();
        stream.map(|stream| stream.take(most)).unwrap_or_default()
    }

    fn ends_after(&self, bytes: usize) -> bool {
        let stream = self.stream.as_ref();
        stream.is_some_and(|stream| stream.ends_after(bytes))
    }

    fn trailers(&mut self) -> Option<Fields> {
        let trailers = self.stream.as_mut().and_then(Stream::trailers);
        self.grpc_status = trailers.as_ref().and_then(grpc_status);
        trailers
    }
}

impl Sink for RemoteH2 {
    fn poll_accept<S: Source>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
    ) -> Poll<Result<(), Fault>> {
        match &mut self.stream {
            Some(stream) => stream.poll_accept(cx, source),
            None => Poll::Ready(Err(Fault::Internal)),
        }
    }

    fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), Fault> {
        match &mut self.stream {
            Some(stream) => stream.finish(self.asserted.keep(trailers).as_ref()),
            None => Err(Fault::Internal),
        }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        // The connection's own task writes.
        Poll::Ready(Ok(()))
    }
}
