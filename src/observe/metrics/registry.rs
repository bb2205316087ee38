//! Who has series at this moment, by name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use super::listener::ListenerMetrics;
use super::route::{Names, RouteMetrics};
use super::upstream::UpstreamMetrics;

/// Everything that has series, by name.
#[derive(Debug, Default)]
pub(super) struct Registry {
    pub(super) listeners: BTreeMap<Box<str>, Arc<ListenerMetrics>>,
    pub(super) routes: BTreeMap<Box<str>, Arc<RouteMetrics>>,
    pub(super) upstreams: BTreeMap<Box<str>, Arc<UpstreamMetrics>>,
    pub(super) listener_ids: Ids,
    pub(super) upstream_ids: Ids,
}

impl Registry {
    /// Drops whatever nobody outside holds, with every series that mentions it.
    pub(super) fn retain_used(&mut self, unrouted: &RouteMetrics) {
        let before = self.listeners.len() + self.upstreams.len();
        self.routes.retain(|_, route| Arc::strong_count(route) > 1);
        self.listeners.retain(|_, listener| {
            let used = Arc::strong_count(listener) > 1;
            if !used {
                self.listener_ids.gone(listener.id.0);
            }
            used
        });
        self.upstreams.retain(|_, upstream| {
            let used = Arc::strong_count(upstream) > 1;
            if !used {
                self.upstream_ids.gone(upstream.id.0);
            }
            used
        });
        for upstream in self.upstreams.values() {
            upstream.retain_used();
        }
        if self.listeners.len() + self.upstreams.len() < before {
            // Pairs with the release in dropping an `Arc`: what its last holder wrote to the tables is seen from here on.
            fence(Ordering::Acquire);
            let names = self.names();
            for route in [unrouted]
                .into_iter()
                .chain(self.routes.values().map(|route| &**route))
            {
                route.forget(&names);
            }
            // Only now does no series mention the numbers any more.
            self.listener_ids.reuse();
            self.upstream_ids.reuse();
        }
    }

    pub(super) fn names(&self) -> Names<'_> {
        Names {
            listeners: self
                .listeners
                .values()
                .map(|listener| (listener.id.0, listener.name()))
                .collect(),
            upstreams: self
                .upstreams
                .values()
                .map(|upstream| (upstream.id.0, upstream.name()))
                .collect(),
        }
    }
}

/// Numbers for names, the smallest free one first.
#[derive(Debug, Default)]
pub(super) struct Ids {
    last: u64,
    free: Vec<u64>,
    gone: Vec<u64>,
}

impl Ids {
    pub(super) fn take(&mut self) -> u64 {
        self.free.pop().unwrap_or_else(|| {
            self.last += 1;
            self.last
        })
    }

    /// Notes a number whose name is gone; it is free when no series mentions it.
    fn gone(&mut self, id: u64) {
        self.gone.push(id);
    }

    fn reuse(&mut self) {
        self.free.append(&mut self.gone);
    }
}
