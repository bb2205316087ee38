//! The one place where a new world replaces the old one.

use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};

use super::Snapshot;

/// Holds the current snapshot. Only `control` publishes; every worker reads.
#[derive(Debug)]
pub struct SnapshotCell {
    current: Arc<ArcSwap<Snapshot>>,
}

/// A worker's view of the cell: reading costs one comparison while nothing has been published.
#[derive(Debug)]
pub struct SnapshotReader {
    cache: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
}

impl SnapshotCell {
    /// A cell that holds a first snapshot.
    #[must_use]
    pub fn new(first: Snapshot) -> Arc<Self> {
        Arc::new(Self {
            current: Arc::new(ArcSwap::from_pointee(first)),
        })
    }

    /// Makes this the world of every request that begins from now on, and returns the one before.
    #[must_use = "dropping a world takes a while"]
    pub fn publish(&self, next: Snapshot) -> Arc<Snapshot> {
        self.current.swap(Arc::new(next))
    }

    /// The current snapshot, for the control plane.
    #[must_use]
    pub fn load(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// A reader for one worker.
    #[must_use]
    pub fn reader(&self) -> SnapshotReader {
        SnapshotReader {
            cache: Cache::new(Arc::clone(&self.current)),
        }
    }
}

impl SnapshotReader {
    /// The current snapshot.
    pub fn current(&mut self) -> Arc<Snapshot> {
        Arc::clone(self.cache.load())
    }
}
