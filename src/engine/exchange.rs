//! One exchange, from a head that was read to its last byte. The same for every protocol on both sides.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    body::{Flow, Present, Sink, Source, Waits},
    connect::Patience,
    deadline::Deadline,
    record::Recorded,
    replay::Replay,
    spare_answer::SpareAnswer,
    times::Times,
    transfer::Transfer,
    upstream::{Remote, UpstreamSide},
    worker::Worker,
};
use crate::{
    balance::Lease,
    filters::Reply,
    gateway::{
        Exchange, Fault, Progress, Retry, Verdict, grpc_reply, grpc_status, head_of, judged_at_end,
        late_trailers, measured, reply_of,
    },
    http::{BodyLength, Method, RequestHead, ResponseHead},
};

/// 1xx responses that one exchange may see; more is a flood.
const MOST_INTERIM: u32 = 32;

/// The client's side of one exchange.
pub(crate) trait Client: Source + Sink {
    /// Sends a 1xx response.
    fn interim(&mut self, request: &RequestHead, head: &ResponseHead);
    /// Hands over the head of the response. A body of that length follows it.
    fn respond(
        &mut self,
        request: &RequestHead,
        head: &ResponseHead,
        length: BodyLength,
        upgrade: Option<&[u8]>,
    ) -> Result<(), Fault>;
    /// Whether the head of a final response has been handed over.
    fn has_responded(&self) -> bool;
    /// Ready when the client has gone away, with what that means. Asked while nothing is read from it.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Fault>;
    /// Ends the exchange so that the client cannot take what it got for all.
    fn abort(&mut self);
    /// Nobody wants the rest of the request's body any more.
    fn forgo_body(&mut self);
    /// No further request is read from this client: what it sent cannot be told apart from one.
    fn last(&mut self);
    /// Turns both bodies into bytes until either side ends.
    fn tunnel(&mut self);
}

/// The heads of one exchange and its working memory, recycled by the worker.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) request: RequestHead,
    pub(crate) response: ResponseHead,
    pub(crate) workspace: Vec<u8>,
}

/// What goes from one attempt of an exchange to the next.
struct Carried<'a> {
    /// The request's body.
    replay: Replay<'a>,
    /// The answer that the last attempt to bring one brought.
    spare: Option<Box<SpareAnswer>>,
    /// When the attempt began.
    began: Instant,
}

/// What carries one exchange.
pub(crate) struct Carrier<'a, C> {
    pub(crate) worker: &'a Rc<Worker>,
    pub(crate) client: &'a mut C,
    pub(crate) deadline: &'a Deadline,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) exchange: &'a mut Exchange,
}

impl<'a, C: Client> Carrier<'a, C> {
    pub(crate) fn new(
        worker: &'a Rc<Worker>,
        client: &'a mut C,
        deadline: &'a Deadline,
        recorded: &'a mut Recorded<'_>,
    ) -> Self {
        Self {
            worker,
            client,
            deadline,
            scratch: &mut *recorded.scratch,
            exchange: &mut recorded.exchange,
        }
    }

    /// Carries an exchange, whose request has a body of that length, to its end. The record is the caller's to write: it
    /// has the exchange also when this future is dropped or panics.
    pub(crate) async fn run(&mut self, length: BodyLength) {
        let worker = self.worker;
        let verdict = self
            .exchange
            .decide(&mut self.scratch.request, length, &mut || worker.random());
        match verdict {
            Verdict::Answer(answer) => self.answer(&answer).await,
            Verdict::Forward => {
                if let Err(fault) = self.forward().await {
                    self.give_up(fault).await;
                }
            }
        }
    }

    /// Tells the client of a fault, or breaks off when part of a response is out already.
    pub(crate) async fn give_up(&mut self, fault: Fault) {
        self.exchange.failed(fault);
        if matches!(
            fault,
            Fault::Request(_) | Fault::BodyTimeout | Fault::BodyTooSlow | Fault::HeadTimeout
        ) {
            self.client.last();
        }
        let unheard = matches!(
            fault,
            Fault::ClientGone | Fault::ClientStalled | Fault::ClientTooSlow | Fault::Http2(_)
        );
        if unheard || self.client.has_responded() {
            self.client.abort();
            return;
        }
        self.answer(&reply_of(fault)).await;
    }

    /// Sends an answer of the gateway's own.
    async fn answer(&mut self, answer: &Reply) {
        let grpc = grpc_reply(&self.scratch.request, answer);
        let answer = grpc.as_ref().unwrap_or(answer);
        let Scratch {
            request, response, ..
        } = &mut *self.scratch;
        head_of(answer, &self.worker.date(), response);
        let worker = self.worker;
        self.exchange
            .answer(request, response, answer.reason, &mut || worker.random());
        let length = BodyLength::Exact(answer.body.len() as u64);
        self.client.forgo_body();
        if let Err(fault) = self.client.respond(request, response, length, None) {
            self.exchange.failed(fault);
            return;
        }
        self.send_present(answer.body.clone()).await;
    }

    /// Passes an answer on that an earlier attempt brought, since the later ones brought none.
    async fn pass_on(&mut self, answer: SpareAnswer) -> Result<(), Fault> {
        let worker = self.worker;
        let Scratch {
            request, response, ..
        } = &mut *self.scratch;
        *response = answer.head;
        self.exchange
            .respond(request, response, &mut || worker.random())?;
        self.client
            .respond(request, response, answer.length, None)?;
        self.send_present(answer.body).await;
        Ok(())
    }

    /// Sends the body of an answer that is here as a whole.
    async fn send_present(&mut self, body: Bytes) {
        let mut body = Present::new(if self.scratch.request.method == Method::Head {
            Bytes::new()
        } else {
            body
        });
        self.deadline
            .set(Instant::now() + self.exchange.connection().listener.deadlines.body);
        let (mut flow, mut waits, mut sent) = (Flow::default(), Waits::Source, 0);
        let (client, deadline) = (&mut *self.client, self.deadline);
        let outcome = poll_fn(
            |cx| match flow.poll(cx, &mut body, client, &mut sent, &mut waits) {
                Poll::Ready(outcome) => Poll::Ready(outcome.map_err(|(_, fault)| fault)),
                Poll::Pending => deadline.poll_expired(cx).map(|_| Err(Fault::ClientStalled)),
            },
        )
        .await;
        self.exchange.moved(self.worker.id, 0, sent);
        if let Err(fault) = outcome {
            self.exchange.failed(fault);
            self.client.abort();
        }
    }

    /// Tries endpoints until one answers or no further try makes sense.
    async fn forward(&mut self) -> Result<(), Fault> {
        let worker = self.worker;
        self.exchange.forwarding(worker.id, worker.now_ms());
        let kept = self.exchange.kept_body(&self.scratch.request);
        let mut carried = Carried {
            replay: Replay::new(kept, &worker.buffers),
            spare: None,
            began: self.exchange.started(),
        };
        let mut last = None;
        let fault = loop {
            let lease = match self.lease().await {
                Ok(lease) => lease,
                Err(
                    fault @ (Fault::ClientGone | Fault::RouteTimeout | Fault::DeadlineExceeded),
                ) => return Err(fault),
                // That no endpoint is left says less than why the last one failed.
                Err(fault) => break last.unwrap_or(fault),
            };
            match self.attempt(&lease, &mut carried).await {
                Ok(()) => {
                    lease.succeeded();
                    self.exchange
                        .attempt_ended(&lease, worker.id, || worker.now_ms());
                    return Ok(());
                }
                Err((fault, Retry::GiveUp)) => break fault,
                Err((fault, Retry::After(pause))) => {
                    last = Some(fault);
                    drop(lease);
                    self.pause(pause).await?;
                }
            }
        };
        match carried.spare {
            Some(answer) if fault.brings_no_answer() => self.pass_on(*answer).await,
            _ => Err(fault),
        }
    }

    /// Lets time pass before the next attempt, unless the client goes away meanwhile.
    async fn pause(&mut self, pause: Duration) -> Result<(), Fault> {
        if pause.is_zero() {
            return Ok(());
        }
        self.deadline.set(Instant::now() + pause);
        let (client, deadline) = (&mut *self.client, self.deadline);
        poll_fn(|cx| {
            if client.poll_gone(cx).is_ready() {
                return Poll::Ready(Err(Fault::ClientGone));
            }
            deadline.poll_expired(cx).map(|_| Ok(()))
        })
        .await
    }

    /// Notes a failed attempt and what follows it.
    fn failed(&mut self, lease: &Lease, fault: Fault, progress: Progress) -> (Fault, Retry) {
        let request = &self.scratch.request;
        let moment = self.worker.moment();
        let next = self
            .exchange
            .attempt_failed(request, lease, (fault, progress), moment);
        (fault, next)
    }

    async fn attempt(
        &mut self,
        lease: &Lease,
        carried: &mut Carried<'_>,
    ) -> Result<(), (Fault, Retry)> {
        let Some(upstream) = self.exchange.upstream() else {
            return Err((Fault::Internal, Retry::GiveUp));
        };
        let side = UpstreamSide {
            worker: self.worker,
            upstream: &upstream,
            endpoint: lease.endpoint(),
        };
        carried.began = Instant::now();
        let patience = Patience::new(self.deadline, &upstream, self.exchange, carried.began);
        let untouched = Progress::default();
        if side.speaks_http2() {
            let opened = unless_gone(self.client, pin!(side.open_h2(patience))).await;
            match opened {
                Ok(mut remote) => self.exchange_with(&mut remote, lease, carried).await,
                Err(fault) => Err(self.failed(lease, fault, untouched)),
            }
        } else {
            let fresh = self.exchange.wants_fresh();
            let opened = unless_gone(self.client, pin!(side.open_h1(fresh, patience))).await;
            let mut remote = match opened {
                Ok(remote) => remote,
                Err(fault) => return Err(self.failed(lease, fault, untouched)),
            };
            let outcome = self.exchange_with(&mut remote, lease, carried).await;
            if matches!(outcome, Ok(()) | Err((Fault::UpstreamStatus(_), _))) {
                remote.recycle();
            }
            outcome
        }
    }

    /// The exchange itself, once there is somebody to have it with.
    async fn exchange_with<R: Remote>(
        &mut self,
        remote: &mut R,
        lease: &Lease,
        carried: &mut Carried<'_>,
    ) -> Result<(), (Fault, Retry)> {
        let worker = self.worker.id;
        self.exchange
            .connected(carried.began, remote.connect_time());
        let Some(times) = Times::new(self.exchange, carried.began) else {
            return Err((Fault::Internal, Retry::GiveUp));
        };
        let mut transfer = Transfer::new(times, self.exchange.terms(), &mut carried.replay);
        let length = self.exchange.request_length();
        let request = &mut self.scratch.request;
        let sent = self
            .exchange
            .pass_deadline(request)
            .and_then(|()| remote.request(request, length, self.exchange));
        let head = match sent {
            Ok(()) => self.response_head(remote, &mut transfer, lease).await,
            Err(fault) => Err(fault),
        };
        if lease.is_measured() {
            let head = head.as_ref().map(|_| &self.scratch.response);
            measured(lease, head, transfer.waited(), self.worker.now_ms());
        }
        let outcome = match head {
            Ok(length) => {
                let Scratch {
                    request, response, ..
                } = &mut *self.scratch;
                if let Some(fault) = self.exchange.unwanted(request, response) {
                    let failure = (fault, progress(remote, &transfer));
                    let moment = self.worker.moment();
                    let next = self.exchange.repeat(request, lease, failure, moment);
                    if next != Retry::GiveUp {
                        lease.succeeded();
                        let place = (worker, moment.now_ms);
                        self.exchange.attempt_answered(lease, response, place);
                        self.exchange.moved(worker, transfer.received, 0);
                        self.exchange.repeated(transfer.replay.repeated());
                        carried.spare = poll_fn(|cx| {
                            Poll::Ready(SpareAnswer::take(response, length, remote, cx))
                        })
                        .await;
                        return Err((fault, next));
                    }
                }
                transfer.answered(self.exchange.is_stream(response));
                self.response_body(remote, &mut transfer, length).await
            }
            Err(fault) => Err(fault),
        };
        self.exchange
            .moved(worker, transfer.received, transfer.sent);
        self.exchange.repeated(transfer.replay.repeated());
        if let Err(fault) = outcome
            && !self.client.has_responded()
        {
            return Err(self.failed(lease, fault, progress(remote, &transfer)));
        }
        self.exchange.trailed(remote.grpc_status());
        if lease.breaker().is_some() {
            let trailers = remote.grpc_status();
            judged_at_end(lease, outcome.err(), trailers, self.worker.now_ms());
        }
        if let Err(fault) = outcome {
            // Part of the response may be out: no other endpoint can continue it.
            self.exchange.failed(fault);
            self.break_off(fault).await;
        }
        Ok(())
    }

    /// Ends a response that is not complete. A gRPC client can be told, behind its messages, that its time is over.
    async fn break_off(&mut self, fault: Fault) {
        let is_late = matches!(fault, Fault::DeadlineExceeded | Fault::RouteTimeout);
        if is_late && self.exchange.is_call() {
            let trailers = late_trailers(fault);
            if self.client.finish(Some(&trailers)).is_ok() {
                self.exchange.trailed(grpc_status(&trailers));
                let limit = self.exchange.connection().listener.deadlines.body;
                self.deadline.set(Instant::now() + limit);
                let client = &mut *self.client;
                let flushed = self.deadline.bound(poll_fn(|cx| client.poll_flush(cx)));
                if matches!(flushed.await, Ok(Ok(()))) {
                    return;
                }
            }
        }
        self.client.abort();
    }

    /// Sends the request and waits for the head of the final response; passes 1xx on.
    async fn response_head<R: Remote>(
        &mut self,
        remote: &mut R,
        transfer: &mut Transfer<'_, '_>,
        lease: &Lease,
    ) -> Result<BodyLength, Fault> {
        let mut interim = 0;
        loop {
            let Scratch {
                request, response, ..
            } = &mut *self.scratch;
            let (client, deadline) = (&mut *self.client, self.deadline);
            let length = poll_fn(|cx| {
                transfer.poll_head(cx, client, remote, deadline, &request.method, response)
            })
            .await?;
            match response.status {
                101 if self.exchange.upgrade().is_none() => return Err(Fault::UpstreamProtocol),
                101 => {
                    self.exchange
                        .first_byte(lease, response, self.worker.now_ms());
                    return Ok(BodyLength::UntilClose);
                }
                100..=199 => {
                    interim += 1;
                    if interim > MOST_INTERIM {
                        return Err(Fault::UpstreamProtocol);
                    }
                    self.exchange.interim(response)?;
                    client.interim(request, response);
                    transfer.flush_client();
                }
                _ => {
                    self.exchange
                        .first_byte(lease, response, self.worker.now_ms());
                    return Ok(length);
                }
            }
        }
    }

    /// Passes the final response on, whatever is left of the request beside it.
    async fn response_body<R: Remote>(
        &mut self,
        remote: &mut R,
        transfer: &mut Transfer<'_, '_>,
        length: BodyLength,
    ) -> Result<(), Fault> {
        let Scratch {
            request, response, ..
        } = &mut *self.scratch;
        let upgraded = response.status == 101;
        let worker = self.worker;
        self.exchange
            .respond(request, response, &mut || worker.random())?;
        self.client
            .respond(request, response, length, self.exchange.upgrade())?;
        if upgraded {
            self.client.tunnel();
            remote.tunnel();
            transfer.tunnel();
        }
        let gateway = worker.metrics.gateway();
        let _open = upgraded.then(|| gateway.tunnel_opened(worker.id));
        let (client, deadline) = (&mut *self.client, self.deadline);
        poll_fn(|cx| transfer.poll_rest(cx, client, remote, deadline)).await
    }
}

/// How far an attempt came.
fn progress<R: Remote>(remote: &R, transfer: &Transfer<'_, '_>) -> Progress {
    Progress {
        reused: remote.connect_time().is_none(),
        body_gone: transfer.replay.is_gone(),
        head_sent: remote.is_touched(),
        heard: remote.has_heard(),
    }
}

/// What comes of connecting, unless the client goes away before: nobody connects for a client that comes and goes.
async fn unless_gone<C: Client, T>(
    client: &mut C,
    mut connecting: Pin<&mut impl Future<Output = Result<T, Fault>>>,
) -> Result<T, Fault> {
    poll_fn(|cx| match connecting.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(outcome),
        Poll::Pending => client.poll_gone(cx).map(Err),
    })
    .await
}
