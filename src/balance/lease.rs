//! The right to use an endpoint, counted.

use std::sync::Arc;

use super::endpoint::Endpoint;

/// The right to use an endpoint for one attempt. The endpoint counts it as in flight until it is dropped.
#[derive(Debug)]
pub struct Lease {
    endpoint: Arc<Endpoint>,
    index: usize,
}

impl Lease {
    pub(super) fn take(endpoint: &Arc<Endpoint>, index: usize) -> Self {
        endpoint.state.taken();
        Self {
            endpoint: Arc::clone(endpoint),
            index,
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

    /// Notes that the endpoint took no connection, and sets it aside: 1 s at first, doubling up to 30 s.
    pub fn connect_failed(&self, now_ms: u64) {
        self.endpoint.state.connect_failed(now_ms);
    }

    /// Notes that the endpoint took a connection.
    pub fn succeeded(&self) {
        self.endpoint.state.succeeded();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.state.given_back();
    }
}
