//! What a reload costs: reading a configuration, and making a snapshot of it.

use std::cell::LazyCell;
use std::hint::black_box;
use std::time::SystemTime;

use criterion::{BenchmarkId, Criterion};
use portcullis::compile::{Stores, compile};

use crate::{size, world};

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("config");
    group.sample_size(10);
    for routes in [20, size(10_000)] {
        let text = world::text(routes);
        group.bench_function(BenchmarkId::new("read", routes), |bencher| {
            bencher.iter_with_large_drop(|| world::loaded(black_box(&text)));
        });
        // As in a process that runs: the series and the endpoints of the routes are known. It takes a while, so it is made
        // only if it is asked for.
        let world = LazyCell::new(|| {
            let stores = Stores::to_check();
            let known = world::snapshot(&text, &stores);
            (world::loaded(&text), stores, known)
        });
        group.bench_function(BenchmarkId::new("compile", routes), |bencher| {
            let (loaded, stores, _known) = &*world;
            bencher
                .iter_with_large_drop(|| compile(black_box(loaded), stores, 2, SystemTime::now()));
        });
    }
    group.finish();
}
