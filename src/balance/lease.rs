//! The right to use an endpoint, counted.

use std::sync::Arc;
use std::time::Duration;

use super::breaker::{Breaker, Pass};
use super::cursor::Cursor;
use super::endpoint::Endpoint;
use super::limits::Limits;
use super::set::{Choice, Drawn};

/// The right to use an endpoint for one attempt. The endpoint and its upstream count it as in flight until it is dropped.
#[derive(Debug)]
pub struct Lease {
    endpoint: Arc<Endpoint>,
    index: usize,
    /// Where the endpoint's set counts it too.
    counter: Option<Arc<Cursor>>,
    /// What limits the upstream as a whole, if anything does. It counts the lease in any case.
    limits: Option<Arc<Limits>>,
    /// The leave of the upstream's breaker, if it has one.
    pass: Option<Pass>,
    drawn: Drawn,
}

impl Lease {
    pub(super) fn take(endpoint: &Arc<Endpoint>, choice: Choice<'_>) -> Self {
        endpoint.state.taken();
        endpoint.state.upstream().taken();
        Self::of_taken(endpoint, choice)
    }

    /// The same for an endpoint and an upstream with limits; `None` when one of them has as much as it takes.
    pub(super) fn take_within(
        limits: &Arc<Limits>,
        endpoint: &Arc<Endpoint>,
        choice: Choice<'_>,
    ) -> Option<Self> {
        match limits.endpoint_requests {
            Some(most) if !endpoint.state.taken_below(most) => return None,
            Some(_) => {}
            None => endpoint.state.taken(),
        }
        if limits.take() {
            let mut lease = Self::of_taken(endpoint, choice);
            lease.limits = Some(Arc::clone(limits));
            return Some(lease);
        }
        endpoint.state.given_back();
        // The endpoint's place may have been missed while it was held here.
        limits.load.queue().call();
        None
    }

    fn of_taken(endpoint: &Arc<Endpoint>, choice: Choice<'_>) -> Self {
        if let Some(counter) = choice.counter {
            counter.taken();
        }
        Self {
            endpoint: Arc::clone(endpoint),
            index: choice.index,
            counter: choice.counter.map(Arc::clone),
            limits: None,
            pass: None,
            drawn: choice.drawn,
        }
    }

    /// The same lease with the leave of the breaker.
    pub(super) fn passed(mut self, pass: Option<Pass>) -> Self {
        self.pass = pass;
        self
    }

    /// Whose leave the attempt has; `None` without a breaker.
    #[must_use]
    pub fn breaker(&self) -> Option<&Breaker> {
        self.pass.as_ref().map(|pass| &**pass.breaker())
    }

    /// Tells the breaker whether the attempt failed. It may be told again: an answer may begin well and break off.
    pub fn judge(&self, failed: bool, now_ms: u64) {
        if let Some(pass) = &self.pass {
            pass.judge(failed, now_ms);
        }
    }

    /// Whether somebody wants to know how long the endpoint takes, not counting the client.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.limits
            .as_ref()
            .is_some_and(|limits| limits.adaptive.is_some())
    }

    /// Notes how long the endpoint took from the end of the request to its answer, or was waited for in vain.
    pub fn measured(&self, took: Duration, now_ms: u64) {
        if let Some(limits) = &self.limits {
            limits.note(took, now_ms);
        }
    }

    /// The endpoint.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The endpoint's place in its pool: what the next pick of the same exchange names as tried.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }

    /// Where in the pool the endpoint was chosen.
    #[must_use]
    pub const fn drawn(&self) -> Drawn {
        self.drawn
    }

    /// Notes that the endpoint took no connection, and sets it aside: 1 s at first, doubling up to 30 s.
    pub fn connect_failed(&self, now_ms: u64) {
        self.endpoint.state.connect_failed(now_ms);
    }

    /// Notes that the endpoint took a connection.
    pub fn succeeded(&self) {
        self.endpoint.state.takes_connections();
    }

    /// Notes how long the endpoint took from the request to the first byte of its answer. For an attempt that timed out
    /// that is the time it was waited for: the endpoint is at least as slow.
    pub fn answered(&self, first_byte: Duration, now_ms: u64) {
        self.endpoint.state.answered(first_byte, now_ms);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.state.given_back();
        if let Some(counter) = &self.counter {
            counter.given_back();
        }
        // Last: whoever is called finds both places free. Also from a lease without limits: some may be new.
        self.endpoint.state.upstream().given_back();
    }
}
