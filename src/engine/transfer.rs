//! Both directions of an exchange at once, and the deadline that whoever is being waited for has to meet.

use std::{
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::{
    body::{Flow, Waits},
    bounded::Bounded,
    deadline::Deadline,
    exchange::Client,
    pace::Pace,
    upstream::Remote,
};
use crate::{
    gateway::{Exchange, Fault},
    http::{BodyLength, Method, ResponseHead},
};

/// The state of both directions.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// Bytes of the request's body that went on to the endpoint.
    pub(crate) received: u64,
    /// Bytes of the response's body that went on to the client.
    pub(crate) sent: u64,
    request: Flow,
    response: Flow,
    /// The endpoint takes no more of the request; what it answers still counts.
    broken: bool,
    tunnel: bool,
    /// Whether an interim response waits to go out.
    interim: bool,
    armed: Option<Armed>,
    /// When the request was out and the wait for the endpoint began.
    asked_at: Option<Instant>,
    /// The patience with the client as it sends, and as it reads.
    sending: Pace,
    reading: Pace,
    limits: Limits,
}

/// For whom the deadline was set, when, and how far the exchange was then.
#[derive(Clone, Copy, Debug)]
struct Armed {
    stage: Stage,
    at: Instant,
    received: u64,
    sent: u64,
}

/// For whom an exchange waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    ClientSends,
    ClientReads,
    EndpointReads,
    EndpointAnswers,
    Tunnel,
}

#[derive(Debug)]
struct Limits {
    endpoint: Duration,
    tunnel: Duration,
    whole: Option<Instant>,
    /// Bytes of the request's body.
    body: u64,
}

impl Transfer {
    pub(crate) fn new(exchange: &Exchange) -> Self {
        let (endpoint, tunnel) = exchange.upstream_limits();
        let client = exchange.connection().listener.deadlines.body;
        let terms = exchange.terms();
        Self {
            received: 0,
            sent: 0,
            request: Flow::default(),
            response: Flow::default(),
            broken: false,
            tunnel: false,
            interim: false,
            armed: None,
            asked_at: None,
            sending: Pace::new(terms.receive_rate, client),
            reading: Pace::new(terms.send_rate, client),
            limits: Limits {
                endpoint,
                tunnel,
                whole: exchange.ends_at(),
                body: terms.body,
            },
        }
    }

    /// Whether bytes of the request's body were taken from the client, and are gone.
    pub(crate) fn has_taken(&self) -> bool {
        self.received > 0 || self.request.holds()
    }

    /// How long the endpoint has had the whole request; `None` if it has answered before that.
    pub(crate) fn waited(&self) -> Option<Duration> {
        self.asked_at.map(|asked| asked.elapsed())
    }

    /// An interim response was handed over: the client may wait for it.
    pub(crate) fn flush_client(&mut self) {
        self.interim = true;
    }

    /// Both sides become plain byte streams.
    pub(crate) fn tunnel(&mut self) {
        self.tunnel = true;
        self.request = Flow::default();
        self.response = Flow::default();
        self.broken = false;
        // The route's time is for requests; a tunnel has its idle limit.
        self.limits.whole = None;
        self.limits.body = u64::MAX;
    }

    /// Moves the request along until a response head is there.
    pub(crate) fn poll_head<C: Client, R: Remote>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        remote: &mut R,
        deadline: &Deadline,
        method: &Method,
        head: &mut ResponseHead,
    ) -> Poll<Result<BodyLength, Fault>> {
        let mut waits = Waits::Sink;
        if self.interim && client.poll_flush(cx)?.is_ready() {
            self.interim = false;
        }
        self.push_request(cx, client, remote, &mut waits)?;
        if let Poll::Ready(outcome) = remote.poll_head(cx, method, head) {
            return Poll::Ready(outcome);
        }
        let stage = match waits {
            _ if self.broken || self.request.is_done() => Stage::EndpointAnswers,
            Waits::Source => Stage::ClientSends,
            Waits::Sink => Stage::EndpointReads,
        };
        self.poll_deadline(cx, deadline, stage).map(Err)
    }

    /// Moves both directions until the response is complete.
    pub(crate) fn poll_rest<C: Client, R: Remote>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        remote: &mut R,
        deadline: &Deadline,
    ) -> Poll<Result<(), Fault>> {
        let mut waits = Waits::Sink;
        self.push_request(cx, client, remote, &mut waits)?;
        let done = match self
            .response
            .poll(cx, remote, client, &mut self.sent, &mut waits)
        {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err((_, fault))) => return Poll::Ready(Err(fault)),
            // The protocols that are tunnelled have no half-open state: what one side ends is ended.
            Poll::Pending => self.tunnel && (self.request.is_done() || self.broken),
        };
        if done {
            return Poll::Ready(Ok(()));
        }
        let stage = match waits {
            _ if self.tunnel => Stage::Tunnel,
            Waits::Source => Stage::EndpointAnswers,
            Waits::Sink => Stage::ClientReads,
        };
        match self.poll_deadline(cx, deadline, stage) {
            // A tunnel in which nothing moves has come to its end; nobody failed.
            Poll::Ready(_) if self.tunnel => Poll::Ready(Ok(())),
            outcome => outcome.map(Err),
        }
    }

    fn push_request<C: Client, R: Remote>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        remote: &mut R,
        waits: &mut Waits,
    ) -> Result<(), Fault> {
        if !self.broken && !self.request.is_done() {
            let mut body = Bounded::new(client, self.limits.body, self.received);
            match self
                .request
                .poll(cx, &mut body, remote, &mut self.received, waits)
            {
                Poll::Ready(Err((Waits::Source, fault))) => return Err(fault),
                Poll::Ready(Err((Waits::Sink, _))) => self.broken = true,
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(())) => {}
            }
        }
        // Nothing more is read from the client, so somebody has to notice when it goes.
        if !self.tunnel
            && let Poll::Ready(fault) = client.poll_gone(cx)
        {
            return Err(fault);
        }
        Ok(())
    }

    /// Arms the deadline when the stage has changed or something has moved since, and tells whose fault it is when it
    /// has passed.
    fn poll_deadline(
        &mut self,
        cx: &Context<'_>,
        deadline: &Deadline,
        stage: Stage,
    ) -> Poll<Fault> {
        let stands = self.armed.is_some_and(|armed| {
            (armed.stage, armed.received, armed.sent) == (stage, self.received, self.sent)
        });
        if !stands {
            let now = Instant::now();
            self.settle(now);
            self.armed = Some(Armed {
                stage,
                at: now,
                received: self.received,
                sent: self.sent,
            });
            if stage == Stage::EndpointAnswers && self.asked_at.is_none() {
                self.asked_at = Some(now);
            }
            let limit = match stage {
                Stage::ClientSends => self.sending.left(),
                Stage::ClientReads => self.reading.left(),
                Stage::EndpointReads | Stage::EndpointAnswers => self.limits.endpoint,
                Stage::Tunnel => self.limits.tunnel,
            };
            let at = now + limit;
            deadline.set(self.limits.whole.map_or(at, |whole| whole.min(at)));
        }
        deadline.poll_expired(cx).map(|_| {
            if self
                .limits
                .whole
                .is_some_and(|whole| whole <= Instant::now())
            {
                return Fault::RouteTimeout;
            }
            match stage {
                Stage::ClientSends if self.sending.is_strained() => Fault::BodyTooSlow,
                Stage::ClientSends => Fault::BodyTimeout,
                Stage::ClientReads if self.reading.is_strained() => Fault::ClientTooSlow,
                Stage::ClientReads => Fault::ClientStalled,
                Stage::EndpointReads | Stage::EndpointAnswers | Stage::Tunnel => {
                    Fault::UpstreamTimeout
                }
            }
        })
    }

    /// Charges the client for the time since the deadline was set, if it was the client that was waited for.
    fn settle(&mut self, now: Instant) {
        let Some(before) = self.armed else { return };
        let waited = now.saturating_duration_since(before.at);
        let during = |stage| {
            if before.stage == stage {
                waited
            } else {
                Duration::ZERO
            }
        };
        let received = self.received.saturating_sub(before.received);
        self.sending.moved(received, during(Stage::ClientSends));
        let sent = self.sent.saturating_sub(before.sent);
        self.reading.moved(sent, during(Stage::ClientReads));
    }
}
