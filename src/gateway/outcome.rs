//! What an exchange came to: filled in as it goes, read once for its record.

use std::time::{Duration, Instant};

use super::Fault;
use crate::observe::Source;

/// What an exchange came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The status that was sent; 0 while none was.
    pub(super) status: u16,
    /// The word for what the gateway itself decided; empty for an endpoint's answer.
    pub(super) reason: &'static str,
    /// Who made the status.
    pub(super) source: Source,
    /// Tries, the one that succeeded included.
    pub(super) attempts: u32,
    /// Bytes of the request's body.
    pub(super) received: u64,
    /// Bytes of the response's body.
    pub(super) sent: u64,
    /// How long the last connect took.
    pub(super) connect: Option<Duration>,
    /// When the last attempt's request began to go out.
    pub(super) asked_at: Option<Instant>,
    /// From then until the response head.
    pub(super) first_byte: Option<Duration>,
    /// Waiting for endpoints, over all attempts.
    pub(super) upstream: Duration,
    /// Waiting for a place at the upstream, over all attempts.
    pub(super) queued: Duration,
    pub(super) grpc_status: Option<u32>,
}

impl Default for Outcome {
    fn default() -> Self {
        Self {
            status: 0,
            reason: "",
            source: Source::Gateway,
            attempts: 0,
            received: 0,
            sent: 0,
            connect: None,
            asked_at: None,
            first_byte: None,
            upstream: Duration::ZERO,
            queued: Duration::ZERO,
            grpc_status: None,
        }
    }
}

impl Outcome {
    /// Notes a fault. The status stays what the client was told, if it was told anything.
    pub(super) fn failed(&mut self, fault: Fault) {
        if self.status == 0 {
            self.status = fault.status();
            self.source = Source::Gateway;
        }
        self.reason = fault.reason();
    }
}
