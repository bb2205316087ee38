//! Finding the route among 10 to 100,000: the cost must hardly grow with their number.

use std::cell::LazyCell;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use criterion::{BenchmarkId, Criterion};
use portcullis::compile::Stores;
use portcullis::routing::Request;

use crate::{size, world};

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route match");
    for routes in [10, 1_000, 100_000] {
        // A large one takes a while, so only those make it who are asked for.
        let snapshot =
            LazyCell::new(|| world::snapshot(&world::text(size(routes)), &Stores::to_check()));
        let last = size(routes) / 10 * 10 - 10;
        for (kind, host, path) in [
            (
                "by host",
                format!("h{last}.example.test"),
                "/v1/anything".to_owned(),
            ),
            (
                "with captures",
                "other.test".to_owned(),
                format!("/v{}/users/7/orders/11", last + 1),
            ),
            (
                "with a method",
                "other.test".to_owned(),
                format!("/v{}/items/3", last + 2),
            ),
            (
                "by prefix",
                "other.test".to_owned(),
                format!("/v{}/services/a/b/c", last + 3),
            ),
        ] {
            let request = Asked { host, path };
            group.bench_function(BenchmarkId::new(kind, routes), |bencher| {
                assert!(snapshot.router.find(&request).is_some());
                bencher.iter(|| snapshot.router.find(black_box(&request)));
            });
        }
        let nowhere = Asked {
            host: "other.test".to_owned(),
            path: "/nowhere/at/all".to_owned(),
        };
        group.bench_function(BenchmarkId::new("none", routes), |bencher| {
            assert!(snapshot.router.find(&nowhere).is_none());
            bencher.iter(|| snapshot.router.find(black_box(&nowhere)));
        });
    }
    group.finish();
}

struct Asked {
    host: String,
    path: String,
}

impl Request for Asked {
    fn host(&self) -> &str {
        &self.host
    }

    fn path(&self) -> &str {
        &self.path
    }

    fn method(&self) -> &str {
        "GET"
    }

    fn query(&self) -> Option<&str> {
        None
    }

    fn client(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::LOCALHOST)
    }

    fn any_header(&self, _name: &str, _wanted: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
}
