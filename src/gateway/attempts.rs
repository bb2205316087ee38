//! The attempts of one exchange: what is remembered of them, and whether there is another.

use std::{
    io::Write,
    time::{Duration, Instant, SystemTime},
};

use smallvec::SmallVec;

use super::{
    Exchange, Fault, Progress, Retry, grpc_status,
    retry::{self, Denied},
};
use crate::{
    balance::Lease,
    http::{BodyLength, RequestHead, ResponseHead},
    snapshot::{Protocol, RetryPlan},
};

/// What one exchange remembers of its attempts.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// The indices of the endpoints that were tried.
    pub(super) tried: SmallVec<[usize; 4]>,
    /// Whether the next one must not use a kept connection.
    pub(super) wants_fresh: bool,
    /// Whether an endpoint that was tried may be tried again when no other is left.
    pub(super) may_return: bool,
    /// What the response that is being judged says about coming again.
    retry_after: Option<Duration>,
    /// The endpoints that failed and how, for the record; empty without a second attempt.
    pub(super) earlier: Vec<u8>,
}

/// Where and when an attempt failed.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The worker's number.
    pub worker: usize,
    /// Milliseconds on the gateway's clock.
    pub now_ms: u64,
    /// A random number from the whole range.
    pub random: u64,
}

impl Exchange {
    /// The exchange is about to ask its upstream.
    pub fn forwarding(&self, worker: usize, now_ms: u64) {
        if let Some(upstream) = &self.upstream {
            upstream.retries.asked(worker, now_ms);
        }
    }

    /// How much of the request's body is kept to be sent again; 0 where no failure could ask for it.
    #[must_use]
    pub fn kept_body(&self, head: &RequestHead) -> usize {
        let Some(plan) = self.retry_plan() else {
            return 0;
        };
        let fits = match self.length {
            BodyLength::Empty | BodyLength::Exact(0) => false,
            BodyLength::Exact(bytes) => bytes <= plan.buffer as u64,
            BodyLength::Chunked | BodyLength::UntilClose => true,
        };
        let is_refusable = self
            .upstream
            .as_ref()
            .is_some_and(|upstream| upstream.transport.protocol == Protocol::Http2);
        let may_repeat =
            is_refusable || plan.allows(&head.method) || (self.is_call && !plan.grpc.is_empty());
        if fits && plan.attempts > 1 && may_repeat {
            plan.buffer
        } else {
            0
        }
    }

    /// When an attempt that begins now is over; `None` if only the upstream's timeouts hold.
    #[must_use]
    pub fn per_try(&self) -> Option<Duration> {
        self.retry_plan()?.per_try_timeout
    }

    /// Whether the endpoint's final response counts as a failure that another attempt may make good.
    pub fn unwanted(&mut self, request: &RequestHead, response: &ResponseHead) -> Option<Fault> {
        let plan = self.retry_plan()?;
        let fault = if !plan.grpc.is_empty()
            && grpc_status(&response.fields).is_some_and(|code| plan.grpc.has(code))
            && self.is_call
        {
            Fault::UpstreamGrpcStatus
        } else if plan.names_status(response.status) && plan.allows(&request.method) {
            Fault::UpstreamStatus(response.status)
        } else {
            return None;
        };
        self.attempts.retry_after = retry::retry_after(response, SystemTime::now());
        Some(fault)
    }

    /// Whether another attempt follows a failed one. If so it is spent from the budget, and what must not be repeated
    /// is remembered.
    pub fn repeat(
        &mut self,
        head: &RequestHead,
        lease: &Lease,
        (fault, progress): (Fault, Progress),
        moment: Moment,
    ) -> Retry {
        let asked_for = self.attempts.retry_after.take();
        let (Some(upstream), Some(plan)) = (self.upstream(), self.retry_plan()) else {
            return Retry::GiveUp;
        };
        if plan.attempts == 1 || !retry::is_allowed(fault, progress, &head.method, plan) {
            return Retry::GiveUp;
        }
        let made = self.outcome.attempts;
        let another_is_left =
            upstream.pool.load().endpoints().len() > self.attempts.tried.len() + 1;
        let is_untouched = retry::is_untouched(fault, progress);
        let pause = match asked_for {
            Some(asked_for) => asked_for,
            None if is_untouched && (another_is_left || made == 1) => Duration::ZERO,
            None => retry::pause(plan, made, moment.random),
        };
        let ends_before = self
            .ends_at()
            .is_some_and(|(end, _)| Instant::now() + pause >= end);
        let denied = if made >= plan.attempts {
            Some(Denied::Attempts)
        } else if progress.body_gone {
            Some(Denied::Body)
        } else if asked_for.is_some_and(|asked_for| asked_for > plan.max_retry_after) {
            Some(Denied::RetryAfter)
        } else if ends_before {
            Some(Denied::Time)
        } else if !upstream.retries.grant(upstream.retry_budget, moment.now_ms) {
            Some(Denied::Budget)
        } else {
            None
        };
        if let Some(denied) = denied {
            upstream.metrics.retry_denied(moment.worker, denied.word());
            return Retry::GiveUp;
        }
        upstream.metrics.retried(moment.worker, fault.reason());
        if let Some(asked) = self.outcome.asked_at.take() {
            self.outcome.upstream += asked.elapsed();
        }
        self.attempts.note(lease, fault);
        self.attempts.wants_fresh = is_untouched && progress.reused;
        self.attempts.may_return |= !retry::is_unreachable(fault);
        Retry::After(pause)
    }

    /// What holds for the attempts of this exchange.
    fn retry_plan(&self) -> Option<&RetryPlan> {
        let own = self.route.as_ref().and_then(|route| route.retry.as_ref());
        own.or_else(|| Some(&self.upstream.as_ref()?.retry))
    }
}

impl Attempts {
    fn note(&mut self, lease: &Lease, fault: Fault) {
        self.tried.push(lease.index());
        if !self.earlier.is_empty() {
            self.earlier.extend_from_slice(b", ");
        }
        self.earlier
            .extend_from_slice(lease.endpoint().name.as_bytes());
        // Writing to memory does not fail.
        let _ = match fault {
            Fault::UpstreamStatus(status) => write!(self.earlier, " {status}"),
            other => write!(self.earlier, " {}", other.reason()),
        };
    }
}
