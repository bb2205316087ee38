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
    replay::{Replay, Replayed},
    times::{Stage, Times},
    upstream::Remote,
};
use crate::{
    gateway::{Fault, Terms},
    http::{BodyLength, Method, ResponseHead},
};

/// The state of both directions.
#[derive(Debug)]
pub(crate) struct Transfer<'r, 'a> {
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
    /// What an earlier attempt has taken of the request's body, and what a later one may need.
    pub(crate) replay: &'r mut Replay<'a>,
    armed: Option<Armed>,
    /// When the request was out and the wait for the endpoint began.
    asked_at: Option<Instant>,
    /// The patience with the client as it sends, and as it reads.
    sending: Pace,
    reading: Pace,
    times: Times,
    /// Bytes that the request's body may have.
    most: u64,
}

/// For whom the deadline was set, when, and how far the exchange was then.
#[derive(Clone, Copy, Debug)]
struct Armed {
    stage: Stage,
    at: Instant,
    received: u64,
    sent: u64,
}

impl<'r, 'a> Transfer<'r, 'a> {
    pub(crate) fn new(times: Times, terms: Terms, replay: &'r mut Replay<'a>) -> Self {
        replay.rewind();
        Self {
            received: 0,
            sent: 0,
            request: Flow::default(),
            response: Flow::default(),
            broken: false,
            tunnel: false,
            interim: false,
            replay,
            armed: None,
            asked_at: None,
            sending: Pace::new(terms.receive_rate, times.sender(terms.receive_rate)),
            reading: Pace::new(terms.send_rate, times.reader()),
            most: terms.body,
            times,
        }
    }

    /// The response is the one that goes on.
    pub(crate) fn answered(&mut self, is_stream: bool) {
        self.replay.release();
        self.times.answered(is_stream);
        self.armed = None;
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
        self.times.tunnel();
        self.most = u64::MAX;
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
            Waits::Source => Stage::EndpointSends,
            Waits::Sink => Stage::ClientReads,
        };
        match self.poll_deadline(cx, deadline, stage) {
            // A tunnel in which nothing moves has come to its end; nobody failed.
            Poll::Ready(Fault::UpstreamTimeout) if self.tunnel => Poll::Ready(Ok(())),
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
            let mut body = Replayed {
                client: &mut *client,
                replay: &mut *self.replay,
            };
            let mut body = Bounded::new(&mut body, self.most, self.received);
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
            let client = match stage {
                Stage::ClientSends => self.sending.left(),
                _ => self.reading.left(),
            };
            deadline.set(self.times.end(stage, now, client));
        }
        deadline
            .poll_expired(cx)
            .map(|_| match self.times.fault(stage, Instant::now()) {
                Fault::BodyTimeout if self.sending.is_strained() => Fault::BodyTooSlow,
                Fault::ClientStalled if self.reading.is_strained() => Fault::ClientTooSlow,
                fault => fault,
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
