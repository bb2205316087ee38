//! Upstreams that fail and are left alone for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use crate::harness::{
    EchoClient, Gateway, H2Origin, Origin, RawOrigin, Request, Text, ok, refusing_address, within,
};

/// One route to one upstream, which has these lines.
fn one(lines: &str) -> String {
    format!("[[route]]\nname = \"all\"\nupstream = \"app\"\n[upstream.app]\n{lines}\n")
}

/// An origin that answers with the status of the moment.
async fn answering(status: &Arc<AtomicU16>) -> Origin {
    let status = Arc::clone(status);
    Origin::http(move |_seen| {
        let mut answer = ok("");
        let status = status.load(Ordering::SeqCst);
        *answer.status_mut() = http::StatusCode::from_u16(status).expect("a status");
        async move { answer }
    })
    .await
}

/// The statuses of so many requests, one after the other.
async fn statuses(gateway: &Gateway, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(gateway.get("/").await.status);
    }
    statuses
}

/// What `/upstreams` says of the breaker.
async fn state(gateway: &Gateway) -> String {
    let shown = gateway.ask_admin(Request::get("/upstreams")).await.json();
    let state = &shown["upstreams"]["app"]["breaker"]["state"];
    state.as_str().expect("a state").to_owned()
}

/// Waits until requests are let through again; each refusal is an event.
async fn until_tried(gateway: &Gateway) -> u16 {
    within("a trial", async {
        loop {
            let response = gateway.get("/").await;
            if response.header("retry-after").is_none() {
                return response.status;
            }
        }
    })
    .await
}

#[tokio::test]
async fn it_opens_at_a_share_of_failures_and_closes_after_good_trials() {
    let status = Arc::new(AtomicU16::new(200));
    let origin = answering(&status).await;
    let config = one(&format!(
        "endpoints = [\"{origin}\"]\n\
         breaker = {{ failure_share = \"40%\", minimum_requests = 5, window = \"1h\", open_for = \"1s\", trials = 2 }}"
    ));
    let gateway = Gateway::start(&config, &[]).await;
    assert_eq!(statuses(&gateway, 3).await, [200; 3]);
    assert_eq!(state(&gateway).await, "closed");
    status.store(500, Ordering::SeqCst);
    // Two of five are 40 %.
    assert_eq!(statuses(&gateway, 2).await, [500; 2]);
    let refused = gateway.get("/").await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(origin.seen().len(), 5);
    let record = &gateway.records(6).await[5];
    assert_eq!(record.text("reason"), "breaker_open");
    assert_eq!(record.text("attempts"), "0");
    gateway
        .log()
        .wait("the opening", |line| {
            (line.message() == "circuit breaker opened" && line.field("upstream") == Some("app"))
                .then_some(())
        })
        .await;

    status.store(200, Ordering::SeqCst);
    assert_eq!(until_tried(&gateway).await, 200);
    assert_eq!(state(&gateway).await, "half_open");
    let gauge = "portcullis_upstream_breaker_state";
    gateway.metric_is(gauge, &[("upstream", "app")], 1).await;
    assert_eq!(statuses(&gateway, 1).await, [200]);
    assert_eq!(state(&gateway).await, "closed");
    // What failed before is forgotten.
    status.store(500, Ordering::SeqCst);
    assert_eq!(statuses(&gateway, 4).await, [500; 4]);
    let metrics = gateway.metrics().await;
    for to in ["open", "half_open", "closed"] {
        let labels = [("upstream", "app"), ("to", to)];
        let count = metrics.sum("portcullis_upstream_breaker_transitions_total", &labels);
        assert!((count - 1.0).abs() < 0.1, "{to} {count}");
    }
}

#[tokio::test]
async fn a_trial_that_fails_opens_it_for_longer() {
    let status = Arc::new(AtomicU16::new(500));
    let origin = answering(&status).await;
    let config = one(&format!(
        "endpoints = [\"{origin}\"]\n\
         breaker = {{ consecutive_failures = 1, open_for = \"100ms\", max_open_for = \"1h\" }}"
    ));
    let gateway = Gateway::start(&config, &[]).await;
    assert_eq!(statuses(&gateway, 1).await, [500]);
    for _ in 0..3 {
        assert_eq!(until_tried(&gateway).await, 500);
    }
    for time in [100, 200, 400, 800] {
        opened_for(&gateway, time).await;
    }
    // Shorter from now on: the longest time goes for the next opening.
    let config = config.replace("\"1h\"", "\"300ms\"");
    gateway.reload(&config, &[]).await;
    assert_eq!(until_tried(&gateway).await, 500);
    opened_for(&gateway, 300).await;
}

/// Waits for the word that the breaker opened for so many milliseconds.
async fn opened_for(gateway: &Gateway, milliseconds: u32) {
    let told = format!("\"for_ms\":{milliseconds}");
    gateway
        .log()
        .wait(&format!("an opening for {milliseconds} ms"), |line| {
            (line.message() == "circuit breaker opened" && line.text().contains(&told))
                .then_some(())
        })
        .await;
}

#[tokio::test]
async fn an_open_breaker_stays_open_through_a_reload_and_says_when_to_come_again() {
    let status = Arc::new(AtomicU16::new(503));
    let origin = answering(&status).await;
    let config = one(&format!(
        "endpoints = [\"{origin}\"]\nbreaker = {{ consecutive_failures = 2, open_for = \"1m\" }}"
    ));
    let gateway = Gateway::start(&config, &[]).await;
    assert_eq!(statuses(&gateway, 2).await, [503; 2]);
    gateway
        .reload(&format!("{config}max_idle = 7\n"), &[])
        .await;
    let refused = gateway.get("/").await;
    let seconds: u32 = refused
        .header("retry-after")
        .expect("Retry-After")
        .parse()
        .expect("seconds");
    assert!((1..=60).contains(&seconds) && seconds > 30, "{seconds}");
    assert_eq!(origin.seen().len(), 2);
    assert_eq!(state(&gateway).await, "open");
    // Without a breaker nobody is left alone.
    let config = one(&format!("endpoints = [\"{origin}\"]"));
    gateway.reload(&config, &[]).await;
    gateway.get("/").await;
    assert_eq!(origin.seen().len(), 3);
}

#[tokio::test]
async fn failures_of_long_ago_do_not_count() {
    let status = Arc::new(AtomicU16::new(500));
    let origin = answering(&status).await;
    let config = one(&format!(
        "endpoints = [\"{origin}\"]\n\
         breaker = {{ failure_share = \"50%\", minimum_requests = 4, window = \"10ms\" }}"
    ));
    let gateway = Gateway::start(&config, &[]).await;
    for _ in 0..12 {
        assert_eq!(gateway.get("/").await.status, 500);
        let asked = std::time::Instant::now();
        // Each answer is an event; by now the failure is older than the window.
        while asked.elapsed() < std::time::Duration::from_millis(12) {
            gateway.ask_admin(Request::get("/healthz")).await;
        }
    }
    assert_eq!(state(&gateway).await, "closed");
    assert_eq!(origin.seen().len(), 12);
}

#[tokio::test]
async fn what_counts_as_a_failure_is_configured() {
    for (status, written, expected) in [
        (500, "[\"5xx\"]", "open"),
        (501, "[500, 503]", "closed"),
        (503, "[500, 503]", "open"),
        (429, "[429]", "open"),
        (404, "[\"5xx\"]", "closed"),
    ] {
        let status = Arc::new(AtomicU16::new(status));
        let origin = answering(&status).await;
        let config = one(&format!(
            "endpoints = [\"{origin}\"]\n\
             breaker = {{ consecutive_failures = 2, failure_status = {written} }}"
        ));
        let gateway = Gateway::start(&config, &[]).await;
        statuses(&gateway, 2).await;
        assert_eq!(state(&gateway).await, expected, "{status:?} {written}");
    }
}

#[tokio::test]
async fn failures_in_a_row_of_every_kind_open_it() {
    let silent = RawOrigin::start(|_, mut connection| async move {
        connection.rest().await;
    })
    .await;
    let closing = RawOrigin::start(|_, mut connection| async move {
        let _ = connection.request().await;
    })
    .await;
    let garbage = RawOrigin::answering(b"garbage\r\n\r\n").await;
    let cut = RawOrigin::start(|_, mut connection| async move {
        let _ = connection.request().await;
        connection
            .send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            .await;
    })
    .await;
    let (refusing, _guard) = refusing_address();
    for (name, address) in [
        ("silent", silent.to_string()),
        ("closing", closing.to_string()),
        ("garbage", garbage.to_string()),
        ("refusing", refusing.to_string()),
    ] {
        let config = one(&format!(
            "endpoints = [\"{address}\"]\nresponse_timeout = \"100ms\"\n\
             breaker = {{ consecutive_failures = 2, failure_share = \"100%\" }}"
        ));
        let gateway = Gateway::start(&config, &[]).await;
        assert!(
            statuses(&gateway, 2)
                .await
                .iter()
                .all(|status| *status >= 502)
        );
        assert_eq!(state(&gateway).await, "open", "{name}");
    }
    // A body that breaks off after a good head counts among all, but a row has ended with the head.
    let config = one(&format!(
        "endpoints = [\"{cut}\"]\nbreaker = {{ failure_share = \"50%\", minimum_requests = 4 }}"
    ));
    let gateway = Gateway::start(&config, &[]).await;
    for _ in 0..2 {
        let answer = gateway.connect().await.try_ask(Request::get("/")).await;
        assert!(answer.is_err(), "{answer:?}");
    }
    gateway.records(2).await;
    assert_eq!(state(&gateway).await, "open", "cut");
}

#[tokio::test]
async fn a_client_that_goes_away_is_no_failure_and_gives_its_trial_back() {
    let status = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&status);
    let (gate_origin, gate) = Origin::gated("late").await;
    let first = Origin::http(move |_seen| {
        count.fetch_add(1, Ordering::SeqCst);
        let mut answer = ok("");
        *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
        async move { answer }
    })
    .await;
    let text = one("endpoints = [\"<origin>\"]\n\
         breaker = { consecutive_failures = 1, open_for = \"100ms\", trials = 1 }");
    let gateway = Gateway::start(&text, &[("origin", &first)]).await;
    assert_eq!(statuses(&gateway, 1).await, [503]);
    gateway.reload(&text, &[("origin", &gate_origin)]).await;
    for trial in 1..=3 {
        // Those before the trial are refused; the trial itself reaches the gate and is given up by its client.
        let mut client = gateway.connect().await;
        within("a trial", async {
            loop {
                client.send(&Request::get("/").bytes()).await;
                tokio::select! {
                    answer = client.response("GET") => assert_eq!(answer.expect("an answer").status, 503),
                    () = gate.reached(trial) => return,
                }
            }
        })
        .await;
        assert_eq!(state(&gateway).await, "half_open");
        drop(client);
        within("the client's end is seen", async {
            loop {
                let lines = gateway.access_log().lines_now();
                let gone = lines.iter().filter(|line| line.contains("client_gone"));
                if gone.count() >= trial {
                    return;
                }
                // The answer is an event, after which the log is looked at again.
                gateway.ask_admin(Request::get("/healthz")).await;
            }
        })
        .await;
    }
    gate.open();
    assert_eq!(until_tried(&gateway).await, 200);
    assert_eq!(state(&gateway).await, "closed");
}

#[tokio::test]
async fn those_who_wait_are_told_when_it_opens() {
    let gate = crate::harness::Gate::new();
    let passing = gate.clone();
    let origin = Origin::http(move |_seen| {
        let gate = passing.clone();
        async move {
            gate.pass().await;
            let mut answer = ok("");
            *answer.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            answer
        }
    })
    .await;
    let config = one(&format!(
        "endpoints = [\"{origin}\"]\n\
         limits = {{ requests = 1, queue = 5, queue_timeout = \"1h\" }}\n\
         breaker = {{ consecutive_failures = 1, open_for = \"1h\", max_open_for = \"1h\" }}"
    ));
    let gateway = Gateway::start(&config, &[]).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = gateway.connect().await;
        client.send(&Request::get("/").bytes()).await;
        clients.push(client);
    }
    gate.reached(1).await;
    gate.open();
    let mut statuses = Vec::new();
    for mut client in clients {
        let answer = client.response("GET").await.expect("an answer");
        statuses.push(answer.status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [500, 503, 503, 503]);
    assert_eq!(origin.seen().len(), 1);
    let records = gateway.records(4).await;
    let refused = records
        .iter()
        .filter(|one| one.text("reason") == "breaker_open");
    assert_eq!(refused.count(), 3);
}

#[tokio::test]
async fn a_grpc_status_counts_as_the_http_status_that_means_the_same() {
    let origin = H2Origin::start(|mut exchange| async move {
        let _ = exchange.body().await;
        let answer = http::Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", "14")
            .body(())
            .expect("a response");
        let _ = exchange.respond.send_response(answer, true);
    })
    .await;
    let config = one(&format!(
        "endpoints = [\"{origin}\"]\nprotocol = \"h2c\"\n\
         breaker = {{ consecutive_failures = 2 }}"
    ));
    let gateway = Gateway::start(&config, &[]).await;
    let mut client = EchoClient::connect(gateway.web().await).await;
    for _ in 0..2 {
        let failed = client.unary(tonic::Request::new(Text::new("hello"))).await;
        assert_eq!(
            failed.expect_err("a status").code(),
            tonic::Code::Unavailable
        );
    }
    assert_eq!(state(&gateway).await, "open");
    let refused = client.unary(tonic::Request::new(Text::new("hello"))).await;
    let refused = refused.expect_err("a refusal");
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    assert_eq!(refused.message(), "breaker_open");
}
