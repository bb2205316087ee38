//! Endpoints that die or freeze under load, and what a gateway remembers of them. The endpoints are processes of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::harness::{Client, Gateway, Origin, Request, within};

/// An endpoint that can be killed: a gateway that answers with its name.
async fn process(name: &str) -> Gateway {
    let text = format!("[[route]]\nname = \"all\"\nrespond = {{ body = \"{name}\" }}\n");
    Gateway::start(&text, &[]).await
}

/// Clients that ask one after the other, each on a connection of its own, until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    clients: JoinSet<Vec<u16>>,
}

impl Load {
    async fn start(gateway: &Gateway, path: &'static str, clients: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let web = gateway.web().await;
        let mut set = JoinSet::new();
        for _ in 0..clients {
            let stop = Arc::clone(&stop);
            set.spawn(async move {
                let mut statuses = Vec::new();
                let mut client = Client::connect(web).await;
                while !stop.load(Ordering::SeqCst) {
                    statuses.push(client.ask(Request::get(path)).await.status);
                }
                statuses
            });
        }
        Self { stop, clients: set }
    }

    /// The statuses of all answers.
    async fn end(self) -> Vec<u16> {
        self.stop.store(true, Ordering::SeqCst);
        let all = within("the end of the load", self.clients.join_all()).await;
        all.into_iter().flatten().collect()
    }
}

fn bad(statuses: &[u16]) -> usize {
    statuses.iter().filter(|status| **status != 200).count()
}

async fn state(gateway: &Gateway, endpoint: usize) -> String {
    let shown = gateway.ask_admin(Request::get("/upstreams")).await.json();
    let state = &shown["upstreams"]["app"]["endpoints"][endpoint]["state"];
    state.as_str().expect("a state").to_owned()
}

async fn number(gateway: &Gateway, endpoint: usize, name: &str) -> u64 {
    let shown = gateway.ask_admin(Request::get("/upstreams")).await.json();
    let number = &shown["upstreams"]["app"]["endpoints"][endpoint][name];
    number.as_u64().expect("a number")
}

async fn requests(gateway: &Gateway, endpoint: usize) -> u64 {
    number(gateway, endpoint, "requests").await
}

async fn in_flight(gateway: &Gateway, endpoint: usize) -> u64 {
    number(gateway, endpoint, "in_flight").await
}

/// The endpoints are given longer than a busy machine lets a process wait for its turn: only one that is frozen is late.
const THREE: &str = r#"
    [server]
    workers = 2
    [[route]]
    name = "all"
    upstream = "app"
    [[route]]
    name = "other"
    path = "/other"
    upstream = "other"
    [upstream.app]
    endpoints = ["<a>", "<b>", "<c>"]
    protocol = "<protocol>"
    response_timeout = "4s"
    outlier = { consecutive_failures = 3, ejection_time = "1h", max_ejection_time = "1h" }
    [upstream.other]
    endpoints = ["<other>"]
"#;

const CLIENTS: usize = 8;

/// Three endpoints with load on them, and another upstream with a little.
struct UnderLoad {
    gateway: Gateway,
    endpoints: [Gateway; 3],
    load: Load,
    elsewhere: Load,
    _other: Origin,
}

/// The protocol is the one that the endpoints are asked in.
async fn under_load(protocol: &str) -> UnderLoad {
    let endpoints = [process("a").await, process("b").await, process("c").await];
    let [a, b, c] = &endpoints;
    let other = Origin::answering("other").await;
    let gateway = Gateway::start(
        THREE,
        &[
            ("protocol", &protocol),
            ("a", &a.web().await),
            ("b", &b.web().await),
            ("c", &c.web().await),
            ("other", &other),
        ],
    )
    .await;
    let load = Load::start(&gateway, "/", CLIENTS).await;
    let elsewhere = Load::start(&gateway, "/other", 1).await;
    gateway.access_log().lines(200).await;
    UnderLoad {
        gateway,
        endpoints,
        load,
        elsewhere,
        _other: other,
    }
}

#[tokio::test]
async fn case_77_killing_one_of_three_endpoints_under_load_costs_what_was_in_flight_there() {
    killing_one_of_three("http/1.1").await;
}

#[tokio::test]
async fn case_77_killing_one_of_three_endpoints_over_http2_costs_what_was_in_flight_there() {
    killing_one_of_three("h2c").await;
}

async fn killing_one_of_three(protocol: &str) {
    let UnderLoad {
        gateway,
        endpoints: [_a, b, _c],
        load,
        elsewhere,
        _other,
    } = under_load(protocol).await;
    b.signal("KILL").await;
    let killed = Instant::now();
    within("the end of requests to the dead endpoint", async {
        while state(&gateway, 1).await == "up" {}
    })
    .await;
    // Requests meet the dead endpoint for no more than a second.
    assert!(
        killed.elapsed() < Duration::from_secs(1),
        "{:?}",
        killed.elapsed()
    );
    let so_far = gateway.access_log().lines_now().len();
    gateway.access_log().lines(so_far + 500).await;
    let statuses = load.end().await;
    assert!(
        bad(&statuses) <= CLIENTS,
        "{} of {}",
        bad(&statuses),
        statuses.len()
    );
    assert_eq!(bad(&elsewhere.end().await), 0);
    // One attempt at a time finds out whether it is back, and gives way to another endpoint.
    let metrics = gateway.metrics().await;
    let failures = metrics.sum(
        "portcullis_upstream_connect_failures_total",
        &[("upstream", "app")],
    );
    assert!(failures <= (CLIENTS + 8) as f64, "{failures}");
}

#[tokio::test]
async fn only_the_requests_of_a_frozen_endpoint_time_out() {
    freezing_one_of_three("http/1.1").await;
}

#[tokio::test]
async fn only_the_streams_of_a_frozen_endpoint_time_out() {
    freezing_one_of_three("h2c").await;
}

async fn freezing_one_of_three(protocol: &str) {
    let UnderLoad {
        gateway,
        endpoints: [_a, b, _c],
        load,
        elsewhere,
        _other,
    } = under_load(protocol).await;
    // A frozen process takes connections, since the kernel does that, and never says a word.
    b.signal("STOP").await;
    within("the ejection of the frozen endpoint", async {
        while state(&gateway, 1).await == "up" {}
    })
    .await;
    let met = requests(&gateway, 1).await;
    let so_far = gateway.access_log().lines_now().len();
    gateway.access_log().lines(so_far + 500).await;
    assert_eq!(requests(&gateway, 1).await, met);
    let statuses = load.end().await;
    let late = statuses.iter().filter(|status| **status == 504).count();
    assert_eq!(bad(&statuses), late);
    // Each client can have met it once before the third timeout, and while that one came.
    assert!((3..=2 * CLIENTS).contains(&late), "{late}");
    assert_eq!(bad(&elsewhere.end().await), 0);
    b.signal("CONT").await;
}

#[tokio::test]
async fn nothing_is_forgotten_by_reloads_under_load() {
    let good = Origin::answering("good").await;
    let failing = |status: u16| {
        Origin::http(move |seen| {
            let status = if seen.target == "/healthz" {
                200
            } else {
                status
            };
            async move {
                http::Response::builder()
                    .status(status)
                    .body(http_body_util::Full::new(bytes::Bytes::new()))
                    .expect("a response")
            }
        })
    };
    let sick = Origin::http(|seen| async move {
        http::Response::builder()
            .status(if seen.target == "/healthz" { 500 } else { 200 })
            .body(http_body_util::Full::new(bytes::Bytes::from_static(
                b"sick",
            )))
            .expect("a response")
    })
    .await;
    let bad_one = failing(503).await;
    let (drained, extra) = (
        Origin::answering("drained").await,
        Origin::answering("extra").await,
    );
    let text = r#"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        balance = "<balance>"
        endpoints = ["<bad>", "<sick>", "<drained>", "<good>"<extra>]
        health = { path = "/healthz", interval = "1h", unhealthy_after = 1, timeout = "20s" }
        outlier = { consecutive_failures = 3, ejection_time = "1h", max_ejection_time = "1h" }
    "#;
    let values = |balance: &'static str, extra: String| {
        text.replace("<balance>", balance)
            .replace("<bad>", &bad_one.to_string())
            .replace("<sick>", &sick.to_string())
            .replace("<drained>", &drained.to_string())
            .replace("<good>", &good.to_string())
            .replace("<extra>", &extra)
    };
    let gateway = Gateway::start(&values("round_robin", String::new()), &[]).await;
    let form = format!("upstream=app&endpoint={drained}&state=draining");
    let response = gateway.ask_admin(Request::post("/endpoints", form)).await;
    assert_eq!(response.status, 200);
    let load = Load::start(&gateway, "/", 4).await;
    let expected = ["ejected", "unhealthy", "draining", "up"];
    for (endpoint, expected) in expected.iter().enumerate() {
        within("the state", async {
            while state(&gateway, endpoint).await != *expected {}
        })
        .await;
    }
    let asked = |origin: &Origin| {
        let seen = origin.seen();
        seen.iter().filter(|seen| seen.target == "/").count()
    };
    // What was under way to one of them when it went out of use has come to its end.
    within("the end of what was under way", async {
        for endpoint in 0..3 {
            while in_flight(&gateway, endpoint).await > 0 {}
        }
    })
    .await;
    let before = [&bad_one, &sick, &drained].map(asked);
    let with_extra = format!(", \"{extra}\"");
    for round in 0..6 {
        let balance = ["p2c", "peak_ewma", "least_connections"][round % 3];
        let extra = if round % 2 == 0 {
            with_extra.clone()
        } else {
            String::new()
        };
        gateway.reload(&values(balance, extra), &[]).await;
        for (endpoint, expected) in expected.iter().enumerate() {
            assert_eq!(state(&gateway, endpoint).await, *expected, "round {round}");
        }
        let so_far = gateway.access_log().lines_now().len();
        gateway.access_log().lines(so_far + 50).await;
    }
    let statuses = load.end().await;
    assert_eq!([&bad_one, &sick, &drained].map(asked), before);
    // The bad one had three requests before it was ejected, and a few that were under way then.
    assert!(bad(&statuses) <= 3 + 4, "{}", bad(&statuses));
}
