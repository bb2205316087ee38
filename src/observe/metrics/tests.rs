//! What a scrape shows of what was counted.

use super::*;
use crate::observe::record::{Source, Timings};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, UNIX_EPOCH};

fn record(status: u16, reason: &'static str) -> AccessRecord<'static> {
    AccessRecord {
        method_label: "GET",
        status,
        reason,
        source: if reason.is_empty() {
            Source::Upstream
        } else {
            Source::Gateway
        },
        bytes_received: 10,
        bytes_sent: 100,
        timings: Timings {
            total: Duration::from_millis(3),
            upstream_first_byte: Some(Duration::from_millis(2)),
            overhead: Duration::from_micros(40),
            ..Timings::default()
        },
        ..AccessRecord::new(UNIX_EPOCH, "127.0.0.1:1".parse().unwrap())
    }
}

/// The samples of a page whose name begins so, without the prefix of the gateway.
fn samples<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    page.lines()
        .filter_map(|line| line.strip_prefix("portcullis_"))
        .filter(|line| line.starts_with(name))
        .collect()
}

#[test]
fn one_record_is_counted_wherever_it_belongs() {
    let metrics = Metrics::new(2);
    let (web, users, pool) = (
        metrics.listener("web"),
        metrics.route("users"),
        metrics.upstream("users"),
    );
    let touched = Touched {
        listener: &web,
        route: Some(&users),
        upstream: Some(&pool),
    };
    metrics.record(0, &record(200, ""), touched);
    metrics.record(1, &record(200, ""), touched);
    metrics.record(1, &record(504, "upstream_timeout"), touched);
    let unrouted = Touched {
        route: None,
        upstream: None,
        ..touched
    };
    metrics.record(1, &record(400, "bad_host"), unrouted);
    let page = metrics.encode();
    assert_eq!(
        samples(&page, "requests_total"),
        [
            r#"requests_total{listener="web",route="",upstream="",method="GET",code="400",source="gateway",reason="bad_host"} 1"#,
            r#"requests_total{listener="web",route="users",upstream="users",method="GET",code="200",source="upstream",reason=""} 2"#,
            r#"requests_total{listener="web",route="users",upstream="users",method="GET",code="504",source="gateway",reason="upstream_timeout"} 1"#,
        ]
    );
    assert_eq!(
        samples(&page, "request_duration_seconds_count"),
        [
            r#"request_duration_seconds_count{listener="web",route=""} 1"#,
            r#"request_duration_seconds_count{listener="web",route="users"} 3"#,
        ]
    );
    assert_eq!(
        samples(
            &page,
            "gateway_overhead_seconds_bucket{listener=\"web\",le=\"0.00005\"}"
        ),
        [r#"gateway_overhead_seconds_bucket{listener="web",le="0.00005"} 4"#]
    );
    assert_eq!(
        samples(&page, "upstream_first_byte_seconds_count"),
        [r#"upstream_first_byte_seconds_count{upstream="users"} 3"#]
    );
    assert_eq!(
        samples(&page, "received_bytes_total"),
        [r#"received_bytes_total{listener="web"} 40"#]
    );
    assert_eq!(
        samples(&page, "sent_bytes_total"),
        [r#"sent_bytes_total{listener="web"} 400"#]
    );
}

#[test]
fn connections_and_handshakes_are_counted_by_listener() {
    let metrics = Metrics::new(1);
    let listener = metrics.listener("secure");
    drop(listener.connection_opened(0));
    let _open = listener.connection_opened(NO_WORKER);
    listener.connection_refused(0, "too_many_connections");
    listener.connection_ended(0, "max_connection_age");
    listener.tls_handshake(0, "TLSv1.3", Resumed::No);
    listener.tls_handshake(0, "TLSv1.3", Resumed::Yes);
    listener.tls_handshake_failed(0, "no_certificate");
    let page = metrics.encode();
    assert_eq!(
        samples(&page, "connections_"),
        [
            r#"connections_total{listener="secure"} 2"#,
            r#"connections_open{listener="secure"} 1"#,
            r#"connections_refused_total{listener="secure",reason="too_many_connections"} 1"#,
            r#"connections_ended_total{listener="secure",reason="max_connection_age"} 1"#,
        ]
    );
    assert_eq!(
        samples(&page, "tls_"),
        [
            r#"tls_handshake_failures_total{listener="secure",reason="no_certificate"} 1"#,
            r#"tls_handshakes_total{listener="secure",version="TLSv1.3",resumed="false"} 1"#,
            r#"tls_handshakes_total{listener="secure",version="TLSv1.3",resumed="true"} 1"#,
        ]
    );
}

#[derive(Debug)]
struct Figures(u64, AtomicBool);

impl EndpointFigures for Figures {
    fn in_flight(&self) -> u64 {
        self.0
    }

    fn is_up(&self) -> bool {
        self.1.load(Ordering::Relaxed)
    }
}

#[test]
fn an_endpoint_of_several_addresses_is_up_while_one_of_them_is() {
    let metrics = Metrics::new(1);
    let upstream = metrics.upstream("users");
    let endpoint = upstream.endpoint("users.internal:80");
    let addresses = [(3, false), (4, true)]
        .map(|(in_flight, up)| Arc::new(Figures(in_flight, AtomicBool::new(up))));
    for address in addresses.iter().chain(&addresses) {
        let figures: std::sync::Weak<Figures> = Arc::downgrade(address);
        endpoint.watch(figures);
    }
    endpoint.connection_opened(0);
    endpoint.connection_reused(0);
    endpoint.connect_failed(0, "refused");
    endpoint.transferred(0, 7, 5);
    upstream.retried(0, "connect_failed");
    let labels = r#"{upstream="users",endpoint="users.internal:80"}"#;
    let page = metrics.encode();
    for (name, value) in [
        ("upstream_requests_in_flight", 7),
        ("endpoint_up", 1),
        ("upstream_connections_total", 1),
        ("upstream_connections_reused_total", 1),
        ("upstream_received_bytes_total", 7),
        ("upstream_sent_bytes_total", 5),
    ] {
        assert_eq!(samples(&page, name), [format!("{name}{labels} {value}")]);
    }
    assert_eq!(
        samples(&page, "upstream_connect_failures_total"),
        [
            r#"upstream_connect_failures_total{upstream="users",endpoint="users.internal:80",reason="refused"} 1"#
        ]
    );
    assert_eq!(
        samples(&page, "retries_total"),
        [r#"retries_total{upstream="users",reason="connect_failed"} 1"#]
    );
    addresses[1].1.store(false, Ordering::Relaxed);
    assert_eq!(
        samples(&metrics.encode(), "endpoint_up"),
        [format!("endpoint_up{labels} 0")]
    );
}

#[test]
fn what_is_open_is_counted_until_it_ends_whatever_ends_it() {
    let metrics = Metrics::new(1);
    let listener = metrics.listener("web");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _connection = listener.connection_opened(0);
        let _tunnel = metrics.gateway().tunnel_opened(0);
        let page = metrics.encode();
        assert_eq!(samples(&page, "tunnels_open"), ["tunnels_open 1"]);
        panic!("while both are open");
    }));
    assert!(panicked.is_err());
    let page = metrics.encode();
    assert_eq!(samples(&page, "tunnels_open"), ["tunnels_open 0"]);
    assert_eq!(
        samples(&page, "connections_open"),
        [r#"connections_open{listener="web"} 0"#]
    );
}

#[test]
fn the_gateway_tells_of_itself() {
    let metrics = Metrics::new(1);
    let gateway = metrics.gateway();
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    gateway.config_loaded(1, "aaaa", at(100));
    gateway.config_loaded(2, "bbbb", at(200));
    gateway.config_refused();
    let _tunnel = gateway.tunnel_opened(0);
    gateway.panicked(0);
    gateway.set_draining(true);
    gateway.access_log().dropped(5);
    gateway.set_certificates(vec![Certificate {
        listener: "secure".into(),
        certificate: "tls/site.pem".into(),
        not_after: at(300),
    }]);
    let page = metrics.encode();
    assert_eq!(
        samples(&page, "config_"),
        [
            r#"config_reloads_total{result="success"} 1"#,
            r#"config_reloads_total{result="failure"} 1"#,
            "config_last_reload_success 0",
            "config_last_reload_success_timestamp_seconds 200",
            "config_generation 2",
            r#"config_info{hash="bbbb"} 1"#,
        ]
    );
    for sample in [
        "portcullis_tunnels_open 1\n",
        "portcullis_panics_total 1\n",
        "portcullis_draining 1\n",
        "portcullis_access_log_dropped_total 5\n",
        "portcullis_certificate_not_after_timestamp_seconds{listener=\"secure\",certificate=\"tls/site.pem\"} 300\n",
        "\nprocess_resident_memory_bytes ",
        "\nprocess_open_fds ",
    ] {
        assert!(page.contains(sample), "{sample}");
    }
}

#[test]
fn the_page_has_help_and_type_for_every_family_once() {
    let metrics = Metrics::new(1);
    let web = metrics.listener("web");
    let touched = Touched {
        listener: &web,
        route: None,
        upstream: None,
    };
    metrics.record(0, &record(404, "no_route"), touched);
    let page = metrics.encode();
    let mut named = Vec::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            named.push(rest.split_once(' ').unwrap().0);
        } else if !line.starts_with("# HELP ") {
            let family = named.last().unwrap();
            assert!(line.starts_with(family), "{line} is not of {family}");
        }
    }
    assert_eq!(page.matches("# HELP ").count(), named.len());
    let families = named.len();
    named.sort_unstable();
    named.dedup();
    assert_eq!(named.len(), families);
}

#[test]
fn a_series_survives_as_long_as_its_name_is_used() {
    let metrics = Metrics::new(1);
    let (old, web) = (metrics.listener("old"), metrics.listener("web"));
    let route = metrics.route("users");
    let (green, blue) = (metrics.upstream("green"), metrics.upstream("blue"));
    for (listener, upstream) in [(&old, &green), (&web, &green), (&web, &blue)] {
        let touched = Touched {
            listener,
            route: Some(&route),
            upstream: Some(upstream),
        };
        metrics.record(0, &record(200, ""), touched);
    }
    assert!(Arc::ptr_eq(&route, &metrics.route("users")));
    drop((old, green));
    assert!(
        metrics.encode().contains("green"),
        "its last counts are seen once"
    );
    let page = metrics.encode();
    let web_blue = r#"requests_total{listener="web",route="users",upstream="blue",method="GET",code="200",source="upstream",reason=""} 1"#;
    assert_eq!(samples(&page, "requests_total"), [web_blue]);
    assert_eq!(
        samples(&page, "request_duration_seconds_count"),
        [r#"request_duration_seconds_count{listener="web",route="users"} 2"#]
    );
    assert_eq!(samples(&page, "connections_open").len(), 1);
    assert!(!page.contains("green"));

    // The number of `green` is free again; its counts must not come back under another name.
    let red = metrics.upstream("red");
    let touched = Touched {
        listener: &web,
        route: Some(&route),
        upstream: Some(&red),
    };
    metrics.record(0, &record(200, ""), touched);
    let page = metrics.encode();
    let requests = samples(&page, "requests_total");
    assert_eq!(requests.len(), 2);
    assert!(requests.contains(&web_blue));
    assert!(requests.contains(&&*web_blue.replace("blue", "red")));
}

#[test]
fn upstreams_that_come_and_go_do_not_fill_a_route() {
    let metrics = Metrics::new(1);
    let (web, route) = (metrics.listener("web"), metrics.route("users"));
    for deployment in 0..5_000 {
        let upstream = metrics.upstream(&format!("users-{deployment}"));
        let touched = Touched {
            listener: &web,
            route: Some(&route),
            upstream: Some(&upstream),
        };
        metrics.record(0, &record(200, ""), touched);
        drop(upstream);
        metrics.retain_used();
    }
    assert!(samples(&metrics.encode(), "series_overflow_total").is_empty());
}

#[test]
fn requests_beyond_what_a_route_can_tell_apart_are_counted_together() {
    let metrics = Metrics::new(1);
    let (web, route) = (metrics.listener("web"), metrics.route("users"));
    let touched = Touched {
        listener: &web,
        route: Some(&route),
        upstream: None,
    };
    let methods = ["GET", "PUT", "POST", "PATCH"];
    for method in methods {
        for status in 100..1_000 {
            let record = AccessRecord {
                method_label: method,
                ..record(status, "")
            };
            metrics.record(0, &record, touched);
        }
    }
    let page = metrics.encode();
    let told_apart = samples(&page, "requests_total").len();
    assert_eq!(
        samples(&page, "series_overflow_total"),
        [format!(
            r#"series_overflow_total{{route="users"}} {}"#,
            methods.len() * 900 - told_apart
        )]
    );
}

#[test]
fn scrapes_see_what_workers_have_written_and_nothing_twice() {
    const REQUESTS: u64 = 20_000;
    let metrics = Metrics::new(3);
    let (web, route) = (metrics.listener("web"), metrics.route("users"));
    let count = || {
        let page = metrics.encode();
        samples(&page, "requests_total")
            .iter()
            .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
            .sum::<u64>()
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|worker| {
                let (metrics, web, route) = (&metrics, &web, &route);
                scope.spawn(move || {
                    let touched = Touched {
                        listener: web,
                        route: Some(route),
                        upstream: None,
                    };
                    for request in 0..REQUESTS {
                        let status = 200 + u16::try_from(request % 30).unwrap();
                        metrics.record(worker, &record(status, ""), touched);
                    }
                })
            })
            .collect();
        let mut last = 0;
        while !workers.iter().all(|worker| worker.is_finished()) {
            let now = count();
            assert!((last..=3 * REQUESTS).contains(&now), "{last} {now}");
            last = now;
        }
    });
    assert_eq!(count(), 3 * REQUESTS);
}
