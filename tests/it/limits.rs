//! What one client may use: connections, requests, sizes.

use crate::harness::{Broken, Gateway, Origin, RawH2, RawOrigin, Request, StreamEnd, within};

/// A listener with this limit.
fn listener(limit: &str) -> String {
    format!(
        "[server]\nworkers = 2\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n{limit}\n\
         [[route]]\nname = \"all\"\nrespond = {{ body = \"hello\" }}\n"
    )
}

#[tokio::test]
async fn connections_beyond_the_cap_of_a_listener_are_closed_at_once() {
    let gateway = Gateway::start(&listener("max_connections = 2"), &[]).await;
    let mut first = gateway.connect().await;
    let mut second = gateway.connect().await;
    assert_eq!(first.ask(Request::get("/")).await.status, 200);
    assert_eq!(second.ask(Request::get("/")).await.status, 200);
    let mut third = gateway.connect().await;
    let refused = third.try_ask(Request::get("/")).await;
    assert!(
        matches!(&refused, Err(Broken::Closed))
            || matches!(&refused, Ok(response) if response.status == 503),
        "{refused:?}"
    );
    let refused_total = "portcullis_connections_refused_total";
    gateway
        .metric_reaches(
            refused_total,
            &[("listener", "web"), ("reason", "listener_full")],
            1,
        )
        .await;
    // A place that becomes free is given away again.
    drop(first);
    within("a free place", async {
        loop {
            let mut next = gateway.connect().await;
            if next.try_ask(Request::get("/")).await.is_ok() {
                break;
            }
        }
    })
    .await;
    assert_eq!(second.ask(Request::get("/")).await.status, 200);
}

#[tokio::test]
async fn connections_of_all_listeners_together_have_a_cap() {
    let gateway = Gateway::start(
        r#"
        [server]
        workers = 2
        max_connections = 2
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        [[listener]]
        name = "other"
        address = "127.0.0.1:0"
        [[route]]
        name = "all"
        respond = { body = "hello" }
        "#,
        &[],
    )
    .await;
    let mut first = gateway.connect().await;
    assert_eq!(first.ask(Request::get("/")).await.status, 200);
    let other = gateway.address("other").await;
    let mut second = crate::harness::Client::connect(other).await;
    assert_eq!(second.ask(Request::get("/")).await.status, 200);
    let mut third = crate::harness::Client::connect(other).await;
    let refused = third.try_ask(Request::get("/")).await;
    assert!(
        !matches!(&refused, Ok(response) if response.status == 200),
        "{refused:?}"
    );
    let labels = [("listener", "other"), ("reason", "process_full")];
    gateway
        .metric_is("portcullis_connections_refused_total", &labels, 1)
        .await;
    // The admin address is not counted: it stays alive when everything else is full.
    assert_eq!(
        gateway.ask_admin(Request::get("/healthz")).await.status,
        200
    );
}

#[tokio::test]
async fn case_38_a_connection_serves_so_many_requests() {
    let gateway = Gateway::start(&listener("max_requests = 3"), &[]).await;
    let mut client = gateway.connect().await;
    for number in 1..=3 {
        let response = client.ask(Request::get("/")).await;
        assert_eq!(response.status, 200);
        let close = response.header("connection") == Some("close");
        assert_eq!(close, number == 3, "request {number}");
    }
    client.closed().await;

    let client = crate::harness::H2Client::connect(gateway.web().await).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.status, 200);
    }
    // GOAWAY without an error.
    client.ended().await.expect("an orderly end");
    let labels = [("listener", "web"), ("reason", "max_requests")];
    gateway
        .metric_is("portcullis_connections_ended_total", &labels, 2)
        .await;
}

/// What a client has sent on behind its last request is not served, and costs it none of its answers.
#[tokio::test]
async fn case_38_a_pipeline_ends_with_the_last_request() {
    const SENT: usize = 10_000;
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(
        r#"
        [server]
        workers = 1
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        max_requests = 3
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<app>"]
        "#,
        &[("app", &origin)],
    )
    .await;
    let mut client = gateway.connect().await;
    let pipeline = Request::get("/").bytes().repeat(SENT);
    // Who has closed takes no more of it.
    let _ = client.try_send(&pipeline).await;
    for number in 1..=3 {
        let response = client.response("GET").await.expect("an answer");
        assert_eq!(response.status, 200);
        let close = response.header("connection") == Some("close");
        assert_eq!(close, number == 3, "request {number}");
    }
    client.closed().await;
    assert_eq!(origin.seen().len(), 3);
    assert_eq!(gateway.stop().await.len(), 3);
}

#[tokio::test]
async fn a_connection_ends_in_order_when_it_is_old() {
    let gateway = Gateway::start(&listener("max_connection_age = \"300ms\""), &[]).await;
    let mut client = gateway.connect().await;
    let mut beat = tokio::time::interval(std::time::Duration::from_millis(50));
    let mut served = 0;
    within("the age of a connection", async {
        loop {
            beat.tick().await;
            let response = client.ask(Request::get("/")).await;
            assert_eq!(response.status, 200);
            served += 1;
            if response.header("connection") == Some("close") {
                break;
            }
        }
    })
    .await;
    assert!(served > 1, "a young connection goes on");
    client.closed().await;

    // Over HTTP/2 the client is told without having asked for anything.
    let mut raw = RawH2::over(gateway.connect().await).await;
    assert_eq!(raw.end_of(u32::MAX).await, StreamEnd::GoAway(0));
    raw.until_closed().await;
    let labels = [("listener", "web"), ("reason", "max_connection_age")];
    gateway
        .metric_is("portcullis_connections_ended_total", &labels, 2)
        .await;
}

#[tokio::test]
async fn a_head_has_a_largest_size_and_number_of_fields() {
    let gateway = Gateway::start(
        &listener("max_head_size = \"2KiB\"\nmax_fields = 10\nmax_target = \"500B\""),
        &[],
    )
    .await;
    let fields = |count: usize| {
        (0..count).fold(Request::get("/"), |request, number| {
            request.header(&format!("x-{number}"), "y")
        })
    };
    for (request, status, reason) in [
        (fields(8), 200, ""),
        (fields(20), 431, "too_many_fields"),
        (Request::get("/").header("x", &"y".repeat(1500)), 200, ""),
        (
            Request::get("/").header("x", &"y".repeat(3000)),
            431,
            "head_too_large",
        ),
        (Request::get(&format!("/{}", "a".repeat(400))), 200, ""),
        (
            Request::get(&format!("/{}", "a".repeat(600))),
            414,
            "target_too_long",
        ),
    ] {
        let mut client = gateway.connect().await;
        let response = client.ask(request).await;
        assert_eq!(response.status, status, "{reason}");
        if status != 200 {
            client.closed().await;
        }
    }
    let records = gateway.records(6).await;
    let reasons: Vec<_> = records.iter().map(|record| record.text("reason")).collect();
    for reason in ["too_many_fields", "head_too_large", "target_too_long"] {
        assert!(reasons.iter().any(|other| other == reason), "{reasons:?}");
    }
}

#[tokio::test]
async fn a_head_without_end_is_refused_while_it_is_small() {
    let gateway = Gateway::start(&listener("max_head_size = \"8KiB\""), &[]).await;
    let before = gateway.resident();
    let mut client = gateway.connect().await;
    client
        .send(b"GET / HTTP/1.1\r\nHost: gateway.test\r\nx: ")
        .await;
    let part = vec![b'y'; 64 * 1024];
    for _ in 0..1000 {
        if client.try_send(&part).await.is_err() {
            break;
        }
    }
    let response = client.response("GET").await.expect("an answer");
    assert_eq!(response.status, 431);
    assert!(gateway.resident().saturating_sub(before) < 8 * 1024 * 1024);
}

#[tokio::test]
async fn http2_heads_have_the_same_limits() {
    let gateway = Gateway::start(&listener("max_head_size = \"2KiB\"\nmax_fields = 10"), &[]).await;
    let client = crate::harness::H2Client::connect(gateway.web().await).await;
    let request = crate::harness::h2_request("GET", "/")
        .header("x", "y".repeat(8000))
        .body(bytes::Bytes::new())
        .expect("a request");
    match client.try_ask(request).await {
        Ok(answer) => assert_eq!(answer.status, 431),
        Err(error) => assert!(error.is_reset() || error.is_go_away(), "{error}"),
    }
    let client = crate::harness::H2Client::connect(gateway.web().await).await;
    assert_eq!(client.get("/").await.status, 200);
}

#[tokio::test]
async fn only_so_many_idle_upstream_connections_are_kept() {
    let (closed, mut events) = tokio::sync::mpsc::unbounded_channel();
    let all_here = std::sync::Arc::new(tokio::sync::Barrier::new(4));
    let origin = RawOrigin::start(move |index, mut connection| {
        let (closed, all_here) = (closed.clone(), std::sync::Arc::clone(&all_here));
        async move {
            connection.request().await.expect("a request");
            all_here.wait().await;
            connection
                .send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
            connection.closed().await;
            closed.send(index).expect("the test");
        }
    })
    .await;
    let gateway = Gateway::start(
        r#"
        [server]
        workers = 1
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<app>"]
        max_idle = 1
        "#,
        &[("app", &origin)],
    )
    .await;
    let asked = (0..4).map(|_| gateway.get("/"));
    for response in futures_util::future::join_all(asked).await {
        assert_eq!(response.status, 200);
    }
    for _ in 0..3 {
        within("the close of a surplus connection", events.recv()).await;
    }
    assert!(events.try_recv().is_err(), "the last one is kept");
}

#[tokio::test]
async fn the_number_of_workers_is_configured() {
    let origin = Origin::answering("ok").await;
    for workers in [1, 3] {
        let gateway = Gateway::start(
            &format!(
                "[server]\nworkers = {workers}\n[[route]]\nname = \"all\"\nupstream = \"app\"\n\
                 [upstream.app]\nendpoints = [\"<app>\"]\n"
            ),
            &[("app", &origin)],
        )
        .await;
        // A thread gives itself its name, which may be after it was started.
        within("the workers' names", async {
            while gateway.threads_named("worker") < workers {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(gateway.get("/").await.status, 200);
        assert_eq!(gateway.threads_named("worker"), workers);
    }
}
