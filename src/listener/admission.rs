//! Admission: how many connections may be open, in the whole process and on each listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::clients::Clients;

/// The gate of one listener; what it admits counts for the listener and for the process.
///
/// Shared by all workers and by the reloads: workers take and give back places, `control` changes the caps, the admin
/// address reads the counts. A cap that becomes smaller than the count closes nobody; it refuses until enough
/// connections have ended.
#[derive(Clone, Debug)]
pub struct Admission {
    process: Arc<Places>,
    listener: Arc<Places>,
    clients: Arc<Clients>,
}

/// A number of places for connections and how many of them are taken.
#[derive(Debug)]
pub struct Places {
    taken: AtomicUsize,
    cap: AtomicUsize,
}

/// One admitted connection. Dropping it frees its places.
#[derive(Debug)]
#[must_use = "the connection counts as long as this lives"]
pub struct Admitted {
    process: Arc<Places>,
    listener: Arc<Places>,
}

/// Which cap refused a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// The listener's own cap.
    Listener,
    /// The cap of the whole process.
    Process,
}

impl Admission {
    /// The gate of a listener that may have `cap` connections, in the process that owns `process`.
    #[must_use]
    pub fn new(process: &Arc<Places>, cap: usize) -> Self {
        Self {
            process: Arc::clone(process),
            listener: Arc::new(Places::new(cap)),
            clients: Clients::new(),
        }
    }

    /// Takes a place for one connection.
    ///
    /// # Errors
    /// All places are taken; the connection must be closed.
    pub fn try_admit(&self) -> Result<Admitted, Full> {
        if !self.listener.take() {
            return Err(Full::Listener);
        }
        if !self.process.take() {
            self.listener.free();
            return Err(Full::Process);
        }
        Ok(Admitted {
            process: Arc::clone(&self.process),
            listener: Arc::clone(&self.listener),
        })
    }

    /// The listener's clients, each of which has limits of its own.
    #[must_use]
    pub const fn clients(&self) -> &Arc<Clients> {
        &self.clients
    }

    /// The listener's own places.
    #[must_use]
    pub fn listener(&self) -> &Places {
        &self.listener
    }
}

impl Places {
    /// `cap` free places.
    #[must_use]
    pub const fn new(cap: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            cap: AtomicUsize::new(cap),
        }
    }

    /// How many places are taken now.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Changes how many places there are.
    pub fn set_cap(&self, cap: usize) {
        self.cap.store(cap, Ordering::Relaxed);
    }

    // The number itself is all that is shared, no other memory is read because of it: relaxed is enough.
    fn take(&self) -> bool {
        let cap = self.cap.load(Ordering::Relaxed);
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < cap).then(|| taken + 1)
            })
            .is_ok()
    }

    fn free(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.listener.free();
        self.process.free();
    }
}

impl Full {
    /// The stable word for logs and metrics.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Listener => "listener_full",
            Self::Process => "process_full",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn process(cap: usize) -> Arc<Places> {
        Arc::new(Places::new(cap))
    }

    #[test]
    fn a_full_listener_refuses_until_a_connection_ends() {
        let gate = Admission::new(&process(10), 2);
        let first = gate.try_admit().unwrap();
        let second = gate.try_admit().unwrap();
        assert_eq!(gate.try_admit().err(), Some(Full::Listener));
        drop(first);
        let third = gate.try_admit().unwrap();
        assert_eq!(gate.listener().taken(), 2);
        drop((second, third));
        assert_eq!(gate.listener().taken(), 0);
    }

    #[test]
    fn a_full_process_refuses_on_every_listener_and_leaves_no_trace() {
        let process = process(1);
        let (web, other) = (Admission::new(&process, 10), Admission::new(&process, 10));
        let held = web.try_admit().unwrap();
        assert_eq!(other.try_admit().err(), Some(Full::Process));
        assert_eq!(other.listener().taken(), 0);
        drop(held);
        assert_eq!(process.taken(), 0);
        assert!(other.try_admit().is_ok());
    }

    #[test]
    fn a_cap_can_change_while_connections_are_open() {
        let gate = Admission::new(&process(10), 1);
        let held = gate.try_admit().unwrap();
        gate.listener().set_cap(2);
        let more = gate.try_admit().unwrap();
        gate.listener().set_cap(1);
        drop(more);
        assert_eq!(gate.try_admit().err(), Some(Full::Listener));
        drop(held);
        assert!(gate.try_admit().is_ok());
    }

    #[test]
    fn a_cap_of_zero_admits_nobody() {
        let gate = Admission::new(&process(10), 0);
        assert_eq!(gate.try_admit().err(), Some(Full::Listener));
    }

    #[test]
    fn workers_at_once_never_pass_a_cap() {
        let process = process(50);
        let gates = [Admission::new(&process, 30), Admission::new(&process, 30)];
        let held: Vec<Admitted> = thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|worker| {
                    let gate = &gates[worker % 2];
                    scope.spawn(move || {
                        let tries = (0..100).map(|_| gate.try_admit());
                        tries.filter_map(Result::ok).collect::<Vec<_>>()
                    })
                })
                .collect();
            let taken = workers.into_iter().map(|worker| worker.join().unwrap());
            taken.flatten().collect()
        });
        assert_eq!(held.len(), 50);
        assert_eq!(process.taken(), 50);
        assert!(gates.iter().all(|gate| gate.listener().taken() <= 30));
    }
}
