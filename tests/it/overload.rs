//! Upstreams that are asked for more than they take: limits, and the queue before them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::{
    Client, EchoClient, EchoOrigin, Gate, Gateway, H2Answer, H2Client, H2Origin, Origin, RawOrigin,
    Request, ResponseMessage, Text, WebSocketOrigin, h2_request, ok, refusing_address, websocket,
    within,
};

/// One route to one upstream, which has these lines.
fn one(lines: &str) -> String {
    format!(
        "[server]\nworkers = 2\n[[route]]\nname = \"all\"\nupstream = \"app\"\n[upstream.app]\n{lines}\n"
    )
}

/// Sends a request and does not wait for the answer.
async fn begin(gateway: &Gateway, target: &str) -> Client {
    let mut client = gateway.connect().await;
    client.send(&Request::get(target).bytes()).await;
    client
}

async fn end(mut client: Client) -> ResponseMessage {
    client.response("GET").await.expect("an answer")
}

/// Waits until so many requests wait for a place; each answer of the admin address is an event.
async fn until_waiting(gateway: &Gateway, count: usize) {
    let waiting = "portcullis_upstream_requests_waiting";
    gateway
        .metric_is(waiting, &[("upstream", "app")], count)
        .await;
}

/// What `/upstreams` says of the limits.
async fn shown(gateway: &Gateway) -> serde_json::Value {
    let shown = gateway.ask_admin(Request::get("/upstreams")).await.json();
    shown["upstreams"]["app"]["limits"].clone()
}

async fn reasons(gateway: &Gateway, records: usize) -> Vec<String> {
    let records = gateway.records(records).await;
    records.iter().map(|record| record.text("reason")).collect()
}

/// Two endpoints that answer when the gate lets them, behind an upstream with these limits.
async fn limited(limits: &str) -> (Gateway, Gate, [Origin; 2]) {
    let gate = Gate::new();
    let (a, b) = (
        Origin::behind(&gate, "a").await,
        Origin::behind(&gate, "b").await,
    );
    let config = one(&format!(
        "endpoints = [\"{a}\", \"{b}\"]\nlimits = {{ {limits} }}"
    ));
    (Gateway::start(&config, &[]).await, gate, [a, b])
}

#[tokio::test]
async fn what_is_above_the_limit_of_an_upstream_is_503() {
    let (gateway, gate, _origins) = limited("requests = 3").await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(begin(&gateway, "/").await);
    }
    gate.reached(3).await;
    let refused = gateway.get("/").await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(reasons(&gateway, 1).await, ["upstream_overloaded"]);
    let labels = [("upstream", "app"), ("reason", "upstream_overloaded")];
    gateway
        .metric_is("portcullis_requests_total", &labels, 1)
        .await;
    let limits = shown(&gateway).await;
    assert_eq!(
        (&limits["requests"], &limits["in_flight"]),
        (&3.into(), &3.into())
    );
    gate.open();
    for client in held {
        assert_eq!(end(client).await.status, 200);
    }
    // With its record a request has left its place.
    gateway.records(4).await;
    assert_eq!(gateway.get("/").await.status, 200);
    gateway.records(5).await;
    assert_eq!(shown(&gateway).await["in_flight"], 0);
}

#[tokio::test]
async fn an_endpoint_at_its_limit_leaves_requests_to_the_others() {
    for policy in [
        "round_robin",
        "random",
        "least_connections",
        "p2c",
        "peak_ewma",
        "hash",
    ] {
        let gate = Gate::new();
        let (small, other) = (
            Origin::behind(&gate, "small").await,
            Origin::behind(&gate, "other").await,
        );
        // By its weight the first would get nearly all.
        let hash = if policy == "hash" {
            "hash = \"${path}\"\nhash_load_bound = \"off\""
        } else {
            ""
        };
        let config = one(&format!(
            "endpoints = [{{ address = \"{small}\", weight = 1000 }}, \"{other}\"]\n\
             balance = \"{policy}\"\n{hash}\nlimits = {{ endpoint_requests = 2 }}"
        ));
        let gateway = Gateway::start(&config, &[]).await;
        let mut held = Vec::new();
        for count in 1..=4 {
            held.push(begin(&gateway, "/").await);
            gate.reached(count).await;
        }
        assert_eq!((small.seen().len(), other.seen().len()), (2, 2), "{policy}");
        assert_eq!(gateway.get("/").await.status, 503, "{policy}");
        gate.open();
        for client in held {
            assert_eq!(end(client).await.status, 200, "{policy}");
        }
    }
}

#[tokio::test]
async fn those_who_wait_are_served_in_the_order_in_which_they_came() {
    let (origin, gate) = Origin::gated("late").await;
    let config = one(&format!(
        "endpoints = [\"{origin}\"]\n\
         limits = {{ endpoint_requests = 1, queue = 10, queue_timeout = \"1m\" }}"
    ));
    let gateway = Gateway::start(&config, &[]).await;
    let mut clients = vec![begin(&gateway, "/0").await];
    gate.reached(1).await;
    for next in 1..=4 {
        // Connections go to whichever worker the kernel chooses; the order is that of the gateway as a whole.
        clients.push(begin(&gateway, &format!("/{next}")).await);
        until_waiting(&gateway, next).await;
    }
    let limits = shown(&gateway).await;
    assert_eq!(
        (&limits["queue"], &limits["waiting"]),
        (&10.into(), &4.into())
    );
    for count in 2..=5 {
        gate.release(1);
        gate.reached(count).await;
    }
    gate.open();
    for client in clients {
        assert_eq!(end(client).await.status, 200);
    }
    let order: Vec<_> = origin.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(order, ["/0", "/1", "/2", "/3", "/4"]);
    until_waiting(&gateway, 0).await;
    let records = gateway.records(5).await;
    let waited = records
        .iter()
        .filter(|record| !record.whole()["queued_ms"].is_null());
    assert_eq!(waited.count(), 4);
    let count = "portcullis_upstream_queue_seconds_count";
    gateway.metric_is(count, &[("upstream", "app")], 4).await;
}

#[tokio::test]
async fn a_full_queue_takes_nobody() {
    let (origin, gate) = Origin::gated("late").await;
    let config = one(&format!(
        "endpoints = [\"{origin}\"]\nlimits = {{ requests = 1, queue = 1, queue_timeout = \"1m\" }}"
    ));
    let gateway = Gateway::start(&config, &[]).await;
    let first = begin(&gateway, "/").await;
    gate.reached(1).await;
    let second = begin(&gateway, "/").await;
    until_waiting(&gateway, 1).await;
    let third = gateway.get("/").await;
    assert_eq!(third.status, 503);
    assert_eq!(third.header("retry-after"), Some("1"));
    assert_eq!(reasons(&gateway, 1).await, ["queue_full"]);
    gate.open();
    assert_eq!(end(first).await.status, 200);
    assert_eq!(end(second).await.status, 200);
}

#[tokio::test]
async fn who_waits_too_long_is_answered_with_503() {
    let (origin, gate) = Origin::gated("late").await;
    let config = one(&format!(
        "endpoints = [\"{origin}\"]\n\
         limits = {{ requests = 1, queue = 5, queue_timeout = \"1s\" }}"
    ));
    let gateway = Gateway::start(&config, &[]).await;
    let first = begin(&gateway, "/").await;
    gate.reached(1).await;
    let late = gateway.get("/").await;
    assert_eq!(late.status, 503);
    assert_eq!(late.header("retry-after"), Some("1"));
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "queue_timeout");
    assert_eq!(record.text("attempts"), "0");
    assert!(record.number("queued_ms") >= 1_000.0);
    assert!(record.number("overhead_ms") < record.number("queued_ms"));
    until_waiting(&gateway, 0).await;
    gate.open();
    assert_eq!(end(first).await.status, 200);
}

#[tokio::test]
async fn the_time_of_a_route_goes_for_waiting_too() {
    let (origin, gate) = Origin::gated("late").await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "long"
        path = "/long"
        upstream = "app"
        [[route]]
        name = "short"
        path = "/short"
        timeout = "100ms"
        upstream = "app"
        [upstream.app]
        endpoints = ["<origin>"]
        limits = { requests = 1, queue = 5, queue_timeout = "1m" }
        "#,
        &[("origin", &origin)],
    )
    .await;
    let first = begin(&gateway, "/long").await;
    gate.reached(1).await;
    assert_eq!(gateway.get("/short").await.status, 504);
    assert_eq!(reasons(&gateway, 1).await, ["route_timeout"]);
    gate.open();
    assert_eq!(end(first).await.status, 200);
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_the_queue() {
    let (origin, gate) = Origin::gated("late").await;
    let config = one(&format!(
        "endpoints = [\"{origin}\"]\nlimits = {{ requests = 1, queue = 5, queue_timeout = \"1m\" }}"
    ));
    let gateway = Gateway::start(&config, &[]).await;
    let first = begin(&gateway, "/first").await;
    gate.reached(1).await;
    let impatient = begin(&gateway, "/impatient").await;
    until_waiting(&gateway, 1).await;
    let patient = begin(&gateway, "/patient").await;
    until_waiting(&gateway, 2).await;
    drop(impatient);
    until_waiting(&gateway, 1).await;
    assert_eq!(reasons(&gateway, 1).await, ["client_gone"]);
    gate.open();
    assert_eq!(end(first).await.status, 200);
    assert_eq!(end(patient).await.status, 200);
    let targets: Vec<_> = origin.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, ["/first", "/patient"]);
}

/// Four workers, few places, many clients: a lost call would leave somebody waiting, a miscount let in too many.
#[tokio::test]
async fn under_pressure_everybody_is_served_and_never_more_at_once_than_allowed() {
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let start = || {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        Origin::http(move |_seen| {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            let running = Arc::clone(&running);
            async move {
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
                running.fetch_sub(1, Ordering::SeqCst);
                ok("served")
            }
        })
    };
    let (a, b) = (start().await, start().await);
    let gateway = Gateway::start(
        r#"
        [server]
        workers = 4
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<a>", "<b>"]
        limits = { requests = 3, endpoint_requests = 2, queue = 1000, queue_timeout = "1m" }
        "#,
        &[("a", &a), ("b", &b)],
    )
    .await;
    let web = gateway.web().await;
    let clients = (0..40).map(|_| {
        tokio::spawn(async move {
            let mut client = Client::connect(web).await;
            for _ in 0..25 {
                assert_eq!(client.ask(Request::get("/")).await.status, 200);
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    for client in clients {
        client.await.expect("every answer");
    }
    assert!(most.load(Ordering::SeqCst) <= 3);
    gateway.records(1_000).await;
    let limits = shown(&gateway).await;
    assert_eq!(
        (&limits["in_flight"], &limits["waiting"]),
        (&0.into(), &0.into())
    );
}

#[tokio::test]
async fn a_websocket_counts_as_long_as_it_is_open() {
    let origin = WebSocketOrigin::start().await;
    let config = one(&format!(
        "endpoints = [\"{origin}\"]\nlimits = {{ endpoint_requests = 1 }}"
    ));
    let gateway = Gateway::start(&config, &[]).await;
    let mut socket = websocket(gateway.web().await, "/").await;
    socket.say("hello").await;
    assert_eq!(socket.hear().await, "hello");
    assert_eq!(gateway.get("/").await.status, 503);
    assert_eq!(reasons(&gateway, 1).await, ["upstream_overloaded"]);
    socket.close().await;
    origin.until_ended(1).await;
    gateway.records(2).await;
    let mut socket = websocket(gateway.web().await, "/").await;
    socket.say("again").await;
    assert_eq!(socket.hear().await, "again");
}

#[tokio::test]
async fn streams_of_http2_count_and_wait_alike() {
    let (origin, gate) = Origin::gated("late").await;
    let gateway = Gateway::start(
        r#"
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        h2c = true
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<origin>"]
        limits = { requests = 1, queue = 1, queue_timeout = "1m" }
        "#,
        &[("origin", &origin)],
    )
    .await;
    let client = H2Client::connect(gateway.web().await).await;
    let (first, second) = (client.get("/1"), client.get("/2"));
    let third = async {
        gate.reached(1).await;
        until_waiting(&gateway, 1).await;
        let third = client.get("/3").await;
        assert_eq!(third.status, 503);
        assert_eq!(third.header("retry-after"), Some("1"));
        gate.open();
    };
    let (first, second, ()) = tokio::join!(first, second, third);
    assert_eq!((first.status, second.status), (200, 200));
}

#[tokio::test]
async fn a_grpc_call_above_the_limit_is_unavailable() {
    let origin = EchoOrigin::start().await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "echo"
        upstream = "app"
        [upstream.app]
        endpoints = ["<origin>"]
        protocol = "h2c"
        limits = { requests = 1 }
        "#,
        &[("origin", &origin)],
    )
    .await;
    let web = gateway.web().await;
    let mut first = EchoClient::connect(web).await;
    let (_sender, _stream) = first.talk().await.expect("a stream");
    let mut second = EchoClient::connect(web).await;
    let refused = second
        .unary(tonic::Request::new(Text::new("hello")))
        .await
        .expect_err("a refusal");
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    assert_eq!(refused.message(), "upstream_overloaded");
}

/// What takes an endpoint out of use, or puts it into use.
async fn set(gateway: &Gateway, endpoint: impl std::fmt::Display, state: &str) {
    let form = format!("upstream=app&endpoint={endpoint}&state={state}");
    let response = gateway.ask_admin(Request::post("/endpoints", form)).await;
    assert_eq!(response.status, 200, "{}", response.text());
}

#[tokio::test]
async fn another_attempt_waits_for_its_place_too() {
    let (origin, gate) = Origin::gated("late").await;
    let (refusing, _guard) = refusing_address();
    let config = one(&format!(
        "endpoints = [\"{refusing}\", \"{origin}\"]\n\
         limits = {{ endpoint_requests = 1, queue = 5, queue_timeout = \"1m\" }}\n\
         outlier = {{ consecutive_failures = 1, ejection_time = \"1h\", max_ejection_time = \"1h\" }}"
    ));
    let gateway = Gateway::start(&config, &[]).await;
    set(&gateway, refusing, "disabled").await;
    let first = begin(&gateway, "/1").await;
    gate.reached(1).await;
    set(&gateway, refusing, "enabled").await;
    // Its first attempt fails, and for the second one there is no place.
    let second = begin(&gateway, "/2").await;
    until_waiting(&gateway, 1).await;
    // One that failed is no place to go to while the other is only busy.
    let third = begin(&gateway, "/3").await;
    until_waiting(&gateway, 2).await;
    gate.open();
    for client in [first, second, third] {
        assert_eq!(end(client).await.text(), "late");
    }
    let mut attempts: Vec<_> = gateway.records(3).await;
    attempts.sort_by_key(|record| record.text("path"));
    let attempts: Vec<_> = attempts.iter().map(|one| one.text("attempts")).collect();
    assert_eq!(attempts, ["1", "2", "1"]);
}

#[tokio::test]
async fn what_is_in_flight_and_who_waits_outlive_a_reload() {
    let (origin, gate) = Origin::gated("late").await;
    let text = one(
        "endpoints = [\"<origin>\"]\nresponse_timeout = \"<timeout>\"\n\
         limits = { requests = 2, queue = 5, queue_timeout = \"1m\" }",
    );
    let gateway = Gateway::start(&text, &[("origin", &origin), ("timeout", &"50s")]).await;
    let mut clients = vec![begin(&gateway, "/").await, begin(&gateway, "/").await];
    gate.reached(2).await;
    clients.push(begin(&gateway, "/").await);
    until_waiting(&gateway, 1).await;
    gateway
        .reload(&text, &[("origin", &origin), ("timeout", &"51s")])
        .await;
    let limits = shown(&gateway).await;
    assert_eq!(
        (&limits["in_flight"], &limits["waiting"]),
        (&2.into(), &1.into())
    );
    // Newcomers of the new world stand behind the one of the old.
    clients.push(begin(&gateway, "/").await);
    until_waiting(&gateway, 2).await;
    gate.release(1);
    gate.reached(3).await;
    until_waiting(&gateway, 1).await;
    gate.open();
    for client in clients {
        assert_eq!(end(client).await.status, 200);
    }
}

#[tokio::test]
async fn who_waits_is_served_when_an_endpoint_joins_or_is_enabled() {
    let (origin, gate) = Origin::gated("late").await;
    let spare = Origin::answering("spare").await;
    let config = one(&format!(
        "endpoints = [\"{origin}\", \"{spare}\"]\n\
         limits = {{ endpoint_requests = 1, queue = 5, queue_timeout = \"1m\" }}"
    ));
    let gateway = Gateway::start(&config, &[]).await;
    set(&gateway, &spare, "disabled").await;
    let first = begin(&gateway, "/").await;
    gate.reached(1).await;
    let second = begin(&gateway, "/").await;
    until_waiting(&gateway, 1).await;
    set(&gateway, &spare, "enabled").await;
    assert_eq!(end(second).await.text(), "spare");
    gate.open();
    assert_eq!(end(first).await.status, 200);
}

#[tokio::test]
async fn a_drain_serves_those_who_wait() {
    let (origin, gate) = Origin::gated("late").await;
    let config = one(&format!(
        "endpoints = [\"{origin}\"]\nlimits = {{ requests = 1, queue = 5, queue_timeout = \"1m\" }}"
    ));
    let mut gateway = Gateway::start(&config, &[]).await;
    let first = begin(&gateway, "/").await;
    gate.reached(1).await;
    let second = begin(&gateway, "/").await;
    until_waiting(&gateway, 1).await;
    gateway.signal("TERM").await;
    gateway
        .log()
        .wait("the drain", |line| {
            line.message().contains("drain").then_some(())
        })
        .await;
    gate.open();
    assert_eq!(end(first).await.status, 200);
    assert_eq!(end(second).await.status, 200);
    assert_eq!(gateway.exit().await.code(), Some(0));
}

/// An endpoint that accepts and never answers holds its own requests and nobody else's.
#[tokio::test]
async fn an_endpoint_that_never_answers_harms_no_other_upstream() {
    let stuck = RawOrigin::start(|_, mut connection| async move {
        connection.rest().await;
    })
    .await;
    let well = Origin::answering("well").await;
    let gateway = Gateway::start(
        r#"
        [server]
        workers = 2
        [[route]]
        name = "stuck"
        path = "/stuck"
        upstream = "app"
        [[route]]
        name = "well"
        path = "/well"
        upstream = "well"
        [upstream.app]
        endpoints = ["<stuck>"]
        response_timeout = "1h"
        limits = { endpoint_requests = 4, queue = 8, queue_timeout = "1h" }
        [upstream.well]
        endpoints = ["<well>"]
        "#,
        &[("stuck", &stuck), ("well", &well)],
    )
    .await;
    let mut waiting = Vec::new();
    for _ in 0..30 {
        waiting.push(begin(&gateway, "/stuck").await);
    }
    for _ in 0..200 {
        assert_eq!(gateway.get("/well").await.status, 200);
    }
    // Four are at the endpoint and eight wait; there was no place for the rest.
    until_waiting(&gateway, 8).await;
    let mut refused = reasons(&gateway, 218).await;
    refused.retain(|reason| !reason.is_empty());
    assert_eq!(refused, ["queue_full"; 18]);
    assert_eq!(shown(&gateway).await["in_flight"], 4);
    within("the connections", async {
        while stuck.connections() < 4 {
            gateway.ask_admin(Request::get("/healthz")).await;
        }
    })
    .await;
    drop(waiting);
    let reasons = reasons(&gateway, 230).await;
    let gone = reasons.iter().filter(|reason| *reason == "client_gone");
    assert_eq!(gone.count(), 12);
}

/// What `/upstreams` says of the adaptive limit.
async fn found(gateway: &Gateway) -> u64 {
    let limit = &shown(gateway).await["adaptive"]["limit"];
    limit.as_u64().expect("a limit")
}

/// An origin that works on one request at a time, each for so long, and the highest number that it had at once.
async fn one_at_a_time(time: Duration) -> (Origin, Arc<AtomicUsize>) {
    let desk = Arc::new(tokio::sync::Mutex::new(()));
    let (present, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::clone(&most);
    let origin = Origin::http(move |_seen| {
        let now = present.fetch_add(1, Ordering::SeqCst) + 1;
        seen.fetch_max(now, Ordering::SeqCst);
        let (desk, present) = (Arc::clone(&desk), Arc::clone(&present));
        async move {
            let turn = desk.lock().await;
            work(time).await;
            drop(turn);
            present.fetch_sub(1, Ordering::SeqCst);
            ok("done")
        }
    })
    .await;
    (origin, most)
}

#[expect(
    clippy::disallowed_methods,
    reason = "an origin that takes its time is what the limit is about"
)]
async fn work(time: Duration) {
    tokio::time::sleep(time).await;
}

/// So many clients at once, each with so many requests; how often each status came.
async fn crowd(gateway: &Gateway, clients: usize, requests: usize) -> BTreeMap<u16, usize> {
    let web = gateway.web().await;
    let clients = (0..clients).map(|_| {
        tokio::spawn(async move {
            let mut client = Client::connect(web).await;
            let mut statuses = Vec::new();
            for _ in 0..requests {
                statuses.push(client.ask(Request::get("/")).await.status);
            }
            statuses
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut counts = BTreeMap::new();
    for client in clients {
        for status in client.await.expect("every answer") {
            *counts.entry(status).or_default() += 1;
        }
    }
    counts
}

#[tokio::test]
async fn an_adaptive_limit_finds_out_what_the_upstream_takes() {
    let (slow, most) = one_at_a_time(Duration::from_millis(2)).await;
    let config = one(&format!(
        "endpoints = [\"{slow}\"]\nadaptive = {{ min = 1, max = 200, window = \"10ms\" }}\n\
         limits = {{ queue = 100, queue_timeout = \"1m\" }}"
    ));
    let gateway = Gateway::start(&config, &[]).await;
    // Nobody has said that it does one thing at a time; without a limit it would have sixty before it.
    let counts = crowd(&gateway, 60, 20).await;
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), [(200, 1_200)]);
    assert!(most.load(Ordering::SeqCst) <= 30, "{most:?}");
    // What nobody uses stays as it is: with the records, the last answers have been learned from.
    gateway.records(1_200).await;
    let limit = found(&gateway).await;
    assert!((1..=20).contains(&limit), "{limit}");
    let gauge = "portcullis_upstream_concurrency_limit";
    gateway
        .metric_is(gauge, &[("upstream", "app")], limit as usize)
        .await;
    // What was found out outlives a reload.
    gateway
        .reload(
            &config.replace("limits = {", "limits = { requests = 150,"),
            &[],
        )
        .await;
    assert_eq!(found(&gateway).await, limit);
}

#[tokio::test]
async fn the_bounds_of_an_adaptive_limit_are_configured() {
    let (origin, gate) = Origin::gated("late").await;
    let config = one(&format!(
        "endpoints = [\"{origin}\"]\nadaptive = {{ min = 2, max = 3, window = \"1ms\" }}"
    ));
    let gateway = Gateway::start(&config, &[]).await;
    // It begins with the smallest.
    let mut held = vec![begin(&gateway, "/").await, begin(&gateway, "/").await];
    gate.reached(2).await;
    let refused = gateway.get("/").await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(reasons(&gateway, 1).await, ["adaptive_limit"]);
    gate.open();
    for client in held.drain(..) {
        assert_eq!(end(client).await.status, 200);
    }
    // Each answer is an event; with ten of them the window is over, and the limit goes up to the largest.
    within("a larger limit", async {
        while found(&gateway).await < 3 {
            crowd(&gateway, 2, 10).await;
        }
    })
    .await;
    // A window of an hour is never over.
    let patient = config.replace("1ms", "1h").replace("\"app\"", "\"other\"");
    let patient = patient.replace("upstream.app", "upstream.other");
    gateway.reload(&patient, &[]).await;
    crowd(&gateway, 2, 30).await;
    let shown = gateway.ask_admin(Request::get("/upstreams")).await.json();
    let adaptive = &shown["upstreams"]["other"]["limits"]["adaptive"];
    assert_eq!(adaptive["limit"], 2);
}

#[tokio::test]
async fn what_is_taken_for_normal_is_configured() {
    let mut limits = Vec::new();
    for tolerance in ["110%", "1000%"] {
        let (slow, _most) = one_at_a_time(Duration::from_millis(2)).await;
        let config = one(&format!(
            "endpoints = [\"{slow}\"]\nlimits = {{ queue = 100, queue_timeout = \"1m\" }}\n\
             adaptive = {{ min = 1, max = 200, window = \"10ms\", tolerance = \"{tolerance}\" }}"
        ));
        let gateway = Gateway::start(&config, &[]).await;
        crowd(&gateway, 40, 20).await;
        limits.push(found(&gateway).await);
    }
    assert!(limits[0] < limits[1], "{limits:?}");
}

#[tokio::test]
async fn what_is_above_an_adaptive_limit_waits_if_there_is_a_queue() {
    let (origin, gate) = Origin::gated("late").await;
    let config = one(&format!(
        "endpoints = [\"{origin}\"]\nadaptive = {{ min = 1 }}\n\
         limits = {{ queue = 1, queue_timeout = \"1m\" }}"
    ));
    let gateway = Gateway::start(&config, &[]).await;
    let first = begin(&gateway, "/").await;
    gate.reached(1).await;
    let second = begin(&gateway, "/").await;
    until_waiting(&gateway, 1).await;
    assert_eq!(gateway.get("/").await.status, 503);
    assert_eq!(reasons(&gateway, 1).await, ["queue_full"]);
    gate.open();
    assert_eq!(end(first).await.status, 200);
    assert_eq!(end(second).await.status, 200);
}

/// Waits until one connection to the endpoints of the upstream is open; a worker may be about to count one as closed.
async fn until_one_is_open(gateway: &Gateway) {
    let open = "portcullis_upstream_connections_open";
    gateway.metric_is(open, &[("upstream", "app")], 1).await;
}

async fn opened_more_than_one(gateway: &Gateway) {
    let opened = "portcullis_upstream_connections_total";
    let labels = [("upstream", "app")];
    gateway.metric_reaches(opened, &labels, 2).await;
}

#[tokio::test]
async fn connections_to_an_endpoint_have_a_limit_over_all_workers() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(
        r#"
        [server]
        workers = 4
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<origin>"]
        limits = { endpoint_connections = 1, queue = 100, queue_timeout = "1m" }
        "#,
        &[("origin", &origin)],
    )
    .await;
    // Which worker gets a client is the kernel's choice; with so many clients all get some.
    for _ in 0..60 {
        assert_eq!(gateway.get("/").await.status, 200);
        until_one_is_open(&gateway).await;
    }
    // A worker that had none got one, and another one has closed its own for it.
    opened_more_than_one(&gateway).await;
    assert_eq!(
        crowd(&gateway, 20, 10)
            .await
            .into_iter()
            .collect::<Vec<_>>(),
        [(200, 200)]
    );
    until_one_is_open(&gateway).await;
}

#[tokio::test]
async fn all_connections_of_an_upstream_have_a_limit() {
    let (gateway, gate, [a, b]) = limited("connections = 1").await;
    let first = begin(&gateway, "/").await;
    gate.reached(1).await;
    // Over HTTP/1.1 there are no more requests than connections.
    assert_eq!(gateway.get("/").await.status, 503);
    gate.open();
    assert_eq!(end(first).await.status, 200);
    for count in 2..12 {
        // With its record a request has left its connection.
        gateway.records(count).await;
        // In turns: the idle connection to the one is closed for the other.
        assert_eq!(gateway.get("/").await.status, 200);
        until_one_is_open(&gateway).await;
    }
    assert!(!a.seen().is_empty() && !b.seen().is_empty());
    opened_more_than_one(&gateway).await;
}

#[tokio::test]
async fn an_upstream_has_its_connections_for_itself() {
    let gate = Gate::new();
    let pass = gate.clone();
    let origin = Origin::http(move |seen| {
        let pass = pass.clone();
        async move {
            if seen.target == "/held" {
                pass.pass().await;
            }
            ok("ok")
        }
    })
    .await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "few"
        upstream = "few"
        [[route]]
        name = "held"
        path = "/held"
        upstream = "many"
        [upstream.few]
        endpoints = ["<origin>"]
        limits = { endpoint_connections = 1 }
        connect_timeout = "1s"
        [upstream.many]
        endpoints = ["<origin>"]
        "#,
        &[("origin", &origin)],
    )
    .await;
    assert_eq!(gateway.get("/").await.status, 200);
    gateway.records(1).await;
    // The connection that is idle by now is not the other's to use.
    let held = begin(&gateway, "/held").await;
    gate.reached(1).await;
    assert_eq!(gateway.get("/").await.status, 200);
    gate.open();
    assert_eq!(end(held).await.status, 200);
    assert_eq!(origin.connections(), 2);
}

/// A worker has one connection at least, and no more streams than it carries.
#[tokio::test]
async fn connections_over_http2_have_a_limit() {
    const STREAMS: usize = 100;
    let gate = Gate::new();
    let pass = gate.clone();
    let origin = H2Origin::start(move |mut exchange| {
        let pass = pass.clone();
        async move {
            exchange.body().await;
            pass.pass().await;
            exchange.answer(200, "ok");
        }
    })
    .await;
    let gateway = Gateway::start(
        r#"
        [server]
        workers = 1
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        max_streams = 1000
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<origin>"]
        protocol = "h2c"
        limits = { connections = 1 }
        connect_timeout = "100ms"
        "#,
        &[("origin", &origin)],
    )
    .await;
    let client = H2Client::connect(gateway.web().await).await;
    let mut held = Vec::new();
    for count in 1..=STREAMS {
        let request = h2_request("GET", "/").body(()).expect("a request");
        held.push(client.open(request, true).await.0);
        gate.reached(count).await;
    }
    assert_eq!(client.get("/").await.status, 503);
    gateway.records(1).await;
    assert_eq!(reasons(&gateway, 1).await, ["upstream_overloaded"]);
    gate.open();
    for answer in held {
        let answer = H2Answer::read(answer).await.expect("an answer");
        assert_eq!(answer.status, 200);
    }
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(origin.connections(), 1);
}
