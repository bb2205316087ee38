//! One exchange as the gateway sees it: what was asked, what was decided, what it came to.

use std::{
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use smallvec::SmallVec;

use super::{
    Connection, Fault, Moment, Origin, Outcome, Progress, Retry, Terms, attempts::Attempts,
    grpc_status, judged, places::Taken, retry, session::Session, wishes::Wishes,
};
use crate::{
    balance::{Endpoint, Lease, Limits, PickContext, Refusal},
    filters::{CaptureView, Context, Original, TlsFacts},
    http::{BodyLength, Known, RequestHead, ResponseHead, strip_hop_by_hop},
    observe::{AccessRecord, Source, Timings, Touched},
    routing::Captures,
    snapshot::{Route, Snapshot, Strain, Upstream},
};

/// One exchange. It keeps the world it began in to its end.
#[derive(Debug)]
pub struct Exchange {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) connection: Rc<Connection>,
    pub(super) route: Option<Arc<Route>>,
    pub(super) upstream: Option<Arc<Upstream>>,
    endpoint: Option<Arc<Endpoint>>,
    pub(super) route_index: usize,
    pub(super) captures: Captures,
    pub(super) origin: Origin,
    pub(super) request_id: String,
    /// How strained the process was when it began.
    pub(super) strain: Strain,
    /// What filters have changed in the target.
    original: Original,
    /// Working memory of the filters, the hash and the cookie of a session.
    pub(super) workspace: Vec<u8>,
    /// The length of the request's body.
    pub(super) length: BodyLength,
    /// What the client is held to.
    pub(super) terms: Terms,
    /// Its places among the requests that are served at once; `None` when there were none left.
    pub(super) place: Option<Taken>,
    /// The protocol that the client wants to switch to; empty if none.
    pub(super) upgrade: SmallVec<[u8; 16]>,
    pub(super) started: Instant,
    pub(super) started_at: SystemTime,
    head_time: Duration,
    /// Whether the request is a gRPC call, and when its client gives up.
    pub(super) is_call: bool,
    pub(super) deadline: Option<Instant>,
    /// The session that the request belongs to.
    pub(super) session: Session,
    /// What the request wishes of the choice of its endpoint.
    pub(super) wishes: Wishes,
    pub(super) attempts: Attempts,
    pub(super) outcome: Outcome,
}

impl Exchange {
    /// An exchange whose request head has just been read; reading began at `started`.
    #[must_use]
    pub fn begin(
        snapshot: Arc<Snapshot>,
        connection: Rc<Connection>,
        started: Instant,
        now: Instant,
    ) -> Self {
        let head_time = now.saturating_duration_since(started);
        let wall = SystemTime::now();
        Self {
            origin: Origin {
                client: connection.address(),
                scheme: connection.scheme(),
                trusted: false,
            },
            terms: Terms::of(&connection.listener.limits),
            place: Taken::of(&connection),
            snapshot,
            connection,
            route: None,
            strain: Strain::None,
            upstream: None,
            endpoint: None,
            route_index: 0,
            captures: Captures::default(),
            request_id: String::new(),
            original: Original::default(),
            workspace: Vec::new(),
            length: BodyLength::Empty,
            upgrade: SmallVec::new(),
            started,
            started_at: wall.checked_sub(head_time).unwrap_or(wall),
            head_time,
            is_call: false,
            deadline: None,
            session: Session::default(),
            wishes: Wishes::default(),
            attempts: Attempts::default(),
            outcome: Outcome::default(),
        }
    }

    /// Exchanges the working memory for another one: whoever carries exchanges lends each the memory of the one before.
    pub fn swap_workspace(&mut self, workspace: &mut Vec<u8>) {
        std::mem::swap(&mut self.workspace, workspace);
    }

    /// Says how strained the process is: what matters less is refused.
    #[must_use]
    pub const fn under(mut self, strain: Strain) -> Self {
        self.strain = strain;
        self
    }

    /// Chooses the endpoint for the next attempt.
    pub fn select(&mut self, moment: Moment) -> Result<Lease, Fault> {
        let upstream = self.upstream.as_ref().ok_or(Fault::Internal)?;
        let pool = upstream.pool.load();
        let context = self.wishes.context(PickContext {
            sticky: self.session.at(),
            ..PickContext::new(moment.now_ms, moment.random, &self.attempts.tried)
        });
        let lease = pool
            .lease(&context)
            .or_else(|refusal| {
                // Every endpoint has had its try. One that took no connection would hardly take one now.
                let anew = PickContext {
                    tried: &[],
                    ..context
                };
                if self.attempts.may_return {
                    pool.lease(&anew)
                } else {
                    Err(refusal)
                }
            })
            .map_err(|refusal| match refusal {
                Refusal::NoEndpoint if pool.is_usable() && self.wishes.subset().is_some() => {
                    Fault::NoSubset
                }
                Refusal::NoEndpoint => Fault::NoEndpoint,
                Refusal::Full => Fault::UpstreamOverloaded,
                Refusal::Slow => Fault::AdaptiveLimit,
                Refusal::BreakerOpen(left_ms) => Fault::BreakerOpen(seconds(left_ms)),
            })?;
        let drawn = lease.drawn();
        if let Some(place) = drawn.place {
            upstream.metrics.picked(moment.worker, place);
        }
        if drawn.fell_back {
            upstream.metrics.fell_back(moment.worker);
        }
        let served_by = pool.sticky_id(lease.index());
        // An endpoint that is merely full keeps its sessions: the request is only a guest at the other one.
        let is_guest = served_by != self.session.at() && pool.keeps_session(&context);
        self.session.serve(served_by.filter(|_| !is_guest));
        self.outcome.attempts += 1;
        self.outcome.first_byte = None;
        self.endpoint = Some(Arc::clone(lease.endpoint()));
        Ok(lease)
    }

    /// What the upstream takes at the same time; `None`: anything.
    #[must_use]
    pub fn limits(&self) -> Option<&Arc<Limits>> {
        self.upstream.as_ref()?.balance.limits.as_ref()
    }

    /// Whether the upstream takes one more, if not from this exchange.
    #[must_use]
    pub fn is_room(&self, now_ms: u64) -> bool {
        self.upstream
            .as_ref()
            .is_some_and(|upstream| upstream.pool.load().has_room(now_ms))
    }

    /// Notes that the exchange waited for a place, with success or without.
    pub fn waited(&mut self, worker: usize, time: Duration) {
        self.outcome.queued += time;
        if let Some(upstream) = &self.upstream {
            upstream.metrics.waited(worker, time);
        }
    }

    /// When reading its head began.
    #[must_use]
    pub const fn started(&self) -> Instant {
        self.started
    }

    /// A connection for the attempt that began then is there; `took` is `None` when it was there before, and no time has
    /// passed.
    pub fn connected(&mut self, began: Instant, took: Option<Duration>) {
        self.outcome.connect = took;
        self.outcome.asked_at = Some(took.map_or(began, |_| Instant::now()));
    }

    /// Notes a failed attempt, and whether another follows it.
    pub fn attempt_failed(
        &mut self,
        head: &RequestHead,
        lease: &Lease,
        (fault, progress): (Fault, Progress),
        moment: Moment,
    ) -> Retry {
        let asked = self.outcome.asked_at.take();
        if let Some(asked) = asked {
            let waited = asked.elapsed();
            self.outcome.upstream += waited;
            if !progress.heard {
                self.waited_in_vain(lease, (fault, waited), moment.now_ms);
            }
        }
        let place = (moment.worker, moment.now_ms);
        self.blame(lease, (fault, progress, asked.is_some()), place);
        if retry::is_unreachable(fault) {
            lease.connect_failed(moment.now_ms);
            let metrics = &lease.endpoint().metrics;
            metrics.connect_failed(moment.worker, fault.reason());
        }
        judged::failed(lease, fault, self.request_is_out(), moment.now_ms);
        self.repeat(head, lease, (fault, progress), moment)
    }

    /// The head of the final response has come from the endpoint.
    pub fn first_byte(&mut self, lease: &Lease, head: &ResponseHead, now_ms: u64) {
        judged::answered(lease, head, now_ms);
        if let Some(asked) = self.outcome.asked_at {
            let took = asked.elapsed();
            self.outcome.first_byte = Some(took);
            self.took(lease, took, now_ms);
        }
    }

    /// Prepares the endpoint's final response for the client.
    pub fn respond(
        &mut self,
        request: &RequestHead,
        response: &mut ResponseHead,
        random: &mut dyn FnMut() -> u64,
    ) -> Result<(), Fault> {
        strip_hop_by_hop(&mut response.fields).map_err(Fault::UpstreamMalformed)?;
        self.outcome.status = response.status;
        self.outcome.source = Source::Upstream;
        self.outcome.reason = "";
        self.outcome.grpc_status = grpc_status(&response.fields);
        self.filter_response(request, response, random);
        self.keep_session(response);
        Ok(())
    }

    /// Prepares an interim response for the client.
    pub fn interim(&self, response: &mut ResponseHead) -> Result<(), Fault> {
        strip_hop_by_hop(&mut response.fields).map_err(Fault::UpstreamMalformed)
    }

    /// Notes that the gateway gives this answer itself, and lets the route's filters see it.
    pub fn answer(
        &mut self,
        request: &RequestHead,
        response: &mut ResponseHead,
        reason: &'static str,
        random: &mut dyn FnMut() -> u64,
    ) {
        self.outcome.grpc_status = grpc_status(&response.fields);
        // A gRPC client is told of a fault in a 200; the record keeps what the fault is.
        if self.outcome.grpc_status.is_none() || self.outcome.status == 0 {
            self.outcome.status = response.status;
        }
        self.outcome.source = Source::Gateway;
        self.outcome.reason = reason;
        self.filter_response(request, response, random);
    }

    /// Notes the `grpc-status` that stood in the response's trailers.
    pub fn trailed(&mut self, grpc_status: Option<u32>) {
        self.outcome.grpc_status = grpc_status.or(self.outcome.grpc_status);
    }

    /// Notes a fault.
    pub fn failed(&mut self, fault: Fault) {
        self.outcome.failed(fault);
    }

    /// Notes body bytes that moved.
    pub fn moved(&mut self, worker: usize, received: u64, sent: u64) {
        if let Some(endpoint) = &self.endpoint {
            endpoint.metrics.transferred(worker, sent, received);
        }
        self.outcome.received = self.outcome.received.saturating_add(received);
        self.outcome.sent = self.outcome.sent.saturating_add(sent);
    }

    /// Notes how many of the body bytes that moved to the endpoint had moved before, to another one.
    pub fn repeated(&mut self, bytes: u64) {
        self.outcome.received = self.outcome.received.saturating_sub(bytes);
    }

    /// Whether anything has been decided about the status yet.
    #[must_use]
    pub const fn has_outcome(&self) -> bool {
        self.outcome.status != 0
    }

    /// The connection that the request came over.
    #[must_use]
    pub fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// The upstream that was decided on.
    #[must_use]
    pub fn upstream(&self) -> Option<Arc<Upstream>> {
        self.upstream.as_ref().map(Arc::clone)
    }

    /// The length of the request's body.
    #[must_use]
    pub const fn request_length(&self) -> BodyLength {
        self.length
    }

    /// Whether the endpoint has got all of the request, so that a wait is for it and not for the client.
    fn request_is_out(&self) -> bool {
        match self.length {
            BodyLength::Empty => true,
            BodyLength::Exact(bytes) => self.outcome.received >= bytes,
            BodyLength::Chunked | BodyLength::UntilClose => false,
        }
    }

    /// The scheme that the client used.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        self.origin.scheme
    }

    /// Whether the next attempt must not use a kept connection.
    #[must_use]
    pub const fn wants_fresh(&self) -> bool {
        self.attempts.wants_fresh
    }

    /// The protocol that the client wants to switch to.
    #[must_use]
    pub fn upgrade(&self) -> Option<&[u8]> {
        (!self.upgrade.is_empty()).then_some(self.upgrade.as_slice())
    }

    /// The world of this exchange.
    #[must_use]
    pub const fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// Calls `write` with the one record of this exchange and the figures it belongs to.
    pub fn record(
        &mut self,
        head: &RequestHead,
        write: impl FnOnce(&AccessRecord<'_>, Touched<'_>),
    ) {
        let now = Instant::now();
        if let Some(asked) = self.outcome.asked_at.take() {
            self.outcome.upstream += now.saturating_duration_since(asked);
        }
        let outcome = &self.outcome;
        let total = now.saturating_duration_since(self.started);
        let client = SocketAddr::new(self.origin.client, self.connection.client.port());
        let text = |known| head.fields.first(known).unwrap_or_default();
        let record = AccessRecord {
            start: self.started_at,
            listener: &self.connection.listener.name,
            client,
            peer: (client != self.connection.peer).then_some(self.connection.peer),
            protocol: head.version.as_str(),
            method: head.method.as_str().as_bytes(),
            method_label: head.method.label(),
            host: self.original.host(head).as_bytes(),
            path: self.original.path(head).as_bytes(),
            query: self.original.query(head).map(str::as_bytes),
            status: outcome.status,
            reason: outcome.reason,
            source: outcome.source,
            route: self.route.as_ref().map_or("", |route| &route.name),
            upstream: self.upstream.as_ref().map_or("", |upstream| &upstream.name),
            endpoint: self.endpoint.as_ref().map_or("", |endpoint| &endpoint.name),
            attempts: outcome.attempts,
            earlier_attempts: &self.attempts.earlier,
            timings: Timings {
                total,
                head: self.head_time,
                upstream_connect: outcome.connect,
                upstream_first_byte: outcome.first_byte,
                upstream: outcome.upstream,
                queued: outcome.queued,
                overhead: total
                    .saturating_sub(outcome.upstream)
                    .saturating_sub(outcome.queued)
                    .saturating_sub(outcome.connect.unwrap_or_default())
                    .saturating_sub(self.head_time),
            },
            bytes_received: outcome.received,
            bytes_sent: outcome.sent,
            request_id: self.request_id.as_bytes(),
            user_agent: text(Known::UserAgent),
            referer: text(Known::Referer),
            tls: self.connection.tls_facts(),
            grpc_status: outcome.grpc_status,
            generation: self.snapshot.generation,
        };
        let touched = Touched {
            listener: &self.connection.listener.metrics,
            route: self.route.as_ref().map(|route| &*route.metrics),
            upstream: self.upstream.as_ref().map(|upstream| &*upstream.metrics),
        };
        write(&record, touched);
    }

    fn filter_response(
        &mut self,
        request: &RequestHead,
        response: &mut ResponseHead,
        random: &mut dyn FnMut() -> u64,
    ) {
        if let Some(route) = self.route.as_ref().map(Arc::clone) {
            let mut cx = self.context(&route, random);
            route.filters.on_response(request, response, &mut cx);
        }
    }

    /// The exchange as its filters see it.
    pub(super) fn context<'a>(
        &'a mut self,
        route: &'a Route,
        random: &'a mut dyn FnMut() -> u64,
    ) -> Context<'a> {
        let connection = &self.connection;
        Context {
            client: SocketAddr::new(self.origin.client, connection.client.port()),
            peer_is_trusted: self.origin.trusted,
            scheme: self.origin.scheme,
            listener: &connection.listener.name,
            route: &route.name,
            upstream: self.upstream.as_ref().map_or("", |upstream| &upstream.name),
            tls: connection.tls.as_ref().map(|session| TlsFacts {
                version: session.version,
                sni: some(&session.sni),
                client_certificate_subject: some(&session.client_subject),
            }),
            captures: CaptureView {
                names: self.snapshot.router.capture_names(self.route_index),
                ranges: self.captures.ranges(),
                tail: self.captures.tail(),
            },
            original: &mut self.original,
            request_id: &mut self.request_id,
            now_ms: self
                .started_at
                .duration_since(SystemTime::UNIX_EPOCH)
                .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0)),
            random,
            scratch: &mut self.workspace,
        }
    }
}

/// Whole seconds, at least one.
fn seconds(milliseconds: u64) -> u32 {
    u32::try_from(milliseconds.div_ceil(1_000).max(1)).unwrap_or(u32::MAX)
}

fn some(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
