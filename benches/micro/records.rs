//! What the end of an exchange costs: its line in the access log, its counts in the metrics.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use criterion::Criterion;
use portcullis::observe::access_log::{Clock, Format};
use portcullis::observe::{AccessRecord, Metrics, Source, Touched};

pub(crate) fn all(criterion: &mut Criterion) {
    let record = record();
    let mut group = criterion.benchmark_group("record");
    for (name, format) in [("json", Format::Json), ("combined", Format::combined())] {
        let (mut clock, mut line) = (Clock::default(), Vec::with_capacity(1024));
        group.bench_function(format!("access log: {name}"), |bencher| {
            bencher.iter(|| {
                line.clear();
                format.write(black_box(&record), &mut clock, &mut line);
            });
        });
    }
    let metrics = Metrics::new(1);
    let (listener, route, upstream) = (
        metrics.listener("web"),
        metrics.route("users"),
        metrics.upstream("users"),
    );
    let touched = Touched {
        listener: &listener,
        route: Some(&route),
        upstream: Some(&upstream),
    };
    group.bench_function("metrics", |bencher| {
        bencher.iter(|| metrics.record(0, black_box(&record), touched));
    });
    group.finish();
}

fn record() -> AccessRecord<'static> {
    let client = SocketAddr::from(([192, 0, 2, 7], 4711));
    let start = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let mut record = AccessRecord::new(start, client);
    record.listener = "web";
    record.protocol = "HTTP/1.1";
    record.method = b"GET";
    record.method_label = "GET";
    record.host = b"api.example.test";
    record.path = b"/v1/users/7";
    record.query = Some(b"page=2&sort=name");
    record.status = 200;
    record.source = Source::Upstream;
    record.route = "users";
    record.upstream = "users";
    record.endpoint = "10.0.0.7:8080";
    record.attempts = 1;
    record.timings.total = Duration::from_micros(1_234);
    record.timings.head = Duration::from_micros(12);
    record.timings.upstream_first_byte = Some(Duration::from_micros(1_100));
    record.timings.upstream = Duration::from_micros(1_150);
    record.timings.overhead = Duration::from_micros(72);
    record.bytes_sent = 130;
    record.request_id = b"0123456789abcdef0123456789abcdef";
    record.user_agent = b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
    record
}
