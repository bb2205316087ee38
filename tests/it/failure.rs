//! Upstreams that fail, and what the client, the log and the metrics make of it.

use crate::harness::{
    Broken, Client, Gate, Gateway, Origin, RawOrigin, Request, blackhole, refusing_address, within,
};

const ONE: &str = r#"
    [server]
    workers = 1
    [[route]]
    name = "all"
    upstream = "app"
    [upstream.app]
    endpoints = ["<app>"]
"#;

/// Compares status and reason of the last record, and finds them in the metrics too.
async fn told(gateway: &Gateway, records: usize, status: &str, reason: &str) {
    let all = gateway.records(records).await;
    let record = &all[records - 1];
    assert_eq!(record.text("status"), status, "{record:?}");
    assert_eq!(record.text("reason"), reason, "{record:?}");
    assert_eq!(record.text("source"), "gateway");
    let labels = [("code", status), ("reason", reason), ("source", "gateway")];
    let metrics = gateway.metrics().await;
    assert!(
        metrics.sum("portcullis_requests_total", &labels) >= 1.0,
        "{status} {reason} is not in {}",
        metrics.text()
    );
}

#[tokio::test]
async fn every_endpoint_refusing_is_502_and_then_503() {
    let (refusing, _guard) = refusing_address();
    let gateway = Gateway::start(ONE, &[("app", &refusing)]).await;
    let first = gateway.get("/").await;
    assert_eq!(first.status, 502);
    told(&gateway, 1, "502", "connect_failed").await;
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_is_504() {
    let (black, _listener, _filler) = blackhole().await;
    let config = format!("{ONE}connect_timeout = \"200ms\"\n");
    let gateway = Gateway::start(&config, &[("app", &black)]).await;
    assert_eq!(gateway.get("/").await.status, 504);
    told(&gateway, 1, "504", "connect_timeout").await;
}

#[tokio::test]
async fn a_slow_connection_gives_way_to_another_endpoint() {
    let (black, _listener, _filler) = blackhole().await;
    let good = Origin::answering("good").await;
    let gateway = Gateway::start(
        r#"
        [server]
        workers = 1
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<black>", "<good>"]
        connect_timeout = "200ms"
        "#,
        &[("black", &black), ("good", &good)],
    )
    .await;
    // A POST too: nothing of it has been sent when the connection fails.
    for _ in 0..2 {
        let response = gateway.send(Request::post("/", "body")).await;
        assert_eq!((response.status, response.text()), (200, "good"));
    }
    assert!(good.seen().iter().all(|seen| seen.text() == "body"));
}

#[tokio::test]
async fn a_response_that_does_not_come_is_504() {
    let (origin, gate) = Origin::gated("late").await;
    let config = format!("{ONE}response_timeout = \"200ms\"\n");
    let gateway = Gateway::start(&config, &[("app", &origin)]).await;
    assert_eq!(gateway.get("/").await.status, 504);
    told(&gateway, 1, "504", "upstream_timeout").await;
    gate.open();
    // The late answer is nobody's: the next client gets its own.
    let next = gateway.get("/next").await;
    assert_eq!((next.status, next.text()), (200, "late"));
}

#[tokio::test]
async fn a_body_that_stalls_is_broken_off() {
    let origin = RawOrigin::start(|_, mut connection| async move {
        let _ = connection.request().await;
        connection
            .send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            .await;
        connection.rest().await;
    })
    .await;
    let config = format!("{ONE}response_timeout = \"200ms\"\n");
    let gateway = Gateway::start(&config, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    let answer = client.try_ask(Request::get("/")).await;
    assert!(matches!(answer, Err(Broken::Truncated(_))), "{answer:?}");
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "upstream_timeout");
}

#[tokio::test]
async fn the_time_of_a_route_limits_the_whole_exchange() {
    let (origin, _gate) = Origin::gated("late").await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "all"
        upstream = "app"
        timeout = "200ms"
        [upstream.app]
        endpoints = ["<app>"]
        "#,
        &[("app", &origin)],
    )
    .await;
    assert_eq!(gateway.get("/").await.status, 504);
    told(&gateway, 1, "504", "route_timeout").await;
}

#[tokio::test]
async fn an_upstream_that_dies_inside_a_body_is_an_abort_for_the_client() {
    let origin = RawOrigin::start(|_, mut connection| async move {
        let _ = connection.request().await;
        connection
            .send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            .await;
        // Until the origin is dropped, when the client has these bytes.
        let _ = connection.request().await;
    })
    .await;
    let gateway = Gateway::start(ONE, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client.send(&Request::get("/").bytes()).await;
    let (head, _length) = client.response_head("GET").await.expect("a head");
    assert_eq!(head.status, 200);
    assert_eq!(client.chunk().await.as_deref(), Some(&b"abc"[..]));
    drop(origin);
    client.closed().await;
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "upstream_closed");
}

#[tokio::test]
async fn kept_connections_are_shared_by_clients_one_request_at_a_time() {
    let gate = Gate::new();
    let origin = Origin::behind(&gate, "ok").await;
    let gateway = Gateway::start(ONE, &[("app", &origin)]).await;
    gate.release(5);
    for _ in 0..5 {
        assert_eq!(gateway.get("/").await.status, 200);
    }
    assert_eq!(origin.connections(), 1);
    // Two at once need two connections.
    let (mut one, mut two) = (gateway.connect().await, gateway.connect().await);
    one.send(&Request::get("/one").bytes()).await;
    two.send(&Request::get("/two").bytes()).await;
    gate.reached(7).await;
    gate.open();
    one.response("GET").await.expect("an answer");
    two.response("GET").await.expect("an answer");
    assert_eq!(origin.connections(), 2);
    let seen = origin.seen();
    assert_ne!(seen[5].connection, seen[6].connection);
    gateway.records(7).await;
    let metrics = gateway.metrics().await;
    let labels = [("upstream", "app")];
    let reused = metrics.sum("portcullis_upstream_connections_reused_total", &labels);
    assert!((reused - 5.0).abs() < 0.1, "{reused}");
}

/// An origin that keeps its connection after the first answer and closes it when the second request has come.
async fn closes_on_the_second_request() -> RawOrigin {
    RawOrigin::start(|index, mut connection| async move {
        if connection.request().await.is_err() {
            return;
        }
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        connection.send(answer).await;
        if index == 0 {
            // Read, not answered: the gateway cannot know whether anybody acted on it.
            let _ = connection.request().await;
        } else {
            connection.rest().await;
        }
    })
    .await
}

#[tokio::test]
async fn case_75_a_get_on_a_stale_connection_is_sent_again() {
    let origin = closes_on_the_second_request().await;
    let gateway = Gateway::start(ONE, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    assert_eq!(client.ask(Request::get("/1")).await.status, 200);
    assert_eq!(client.ask(Request::get("/2")).await.status, 200);
    assert_eq!(origin.connections(), 2);
    assert!(origin.received(1).starts_with(b"GET /2 "));
    let record = &gateway.records(2).await[1];
    assert_eq!(record.text("attempts"), "2");
}

#[tokio::test]
async fn case_74_a_post_that_may_have_been_seen_is_sent_once() {
    let origin = closes_on_the_second_request().await;
    let gateway = Gateway::start(ONE, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    assert_eq!(client.ask(Request::get("/1")).await.status, 200);
    let response = client.ask(Request::post("/2", "once")).await;
    assert_eq!(response.status, 502);
    assert_eq!(origin.connections(), 1);
    told(&gateway, 2, "502", "upstream_closed").await;
}

#[tokio::test]
async fn a_get_that_a_fresh_connection_swallows_is_not_sent_again() {
    let origin = RawOrigin::start(|_, mut connection| async move {
        let _ = connection.request().await;
    })
    .await;
    let gateway = Gateway::start(ONE, &[("app", &origin)]).await;
    assert_eq!(gateway.get("/").await.status, 502);
    assert_eq!(origin.connections(), 1);
    told(&gateway, 1, "502", "upstream_closed").await;
}

#[tokio::test]
async fn an_idle_connection_that_the_upstream_closes_is_not_used() {
    // Each connection serves one request and then closes without having said so.
    let origin = RawOrigin::start(|_, mut connection| async move {
        let _ = connection.request().await;
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        connection.send(answer).await;
    })
    .await;
    let gateway = Gateway::start(ONE, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    for number in 0..20 {
        let request = Request::post(&format!("/{number}"), "x");
        assert_eq!(client.ask(request).await.status, 200);
        until_ended_at(&origin.to_string()).await;
    }
    assert_eq!(origin.connections(), 20);
}

/// Waits until the system has told whoever is connected to that address that no more will come.
async fn until_ended_at(address: &str) {
    const ESTABLISHED: &str = "01";
    let port: u16 = address
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a port");
    let remote = format!("0100007F:{port:04X}");
    within("the end of the connection", async {
        let mut beat = tokio::time::interval(std::time::Duration::from_millis(1));
        loop {
            let table = std::fs::read_to_string("/proc/net/tcp").expect("the connections");
            let is_open = table.lines().any(|line| {
                let mut columns = line.split_whitespace().skip(2);
                columns.next() == Some(&remote) && columns.next() == Some(ESTABLISHED)
            });
            if !is_open {
                return;
            }
            beat.tick().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_exchange_upstream() {
    let origin = RawOrigin::start(|_, mut connection| async move {
        let _ = connection.request().await;
        // No answer; the gateway must hang up when its client does.
        connection.closed().await;
    })
    .await;
    let gateway = Gateway::start(ONE, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client.send(&Request::get("/").bytes()).await;
    origin.until_received(0, b"\r\n\r\n").await;
    drop(client);
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("status"), "499");
    assert_eq!(record.text("reason"), "client_gone");
}

#[tokio::test]
async fn an_upstream_that_fails_does_not_touch_another_one() {
    let (held, gate) = Origin::gated("held").await;
    let good = Origin::answering("good").await;
    let gateway = Gateway::start(
        r#"
        [server]
        workers = 1
        [[route]]
        name = "held"
        path = "/held"
        upstream = "held"
        [[route]]
        name = "good"
        path = "/good"
        upstream = "good"
        [upstream.held]
        endpoints = ["<held>"]
        [upstream.good]
        endpoints = ["<good>"]
        "#,
        &[("held", &held), ("good", &good)],
    )
    .await;
    let mut waiting = Vec::new();
    for _ in 0..200 {
        let mut client = gateway.connect().await;
        client.send(&Request::get("/held").bytes()).await;
        waiting.push(client);
    }
    gate.reached(200).await;
    for _ in 0..50 {
        assert_eq!(gateway.get("/good").await.text(), "good");
    }
    let metrics = gateway.metrics().await;
    let labels = [("upstream", "held")];
    let in_flight = metrics.sum("portcullis_upstream_requests_in_flight", &labels);
    assert!((in_flight - 200.0).abs() < 0.5, "{in_flight}");
}

/// Case 77: what is lost with an endpoint is at most what it was working on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_77_the_death_of_an_endpoint_under_load_costs_what_it_had_in_hand() {
    const CLIENTS: usize = 8;
    let (a, b, dying) = (
        Origin::answering("a").await,
        Origin::answering("b").await,
        Origin::answering("dying").await,
    );
    let gateway = Gateway::start(
        r#"
        [server]
        workers = 2
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<a>", "<b>", "<dying>"]
        "#,
        &[("a", &a), ("b", &b), ("dying", &dying)],
    )
    .await;
    let address = gateway.web().await;
    let (warm, mut events) = tokio::sync::mpsc::unbounded_channel();
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..CLIENTS {
        let warm = warm.clone();
        load.spawn(async move {
            let mut client = Client::connect(address).await;
            let mut lost = 0usize;
            for number in 0..600 {
                if number == 100 {
                    warm.send(()).expect("the test");
                }
                let response = client.ask(Request::get("/")).await;
                match response.status {
                    200 => {}
                    502 => lost += 1,
                    other => panic!("a {other}"),
                }
            }
            lost
        });
    }
    for _ in 0..CLIENTS {
        within("a client under way", events.recv()).await;
    }
    dying.stop().await;
    let lost: usize = load.join_all().await.iter().sum();
    assert!(lost <= CLIENTS, "{lost} requests were lost");
    // Since then nobody has met the dead one.
    for _ in 0..20 {
        assert_eq!(gateway.get("/").await.status, 200);
    }
}
