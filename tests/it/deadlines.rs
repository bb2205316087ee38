//! Clients that take their time: every wait ends, whatever trickles in. The close is the event that is waited for.

use std::time::Duration;

use crate::harness::{Authority, Client, ClientTls, Gateway, Origin, RawH2, Request, within};

/// A listener with this deadline and others that are far away.
fn listener(deadline: &str) -> String {
    format!(
        "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n{deadline}\n\
         [[route]]\nname = \"all\"\nupstream = \"app\"\n[upstream.app]\nendpoints = [\"<app>\"]\n"
    )
}

/// Sends a byte every now and then, as a slow client does, until the gateway has had enough.
async fn trickle(client: &mut Client, byte: &[u8]) {
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    within("the gateway's patience to end", async {
        loop {
            beat.tick().await;
            if client.try_send(byte).await.is_err() {
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn case_34_half_a_head_is_given_up() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(&listener("head_timeout = \"200ms\""), &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client
        .send(b"GET / HTTP/1.1\r\nHost: gateway.test\r\n")
        .await;
    let response = client.response("GET").await.expect("an answer");
    assert_eq!(response.status, 408);
    client.closed().await;
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "head_timeout");
}

#[tokio::test]
async fn case_34_a_head_that_trickles_is_given_up_all_the_same() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(&listener("head_timeout = \"200ms\""), &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client
        .send(b"GET / HTTP/1.1\r\nHost: gateway.test\r\nx: ")
        .await;
    trickle(&mut client, b"y").await;
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "head_timeout");
    assert!(origin.seen().is_empty());
}

/// What a client speaks is found out in the time of the first head, and from when it was there.
#[tokio::test]
async fn case_34_finding_out_the_protocol_takes_no_time_of_its_own() {
    const HEAD: Duration = Duration::from_secs(3);
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(&listener("head_timeout = \"3s\""), &[("app", &origin)]).await;
    let began = std::time::Instant::now();
    let mut client = gateway.connect().await;
    // The beginning of the preface of HTTP/2, and of the method of a request.
    client.send(b"P").await;
    let response = client.response("GET").await.expect("an answer");
    assert_eq!(response.status, 408);
    assert!(began.elapsed() < 2 * HEAD, "{:?}", began.elapsed());
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "head_timeout");
}

#[tokio::test]
async fn case_34_the_second_head_on_a_connection_has_the_same_deadline() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(&listener("head_timeout = \"200ms\""), &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    assert_eq!(client.ask(Request::get("/")).await.status, 200);
    client.send(b"GET / HT").await;
    let response = client.response("GET").await.expect("an answer");
    assert_eq!(response.status, 408);
    client.closed().await;
}

#[tokio::test]
async fn case_34_an_http2_head_without_end_is_given_up() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(&listener("head_timeout = \"200ms\""), &[("app", &origin)]).await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    // HEADERS without END_HEADERS, and nothing that would break the connection by standing behind it.
    raw.acknowledges = false;
    raw.frame(1, 1, 1, &[0x82]).await;
    raw.until_closed().await;
    assert_eq!(gateway.records(1).await[0].text("reason"), "head_timeout");
    assert_eq!(gateway.get("/").await.status, 200);
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_record() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(&listener("idle_timeout = \"200ms\""), &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    assert_eq!(client.ask(Request::get("/")).await.status, 200);
    client.closed().await;
    let labels = [("listener", "web"), ("reason", "idle_timeout")];
    gateway
        .metric_is("portcullis_connections_ended_total", &labels, 1)
        .await;
    assert_eq!(gateway.stop().await.len(), 1);
}

/// Whatever the listener would have spoken: the client is let go after the time for a head, and that is counted.
#[tokio::test]
async fn a_connection_that_never_says_anything_is_closed_without_a_record() {
    let authority = Authority::new("tests");
    let site = authority.issue(&["gateway.test"]);
    let gateway = Gateway::start(
        r#"
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        head_timeout = "200ms"
        [[listener]]
        name = "http1"
        address = "127.0.0.1:0"
        h2c = false
        head_timeout = "200ms"
        [[listener]]
        name = "secure"
        address = "127.0.0.1:0"
        head_timeout = "200ms"
        tls = { certificates = [<site>] }
        [[route]]
        name = "all"
        respond = {}
        "#,
        &[("site", &site)],
    )
    .await;
    let http1 = ClientTls::offering(&authority, "gateway.test", &[b"http/1.1"]);
    let http2 = ClientTls::offering(&authority, "gateway.test", &[b"h2"]);
    let plain = Client::connect(gateway.address("http1").await).await;
    for (listener, mut silent, counted) in [
        ("web", gateway.connect().await, 1),
        ("http1", plain, 1),
        ("secure", gateway.connect_tls("secure", &http1).await, 1),
        ("secure", gateway.connect_tls("secure", &http2).await, 2),
    ] {
        // Over HTTP/2 the gateway is the first to say something.
        silent.rest().await;
        let labels = [("listener", listener), ("reason", "head_timeout")];
        gateway
            .metric_reaches("portcullis_connections_ended_total", &labels, counted)
            .await;
    }
    assert!(gateway.stop().await.is_empty());
}

#[tokio::test]
async fn an_idle_http2_connection_is_told_and_closed() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(&listener("idle_timeout = \"200ms\""), &[("app", &origin)]).await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    assert_eq!(
        raw.end_of(u32::MAX).await,
        crate::harness::StreamEnd::GoAway(0)
    );
    raw.until_closed().await;
}

#[tokio::test]
async fn case_35_a_body_that_stalls_is_given_up() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(&listener("body_timeout = \"200ms\""), &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client
        .send(b"POST / HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 10\r\n\r\nabc")
        .await;
    let response = client.response("POST").await.expect("an answer");
    assert_eq!(response.status, 408);
    client.closed().await;
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "body_timeout");
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn case_37_a_handshake_that_does_not_come_or_trickles_is_given_up() {
    let authority = Authority::new("tests");
    let site = authority.issue(&["gateway.test"]);
    let gateway = Gateway::start(
        r#"
        [[listener]]
        name = "secure"
        address = "127.0.0.1:0"
        handshake_timeout = "200ms"
        tls = { certificates = [<site>] }
        [[route]]
        name = "all"
        respond = { body = "hello" }
        "#,
        &[("site", &site)],
    )
    .await;
    let address = gateway.address("secure").await;
    let mut silent = Client::connect(address).await;
    silent.closed().await;

    // The beginning of a ClientHello in a record of its own, and then a byte at a time.
    let mut slow = Client::connect(address).await;
    slow.send(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]).await;
    trickle(&mut slow, b"x").await;

    let tls = ClientTls::new(&authority, "gateway.test");
    let mut client = gateway.connect_tls("secure", &tls).await;
    assert_eq!(client.ask(Request::get("/")).await.text(), "hello");
    let failures = "portcullis_tls_handshake_failures_total";
    gateway.metric_is(failures, &[], 2).await;
}

#[tokio::test]
async fn the_handshake_deadline_covers_the_proxy_header() {
    let gateway = Gateway::start(
        r#"
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        handshake_timeout = "200ms"
        proxy_protocol = ["127.0.0.0/8"]
        [[route]]
        name = "all"
        respond = { body = "hello" }
        "#,
        &[],
    )
    .await;
    let mut client = gateway.connect().await;
    client.send(b"PROXY TCP4 1.2.3.4").await;
    client.closed().await;
}

#[tokio::test]
async fn an_idle_upstream_connection_is_closed_after_its_time() {
    let (closed, mut events) = tokio::sync::mpsc::unbounded_channel();
    let origin = crate::harness::RawOrigin::start(move |_, mut connection| {
        let closed = closed.clone();
        async move {
            connection.request().await.expect("a request");
            connection
                .send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                .await;
            connection.closed().await;
            closed.send(()).expect("the test");
        }
    })
    .await;
    let config = format!("{}idle_timeout = \"200ms\"\n", listener(""));
    let gateway = Gateway::start(&config, &[("app", &origin)]).await;
    assert_eq!(gateway.get("/").await.status, 200);
    within("the close of the idle connection", events.recv()).await;
}
