//! Endpoints that mean harm, under load: their own requests get an answer that says so, and nobody else notices.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::interval;

use crate::harness::{Broken, Client, Connection, Gateway, Origin, RawOrigin, Request};

const CONFIG: &str = r#"
    [server]
    workers = 2
    [[route]]
    name = "bad"
    path = "/bad"
    upstream = "bad"
    timeout = "<route_timeout>"
    [[route]]
    name = "mixed"
    path = "/mixed"
    upstream = "mixed"
    timeout = "<route_timeout>"
    [[route]]
    name = "good"
    path = "/good"
    upstream = "good"
    [upstream.bad]
    endpoints = ["<hostile>"]
    response_timeout = "<response_timeout>"
    [upstream.mixed]
    endpoints = ["<hostile>", "<good>"]
    response_timeout = "<response_timeout>"
    [upstream.good]
    endpoints = ["<good>"]
    "#;

/// What becomes of the requests that a hostile endpoint gets.
#[derive(Clone, Copy)]
enum Outcome {
    /// An answer of the gateway.
    Status(u16),
    /// A response that has begun and does not end as one.
    Cut,
    /// One or the other: a reset may overtake the bytes before it, which TCP then takes away from who has not read them.
    StatusOrCut(u16),
}

/// What a hostile endpoint's requests meet, and by which clock.
struct Expected {
    outcome: Outcome,
    reason: &'static str,
    response_timeout: &'static str,
    route_timeout: &'static str,
}

impl Expected {
    /// Found out by what it sends, not by how long it takes.
    const fn at_once(outcome: Outcome, reason: &'static str) -> Self {
        Self {
            outcome,
            reason,
            response_timeout: "1h",
            route_timeout: "1h",
        }
    }

    /// Found out by the head that is not there when it should be.
    const fn not_in_time() -> Self {
        Self {
            response_timeout: "1s",
            ..Self::at_once(Outcome::Status(504), "upstream_timeout")
        }
    }
}

/// What the clients of one route do: each makes so many requests, one after the other.
const CLIENTS: usize = 4;
const BAD: usize = 3;
const MIXED: usize = 6;
const GOOD: usize = 50;

/// Three routes under load at once: to the hostile endpoint alone, to it and a good one, and to the good one alone.
async fn only_its_own_requests_suffer(hostile: &RawOrigin, expected: Expected) {
    let good = Origin::answering("good").await;
    let gateway = Gateway::start(
        CONFIG,
        &[
            ("hostile", hostile),
            ("good", &good),
            ("response_timeout", &expected.response_timeout),
            ("route_timeout", &expected.route_timeout),
        ],
    )
    .await;
    let address = gateway.web().await;
    let mut load = JoinSet::new();
    for _ in 0..CLIENTS {
        load.spawn(async move {
            for _ in 0..BAD {
                let answer = Client::connect(address)
                    .await
                    .try_ask(Request::get("/bad"))
                    .await;
                expected.outcome.check(&answer);
            }
        });
        load.spawn(async move {
            for _ in 0..MIXED {
                let mut client = Client::connect(address).await;
                match client.try_ask(Request::get("/mixed")).await {
                    Ok(response) if response.status == 200 => assert_eq!(response.text(), "good"),
                    other => expected.outcome.check(&other),
                }
            }
        });
        load.spawn(async move {
            let mut client = Client::connect(address).await;
            for _ in 0..GOOD {
                let response = client.ask(Request::get("/good")).await;
                assert_eq!((response.status, response.text()), (200, "good"));
            }
        });
    }
    load.join_all().await;

    let records = gateway.records(CLIENTS * (BAD + MIXED + GOOD)).await;
    let (mut served, mut suffered) = (0, 0);
    for record in &records {
        if record.text("endpoint") == good.to_string() {
            assert_eq!(record.text("status"), "200", "{record:?}");
            assert_eq!(record.text("reason"), "", "{record:?}");
            served += 1;
        } else {
            assert_eq!(record.text("reason"), expected.reason, "{record:?}");
            suffered += 1;
        }
    }
    // In turns: half of those that could go to either.
    assert_eq!(suffered, CLIENTS * (BAD + MIXED / 2));
    assert_eq!(served, CLIENTS * (GOOD + MIXED / 2));
    let metrics = gateway.metrics().await;
    let labels = [("route", "bad"), ("reason", expected.reason)];
    let counted = metrics.sum("portcullis_requests_total", &labels);
    assert!((counted - (CLIENTS * BAD) as f64).abs() < 0.1, "{counted}");
    // Nothing stays behind.
    let in_flight = "portcullis_upstream_requests_in_flight";
    gateway.metric_is(in_flight, &[], 0).await;
}

impl Outcome {
    fn check(self, answer: &Result<crate::harness::ResponseMessage, Broken>) {
        match (self, answer) {
            (Self::Status(status) | Self::StatusOrCut(status), Ok(response)) => {
                assert_eq!(response.status, status);
            }
            (Self::Cut, Err(Broken::Truncated(_)))
            | (Self::StatusOrCut(_), Err(Broken::Truncated(_) | Broken::Closed)) => {}
            (_, other) => panic!("{other:?}"),
        }
    }
}

/// An endpoint that reads a request and does this to it.
async fn hostile<F>(script: impl Fn(Connection) -> F + Clone + Send + Sync + 'static) -> RawOrigin
where
    F: Future<Output = ()> + Send + 'static,
{
    RawOrigin::start(move |_, mut connection| {
        let script = script.clone();
        async move {
            if connection.request().await.is_ok() {
                script(connection).await;
            }
        }
    })
    .await
}

/// Sends something again and again until the gateway has had enough.
async fn endlessly(mut connection: Connection, head: &[u8], part: &[u8]) {
    if connection.try_send(head).await.is_err() {
        return;
    }
    while connection.try_send(part).await.is_ok() {}
}

/// The same, little by little.
async fn trickling(mut connection: Connection, head: &[u8], part: &[u8]) {
    if connection.try_send(head).await.is_err() {
        return;
    }
    let mut ticks = interval(Duration::from_millis(10));
    while connection.try_send(part).await.is_ok() {
        ticks.tick().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_accepts_and_never_answers() {
    let origin = hostile(|mut connection| async move {
        connection.rest().await;
    })
    .await;
    only_its_own_requests_suffer(&origin, Expected::not_in_time()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_answers_garbage() {
    let origin = hostile(|mut connection| async move {
        let _ = connection
            .try_send(b"\x16\x03\x01 SSH-2.0-OpenSSH\r\n\r\n")
            .await;
        connection.rest().await;
    })
    .await;
    let expected = Expected::at_once(Outcome::Status(502), "upstream_malformed");
    only_its_own_requests_suffer(&origin, expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_with_endless_headers() {
    let origin = hostile(|connection| async move {
        endlessly(connection, b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n").await;
    })
    .await;
    let expected = Expected::at_once(Outcome::Status(502), "upstream_malformed");
    only_its_own_requests_suffer(&origin, expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_with_one_endless_header() {
    let origin = hostile(|connection| async move {
        endlessly(connection, b"HTTP/1.1 200 OK\r\nX-Long: ", &[b'x'; 1024]).await;
    })
    .await;
    let expected = Expected::at_once(Outcome::Status(502), "upstream_malformed");
    only_its_own_requests_suffer(&origin, expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_with_endless_interim_responses() {
    let origin = hostile(|connection| async move {
        endlessly(
            connection,
            b"",
            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        )
        .await;
    })
    .await;
    let expected = Expected::at_once(Outcome::Status(502), "upstream_protocol");
    only_its_own_requests_suffer(&origin, expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_resets_inside_a_body() {
    for head in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
        b"HTTP/1.1 200 OK\r\n\r\npart",
    ] {
        let origin = hostile(move |mut connection| async move {
            let _ = connection.try_send(head).await;
            connection.reset();
        })
        .await;
        let expected = Expected::at_once(Outcome::StatusOrCut(502), "upstream_closed");
        only_its_own_requests_suffer(&origin, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_whose_head_trickles() {
    let origin = hostile(|connection| async move {
        trickling(connection, b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x").await;
    })
    .await;
    only_its_own_requests_suffer(&origin, Expected::not_in_time()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_whose_body_trickles() {
    let origin = hostile(|connection| async move {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n";
        trickling(connection, head, b"x").await;
    })
    .await;
    // There is always a next byte in time; what ends is the time of the route.
    let expected = Expected {
        route_timeout: "1s",
        ..Expected::at_once(Outcome::Cut, "route_timeout")
    };
    only_its_own_requests_suffer(&origin, expected).await;
}
