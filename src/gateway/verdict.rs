//! What an attempt says of its endpoint, for those who look for endpoints that serve badly.

use std::time::Duration;

use super::{Blame, Exchange, Fault, Progress, grpc::http_status, grpc_status};
use crate::{
    balance::Lease,
    http::{BodyLength, ResponseHead},
};

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
            Fault::UpstreamTimeout | Fault::RouteTimeout | Fault::DeadlineExceeded => {
                self.took(lease, time, now_ms);
            }
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
        let is_bodiless = matches!(self.length, BodyLength::Empty | BodyLength::Exact(0));
        if let Some(detector) = &upstream.outlier
            && is_endpoints_own(fault, progress, asked && is_bodiless)
        {
            detector.failed(lease.endpoint(), &upstream.pool.load(), place);
        }
    }

    /// An attempt has had a response that another attempt is to make good.
    pub fn attempt_answered(&self, lease: &Lease, head: &ResponseHead, place: (usize, u64)) {
        let Some(upstream) = &self.upstream else {
            return;
        };
        let Some(detector) = &upstream.outlier else {
            return;
        };
        let status = grpc_status(&head.fields).map_or(head.status, http_status);
        if detector.is_failure(status) {
            detector.failed(lease.endpoint(), &upstream.pool.load(), place);
        } else {
            detector.succeeded(lease.endpoint());
        }
    }

    /// An attempt has ended that had a response: whole, or broken off. The clock is asked only where somebody needs it.
    pub fn attempt_ended(&self, lease: &Lease, worker: usize, now_ms: impl FnOnce() -> u64) {
        let Some(upstream) = &self.upstream else {
            return;
        };
        if upstream.sticky.is_some()
            && let Some(outcome) = self.session.outcome()
        {
            upstream.metrics.session(worker, outcome);
        }
        let Some(detector) = &upstream.outlier else {
            return;
        };
        let broke_off = self
            .outcome
            .fault
            .is_some_and(|fault| fault.blame() == Blame::Upstream && !is_late(fault));
        let status = match self.outcome.grpc_status {
            Some(code) => http_status(code),
            None => self.outcome.status,
        };
        if broke_off || detector.is_failure(status) {
            let place = (worker, now_ms());
            detector.failed(lease.endpoint(), &upstream.pool.load(), place);
        } else {
            detector.succeeded(lease.endpoint());
        }
    }
}

/// Whether it was the time of the whole exchange that was over.
pub(super) const fn is_late(fault: Fault) -> bool {
    matches!(fault, Fault::RouteTimeout | Fault::DeadlineExceeded)
}

/// Whether an attempt that failed speaks against its endpoint. `is_waiting`: all of the request is on its way.
fn is_endpoints_own(fault: Fault, progress: Progress, is_waiting: bool) -> bool {
    match fault {
        // A kept connection may be closed at any time, and a stream may be refused by one that drains.
        Fault::UpstreamClosed => !progress.reused || progress.heard,
        Fault::UpstreamRefused | Fault::NoEndpoint => false,
        // The time of the whole exchange says something only if the endpoint's silence took what was left of it.
        fault if is_late(fault) => is_waiting && !progress.heard,
        fault => fault.blame() == Blame::Upstream,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRESH: Progress = Progress {
        reused: false,
        body_gone: false,
        head_sent: true,
        heard: false,
    };
    const KEPT: Progress = Progress {
        reused: true,
        ..FRESH
    };

    #[test]
    fn what_the_endpoint_did_speaks_against_it() {
        for fault in [
            Fault::ConnectFailed,
            Fault::ConnectTimeout,
            Fault::UpstreamTls,
            Fault::UpstreamClosed,
            Fault::UpstreamProtocol,
            Fault::UpstreamTimeout,
        ] {
            assert!(is_endpoints_own(fault, FRESH, true), "{fault:?}");
        }
    }

    #[test]
    fn what_the_client_or_nobody_did_does_not() {
        for fault in [
            Fault::ClientGone,
            Fault::ClientStalled,
            Fault::BodyTimeout,
            Fault::UpstreamRefused,
            Fault::NoEndpoint,
            Fault::Drained,
            Fault::Internal,
        ] {
            assert!(!is_endpoints_own(fault, FRESH, true), "{fault:?}");
        }
    }

    #[test]
    fn a_kept_connection_may_end_but_not_inside_an_answer() {
        assert!(!is_endpoints_own(Fault::UpstreamClosed, KEPT, true));
        let inside = Progress {
            heard: true,
            ..KEPT
        };
        assert!(is_endpoints_own(Fault::UpstreamClosed, inside, true));
    }

    #[test]
    fn the_time_of_the_route_counts_only_while_everybody_waits_for_the_endpoint() {
        assert!(is_endpoints_own(Fault::RouteTimeout, FRESH, true));
        assert!(!is_endpoints_own(Fault::RouteTimeout, FRESH, false));
        let answering = Progress {
            heard: true,
            ..FRESH
        };
        assert!(!is_endpoints_own(Fault::RouteTimeout, answering, true));
    }

    #[test]
    fn grpc_codes_stand_for_statuses() {
        let statuses = [0, 2, 4, 7, 13, 14, 15, 99].map(http_status);
        assert_eq!(statuses, [200, 500, 504, 403, 500, 503, 500, 500]);
    }
}
