//! How long an exchange waits, and for whom.

use std::time::{Duration, Instant};

use crate::{
    gateway::{Bounds, Exchange, Fault},
    snapshot::ExchangeTimeouts,
};

/// For whom an exchange waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// For more of the request.
    ClientSends,
    /// For the client to take more of the response.
    ClientReads,
    /// For the endpoint to take more of the request.
    EndpointReads,
    /// For the head of the response.
    EndpointAnswers,
    /// For more of the response.
    EndpointSends,
    /// For either side of a tunnel.
    Tunnel,
}

/// The times of one attempt, and of the exchange around it.
#[derive(Debug)]
pub(crate) struct Times {
    client: Duration,
    endpoint: ExchangeTimeouts,
    bounds: Bounds,
    /// Whether bodies may last long by their nature.
    streams: bool,
    answered: bool,
    /// For the attempt, until it has a response head.
    attempt: Option<Duration>,
    /// Since when nothing but the endpoint has kept the attempt from its end.
    attempt_since: Option<Instant>,
    /// Since when the request has been complete.
    asked: Option<Instant>,
    /// When the route's time ends the present wait.
    route_end: Option<Instant>,
}

impl Times {
    /// The times of an attempt that began then; `None` without an upstream.
    pub(crate) fn new(exchange: &Exchange, began: Instant) -> Option<Self> {
        Some(Self {
            client: exchange.connection().listener.deadlines.body,
            endpoint: exchange.timeouts()?,
            bounds: exchange.bounds(),
            streams: exchange.is_call(),
            answered: false,
            attempt: exchange.per_try(),
            attempt_since: Some(began),
            asked: None,
            route_end: None,
        })
    }

    /// How long the client may be silent while it sends, if it may be so slow. In a gRPC call, both sides may be.
    pub(crate) fn sender(&self, rate: u64) -> Duration {
        if self.streams && rate == 0 {
            self.endpoint.stream_idle
        } else {
            self.client
        }
    }

    /// How long the client may take nothing of the response.
    pub(crate) const fn reader(&self) -> Duration {
        self.client
    }

    /// The head of the response is there; what follows it may be a stream.
    pub(crate) fn answered(&mut self, is_stream: bool) {
        self.answered = true;
        self.attempt = None;
        self.streams = is_stream;
    }

    /// Both sides have become plain byte streams.
    pub(crate) fn tunnel(&mut self) {
        self.streams = true;
    }

    /// When a wait that begins now is over.
    /// `client` is how long the client may be waited for.
    pub(crate) fn end(&mut self, stage: Stage, now: Instant, client: Duration) -> Instant {
        let limit = match stage {
            Stage::ClientSends | Stage::ClientReads => client,
            Stage::EndpointReads => self.endpoint.send,
            Stage::EndpointAnswers => self.endpoint.response,
            Stage::EndpointSends if self.streams => self.endpoint.stream_idle,
            Stage::EndpointSends => self.endpoint.read,
            Stage::Tunnel => self.endpoint.tunnel_idle,
        };
        if stage == Stage::ClientSends {
            // What the client takes is not the endpoint's time.
            self.attempt_since = None;
        } else if self.attempt_since.is_none() {
            self.attempt_since = Some(now);
        }
        self.route_end = self.route_end(stage, now);
        let attempt_end = self
            .attempt
            .and_then(|attempt| self.attempt_since?.checked_add(attempt));
        [self.route_end, self.bounds.deadline, attempt_end]
            .into_iter()
            .flatten()
            .fold(now + limit, Instant::min)
    }

    /// The route's time is not for what may last. Of a gRPC call, whose messages may come and go at length, it bounds the
    /// wait for an answer to the whole request.
    fn route_end(&mut self, stage: Stage, now: Instant) -> Option<Instant> {
        let (timeout, end) = self.bounds.route?;
        if self.bounds.streams || !self.streams {
            return Some(end);
        }
        if self.answered || stage != Stage::EndpointAnswers {
            return None;
        }
        let asked = *self.asked.get_or_insert(now);
        asked.checked_add(timeout).map(|later| later.max(end))
    }

    /// Whose fault it is that a wait is over.
    pub(crate) fn fault(&self, stage: Stage, now: Instant) -> Fault {
        if self.bounds.deadline.is_some_and(|end| end <= now) {
            return Fault::DeadlineExceeded;
        }
        if self.route_end.is_some_and(|end| end <= now) {
            return Fault::RouteTimeout;
        }
        match stage {
            Stage::ClientSends => Fault::BodyTimeout,
            Stage::ClientReads => Fault::ClientStalled,
            Stage::EndpointReads
            | Stage::EndpointAnswers
            | Stage::EndpointSends
            | Stage::Tunnel => Fault::UpstreamTimeout,
        }
    }
}
