//! Requests that are sent again: when, where to, with what body, and how often at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::harness::{
    Gate, Gateway, H2Answer, H2Client, H2Origin, Origin, RawOrigin, Request, blackhole, h2_request,
    refusing_address, within,
};

/// One upstream with these endpoints and this `retry`.
fn config(endpoints: &str, retry: &str) -> String {
    format!(
        "[[route]]\nname = \"all\"\nupstream = \"app\"\n\
         [upstream.app]\nendpoints = [{endpoints}]\n[upstream.app.retry]\n{retry}\n"
    )
}

fn answer(status: u16, text: &'static str) -> http::Response<Full<Bytes>> {
    http::Response::builder()
        .status(status)
        .body(Full::new(Bytes::from_static(text.as_bytes())))
        .expect("a response")
}

/// An origin that answers everything with this status and text.
async fn failing(status: u16, text: &'static str) -> Origin {
    Origin::http(move |_seen| async move { answer(status, text) }).await
}

/// An origin that answers its first requests with a status, and the others with 200.
async fn recovering(failures: usize, status: u16) -> Origin {
    let count = Arc::new(AtomicUsize::new(0));
    Origin::http(move |_seen| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move {
            if number < failures {
                answer(status, "not yet")
            } else {
                answer(200, "well")
            }
        }
    })
    .await
}

/// An origin that reads each request and then closes the connection without a word.
async fn hanging_up() -> RawOrigin {
    RawOrigin::start(|_, mut connection| async move {
        let _ = connection.request().await;
    })
    .await
}

/// Waits until so many second attempts are counted as denied for that reason.
async fn until_denied(gateway: &Gateway, reason: &str, count: usize) {
    let labels = [("upstream", "app"), ("reason", reason)];
    let name = "portcullis_retries_denied_total";
    gateway.metric_is(name, &labels, count).await;
}

/// The statuses of two answers in a row, the smaller one first: either endpoint may be the first to be asked.
async fn two_answers(gateway: &Gateway) -> [u16; 2] {
    let mut statuses = [gateway.get("/").await.status, gateway.get("/").await.status];
    statuses.sort_unstable();
    statuses
}

#[tokio::test]
async fn a_status_that_is_listed_is_tried_at_another_endpoint() {
    let (bad, good) = (failing(503, "bad").await, Origin::answering("good").await);
    let gateway = Gateway::start(
        &config("\"<bad>\", \"<good>\"", "status = [503]"),
        &[("bad", &bad), ("good", &good)],
    )
    .await;
    for _ in 0..4 {
        let response = gateway.get("/").await;
        assert_eq!((response.status, response.text()), (200, "good"));
    }
    let records = gateway.records(4).await;
    let retried: Vec<_> = records
        .iter()
        .filter(|record| record.text("attempts") == "2")
        .collect();
    assert!(!retried.is_empty());
    assert_eq!(retried.len(), bad.seen().len());
    let count = retried.len() as f64;
    for record in retried {
        assert_eq!(record.text("earlier_attempts"), format!("{bad} 503"));
        assert_eq!(record.text("endpoint"), good.to_string());
    }
    let metrics = gateway.metrics().await;
    let retries = metrics.sum(
        "portcullis_retries_total",
        &[("upstream", "app"), ("reason", "upstream_status")],
    );
    assert!((retries - count).abs() < 0.1, "{retries}");
    let outcomes = metrics.sum(
        "portcullis_retried_requests_total",
        &[("upstream", "app"), ("outcome", "success")],
    );
    assert!((outcomes - count).abs() < 0.1, "{outcomes}");
}

#[tokio::test]
async fn a_status_that_is_not_listed_is_passed_on() {
    let (bad, good) = (failing(500, "bad").await, Origin::answering("good").await);
    let gateway = Gateway::start(
        &config("\"<bad>\", \"<good>\"", "status = [503, 504]"),
        &[("bad", &bad), ("good", &good)],
    )
    .await;
    assert_eq!(two_answers(&gateway).await, [200, 500]);
}

#[tokio::test]
async fn the_last_answer_is_passed_on_when_there_were_enough_attempts() {
    let origin = failing(503, "the words of the endpoint").await;
    let gateway = Gateway::start(
        &config(
            "\"<app>\"",
            "attempts = 4\nstatus = [\"5xx\"]\nbackoff = \"1ms\"",
        ),
        &[("app", &origin)],
    )
    .await;
    let response = gateway.get("/").await;
    assert_eq!(response.status, 503);
    assert_eq!(response.text(), "the words of the endpoint");
    assert_eq!(origin.seen().len(), 4);
    // Each answer was read to its end, so one connection carried all of them.
    assert_eq!(origin.connections(), 1);
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("attempts"), "4");
    assert_eq!(record.text("source"), "upstream");
    until_denied(&gateway, "attempts", 1).await;
}

#[tokio::test]
async fn one_attempt_means_that_nothing_is_sent_again() {
    let (refusing, _guard) = refusing_address();
    let good = Origin::answering("good").await;
    let gateway = Gateway::start(
        &config("\"<refusing>\", \"<good>\"", "attempts = 1"),
        &[("refusing", &refusing), ("good", &good)],
    )
    .await;
    assert_eq!(two_answers(&gateway).await, [200, 502]);
}

#[tokio::test]
async fn an_answer_is_not_lost_when_later_attempts_bring_none() {
    let busy = failing(503, "come again").await;
    let (refusing, _guard) = refusing_address();
    // The weight makes the busy one the first.
    let gateway = Gateway::start(
        &config(
            "{ address = \"<busy>\", weight = 9 }, \"<refusing>\"",
            "attempts = 2\nstatus = [503]",
        ),
        &[("busy", &busy), ("refusing", &refusing)],
    )
    .await;
    let response = gateway.get("/").await;
    assert_eq!((response.status, response.text()), (503, "come again"));
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("attempts"), "2");
    assert_eq!(record.text("endpoint"), refusing.to_string());
}

#[tokio::test]
async fn an_answer_that_is_given_up_unread_costs_its_connection_and_no_more() {
    let origin = RawOrigin::start(|index, mut connection| async move {
        let _ = connection.request().await;
        if index == 0 {
            let head = b"HTTP/1.1 503 Busy\r\nContent-Length: 100000\r\n\r\nabc";
            connection.send(head).await;
        } else {
            let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            connection.send(whole).await;
        }
        connection.rest().await;
    })
    .await;
    let gateway = Gateway::start(
        &config("\"<app>\"", "status = [503]\nbackoff = \"1ms\""),
        &[("app", &origin)],
    )
    .await;
    let response = gateway.get("/").await;
    assert_eq!((response.status, response.text()), (200, "ok"));
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn a_reset_is_followed_by_another_attempt_if_it_is_listed_and_the_method_allows_it() {
    let bad = hanging_up().await;
    let good = Origin::answering("good").await;
    let gateway = Gateway::start(
        &config("\"<bad>\", \"<good>\"", "on = [\"reset\"]"),
        &[("bad", &bad), ("good", &good)],
    )
    .await;
    for _ in 0..4 {
        assert_eq!(gateway.get("/").await.status, 200);
    }
    let before = bad.connections();
    assert!(before >= 1);
    // Case 74: nobody knows what the endpoint did with it.
    let mut statuses = [
        gateway.send(Request::post("/", "once")).await.status,
        gateway.send(Request::post("/", "once")).await.status,
    ];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502]);
    assert_eq!(bad.connections(), before + 1);
}

#[tokio::test]
async fn a_head_that_makes_no_sense_is_followed_by_another_attempt_if_it_is_listed() {
    let garbage = RawOrigin::answering(b"220 smtp.example.com ready\r\n\r\n").await;
    let good = Origin::answering("good").await;
    for (conditions, wanted) in [("\"malformed\"", [200, 200]), ("\"reset\"", [200, 502])] {
        let retry = format!("on = [{conditions}]");
        let gateway = Gateway::start(
            &config("\"<garbage>\", \"<good>\"", &retry),
            &[("garbage", &garbage), ("good", &good)],
        )
        .await;
        let statuses = two_answers(&gateway).await;
        assert_eq!(statuses, wanted, "{conditions}");
    }
}

#[tokio::test]
async fn an_attempt_has_its_own_time() {
    let gate = Gate::new();
    let slow = Origin::behind(&gate, "slow").await;
    let good = Origin::answering("good").await;
    let gateway = Gateway::start(
        &config(
            "\"<slow>\", \"<good>\"",
            "on = [\"timeout\"]\nper_try_timeout = \"1s\"",
        ),
        &[("slow", &slow), ("good", &good)],
    )
    .await;
    for _ in 0..2 {
        assert_eq!(gateway.get("/").await.text(), "good");
    }
    let record = gateway.records(2).await;
    let retried = record.iter().find(|one| one.text("attempts") == "2");
    let retried = retried.expect("a second attempt");
    assert_eq!(
        retried.text("earlier_attempts"),
        format!("{slow} upstream_timeout")
    );
    gate.open();
}

#[tokio::test]
async fn the_time_of_an_attempt_covers_connecting() {
    let (black, _listener, _filler) = blackhole().await;
    let good = Origin::answering("good").await;
    let gateway = Gateway::start(
        &config(
            "\"<black>\", \"<good>\"",
            "on = [\"timeout\"]\nper_try_timeout = \"1s\"",
        ),
        &[("black", &black), ("good", &good)],
    )
    .await;
    for _ in 0..2 {
        // Nothing was sent, so that a POST may go elsewhere.
        let response = gateway.send(Request::post("/", "body")).await;
        assert_eq!(response.text(), "good");
    }
}

#[tokio::test]
async fn a_body_is_sent_again_byte_by_byte() {
    let bodies: [(&str, Request); 3] = [
        (
            "with a length",
            Request::new("PUT", "/").body(pattern(40_000)),
        ),
        ("empty", Request::new("PUT", "/").body("")),
        ("short", Request::new("PUT", "/").body("x")),
    ];
    for (name, request) in bodies {
        let origin = recovering(2, 503).await;
        let gateway = Gateway::start(
            &config("\"<app>\"", "status = [503]\nbackoff = \"1ms\""),
            &[("app", &origin)],
        )
        .await;
        assert_eq!(gateway.send(request).await.text(), "well", "{name}");
        let seen = origin.seen();
        assert_eq!(seen.len(), 3, "{name}");
        assert!(seen.iter().all(|one| one.body == seen[0].body), "{name}");
        if name == "with a length" {
            assert_eq!(seen[0].body, pattern(40_000));
        }
        let record = &gateway.records(1).await[0];
        let received = record.number("bytes_received");
        let sent = seen[0].body.len() as f64;
        assert!(
            (received - sent).abs() < 0.5,
            "{name}: {received} of {sent}"
        );
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

#[tokio::test]
async fn a_chunked_body_is_sent_again_with_its_trailers() {
    let origin = RawOrigin::start(|_, mut connection| async move {
        let mut answered = 0;
        while connection.request().await.is_ok() {
            answered += 1;
            let status = if answered < 3 { "503 Busy" } else { "200 OK" };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            connection.send(head.as_bytes()).await;
        }
    })
    .await;
    let gateway = Gateway::start(
        &config("\"<app>\"", "status = [503]\nbackoff = \"1ms\""),
        &[("app", &origin)],
    )
    .await;
    let mut client = gateway.connect().await;
    client
        .send(
            b"PUT /it HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
              5\r\nhello\r\n7\r\n, world\r\n0\r\nx-sum: 12\r\n\r\n",
        )
        .await;
    let response = client.response("PUT").await.expect("an answer");
    assert_eq!(response.status, 200);
    assert_eq!(origin.connections(), 1);
    let received = String::from_utf8(origin.received(0)).expect("UTF-8");
    let bodies: Vec<_> = received
        .split("PUT /it HTTP/1.1\r\n")
        .filter_map(|request| request.split_once("\r\n\r\n"))
        .map(|(_, body)| body.replace("c\r\nhello, world", "5\r\nhello\r\n7\r\n, world"))
        .collect();
    let whole = "5\r\nhello\r\n7\r\n, world\r\n0\r\nx-sum: 12\r\n\r\n";
    assert_eq!(bodies, [whole, whole, whole], "{received}");
}

#[tokio::test]
async fn a_body_over_the_buffer_is_sent_once() {
    let origin = recovering(1, 503).await;
    let gateway = Gateway::start(
        &config(
            "\"<app>\"",
            "status = [503]\nbackoff = \"1ms\"\nbuffer = \"8KiB\"",
        ),
        &[("app", &origin)],
    )
    .await;
    let large = Request::new("PUT", "/").body(pattern(8 * 1024 + 1));
    assert_eq!(gateway.send(large).await.status, 503);
    assert_eq!(origin.only().body, pattern(8 * 1024 + 1));
    until_denied(&gateway, "body", 1).await;
    drop(gateway);

    let origin = recovering(1, 503).await;
    let gateway = Gateway::start(
        &config(
            "\"<app>\"",
            "status = [503]\nbackoff = \"1ms\"\nbuffer = \"8KiB\"",
        ),
        &[("app", &origin)],
    )
    .await;
    let fitting = Request::new("PUT", "/").body(pattern(8 * 1024));
    assert_eq!(gateway.send(fitting).await.status, 200);
    assert!(
        origin
            .seen()
            .iter()
            .all(|one| one.body == pattern(8 * 1024))
    );
}

#[tokio::test]
async fn the_methods_say_what_may_be_sent_twice() {
    let origin = recovering(1, 503).await;
    let gateway = Gateway::start(
        &config(
            "\"<app>\"",
            "status = [503]\nmethods = [\"POST\"]\nbackoff = \"1ms\"",
        ),
        &[("app", &origin)],
    )
    .await;
    assert_eq!(gateway.send(Request::post("/", "again")).await.status, 200);
    let seen = origin.seen();
    let texts: Vec<_> = seen.iter().map(|one| one.text()).collect();
    assert_eq!(texts, ["again", "again"]);

    let origin = recovering(1, 503).await;
    let gateway = Gateway::start(
        &config(
            "\"<app>\"",
            "status = [503]\nmethods = [\"POST\"]\nbackoff = \"1ms\"",
        ),
        &[("app", &origin)],
    )
    .await;
    assert_eq!(gateway.get("/").await.status, 503);
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn what_a_route_says_holds_in_place_of_its_upstream() {
    let origin = failing(503, "busy").await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "reports"
        path = "/reports"
        upstream = "app"
        retry = { status = [503], attempts = 2, backoff = "1ms" }
        [[route]]
        name = "once"
        path = "/once"
        upstream = "app"
        retry = { attempts = 1 }
        [[route]]
        name = "rest"
        upstream = "app"
        [upstream.app]
        endpoints = ["<app>"]
        retry = { status = [503], attempts = 4, backoff = "1ms" }
        "#,
        &[("app", &origin)],
    )
    .await;
    for (path, attempts) in [("/reports", 2), ("/once", 1), ("/other", 4)] {
        let before = origin.seen().len();
        assert_eq!(gateway.get(path).await.status, 503);
        assert_eq!(origin.seen().len() - before, attempts, "{path}");
    }
}

#[tokio::test]
async fn a_refused_stream_goes_out_again_with_its_body_whatever_the_method() {
    let count = Arc::new(AtomicUsize::new(0));
    let (said, mut heard) = mpsc::unbounded_channel();
    let origin = H2Origin::start(move |mut exchange| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let said = said.clone();
        async move {
            let (body, _) = exchange.body().await;
            said.send(body).expect("the test");
            if number == 0 {
                exchange.respond.send_reset(h2::Reason::REFUSED_STREAM);
            } else {
                exchange.answer(200, "taken");
            }
        }
    })
    .await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<app>"]
        protocol = "h2c"
        "#,
        &[("app", &origin)],
    )
    .await;
    let response = gateway.send(Request::post("/", "once or twice")).await;
    assert_eq!((response.status, response.text()), (200, "taken"));
    for _ in 0..2 {
        let body = within("a body at the origin", heard.recv()).await;
        assert_eq!(body.as_deref(), Some(&b"once or twice"[..]));
    }
    let record = &gateway.records(1).await[0];
    assert_eq!(
        record.text("earlier_attempts"),
        format!("{origin} upstream_refused")
    );
}

/// A gRPC service that is unavailable to its first calls, in answers that have only trailers.
async fn unavailable_at_first(failures: usize) -> (H2Origin, mpsc::UnboundedReceiver<Vec<u8>>) {
    let count = Arc::new(AtomicUsize::new(0));
    let (said, heard) = mpsc::unbounded_channel();
    let origin = H2Origin::start(move |mut exchange| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let said = said.clone();
        async move {
            let (body, _) = exchange.body().await;
            said.send(body).expect("the test");
            let status = if number < failures { "14" } else { "0" };
            let response = http::Response::builder()
                .header("content-type", "application/grpc")
                .header("grpc-status", status)
                .body(())
                .expect("a response");
            let _ = exchange.respond.send_response(response, true);
        }
    })
    .await;
    (origin, heard)
}

fn call(kind: &str) -> http::Request<Bytes> {
    h2_request("POST", "/test.Echo/Unary")
        .header("content-type", kind)
        .header("te", "trailers")
        .body(Bytes::from_static(b"\0\0\0\0\x02hi"))
        .expect("a request")
}

#[tokio::test]
async fn a_grpc_status_that_is_listed_is_tried_again() {
    let (origin, mut heard) = unavailable_at_first(2).await;
    let config = format!(
        "{}protocol = \"h2c\"\n[upstream.app.retry]\ngrpc = [\"aborted\", \"unavailable\"]\n\
         backoff = \"1ms\"\n",
        config("\"<app>\"", "").replace("[upstream.app.retry]\n", "")
    );
    let gateway = Gateway::start(&config, &[("app", &origin)]).await;
    let client = H2Client::connect(gateway.web().await).await;
    let answer = client.ask(call("application/grpc+proto")).await;
    assert_eq!(
        (answer.status, answer.header("grpc-status")),
        (200, Some("0"))
    );
    for _ in 0..3 {
        let body = within("a message at the service", heard.recv()).await;
        assert_eq!(body.as_deref(), Some(&b"\0\0\0\0\x02hi"[..]));
    }
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("attempts"), "3");
    let failed = format!("{origin} upstream_grpc_status");
    assert_eq!(
        record.text("earlier_attempts"),
        format!("{failed}, {failed}")
    );
}

#[tokio::test]
async fn a_grpc_status_is_passed_on_if_it_is_not_listed_or_the_caller_does_not_speak_grpc() {
    for (codes, kind) in [
        ("\"aborted\"", "application/grpc"),
        ("\"unavailable\"", "application/json"),
    ] {
        let (origin, _heard) = unavailable_at_first(1).await;
        let config = format!(
            "{}protocol = \"h2c\"\nretry = {{ grpc = [{codes}] }}\n",
            config("\"<app>\"", "").replace("[upstream.app.retry]\n", "")
        );
        let gateway = Gateway::start(&config, &[("app", &origin)]).await;
        let client = H2Client::connect(gateway.web().await).await;
        let answer = client.ask(call(kind)).await;
        assert_eq!(answer.header("grpc-status"), Some("14"), "{codes} {kind}");
        let record = &gateway.records(1).await[0];
        assert_eq!(record.text("attempts"), "1");
    }
}

/// As gRPC has it for its own clients (gRFC A6): with a head of a response, a call is committed.
#[tokio::test]
async fn a_grpc_status_behind_a_head_is_passed_on() {
    let (said, mut heard) = mpsc::unbounded_channel();
    let origin = H2Origin::start(move |mut exchange| {
        let said = said.clone();
        async move {
            exchange.body().await;
            said.send(()).expect("the test");
            let head = http::Response::builder().header("content-type", "application/grpc");
            let head = head.body(()).expect("a response");
            let mut stream = exchange.respond.send_response(head, false).expect("a head");
            let mut trailers = http::HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("14"));
            stream.send_trailers(trailers).expect("the trailers");
        }
    })
    .await;
    let config = format!(
        "{}protocol = \"h2c\"\nretry = {{ grpc = [\"unavailable\"], backoff = \"1ms\" }}\n",
        config("\"<app>\"", "").replace("[upstream.app.retry]\n", "")
    );
    let gateway = Gateway::start(&config, &[("app", &origin)]).await;
    let client = H2Client::connect(gateway.web().await).await;
    let answer = client.ask(call("application/grpc")).await;
    assert_eq!(answer.header("grpc-status"), None);
    assert_eq!(answer.trailers.get("grpc-status"), Some("14"));
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("attempts"), "1");
    assert_eq!(heard.recv().await, Some(()));
    assert!(heard.is_empty());
}

#[tokio::test]
async fn http2_clients_and_endpoints_retry_like_the_others() {
    let count = Arc::new(AtomicUsize::new(0));
    let origin = H2Origin::start(move |mut exchange| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move {
            let (body, _) = exchange.body().await;
            let is_whole = body == pattern(30_000);
            match number {
                0 => exchange.answer(503, "busy"),
                1 => exchange.respond.send_reset(h2::Reason::INTERNAL_ERROR),
                _ if is_whole => exchange.answer(200, "whole"),
                _ => exchange.answer(400, "broken"),
            }
        }
    })
    .await;
    let config = format!(
        "{}protocol = \"h2c\"\nretry = {{ on = [\"reset\"], status = [503] }}\n",
        config("\"<app>\"", "").replace("[upstream.app.retry]\n", "")
    );
    let gateway = Gateway::start(&config, &[("app", &origin)]).await;
    let client = H2Client::connect(gateway.web().await).await;
    let request = h2_request("PUT", "/").body(pattern(30_000).into());
    let answer = client.ask(request.expect("a request")).await;
    assert_eq!((answer.status, answer.text()), (200, "whole"));
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("attempts"), "3");
    assert_eq!(origin.connections(), 1);
}

/// Case 76: all endpoints failing, each in its way, at a rate that is held whatever the answers.
#[tokio::test]
async fn case_76_retries_stay_within_the_budget_when_everything_fails() {
    const REQUESTS: usize = 3_000;
    const EVERY: Duration = Duration::from_millis(1);
    let (busy, hanging) = (failing(503, "busy").await, hanging_up().await);
    let (refusing, _guard) = refusing_address();
    let gateway = Gateway::start(
        r#"
        [server]
        workers = 2
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        max_streams = 10000
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<busy>", "<hanging>", "<refusing>"]
        [upstream.app.retry]
        attempts = 5
        on = ["reset"]
        status = [503]
        backoff = "1ms"
        budget = { share = "20%", floor = 5 }
        "#,
        &[
            ("busy", &busy),
            ("hanging", &hanging),
            ("refusing", &refusing),
        ],
    )
    .await;
    let web = gateway.web().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(H2Client::connect(web).await);
    }
    let started = Instant::now();
    let mut schedule = interval(EVERY);
    schedule.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut answers = JoinSet::new();
    for (_, client) in (0..REQUESTS).zip(clients.iter().cycle()) {
        schedule.tick().await;
        let request = h2_request("GET", "/").body(()).expect("a request");
        let (response, _) = client.open(request, true).await;
        answers.spawn(H2Answer::read(response));
    }
    for answer in answers.join_all().await {
        let answer = answer.expect("an answer");
        assert!(matches!(answer.status, 502 | 503), "{}", answer.status);
    }
    let seconds = started.elapsed().as_secs() as usize + 2;

    let records = gateway.records(REQUESTS).await;
    let attempts = records.iter().map(|record| record.number("attempts"));
    let attempts = attempts.sum::<f64>() as usize;
    let most = REQUESTS + REQUESTS / 5 + 5 * seconds;
    assert!(attempts > REQUESTS, "nothing was sent again");
    assert!(attempts <= most, "{attempts} attempts for {REQUESTS}");
    // The endpoints and the metrics know of no more.
    let asked = busy.seen().len() + hanging.connections();
    assert!(asked <= attempts, "{asked} of {attempts}");
    let metrics = gateway.metrics().await;
    let retries = metrics.sum("portcullis_retries_total", &[("upstream", "app")]);
    assert_eq!(retries as usize, attempts - REQUESTS);
    let labels = [("upstream", "app"), ("reason", "budget")];
    assert!(metrics.sum("portcullis_retries_denied_total", &labels) >= 1.0);
}

#[tokio::test]
async fn the_budget_holds_for_failed_connections_too() {
    let (refusing, _guard) = refusing_address();
    let (other, _other) = refusing_address();
    let gateway = Gateway::start(
        &config(
            "\"<refusing>\", \"<other>\"",
            "budget = { share = \"10%\", floor = 0 }",
        ),
        &[("refusing", &refusing), ("other", &other)],
    )
    .await;
    let mut client = gateway.connect().await;
    for _ in 0..100 {
        assert_eq!(client.ask(Request::get("/")).await.status, 502);
    }
    let attempts: f64 = gateway
        .records(100)
        .await
        .iter()
        .map(|record| record.number("attempts"))
        .sum();
    assert!((100.0..=110.0).contains(&attempts), "{attempts}");
}

#[tokio::test]
async fn an_endpoint_that_asks_for_a_pause_gets_it() {
    let count = Arc::new(AtomicUsize::new(0));
    let origin = Origin::http(move |_seen| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut response = answer(if number == 0 { 503 } else { 200 }, "text");
            if number == 0 {
                let value = http::HeaderValue::from_static("1");
                response.headers_mut().insert("retry-after", value);
            }
            response
        }
    })
    .await;
    let gateway = Gateway::start(&config("\"<app>\"", "status = [503]"), &[("app", &origin)]).await;
    assert_eq!(gateway.get("/").await.status, 200);
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("attempts"), "2");
    assert!(record.number("duration_ms") >= 1_000.0, "{record:?}");
}

#[tokio::test]
async fn a_pause_that_is_too_long_is_the_clients_to_make() {
    let origin = Origin::http(|_seen| async move {
        let mut response = answer(503, "closed for repairs");
        let value = http::HeaderValue::from_static("2");
        response.headers_mut().insert("retry-after", value);
        response
    })
    .await;
    let gateway = Gateway::start(
        &config("\"<app>\"", "status = [503]\nmax_retry_after = \"1s\""),
        &[("app", &origin)],
    )
    .await;
    let response = gateway.get("/").await;
    assert_eq!(response.text(), "closed for repairs");
    assert_eq!(response.header("retry-after"), Some("2"));
    assert_eq!(origin.seen().len(), 1);
    until_denied(&gateway, "retry_after", 1).await;
}

/// A gateway whose exchange is in the pause before its second attempt, which is `long`.
async fn pausing(origin: &Origin, seconds: u32) -> Gateway {
    let retry = format!("status = [503]\nmax_retry_after = \"{seconds}s\"");
    Gateway::start(&config("\"<app>\"", &retry), &[("app", origin)]).await
}

async fn asks_for_a_pause(seconds: &'static str) -> Origin {
    let count = Arc::new(AtomicUsize::new(0));
    Origin::http(move |_seen| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut response = answer(if number == 0 { 503 } else { 200 }, "text");
            let value = http::HeaderValue::from_static(seconds);
            response.headers_mut().insert("retry-after", value);
            response
        }
    })
    .await
}

/// Waits until the gateway has decided to make a second attempt.
async fn decided(gateway: &Gateway) {
    let retries = "portcullis_retries_total";
    gateway
        .metric_reaches(retries, &[("upstream", "app")], 1)
        .await;
}

#[tokio::test]
async fn a_client_that_leaves_in_a_pause_is_not_asked_for() {
    let origin = asks_for_a_pause("3600").await;
    let gateway = pausing(&origin, 3600).await;
    let mut client = gateway.connect().await;
    client.send(&Request::get("/").bytes()).await;
    decided(&gateway).await;
    drop(client);
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "client_gone");
    assert_eq!(record.text("attempts"), "1");
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn a_drain_lets_an_exchange_in_a_pause_come_to_its_end() {
    let origin = asks_for_a_pause("1").await;
    let mut gateway = pausing(&origin, 1).await;
    let mut client = gateway.connect().await;
    client.send(&Request::get("/").bytes()).await;
    decided(&gateway).await;
    gateway.signal("TERM").await;
    let response = client.response("GET").await.expect("an answer");
    assert_eq!(response.status, 200);
    assert_eq!(gateway.exit().await.code(), Some(0));
}

#[tokio::test]
async fn the_time_of_the_route_is_not_spent_on_a_pause_that_outlasts_it() {
    let origin = asks_for_a_pause("30").await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "all"
        upstream = "app"
        timeout = "10s"
        retry = { status = [503], max_retry_after = "1m" }
        [upstream.app]
        endpoints = ["<app>"]
        "#,
        &[("app", &origin)],
    )
    .await;
    assert_eq!(gateway.get("/").await.status, 503);
    until_denied(&gateway, "time", 1).await;
}

#[tokio::test]
async fn the_pauses_are_configured() {
    // Ten random pauses, of 200 ms in the mean where they may be long.
    let origin = failing(503, "busy").await;
    let mut took = Vec::new();
    for (backoff, max_backoff) in [("0s", "1s"), ("1s", "1ms"), ("400ms", "400ms")] {
        let pauses = format!("backoff = \"{backoff}\"\nmax_backoff = \"{max_backoff}\"");
        let gateway = Gateway::start(
            &config(
                "\"<app>\"",
                &format!("attempts = 11\nstatus = [503]\n{pauses}"),
            ),
            &[("app", &origin)],
        )
        .await;
        assert_eq!(gateway.get("/").await.status, 503);
        let record = &gateway.records(1).await[0];
        assert_eq!(record.text("attempts"), "11");
        took.push(record.number("duration_ms"));
    }
    assert!(took[0] < took[2] && took[1] < took[2], "{took:?}");
}
