//! How much an upstream takes at the same time.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use super::adaptive::Adaptive;
use super::load::UpstreamLoad;

/// How much an upstream and each of its endpoints take at the same time, and what is in flight.
#[derive(Debug)]
pub struct Limits {
    /// Exchanges in flight at all endpoints together; `None`: any number.
    pub requests: Option<NonZeroU32>,
    /// Exchanges in flight at one endpoint; `None`: any number.
    pub endpoint_requests: Option<NonZeroU32>,
    /// Open connections to all endpoints together; `None`: any number.
    pub connections: Option<NonZeroU32>,
    /// Open connections to one endpoint; `None`: any number.
    pub endpoint_connections: Option<NonZeroU32>,
    /// How the number of exchanges at all endpoints together is found out; `None`: it is not.
    pub adaptive: Option<Adaptive>,
    /// Who may wait for a place; `None`: nobody.
    pub queue: Option<QueueSettings>,
    /// What is in flight, shared with the snapshots before and after.
    pub load: Arc<UpstreamLoad>,
}

/// Who may wait for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSettings {
    /// How many at the same time.
    pub places: NonZeroU32,
    /// For how long.
    pub timeout: Duration,
}

/// Why there is no lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No endpoint may be used.
    NoEndpoint,
    /// There are endpoints, but they have as much as they take.
    Full,
    /// As many are in flight as the latency of the answers allows.
    Slow,
    /// The breaker is open. The number says after how many milliseconds it tries again.
    BreakerOpen(u64),
}

impl Limits {
    /// Whether the upstream as a whole takes one more at this moment.
    pub(super) fn has_room(&self) -> bool {
        self.load.in_flight() < self.most()
    }

    /// Counts one more, unless that is too many.
    pub(super) fn take(&self) -> bool {
        self.load.taken_below(self.most())
    }

    /// What does not allow another one, if the upstream as a whole does not.
    pub(super) fn refusal(&self) -> Refusal {
        let adaptive = self.adaptive_limit();
        let fixed = self.requests.map_or(u32::MAX, NonZeroU32::get);
        if adaptive < fixed && self.load.in_flight() >= adaptive {
            Refusal::Slow
        } else {
            Refusal::Full
        }
    }

    /// The limit that was found out, and the latency that it goes by; `None` if none is looked for.
    #[must_use]
    pub fn found(&self) -> Option<(u32, Option<Duration>)> {
        let settings = self.adaptive.as_ref()?;
        let state = self.load.adaptive();
        Some((state.limit(settings), state.baseline()))
    }

    /// Notes how long an endpoint took for an answer.
    pub(super) fn note(&self, took: Duration, now_ms: u64) {
        let Some(settings) = &self.adaptive else {
            return;
        };
        let in_flight = self.load.in_flight();
        if self.load.adaptive().note(settings, took, in_flight, now_ms) {
            self.load.queue().call();
        }
    }

    fn most(&self) -> u32 {
        let fixed = self.requests.map_or(u32::MAX, NonZeroU32::get);
        fixed.min(self.adaptive_limit())
    }

    fn adaptive_limit(&self) -> u32 {
        self.adaptive
            .as_ref()
            .map_or(u32::MAX, |settings| self.load.adaptive().limit(settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::testing::{Upstream, in_tier};
    use crate::balance::{PickContext, Policy, Settings};

    fn limited(upstream: &Upstream, requests: u32, endpoint_requests: u32) -> Limits {
        Limits {
            requests: NonZeroU32::new(requests),
            endpoint_requests: NonZeroU32::new(endpoint_requests),
            queue: None,
            adaptive: None,
            connections: None,
            endpoint_connections: None,
            load: upstream.load(),
        }
    }

    fn settings(policy: Policy, limits: Limits) -> Settings {
        Settings {
            limits: Some(Arc::new(limits)),
            ..policy.into()
        }
    }

    const ANY: PickContext<'_> = PickContext::new(0, 7, &[]);

    #[test]
    fn an_upstream_gives_as_many_leases_as_it_takes() {
        for policy in Policy::ALL {
            let upstream = Upstream::default();
            let pool = upstream.pool(settings(policy, limited(&upstream, 3, 0)), &[1, 1]);
            let mut held: Vec<_> = (0..3).map(|_| pool.lease(&ANY).unwrap()).collect();
            assert_eq!(pool.lease(&ANY).unwrap_err(), Refusal::Full, "{policy:?}");
            assert!(!pool.has_room(0));
            held.pop();
            assert!(pool.has_room(0));
            held.push(pool.lease(&ANY).unwrap());
            assert_eq!(upstream.load().in_flight(), 3);
            drop(held);
            assert_eq!(upstream.load().in_flight(), 0);
        }
    }

    #[test]
    fn an_endpoint_that_is_full_leaves_requests_to_the_others_and_then_to_backups() {
        for policy in Policy::ALL {
            let upstream = Upstream::default();
            let settings = settings(policy, limited(&upstream, 0, 2));
            let pool = upstream.build(settings, [in_tier(0), in_tier(0), in_tier(1)]);
            let held: Vec<_> = (0..6).map(|_| pool.lease(&ANY).unwrap()).collect();
            let first: usize = held[..4].iter().filter(|one| one.index() < 2).count();
            assert_eq!(first, 4, "{policy:?}");
            for endpoint in pool.endpoints() {
                assert_eq!(endpoint.state.in_flight(), 2, "{policy:?}");
            }
            assert_eq!(pool.lease(&ANY).unwrap_err(), Refusal::Full, "{policy:?}");
        }
    }

    #[test]
    fn one_that_is_full_is_worth_more_than_one_that_failed() {
        for policy in Policy::ALL {
            let upstream = Upstream::default();
            let pool = upstream.pool(settings(policy, limited(&upstream, 0, 1)), &[1, 1]);
            pool.endpoints()[0].state.connect_failed(0);
            let held = pool.lease(&ANY).unwrap();
            assert_eq!(held.index(), 1);
            assert_eq!(pool.lease(&ANY).unwrap_err(), Refusal::Full, "{policy:?}");
            // Who has been there already has nobody but the other.
            let elsewhere = PickContext { tried: &[1], ..ANY };
            assert_eq!(pool.lease(&elsewhere).unwrap().index(), 0);
        }
    }

    #[test]
    fn nobody_waits_for_an_upstream_without_an_endpoint() {
        let upstream = Upstream::default();
        let pool = upstream.pool(settings(Policy::Random, limited(&upstream, 1, 1)), &[]);
        assert_eq!(pool.lease(&ANY).unwrap_err(), Refusal::NoEndpoint);
    }

    #[test]
    fn what_is_in_flight_goes_on_in_the_next_pool() {
        let upstream = Upstream::default();
        let pool = |requests, endpoint_requests| {
            let limits = limited(&upstream, requests, endpoint_requests);
            upstream.pool(settings(Policy::Random, limits), &[1])
        };
        let old = pool(2, 2);
        let held = [old.lease(&ANY).unwrap(), old.lease(&ANY).unwrap()];
        drop(old);
        assert_eq!(pool(2, 0).lease(&ANY).unwrap_err(), Refusal::Full);
        assert_eq!(pool(0, 2).lease(&ANY).unwrap_err(), Refusal::Full);
        // Fewer than are in flight already.
        assert_eq!(pool(1, 0).lease(&ANY).unwrap_err(), Refusal::Full);
        assert!(pool(3, 0).lease(&ANY).is_ok());
        drop(held);
        assert!(pool(1, 1).lease(&ANY).is_ok());
    }

    #[test]
    fn limits_that_are_new_count_what_began_without_any() {
        let upstream = Upstream::default();
        let unlimited = upstream.pool(Policy::Random, &[1, 1]);
        let mut held: Vec<_> = (0..2).map(|_| unlimited.lease(&ANY).unwrap()).collect();
        let limits = limited(&upstream, 2, 0);
        let pool = upstream.pool(settings(Policy::Random, limits), &[1, 1]);
        assert_eq!(pool.lease(&ANY).unwrap_err(), Refusal::Full);
        let waker = std::task::Waker::noop();
        let ticket = upstream.load().queue().join(1, waker).unwrap();
        assert!(ticket.is_turn(waker), "the first one looks for itself");
        assert!(!ticket.is_turn(waker));
        held.pop();
        assert!(ticket.is_turn(waker), "and is called when a place is free");
        held.push(pool.lease(&ANY).unwrap());
        assert_eq!(pool.lease(&ANY).unwrap_err(), Refusal::Full);
        drop(held);
        assert_eq!(upstream.load().in_flight(), 0);
    }

    #[test]
    fn the_limit_that_was_found_out_holds_and_says_so() {
        let upstream = Upstream::default();
        let limits = |requests| Limits {
            adaptive: Some(Adaptive {
                min: 2,
                max: 100,
                tolerance: 1.5,
                window: Duration::from_millis(100),
            }),
            ..limited(&upstream, requests, 0)
        };
        let pool = upstream.pool(settings(Policy::Random, limits(3)), &[1, 1]);
        let first = pool.lease(&ANY).unwrap();
        let second = pool.lease(&ANY).unwrap();
        assert_eq!(pool.lease(&ANY).unwrap_err(), Refusal::Slow);
        for _ in 0..10 {
            second.measured(Duration::from_millis(5), 1_000);
        }
        // It has doubled, so now the fixed limit is the smaller one.
        let _third = pool.lease(&ANY).unwrap();
        assert_eq!(pool.lease(&ANY).unwrap_err(), Refusal::Full);
        drop((first, second));
        let found = limits(3).found();
        assert_eq!(found, Some((4, Some(Duration::from_millis(5)))));
    }

    #[test]
    fn threads_never_take_more_than_there_is() {
        let upstream = Upstream::default();
        let limits = limited(&upstream, 3, 2);
        let pool = upstream.pool(settings(Policy::P2c, limits), &[1, 1]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for random in 0..20_000 {
                        let lease = pool.lease(&PickContext::new(0, random << 44, &[]));
                        assert!(upstream.load().in_flight() <= 3);
                        if let Ok(lease) = lease {
                            assert!(lease.endpoint().state.in_flight() <= 2);
                        }
                    }
                });
            }
        });
        assert_eq!(upstream.load().in_flight(), 0);
    }
}
