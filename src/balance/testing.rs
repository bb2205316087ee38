//! Pools for the tests of this module.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::{ConnectionId, Endpoint, EndpointStates, Policy, Pool};
use crate::observe::{Metrics, UpstreamMetrics};

/// A pool with these weights; its endpoints are 127.0.0.1:9000 and up.
pub(super) fn pool(policy: Policy, weights: &[u32]) -> Pool {
    pool_counted_in(&Metrics::new(1).upstream("test"), policy, weights)
}

/// The same, counted there.
pub(super) fn pool_counted_in(metrics: &UpstreamMetrics, policy: Policy, weights: &[u32]) -> Pool {
    let states = EndpointStates::default();
    let endpoints = weights
        .iter()
        .zip(9_000..)
        .map(|(weight, port)| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let name = address.to_string();
            Endpoint {
                address,
                weight: *weight,
                connection: ConnectionId(0),
                state: states.endpoint("test", address),
                metrics: metrics.endpoint(&name),
                name: name.into(),
            }
        })
        .collect();
    Pool::new(policy, endpoints, Arc::default())
}

/// Where one pick lands that is over at once.
pub(super) fn pick_index(pool: &Pool, random: u64) -> usize {
    pool.pick(0, random, &[]).unwrap().index()
}

/// How many of that many picks, each over at once, land on each endpoint.
pub(super) fn shares(pool: &Pool, picks: usize) -> Vec<usize> {
    let mut random = fastrand::Rng::with_seed(42);
    let mut shares = vec![0; pool.endpoints().len()];
    for _ in 0..picks {
        shares[pick_index(pool, random.u64(..))] += 1;
    }
    shares
}
