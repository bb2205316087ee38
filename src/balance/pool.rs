//! The endpoints of one upstream and the policy that chooses among them.

use std::sync::{Arc, Weak};

use super::eligible::Eligible;
use super::endpoint::Endpoint;
use super::lease::Lease;
use super::least_connections::LeastConnections;
use super::random::Random;
use super::round_robin::{Cursor, RoundRobin};
use crate::observe::metrics::EndpointFigures;

/// How an upstream chooses among its endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// In turn, as often as the weights say, evenly spread.
    #[default]
    RoundRobin,
    /// By chance, as often as the weights say.
    Random,
    /// The one with the fewest exchanges for its weight.
    LeastConnections,
}

impl Policy {
    /// All policies, in the order the documentation has them.
    pub const ALL: [Self; 3] = [Self::RoundRobin, Self::Random, Self::LeastConnections];

    /// The word the configuration has for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::LeastConnections => "least_connections",
        }
    }

    /// The policy of that word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == word)
    }
}

/// The endpoints of one upstream, frozen with its snapshot, and the policy that chooses among them.
#[derive(Debug)]
pub struct Pool {
    endpoints: Box<[Arc<Endpoint>]>,
    chooser: Chooser,
}

#[derive(Debug)]
enum Chooser {
    RoundRobin(RoundRobin),
    Random(Random),
    LeastConnections(LeastConnections),
}

impl Pool {
    /// A pool of these endpoints. The cursor is the upstream's, from [`super::EndpointStates`], so that a new pool goes on
    /// where the old one is. From here on the endpoints' metrics ask their states for what is in flight and what is up.
    #[must_use]
    pub fn new(policy: Policy, endpoints: Vec<Endpoint>, cursor: Arc<Cursor>) -> Self {
        for endpoint in &endpoints {
            let figures: Weak<dyn EndpointFigures> = Arc::downgrade(&endpoint.state) as _;
            endpoint.metrics.watch(figures);
        }
        let weights: Vec<u32> = endpoints.iter().map(|endpoint| endpoint.weight).collect();
        let chooser = match policy {
            Policy::RoundRobin => Chooser::RoundRobin(RoundRobin::new(&weights, cursor)),
            Policy::Random => Chooser::Random(Random::new(&weights)),
            Policy::LeastConnections => Chooser::LeastConnections(LeastConnections),
        };
        Self {
            endpoints: endpoints.into_iter().map(Arc::new).collect(),
            chooser,
        }
    }

    /// The endpoints, in the order of the configuration.
    #[must_use]
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Whether any endpoint could be picked: not all are unhealthy or without weight.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.endpoints
            .iter()
            .any(|endpoint| endpoint.weight > 0 && endpoint.state.is_healthy())
    }

    /// Chooses an endpoint that is healthy, not set aside and not among `tried`.
    ///
    /// If all that remain are set aside, the one that failed longest ago is chosen: setting aside is a hint, and a guess
    /// is better than a sure failure. An endpoint that fails its health checks is never chosen. `now_ms` is on the
    /// gateway's clock, `random` is evenly distributed, `tried` are the indices of this exchange's earlier leases.
    #[must_use]
    pub fn pick(&self, now_ms: u64, random: u64, tried: &[usize]) -> Option<Lease> {
        let eligible = Eligible::new(&self.endpoints, now_ms, tried);
        let chosen = match &self.chooser {
            Chooser::RoundRobin(policy) => policy.choose(&eligible, random),
            Chooser::Random(policy) => policy.choose(&eligible, random),
            Chooser::LeastConnections(policy) => policy.choose(&eligible, random),
        };
        let index = chosen.or_else(|| eligible.failed_longest_ago())?;
        let endpoint = self.endpoints.get(index)?;
        Some(Lease::take(endpoint, index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::testing::{pool, pool_counted_in};
    use crate::observe::Metrics;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_lease_counts_until_it_is_dropped() {
        for policy in Policy::ALL {
            let pool = pool(policy, &[1]);
            let state = &pool.endpoints()[0].state;
            let first = pool.pick(0, 0, &[]).unwrap();
            let second = pool.pick(0, 0, &[]).unwrap();
            assert_eq!(state.in_flight(), 2);
            drop(first);
            drop(second);
            assert_eq!(state.in_flight(), 0);
            assert_eq!(state.requests(), 2);
        }
    }

    #[test]
    fn no_policy_picks_what_is_tried_unhealthy_set_aside_or_without_weight() {
        for policy in Policy::ALL {
            let pool = pool(policy, &[1, 1, 1, 0, 1]);
            pool.endpoints()[1]
                .state
                .set_health(false, "status 503", UNIX_EPOCH);
            pool.endpoints()[2].state.connect_failed(0);
            for random in 0..50_u64 {
                let random = random.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                assert_eq!(
                    pool.pick(10, random, &[0]).unwrap().index(),
                    4,
                    "{policy:?}"
                );
            }
        }
    }

    #[test]
    fn if_all_are_set_aside_the_one_that_failed_longest_ago_is_tried() {
        for policy in Policy::ALL {
            let pool = pool(policy, &[1, 1, 1]);
            for (index, at) in [(0, 30), (1, 10), (2, 20)] {
                pool.endpoints()[index].state.connect_failed(at);
            }
            let mut tried = Vec::new();
            while let Some(lease) = pool.pick(40, 7, &tried) {
                tried.push(lease.index());
            }
            assert_eq!(tried, [1, 2, 0], "{policy:?}");
        }
    }

    #[test]
    fn an_unhealthy_endpoint_is_not_even_a_last_resort() {
        for policy in Policy::ALL {
            let pool = pool(policy, &[1, 0]);
            assert!(pool.is_usable());
            pool.endpoints()[0]
                .state
                .set_health(false, "refused", UNIX_EPOCH);
            assert!(pool.pick(0, 0, &[]).is_none(), "{policy:?}");
            assert!(!pool.is_usable());
        }
    }

    #[test]
    fn scrapes_show_what_is_in_flight_and_what_is_up() {
        let metrics = Metrics::new(1);
        let upstream = metrics.upstream("users");
        let pool = pool_counted_in(&upstream, Policy::RoundRobin, &[1, 1]);
        let held = pool.pick(0, 0, &[]).unwrap();
        pool.pick(0, 0, &[]).unwrap().connect_failed(0);
        let page = metrics.encode();
        for (name, endpoint, value) in [
            ("upstream_requests_in_flight", "127.0.0.1:9000", 1),
            ("upstream_requests_in_flight", "127.0.0.1:9001", 0),
            ("endpoint_up", "127.0.0.1:9000", 1),
            ("endpoint_up", "127.0.0.1:9001", 0),
        ] {
            let labels = format!(r#"{{upstream="users",endpoint="{endpoint}"}}"#);
            let sample = format!("portcullis_{name}{labels} {value}\n");
            assert!(page.contains(&sample), "{sample} in {page}");
        }
        drop(held);
    }

    #[test]
    fn an_empty_pool_has_nothing_to_pick() {
        for policy in Policy::ALL {
            assert!(pool(policy, &[]).pick(0, 0, &[]).is_none());
        }
    }

    #[test]
    fn words_name_policies() {
        for policy in Policy::ALL {
            assert_eq!(Policy::of(policy.as_str()), Some(policy));
        }
        assert_eq!(Policy::of("roundrobin"), None);
    }
}
