//! What one pick costs, its lease included: at most 100 ns with 10 endpoints and 1 µs with 10,000.

use std::cell::LazyCell;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use criterion::{BenchmarkId, Criterion};
use portcullis::balance::{
    ConnectionId, Endpoint, EndpointId, EndpointStates, Member, Metadata, Percent, PickContext,
    Policy, Pool, Settings, StickyKey, SubsetFallback, SubsetSettings, ZoneSettings, key_hash,
};
use portcullis::observe::Metrics;

use crate::size;

pub(crate) fn all(criterion: &mut Criterion) {
    policies(criterion);
    unhealthy(criterion);
    features(criterion);
    sticky(criterion);
    build(criterion);
}

/// Each policy alone, with equal and with uneven weights.
fn policies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick");
    for policy in Policy::ALL {
        for (count, weights) in [
            (10, "equal"),
            (10, "uneven"),
            (many(), "equal"),
            (many(), "uneven"),
        ] {
            let pool = LazyCell::new(|| pool(&policy.into(), count, weights == "uneven"));
            let id = BenchmarkId::new(policy.as_str(), format!("{count} {weights}"));
            group.bench_function(id, |bencher| {
                let mut context = requests();
                bencher.iter(|| pool.pick_for(&context()));
            });
        }
    }
    group.finish();
}

/// A pool in which a third of the endpoints is down.
fn unhealthy(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick with a third down");
    for policy in Policy::ALL {
        for count in [10, many()] {
            let pool = LazyCell::new(|| {
                let pool = pool(&policy.into(), count, false);
                for endpoint in pool.endpoints().iter().step_by(3) {
                    let state = &endpoint.state;
                    state.set_health(false, "down", SystemTime::UNIX_EPOCH);
                }
                pool
            });
            let id = BenchmarkId::new(policy.as_str(), count);
            group.bench_function(id, |bencher| {
                let mut context = requests();
                bencher.iter(|| pool.pick_for(&context()));
            });
        }
    }
    group.finish();
}

/// Everything that a pool can have at once: zones, a panic threshold, slow start, a subset, sticky sessions. A request that
/// brings a session is served by the session's endpoint, whatever the policy.
fn features(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pick with everything");
    let key = Arc::new(StickyKey::new(SECRET, "users"));
    for policy in Policy::ALL {
        for count in [10, many()] {
            let settings = Settings {
                panic_threshold: Percent::new(50).unwrap_or_default(),
                slow_start: Duration::from_secs(30),
                zone: Some(ZoneSettings {
                    own: "a".into(),
                    spill_below: Percent::new(70).unwrap_or_default(),
                }),
                subsets: Some(SubsetSettings {
                    label: "version".into(),
                    fallback: SubsetFallback::Any,
                }),
                sticky: Some(Arc::clone(&key)),
                ..policy.into()
            };
            let pool = LazyCell::new(|| pool(&settings, count, true));
            for session in ["", " in a session"] {
                let id = BenchmarkId::new(policy.as_str(), format!("{count}{session}"));
                group.bench_function(id, |bencher| {
                    let sticky = (!session.is_empty()).then(|| key.id(&EndpointId::at(address(7))));
                    let mut context = requests();
                    bencher.iter(|| {
                        pool.pick_for(&PickContext {
                            subset: Some("v1"),
                            sticky,
                            ..context()
                        })
                    });
                });
            }
        }
    }
    group.finish();
}

/// What a sticky session adds.
fn sticky(criterion: &mut Criterion) {
    let key = Arc::new(StickyKey::new(SECRET, "users"));
    let settings = Settings {
        sticky: Some(Arc::clone(&key)),
        ..Settings::default()
    };
    let pool = LazyCell::new(|| pool(&settings, many(), false));
    let id = key.id(&EndpointId::at(address(4_711)));
    let mut cookie = Vec::new();
    key.write(id, None, &mut cookie);
    let mut group = criterion.benchmark_group("sticky");
    group.bench_function("read a cookie", |bencher| {
        bencher.iter(|| key.read(black_box(&cookie), 0));
    });
    group.bench_function("write a cookie", |bencher| {
        let mut out = Vec::with_capacity(64);
        bencher.iter(|| {
            out.clear();
            key.write(black_box(id), None, &mut out);
        });
    });
    group.bench_function("pick of many", |bencher| {
        let context = PickContext {
            sticky: Some(id),
            ..PickContext::new(0, 0, &[])
        };
        bencher.iter(|| pool.pick_for(black_box(&context)));
    });
    group.bench_function("hash a key of 20 bytes", |bencher| {
        bencher.iter(|| key_hash(black_box(b"user-0123456789abcde")));
    });
    group.finish();
}

/// What a reload or a change of membership costs.
fn build(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("build");
    group.sample_size(10);
    for policy in [Policy::RoundRobin, Policy::PeakEwma, Policy::Hash] {
        let id = BenchmarkId::new(policy.as_str(), many());
        group.bench_function(id, |bencher| {
            bencher.iter_with_large_drop(|| pool(&policy.into(), many(), false));
        });
    }
    group.finish();
}

/// The size of a large pool.
fn many() -> u32 {
    u32::try_from(size(10_000)).unwrap_or(u32::MAX)
}

/// One request after the other, each with its own random number and key, on a clock that stands still.
fn requests() -> impl FnMut() -> PickContext<'static> {
    let mut random = fastrand::Rng::with_seed(42);
    move || PickContext {
        key: Some(random.u64(..)),
        ..PickContext::new(1, random.u64(..), &[])
    }
}

/// A pool whose endpoints have all answered already. It takes a while, so only those make it who are asked for.
fn pool(settings: &Settings, count: u32, uneven: bool) -> Pool {
    let states = EndpointStates::default();
    let metrics = Metrics::new(1).upstream("bench");
    let members = (0..count).map(|number| {
        let address = address(number);
        Member {
            endpoint: Endpoint {
                host: "127.0.0.1".into(),
                name: address.to_string().into(),
                address,
                weight: if uneven { number % 7 + 1 } else { 1 },
                connection: ConnectionId(0),
                state: states.endpoint("bench", EndpointId::at(address)),
                metrics: metrics.endpoint(&address.to_string()),
            },
            metadata: Metadata {
                tier: 0,
                zone: Some(if number % 2 == 0 { "a" } else { "b" }.into()),
                labels: vec![(
                    "version".into(),
                    if number % 5 == 0 { "v2" } else { "v1" }.into(),
                )],
            },
        }
    });
    let pool = Pool::build(settings, members.collect(), &Arc::default());
    for random in 0..u64::from(count) * 4 {
        let spread = random.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        if let Some(lease) = pool.pick(0, spread, &[]) {
            lease.answered(Duration::from_micros(500 + random % 100), 0);
        }
    }
    pool
}

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn address(number: u32) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(0x0A00_0000 + number), 8_080))
}
