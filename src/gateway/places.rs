//! How many requests may be served at once: on each listener, and in the whole process.

use std::{
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::Connection;

/// A number of places for requests, and how many of them are taken.
#[derive(Debug)]
pub struct RequestPlaces {
    taken: AtomicUsize,
    most: AtomicUsize,
}

/// The places that a listener's requests need: one of its own and one of the process.
#[derive(Clone, Debug)]
pub struct RequestGate {
    /// Those of the listener.
    pub listener: Arc<RequestPlaces>,
    /// Those of the process.
    pub process: Arc<RequestPlaces>,
}

/// A request's places, which are free again when it is dropped.
#[derive(Debug)]
pub(super) struct Taken(Rc<Connection>);

impl RequestPlaces {
    /// So many free places.
    #[must_use]
    pub const fn new(most: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            most: AtomicUsize::new(most),
        }
    }

    /// Changes how many places there are. Requests that are being served keep theirs.
    pub fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    // The number itself is all that is shared, no other memory is read because of it: relaxed is enough.
    fn take(&self) -> bool {
        let before = self.taken.fetch_add(1, Ordering::Relaxed);
        let has_room = before < self.most.load(Ordering::Relaxed);
        if !has_room {
            self.free();
        }
        has_room
    }

    fn free(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl RequestGate {
    /// A gate that lets everything in; for those who only look.
    #[must_use]
    pub fn open() -> Self {
        let places = Arc::new(RequestPlaces::new(usize::MAX));
        Self {
            listener: Arc::clone(&places),
            process: places,
        }
    }
}

impl Taken {
    /// Takes the places that a request over this connection needs; `None` when they are all taken.
    pub(super) fn of(connection: &Rc<Connection>) -> Option<Self> {
        let RequestGate { listener, process } = &connection.requests;
        if !listener.take() {
            return None;
        }
        if !process.take() {
            listener.free();
            return None;
        }
        Some(Self(Rc::clone(connection)))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let RequestGate { listener, process } = &self.0.requests;
        listener.free();
        process.free();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_given_out_as_long_as_there_are_any() {
        let places = RequestPlaces::new(2);
        assert!(places.take() && places.take());
        assert!(!places.take());
        places.free();
        assert!(places.take());
        places.set_most(1);
        places.free();
        assert!(!places.take(), "there is one place, and it is taken");
        places.free();
        assert!(places.take());
    }
}
