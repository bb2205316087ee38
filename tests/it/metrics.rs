//! What /metrics says.

use crate::harness::{Gateway, H2Client, Origin, Request, Value, refusing_address};

const CONFIG: &str = r#"
    [[route]]
    name = "app"
    path = "/app/*"
    upstream = "app"
    [[route]]
    name = "broken"
    path = "/broken"
    upstream = "broken"
    [[route]]
    name = "fixed"
    path = "/fixed"
    respond = { status = 403, body = "no" }
    [upstream.app]
    endpoints = ["<app>"]
    [upstream.broken]
    endpoints = ["<broken>"]
"#;

#[tokio::test]
async fn every_family_has_a_type_and_a_help_text() {
    let origin = Origin::answering("ok").await;
    let (refusing, _guard) = refusing_address();
    let values: &[(&str, &dyn Value)] = &[("app", &origin), ("broken", &refusing)];
    let gateway = Gateway::start(CONFIG, values).await;
    gateway.get("/app/").await;
    gateway.records(1).await;
    let metrics = gateway.metrics().await;
    let mut names = Vec::new();
    for (name, kind, help) in metrics.families() {
        assert!(
            matches!(kind, "counter" | "gauge" | "histogram"),
            "{name}: {kind}"
        );
        assert!(
            help.is_some_and(|help| !help.is_empty()),
            "{name} has no help"
        );
        if kind == "counter" {
            assert!(name.ends_with("_total"), "{name}");
        }
        names.push(name);
    }
    for sample in metrics.sample_families() {
        assert!(names.contains(&sample), "{sample} has no type");
    }
}

#[tokio::test]
async fn requests_are_counted_by_what_became_of_them() {
    let origin = Origin::answering("ok").await;
    let (refusing, _guard) = refusing_address();
    let values: &[(&str, &dyn Value)] = &[("app", &origin), ("broken", &refusing)];
    let gateway = Gateway::start(CONFIG, values).await;
    let mut client = gateway.connect().await;
    for request in [
        Request::get("/app/1"),
        Request::get("/app/2"),
        Request::post("/app/3", "12345"),
        Request::get("/fixed"),
        Request::get("/broken"),
        Request::get("/none"),
        Request::get("/a%2fb"),
    ] {
        let _ = client.ask(request).await;
    }
    // The client has its answer before the exchange is counted; the record comes after both.
    gateway.records(7).await;
    let metrics = gateway.metrics().await;
    let name = "portcullis_requests_total";
    for (labels, count) in [
        (
            &[
                ("route", "app"),
                ("upstream", "app"),
                ("method", "GET"),
                ("code", "200"),
                ("source", "upstream"),
                ("reason", ""),
            ][..],
            2.0,
        ),
        (&[("route", "app"), ("method", "POST")], 1.0),
        (
            &[("route", "fixed"), ("code", "403"), ("source", "gateway")],
            1.0,
        ),
        (
            &[
                ("route", "broken"),
                ("upstream", "broken"),
                ("code", "502"),
                ("reason", "connect_failed"),
            ],
            1.0,
        ),
        (
            &[
                ("code", "404"),
                ("reason", "no_route"),
                ("source", "gateway"),
            ],
            1.0,
        ),
        (
            &[
                ("code", "400"),
                ("reason", "ambiguous_path"),
                ("source", "gateway"),
            ],
            1.0,
        ),
        (&[("listener", "web")], 7.0),
        (&[], 7.0),
    ] {
        let sum = metrics.sum(name, labels);
        assert!(
            (sum - count).abs() < 0.1,
            "{labels:?}: {sum}\n{}",
            metrics.text()
        );
    }
    let listener = &[("listener", "web")][..];
    for (name, labels, at_least) in [
        ("portcullis_request_duration_seconds_count", listener, 7.0),
        (
            "portcullis_request_duration_seconds_sum",
            listener,
            0.000_001,
        ),
        ("portcullis_gateway_overhead_seconds_count", listener, 3.0),
        (
            "portcullis_upstream_first_byte_seconds_count",
            &[("upstream", "app")][..],
            3.0,
        ),
        ("portcullis_received_bytes_total", listener, 5.0),
        ("portcullis_sent_bytes_total", listener, 6.0),
        ("portcullis_connections_total", listener, 1.0),
        (
            "portcullis_upstream_connections_total",
            &[("upstream", "app")],
            1.0,
        ),
        (
            "portcullis_upstream_connections_reused_total",
            &[("upstream", "app")],
            2.0,
        ),
        (
            "portcullis_upstream_connect_failures_total",
            &[("upstream", "broken")],
            1.0,
        ),
        (
            "portcullis_upstream_sent_bytes_total",
            &[("upstream", "app")],
            5.0,
        ),
        (
            "portcullis_upstream_received_bytes_total",
            &[("upstream", "app")],
            6.0,
        ),
        ("portcullis_endpoint_up", &[("upstream", "app")], 1.0),
        ("portcullis_config_generation", &[], 1.0),
        ("portcullis_config_info", &[], 1.0),
        ("portcullis_config_last_reload_success", &[], 1.0),
        (
            "portcullis_build_info",
            &[("version", env!("CARGO_PKG_VERSION"))],
            1.0,
        ),
        ("process_resident_memory_bytes", &[], 1.0),
        ("process_open_fds", &[], 1.0),
    ] {
        assert!(
            metrics.sum(name, labels) >= at_least,
            "{name} {labels:?}: {}\n{}",
            metrics.sum(name, labels),
            metrics.text()
        );
    }
    assert!(metrics.sum("portcullis_connections_open", listener) >= 1.0);
    drop(client);
}

/// Case 33: what a client chooses does not become a series.
#[tokio::test]
async fn case_33_a_client_cannot_make_label_values() {
    let origin = Origin::answering("ok").await;
    let (refusing, _guard) = refusing_address();
    let values: &[(&str, &dyn Value)] = &[("app", &origin), ("broken", &refusing)];
    let gateway = Gateway::start(CONFIG, values).await;
    let mut client = gateway.connect().await;
    for number in 0..200 {
        let request = Request::new(&format!("METHOD{number}"), &format!("/app/{number}"))
            .host(&format!("h{number}.test"))
            .header("user-agent", &format!("agent {number}"));
        assert_eq!(client.ask(request).await.status, 200);
    }
    gateway.records(200).await;
    let metrics = gateway.metrics().await;
    assert_eq!(
        metrics.values("portcullis_requests_total", "method"),
        ["OTHER"]
    );
    assert!(!metrics.text().contains("h7.test"));
    assert!(!metrics.text().contains("METHOD7"));
    let record = &gateway.records(200).await[7];
    assert_eq!(record.text("method"), "METHOD7");
}

#[tokio::test]
async fn exchanges_of_both_protocols_are_counted_once() {
    let origin = Origin::answering("ok").await;
    let (refusing, _guard) = refusing_address();
    let values: &[(&str, &dyn Value)] = &[("app", &origin), ("broken", &refusing)];
    let gateway = Gateway::start(CONFIG, values).await;
    let client = H2Client::connect(gateway.web().await).await;
    for _ in 0..10 {
        assert_eq!(client.get("/app/").await.status, 200);
        assert_eq!(gateway.get("/app/").await.status, 200);
    }
    gateway.records(20).await;
    let metrics = gateway.metrics().await;
    let sum = metrics.sum("portcullis_requests_total", &[("route", "app")]);
    assert!((sum - 20.0).abs() < 0.1, "{sum}");
    let flight = metrics.sum("portcullis_upstream_requests_in_flight", &[]);
    assert!(flight.abs() < 0.1, "{flight}");
    assert_eq!(gateway.stop().await.len(), 20);
}

#[tokio::test]
async fn a_histogram_is_cumulative_and_ends_in_infinity() {
    let origin = Origin::answering("ok").await;
    let (refusing, _guard) = refusing_address();
    let values: &[(&str, &dyn Value)] = &[("app", &origin), ("broken", &refusing)];
    let gateway = Gateway::start(CONFIG, values).await;
    gateway.get("/app/").await;
    gateway.records(1).await;
    let metrics = gateway.metrics().await;
    let name = "portcullis_request_duration_seconds";
    let bucket = format!("{name}_bucket");
    let mut bounds: Vec<(f64, &str)> = metrics
        .values(&bucket, "le")
        .into_iter()
        .map(|bound| {
            (
                bound.replace("+Inf", "inf").parse().expect("a bound"),
                bound,
            )
        })
        .collect();
    bounds.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    let counts: Vec<f64> = bounds
        .iter()
        .map(|(_, bound)| metrics.sum(&bucket, &[("le", bound)]))
        .collect();
    assert!(counts.is_sorted(), "{counts:?}");
    let all = metrics.sum(&format!("{name}_count"), &[]);
    assert!(
        (counts.last().expect("a bucket") - all).abs() < 0.1,
        "{counts:?}"
    );
}
