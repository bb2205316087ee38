//! What an attempt says of its endpoint, for those who look for endpoints that serve badly.

use std::time::Duration;

use super::{Blame, Exchange, Fault, Progress};
use crate::{balance::Lease, http::BodyLength};

impl Exchange {
    /// The endpoint took so long for the head of its response, or longer.
    pub(super) fn took(&self, lease: &Lease, time: Duration, now_ms: u64) {
        lease.answered(time, now_ms);
        self.compare(lease, time);
    }

    fn compare(&self, lease: &Lease, time: Duration) {
        let upstream = self.upstream.as_ref();
        if let Some(detector) = upstream.and_then(|upstream| upstream.outlier.as_ref()) {
            detector.answered(lease.endpoint(), time);
        }
    }

    /// Nothing was heard for so long: the endpoint is at least as slow.
    pub(super) fn waited_in_vain(
        &self,
        lease: &Lease,
        (fault, time): (Fault, Duration),
        now_ms: u64,
    ) {
        match fault {
            Fault::UpstreamTimeout | Fault::RouteTimeout => self.took(lease, time, now_ms),
            // A client may go at any time, so this is news only if it waited longer than an answer takes.
            Fault::ClientGone => match lease.endpoint().state.latency(now_ms) {
                Some(known) if time > known => self.took(lease, time, now_ms),
                Some(_) => {}
                None => self.compare(lease, time),
            },
            _ => {}
        }
    }

    /// An attempt failed before there was a response. `asked`: the request was on its way.
    pub(super) fn blame(
        &self,
        lease: &Lease,
        (fault, progress, asked): (Fault, Progress, bool),
        place: (usize, u64),
    ) {
        let Some(upstream) = &self.upstream else {
            return;
        };
        if let Some(detector) = &upstream.outlier
            && self.is_endpoints_own(fault, progress, asked)
        {
            detector.failed(lease.endpoint(), &upstream.pool.load(), place);
        }
    }

    /// An attempt has ended that had a response: whole, or broken off.
    pub fn attempt_ended(&self, lease: &Lease, place: (usize, u64)) {
        let Some(upstream) = &self.upstream else {
            return;
        };
        let Some(detector) = &upstream.outlier else {
            return;
        };
        let broke_off = self
            .outcome
            .fault
            .is_some_and(|fault| fault.blame() == Blame::Upstream && fault != Fault::RouteTimeout);
        let status = match self.outcome.grpc_status {
            Some(code) => http_status(code),
            None => self.outcome.status,
        };
        if broke_off || detector.is_failure(status) {
            detector.failed(lease.endpoint(), &upstream.pool.load(), place);
        } else {
            detector.succeeded(lease.endpoint());
        }
    }

    fn is_endpoints_own(&self, fault: Fault, progress: Progress, asked: bool) -> bool {
        match fault {
            // A kept connection may be closed at any time, and a stream may be refused by one that drains.
            Fault::UpstreamClosed => !progress.reused || progress.heard,
            Fault::UpstreamRefused | Fault::NoEndpoint => false,
            // The time of the whole exchange says something only if all of it was spent on this endpoint's silence.
            Fault::RouteTimeout => {
                asked
                    && !progress.heard
                    && matches!(self.length, BodyLength::Empty | BodyLength::Exact(0))
            }
            fault => fault.blame() == Blame::Upstream,
        }
    }
}

/// The HTTP status that stands for a gRPC code, as those who carry gRPC over REST have agreed on.
const fn http_status(code: u32) -> u16 {
    match code {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}
