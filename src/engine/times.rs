//! How long an exchange waits, and for whom.

use std::time::{Duration, Instant};

use crate::gateway::{Exchange, Fault};

/// For whom an exchange waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    ClientSends,
    ClientReads,
    EndpointReads,
    EndpointAnswers,
    Tunnel,
}

/// The times of one attempt, and of the exchange around it.
#[derive(Debug)]
pub(crate) struct Times {
    client: Duration,
    endpoint: Duration,
    tunnel: Duration,
    /// The end of the whole exchange.
    whole: Option<Instant>,
    /// For the attempt, as long as it has no response head.
    attempt: Option<Duration>,
    /// Since when nothing but the endpoint has kept the attempt from its end.
    attempt_since: Option<Instant>,
}

impl Times {
    /// The times of an attempt that began then.
    pub(crate) fn new(exchange: &Exchange, began: Instant) -> Self {
        let (endpoint, tunnel) = exchange.upstream_limits();
        Self {
            client: exchange.connection().listener.deadlines.body,
            endpoint,
            tunnel,
            whole: exchange.ends_at(),
            attempt: exchange.per_try(),
            attempt_since: Some(began),
        }
    }

    /// The head of the response is there.
    pub(crate) fn answered(&mut self) {
        self.attempt = None;
    }

    /// The route's time is for requests; a tunnel has its idle limit.
    pub(crate) fn tunnel(&mut self) {
        self.whole = None;
    }

    /// When a wait that begins now is over.
    pub(crate) fn end(&mut self, stage: Stage, now: Instant) -> Instant {
        let limit = match stage {
            Stage::ClientSends | Stage::ClientReads => self.client,
            Stage::EndpointReads | Stage::EndpointAnswers => self.endpoint,
            Stage::Tunnel => self.tunnel,
        };
        if stage == Stage::ClientSends {
            // What the client takes is not the endpoint's time.
            self.attempt_since = None;
        } else if self.attempt_since.is_none() {
            self.attempt_since = Some(now);
        }
        [Some(now + limit), self.whole, self.attempt_end()]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(now)
    }

    /// Whose fault it is that a wait is over.
    pub(crate) fn fault(&self, stage: Stage, now: Instant) -> Fault {
        if self.whole.is_some_and(|whole| whole <= now) {
            return Fault::RouteTimeout;
        }
        match stage {
            Stage::ClientSends => Fault::BodyTimeout,
            Stage::ClientReads => Fault::ClientStalled,
            Stage::EndpointReads | Stage::EndpointAnswers | Stage::Tunnel => Fault::UpstreamTimeout,
        }
    }

    fn attempt_end(&self) -> Option<Instant> {
        self.attempt_since?.checked_add(self.attempt?)
    }
}
