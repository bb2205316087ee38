//! How pools learn that an endpoint came into or went out of use, without asking each of them with every pick.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::load::UpstreamLoad;

/// How often the endpoints of one pool have come into or gone out of use. Written by whoever changes an endpoint, read
/// with every pick, dropped with its pool.
#[derive(Debug, Default)]
#[repr(align(128))] // Read with every pick: what is written often shall not share its cache line.
pub(super) struct Changes(AtomicU64);

impl Changes {
    pub(super) fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    fn note(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

/// The upstream and the pools that an endpoint is in.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    pools: Mutex<Vec<Weak<Changes>>>,
    upstream: Arc<UpstreamLoad>,
}

impl Watchers {
    pub(super) fn new(upstream: Arc<UpstreamLoad>) -> Self {
        Self {
            pools: Mutex::default(),
            upstream,
        }
    }

    pub(super) fn add(&self, changes: &Arc<Changes>) {
        let mut watchers = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        watchers.retain(|watcher| watcher.strong_count() > 0);
        watchers.push(Arc::downgrade(changes));
    }

    /// Tells every pool, and whoever waits for an endpoint. Comes after the change itself, so that a pool that counts
    /// again sees it.
    pub(super) fn tell(&self) {
        let watchers = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        for changes in watchers.iter().filter_map(Weak::upgrade) {
            changes.note();
        }
        drop(watchers);
        self.upstream.queue().call();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_living_pools_are_told() {
        let watchers = Watchers::default();
        let pools = [Arc::new(Changes::default()), Arc::new(Changes::default())];
        for changes in &pools {
            watchers.add(changes);
        }
        watchers.add(&Arc::default());
        watchers.tell();
        assert_eq!(pools.each_ref().map(|changes| changes.count()), [1, 1]);
        watchers.add(&pools[0]);
        assert_eq!(watchers.pools.lock().unwrap().len(), 3);
    }
}
