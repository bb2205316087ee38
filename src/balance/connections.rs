//! Connections that are open to endpoints, counted over all workers.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use super::endpoint::Endpoint;
use super::limits::Limits;
use super::load::taken_below;
use super::queue::Queue;
use super::state::EndpointState;

/// The connections to one endpoint, or to all of an upstream. Written when a connection is opened or closed.
#[derive(Debug, Default)]
pub(super) struct OpenCount {
    open: AtomicU32,
    /// Who waits for another one to be closed.
    wanted: Arc<Queue>,
}

/// An open connection to an endpoint, or one that is being opened; it is counted until this is dropped.
#[derive(Debug)]
pub struct OpenConnection(Arc<EndpointState>);

/// Of what there are as many connections as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scarce {
    /// The endpoint.
    Endpoint,
    /// The upstream as a whole.
    Upstream,
}

impl OpenConnection {
    /// Counts a connection, however many there are.
    #[must_use]
    pub fn counted(endpoint: &Endpoint) -> Self {
        let state = &endpoint.state;
        for count in [state.connections(), state.upstream().connections()] {
            count.open.fetch_add(1, Ordering::Relaxed);
        }
        Self(Arc::clone(state))
    }

    /// Counts a connection, unless there are as many as there may be.
    ///
    /// # Errors
    /// There are: another one has to be closed before.
    pub fn within(endpoint: &Endpoint, limits: &Limits) -> Result<Self, Scarce> {
        let state = &endpoint.state;
        let most = |limit: Option<std::num::NonZeroU32>| limit.map_or(u32::MAX, |most| most.get());
        let own = state.connections();
        if !taken_below(&own.open, most(limits.endpoint_connections)) {
            return Err(Scarce::Endpoint);
        }
        let all = state.upstream().connections();
        if !taken_below(&all.open, most(limits.connections)) {
            own.closed();
            return Err(Scarce::Upstream);
        }
        Ok(Self(Arc::clone(state)))
    }

    /// Who waits for what is scarce.
    #[must_use]
    pub fn wanted(endpoint: &Endpoint, scarce: Scarce) -> &Arc<Queue> {
        let state = &endpoint.state;
        match scarce {
            Scarce::Endpoint => &state.connections().wanted,
            Scarce::Upstream => &state.upstream().connections().wanted,
        }
    }

    /// How many wait for a connection like this one to be closed.
    #[must_use]
    pub fn wanted_by(&self) -> u32 {
        let own = self.0.connections().wanted.waiting();
        own.max(self.0.upstream().connections().wanted.waiting())
    }

    /// Whether closing this one helps a connection to that endpoint.
    #[must_use]
    pub fn helps(&self, endpoint: &Endpoint, scarce: Scarce) -> bool {
        match scarce {
            Scarce::Endpoint => Arc::ptr_eq(&self.0, &endpoint.state),
            Scarce::Upstream => std::ptr::eq(self.0.upstream(), endpoint.state.upstream()),
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections().closed();
        self.0.upstream().connections().closed();
    }
}

impl OpenCount {
    /// How many are open.
    pub(super) fn get(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    fn closed(&self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        self.wanted.call();
    }
}

/// What tells a worker that others want some of its idle connections closed.
#[derive(Debug, Default)]
pub struct Bell {
    rung: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Bell {
    /// Ready when it was rung since it was last ready.
    pub fn poll_rung(&self, cx: &Context<'_>) -> Poll<()> {
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        *waker = Some(cx.waker().clone());
        drop(waker);
        // After the waker is in its place, so that no ring is lost.
        if self.rung.swap(false, Ordering::AcqRel) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    fn ring(&self) {
        self.rung.store(true, Ordering::Release);
        let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        let waker = waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The bells of the workers that have connections to an upstream. Locked when one is opened, and when one is scarce.
#[derive(Debug, Default)]
pub struct Bells(Mutex<Vec<Weak<Bell>>>);

impl Bells {
    /// Rings this one too, from now on.
    pub fn add(&self, bell: &Arc<Bell>) {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bells.retain(|known| known.strong_count() > 0);
        if !bells
            .iter()
            .any(|known| known.as_ptr() == Arc::as_ptr(bell))
        {
            bells.push(Arc::downgrade(bell));
        }
    }

    /// Rings all.
    pub fn ring(&self) {
        let bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for bell in bells.iter().filter_map(Weak::upgrade) {
            bell.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::testing::Upstream;
    use crate::balance::{Policy, Pool};
    use std::num::NonZeroU32;

    fn limits(upstream: &Upstream, connections: u32, endpoint_connections: u32) -> Limits {
        Limits {
            requests: None,
            endpoint_requests: None,
            connections: NonZeroU32::new(connections),
            endpoint_connections: NonZeroU32::new(endpoint_connections),
            adaptive: None,
            queue: None,
            load: upstream.load(),
        }
    }

    fn open(pool: &Pool, index: usize, limits: &Limits) -> Result<OpenConnection, Scarce> {
        OpenConnection::within(&pool.endpoints()[index], limits)
    }

    #[test]
    fn connections_are_counted_until_they_are_dropped() {
        let upstream = Upstream::default();
        let pool = upstream.pool(Policy::Random, &[1, 1]);
        let limits = limits(&upstream, 3, 2);
        let first = open(&pool, 0, &limits).unwrap();
        let _second = open(&pool, 0, &limits).unwrap();
        assert_eq!(open(&pool, 0, &limits).unwrap_err(), Scarce::Endpoint);
        let _third = open(&pool, 1, &limits).unwrap();
        assert_eq!(open(&pool, 1, &limits).unwrap_err(), Scarce::Upstream);
        assert_eq!(pool.endpoints()[1].state.connections().get(), 1);
        assert!(first.helps(&pool.endpoints()[1], Scarce::Upstream));
        assert!(!first.helps(&pool.endpoints()[1], Scarce::Endpoint));
        drop(first);
        assert!(open(&pool, 1, &limits).is_ok());
        let counted = OpenConnection::counted(&pool.endpoints()[0]);
        assert_eq!(pool.endpoints()[0].state.connections().get(), 2);
        assert_eq!(counted.wanted_by(), 0);
    }

    #[test]
    fn a_bell_is_heard_whenever_it_was_rung() {
        let bells = Bells::default();
        let bell = Arc::new(Bell::default());
        bells.add(&bell);
        bells.add(&bell);
        let cx = Context::from_waker(Waker::noop());
        assert!(bell.poll_rung(&cx).is_pending());
        bells.ring();
        bells.ring();
        assert!(bell.poll_rung(&cx).is_ready());
        assert!(bell.poll_rung(&cx).is_pending());
    }
}
