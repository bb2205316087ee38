//! Who may be chosen for one attempt: a pool without those that are unavailable or tried.

use std::sync::Arc;

use super::endpoint::Endpoint;
use super::weights::scale;

/// A pool's endpoints as one pick sees them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Eligible<'a> {
    endpoints: &'a [Arc<Endpoint>],
    now_ms: u64,
    tried: &'a [usize],
}

impl<'a> Eligible<'a> {
    pub(super) const fn new(
        endpoints: &'a [Arc<Endpoint>],
        now_ms: u64,
        tried: &'a [usize],
    ) -> Self {
        Self {
            endpoints,
            now_ms,
            tried,
        }
    }

    /// Whether the endpoint in this place may be chosen.
    pub(super) fn accepts(&self, index: usize) -> bool {
        self.endpoints
            .get(index)
            .is_some_and(|endpoint| self.accepts_endpoint(index, endpoint))
    }

    /// All that may be chosen, with their places.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &'a Endpoint)> {
        self.endpoints
            .iter()
            .map(|endpoint| &**endpoint)
            .enumerate()
            .filter(|(index, endpoint)| self.accepts_endpoint(*index, endpoint))
    }

    /// One of them by chance, as likely as its weight says. Walks the pool twice: for when quicker ways have failed.
    pub(super) fn by_weight(&self, random: u64) -> Option<usize> {
        let total = self.iter().map(|(_, endpoint)| u64::from(endpoint.weight));
        let mut left = scale(random, total.sum());
        let mut last = None;
        for (index, endpoint) in self.iter() {
            // Availability may change between the two walks; then the last one seen will do.
            last = Some(index);
            match left.checked_sub(u64::from(endpoint.weight)) {
                Some(rest) => left = rest,
                None => break,
            }
        }
        last
    }

    /// The one whose last connect failure is the oldest, among those that are merely set aside.
    pub(super) fn failed_longest_ago(&self) -> Option<usize> {
        self.endpoints
            .iter()
            .enumerate()
            .filter(|(index, endpoint)| {
                endpoint.weight > 0 && endpoint.state.is_healthy() && !self.tried.contains(index)
            })
            .min_by_key(|(_, endpoint)| endpoint.state.last_failure())
            .map(|(index, _)| index)
    }

    fn accepts_endpoint(&self, index: usize, endpoint: &Endpoint) -> bool {
        endpoint.weight > 0
            && endpoint.state.is_available(self.now_ms)
            && !self.tried.contains(&index)
    }
}
