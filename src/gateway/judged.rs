//! What is told of an attempt to those who protect its upstream: the circuit breaker and the adaptive limit.

use std::time::Duration;

use super::{Blame, Fault, grpc::http_status, grpc_status, verdict::is_late};
use crate::{balance::Lease, http::ResponseHead};

/// The head of an answer has come. What is a failure is the operator's to say; a gRPC status is taken for the HTTP status
/// that means the same.
pub(super) fn answered(lease: &Lease, head: &ResponseHead, now_ms: u64) {
    let Some(breaker) = lease.breaker() else {
        return;
    };
    lease.judge(breaker.is_failure(meaning(head)), now_ms);
}

/// There was no answer. `request_is_out` tells whether the endpoint had got all of the request.
pub(super) fn failed(lease: &Lease, fault: Fault, request_is_out: bool, now_ms: u64) {
    let failed = match fault {
        // The route's time may have been spent on the client.
        Fault::RouteTimeout | Fault::DeadlineExceeded => request_is_out,
        // There was no connection to be had: the endpoint was not asked.
        Fault::UpstreamOverloaded => false,
        _ => fault.blame() == Blame::Upstream,
    };
    if failed {
        lease.judge(true, now_ms);
    }
}

/// Notes how an answer ended that had begun; `trailers` is the `grpc-status` that stood there. A success was noted when
/// it began, so that a stream without end holds back no judgement; here only what has gone wrong since is added.
pub fn judged_at_end(lease: &Lease, fault: Option<Fault>, trailers: Option<u32>, now_ms: u64) {
    let Some(breaker) = lease.breaker() else {
        return;
    };
    let broke_off = fault.is_some_and(|fault| fault.blame() == Blame::Upstream && !is_late(fault));
    let trailed = trailers.is_some_and(|code| breaker.is_failure(http_status(code)));
    if broke_off || trailed {
        lease.judge(true, now_ms);
    }
}

/// Notes how long the endpoint has had the request when its answer came, or did not come in time. What fails is often
/// quick, and says nothing about how busy the endpoint is.
pub fn measured(
    lease: &Lease,
    head: Result<&ResponseHead, &Fault>,
    waited: Option<Duration>,
    now_ms: u64,
) {
    let tells = match head {
        Ok(head) => meaning(head) < 500,
        Err(fault) => matches!(
            fault,
            Fault::UpstreamTimeout | Fault::RouteTimeout | Fault::DeadlineExceeded
        ),
    };
    if let Some(waited) = waited
        && tells
    {
        lease.measured(waited, now_ms);
    }
}

/// The status of an answer, or the one that its gRPC status stands for.
fn meaning(head: &ResponseHead) -> u16 {
    match grpc_status(&head.fields) {
        Some(code) if head.status == 200 => http_status(code),
        _ => head.status,
    }
}
