//! Pools and traffic for the tests of this module.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::{
    ConnectionId, Cursor, Endpoint, EndpointId, EndpointStates, Member, Metadata, PickContext,
    Pool, Settings, UpstreamLoad,
};
use crate::observe::{Metrics, UpstreamMetrics};

/// A pool with these weights; its endpoints are 127.0.0.1:9000 and up.
pub(super) fn pool(settings: impl Into<Settings>, weights: &[u32]) -> Pool {
    Upstream::default().pool(settings, weights)
}

/// What several pools of one upstream share.
pub(super) struct Upstream {
    states: EndpointStates,
    metrics: Arc<UpstreamMetrics>,
    cursor: Arc<Cursor>,
}

impl Upstream {
    /// An upstream that is counted there.
    pub(super) fn counted_in(metrics: Arc<UpstreamMetrics>) -> Self {
        Self {
            states: EndpointStates::default(),
            metrics,
            cursor: Arc::default(),
        }
    }

    /// What the upstream has in flight.
    pub(super) fn load(&self) -> Arc<UpstreamLoad> {
        self.states.load("test")
    }

    /// A pool with these weights.
    pub(super) fn pool(&self, settings: impl Into<Settings>, weights: &[u32]) -> Pool {
        let plain = weights.iter().map(|weight| (*weight, Metadata::default()));
        self.build(settings, plain)
    }

    /// A pool with these weights and metadata.
    pub(super) fn build(
        &self,
        settings: impl Into<Settings>,
        members: impl IntoIterator<Item = (u32, Metadata)>,
    ) -> Pool {
        let members = members
            .into_iter()
            .zip(9_000..)
            .map(|((weight, metadata), port)| {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
                let name = address.to_string();
                let endpoint = Endpoint {
                    address,
                    weight,
                    connection: ConnectionId(0),
                    state: self.states.endpoint("test", EndpointId::at(address)),
                    metrics: self.metrics.endpoint(&name),
                    name: name.into(),
                    host: "127.0.0.1".into(),
                };
                Member { endpoint, metadata }
            });
        Pool::build(&settings.into(), members.collect(), &self.cursor)
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self::counted_in(Metrics::new(1).upstream("test"))
    }
}

/// An endpoint of weight 1 in that tier.
pub(super) fn in_tier(tier: u8) -> (u32, Metadata) {
    let metadata = Metadata {
        tier,
        ..Metadata::default()
    };
    (1, metadata)
}

/// An endpoint of weight 1 in that zone.
pub(super) fn in_zone(zone: &str) -> (u32, Metadata) {
    let metadata = Metadata {
        zone: Some(zone.into()),
        ..Metadata::default()
    };
    (1, metadata)
}

/// An endpoint of weight 1 with one label.
pub(super) fn labelled(label: &str, value: &str) -> (u32, Metadata) {
    let metadata = Metadata {
        labels: vec![(label.into(), value.into())],
        ..Metadata::default()
    };
    (1, metadata)
}

/// Where one pick lands that is over at once.
pub(super) fn pick_index(pool: &Pool, random: u64) -> usize {
    pool.pick(0, random, &[]).unwrap().index()
}

/// How many of that many picks, each over at once, land on each endpoint.
pub(super) fn shares(pool: &Pool, picks: usize) -> Vec<usize> {
    shares_by(pool, picks, |_| 0)
}

/// The same, at these times. Each pick has a key of its own.
pub(super) fn shares_by(pool: &Pool, picks: usize, now_ms: impl Fn(usize) -> u64) -> Vec<usize> {
    let mut random = fastrand::Rng::with_seed(42);
    let mut shares = vec![0; pool.endpoints().len()];
    for pick in 0..picks {
        let context = PickContext {
            key: Some(random.u64(..)),
            ..PickContext::new(now_ms(pick), random.u64(..), &[])
        };
        shares[pool.pick_for(&context).unwrap().index()] += 1;
    }
    shares
}

/// Open-loop traffic on a clock of its own.
pub(super) struct Simulation {
    now_us: u64,
    random: fastrand::Rng,
}

/// What came of it.
pub(super) struct Outcome {
    /// How many requests each endpoint got.
    pub(super) shares: Vec<usize>,
    /// The latency that one in a hundred requests exceeded.
    pub(super) p99_ms: u64,
}

impl Simulation {
    /// A request each so many microseconds; each endpoint takes its milliseconds, give or take a fifth, for any of them.
    pub(super) fn run(
        &mut self,
        pool: &Pool,
        service_ms: &[u64],
        every_us: u64,
        requests: usize,
    ) -> Outcome {
        let mut shares = vec![0; service_ms.len()];
        let mut latencies = Vec::new();
        let mut running = BinaryHeap::new();
        let mut leases = Vec::new();
        for request in 0..requests {
            self.now_us += every_us;
            while let Some(Reverse((end, started, number))) = running.pop() {
                if end > self.now_us {
                    running.push(Reverse((end, started, number)));
                    break;
                }
                let lease: Option<super::Lease> = std::mem::take(&mut leases[number]);
                let latency = Duration::from_micros(end - started);
                lease.unwrap().answered(latency, end / 1_000);
            }
            let random = self.random.u64(..);
            let lease = pool.pick(self.now_us / 1_000, random, &[]).unwrap();
            let service_us = service_ms[lease.index()] * 1_000;
            let service_us = service_us * self.random.u64(80..=120) / 100;
            shares[lease.index()] += 1;
            latencies.push(service_us / 1_000);
            running.push(Reverse((self.now_us + service_us, self.now_us, request)));
            leases.push(Some(lease));
        }
        latencies.sort_unstable();
        Outcome {
            shares,
            p99_ms: latencies[latencies.len() * 99 / 100],
        }
    }
}

impl Default for Simulation {
    fn default() -> Self {
        Self {
            now_us: 0,
            random: fastrand::Rng::with_seed(42),
        }
    }
}
