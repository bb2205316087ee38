//! What an upstream's picks leave behind for the next ones.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Whose turn it is in one set of endpoints and how many exchanges the set has; kept across reloads.
///
/// Workers write the counts with their picks. A pool asks for the cursors of its smaller sets when it is built; those
/// that no pool holds any more are dropped then.
#[derive(Debug, Default)]
#[repr(align(128))] // Written with every pick: nothing else shall share its cache line.
pub struct Cursor {
    turns: AtomicU64,
    in_flight: AtomicU64,
    parts: Mutex<HashMap<Part, Arc<Self>>>,
}

/// Which set of an upstream's endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Part {
    pub(super) subset: Option<Box<str>>,
    pub(super) tier: u8,
    pub(super) is_near: bool,
}

impl Cursor {
    /// The cursor of a part; that of the first tier of all is this one itself.
    pub(super) fn of(self: &Arc<Self>, part: &Part) -> Arc<Self> {
        if *part == Part::default() {
            return Arc::clone(self);
        }
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.retain(|known, cursor| known == part || Arc::strong_count(cursor) > 1);
        Arc::clone(parts.entry(part.clone()).or_default())
    }

    /// Takes turns and returns the number of the first.
    pub(super) fn advance(&self, turns: u64) -> u64 {
        self.turns.fetch_add(turns, Ordering::Relaxed)
    }

    /// How many exchanges the set has. Only sets whose policy asks for it are counted.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn taken(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn given_back(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_its_own_as_long_as_a_pool_holds_it() {
        let whole = Arc::new(Cursor::default());
        assert!(Arc::ptr_eq(&whole, &whole.of(&Part::default())));
        let part = |tier| Part {
            tier,
            ..Part::default()
        };
        let backup = whole.of(&part(1));
        backup.advance(5);
        assert_eq!(whole.advance(1), 0);
        assert!(Arc::ptr_eq(&backup, &whole.of(&part(1))));
        whole.of(&part(2)).advance(9);
        assert_eq!(whole.of(&part(1)).advance(1), 5);
        assert_eq!(whole.of(&part(2)).advance(1), 0);
    }
}
