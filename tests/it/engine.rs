//! What the engine keeps when a peer is slow, gone or lying at an awkward moment.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use crate::harness::{
    Authority, Broken, ClientTls, Gateway, H2Answer, H2Client, H2Origin, Origin, RawH2, RawOrigin,
    Request, blackhole, h2_request,
};

const HTTP1: &str = r#"
    [[route]]
    name = "all"
    upstream = "app"
    [upstream.app]
    endpoints = ["<app>"]
"#;

const H2C: &str = r#"
    [[route]]
    name = "all"
    upstream = "app"
    [upstream.app]
    endpoints = ["<app>"]
    protocol = "h2c"
"#;

/// HTTP/2 has trailers behind a body of known length, too.
#[tokio::test]
async fn case_50_a_trailer_cannot_repeat_a_field_of_the_head_whatever_the_length() {
    let origin = H2Origin::start(|mut exchange| async move {
        let (_body, trailers) = exchange.body().await;
        let evil = trailers.get("x-user").is_some();
        exchange.answer(200, if evil { "evil" } else { "good" });
    })
    .await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "all"
        upstream = "app"
        filters = [{ kind = "request_headers", set = { "x-user" = "alice" } }]
        [upstream.app]
        endpoints = ["<app>"]
        protocol = "h2c"
        "#,
        &[("app", &origin)],
    )
    .await;
    let client = H2Client::connect(gateway.web().await).await;
    let request = h2_request("POST", "/").header("content-length", "3");
    let request = request.body(()).expect("a request");
    let (response, mut stream) = client.open(request, false).await;
    stream
        .send_data(Bytes::from_static(b"abc"), false)
        .expect("a body");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-user", HeaderValue::from_static("mallory"));
    stream.send_trailers(trailers).expect("trailers");
    let answer = H2Answer::read(response).await.expect("an answer");
    assert_eq!(answer.text(), "good");
}

#[tokio::test]
async fn the_time_of_a_route_limits_connecting_too() {
    let (black, _listener, _filler) = blackhole().await;
    for config in [HTTP1, H2C] {
        let config = config.replace("name = \"all\"", "name = \"all\"\ntimeout = \"200ms\"");
        let gateway = Gateway::start(&config, &[("app", &black)]).await;
        assert_eq!(gateway.get("/").await.status, 504);
        let record = &gateway.records(1).await[0];
        assert_eq!(record.text("reason"), "route_timeout");
    }
}

/// Otherwise a client that comes and goes could have any number of connects under way.
#[tokio::test]
async fn case_22_a_client_that_leaves_ends_the_connecting() {
    let (black, _listener, _filler) = blackhole().await;
    let gateway = Gateway::start(HTTP1, &[("app", &black)]).await;
    let mut client = gateway.connect().await;
    client.send(&Request::get("/").bytes()).await;
    client.finish().await;
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "client_gone");

    let mut raw = RawH2::over(gateway.connect().await).await;
    begin_stream(&mut raw, 1).await;
    raw.frame(3, 0, 1, &8u32.to_be_bytes()).await;
    let record = &gateway.records(2).await[1];
    assert_eq!(record.text("reason"), "client_gone");
}

/// Sends a request and waits until the gateway has seen it.
async fn begin_stream(raw: &mut RawH2, stream: u32) -> Option<Vec<u8>> {
    let fields: &[(&[u8], &[u8])] = &[
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"gateway.test"),
        (b":path", b"/"),
    ];
    raw.headers(stream, fields, true).await;
    raw.frame(6, 0, 0, &[0; 8]).await;
    loop {
        let frame = raw.next_frame().await?;
        match frame.kind {
            6 => return Some(Vec::new()),
            7 => return Some(frame.payload),
            _ => {}
        }
    }
}

/// Case 22, by a client that waits until each stream is being worked on.
#[tokio::test]
async fn case_22_resets_of_streams_that_are_under_way_end_the_connection() {
    let (origin, _gate) = Origin::gated("never").await;
    let gateway = Gateway::start(HTTP1, &[("app", &origin)]).await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    let mut goodbye = None;
    for number in 0..2000u32 {
        let stream = 2 * number + 1;
        match begin_stream(&mut raw, stream).await {
            Some(payload) if payload.is_empty() => {}
            end => {
                goodbye = end;
                break;
            }
        }
        raw.frame(3, 0, stream, &8u32.to_be_bytes()).await;
    }
    // ENHANCE_YOUR_CALM
    let goodbye = goodbye.expect("GOAWAY");
    assert_eq!(goodbye.get(4..8), Some(&[0, 0, 0, 11][..]));
    raw.until_closed().await;
}

/// An upstream that switches protocols in HTTP/2, which has no such thing (RFC 9113 section 8.6).
#[tokio::test]
async fn case_20_an_http2_upstream_cannot_open_a_tunnel() {
    let origin = H2Origin::start(|mut exchange| async move {
        let switching = http::Response::builder().status(101).body(());
        let _ = exchange
            .respond
            .send_informational(switching.expect("a response"));
        std::future::pending::<()>().await;
    })
    .await;
    let gateway = Gateway::start(H2C, &[("app", &origin)]).await;
    let request = Request::get("/")
        .header("Connection", "upgrade")
        .header("Upgrade", "websocket");
    assert_eq!(gateway.send(request).await.status, 502);
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "upstream_protocol");
}

/// What an upstream says unasked is nobody's answer, also when TLS has decrypted it together with the answer before.
#[tokio::test]
async fn case_20_bytes_behind_an_answer_over_tls_are_dropped() {
    const WHOLE: usize = 8 * 1024;
    let authority = Authority::new("upstreams");
    let identity = authority.issue(&["origin.test"]);
    let origin = RawOrigin::start_tls(identity.acceptor(&[]), |_, mut connection| async move {
        while connection.request().await.is_ok() {
            // The answer fills the gateway's buffer to its last byte; the same record carries what follows.
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 8000\r\nx-fill: ";
            let fill = WHOLE - 8000 - head.len() - 4;
            let answer = format!(
                "{head}{}\r\n\r\n{}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
                "f".repeat(fill),
                "b".repeat(8000)
            );
            connection.send(answer.as_bytes()).await;
        }
    })
    .await;
    let text = HTTP1.to_owned() + "tls = { server_name = \"origin.test\", ca = <ca> }\n";
    let text = text.replace("<ca>", &authority.path());
    let gateway = Gateway::start(&text, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    for _ in 0..2 {
        let response = client.ask(Request::get("/")).await;
        assert_eq!(response.body.len(), 8000, "{}", response.text());
    }
}

/// The close is the only end that such a body has, so a body that was cut off must not end in one.
#[tokio::test]
async fn case_79_a_body_until_the_close_that_is_cut_off_does_not_look_complete() {
    let authority = Authority::new("tests");
    let site = authority.issue(&["gateway.test"]);
    let origin = RawOrigin::start(|_, mut connection| async move {
        let _ = connection.request().await;
        connection
            .send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            .await;
    })
    .await;
    let listeners = r#"
    [[listener]]
    name = "web"
    address = "127.0.0.1:0"
    [[listener]]
    name = "secure"
    address = "127.0.0.1:0"
    tls = { certificates = [<site>] }
"#;
    let config = listeners.to_owned() + HTTP1;
    let gateway = Gateway::start(&config, &[("site", &site), ("app", &origin)]).await;
    let tls = ClientTls::offering(&authority, "gateway.test", &[b"http/1.1"]);
    for mut client in [
        gateway.connect().await,
        gateway.connect_tls("secure", &tls).await,
    ] {
        client
            .send(b"GET / HTTP/1.0\r\nHost: gateway.test\r\n\r\n")
            .await;
        let answer = client.response("GET").await;
        let cut = matches!(answer, Err(Broken::Truncated(_) | Broken::Closed));
        assert!(cut, "{answer:?}");
    }
}

#[tokio::test]
async fn a_response_that_is_cut_at_the_drain_deadline_is_recorded_as_cut() {
    let origin = RawOrigin::start(|_, mut connection| async move {
        let _ = connection.request().await;
        connection
            .send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
            .await;
        connection.closed().await;
    })
    .await;
    let config = format!("[server]\ndrain = \"300ms\"\n{HTTP1}");
    let mut gateway = Gateway::start(&config, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client.send(&Request::get("/").bytes()).await;
    client.response_head("GET").await.expect("a head");
    gateway.signal("TERM").await;
    assert_eq!(gateway.exit().await.code(), Some(0));
    let records = gateway.access_log().lines_now();
    assert_eq!(records.len(), 1, "{records:?}");
    assert!(records[0].contains("drained"), "{records:?}");
}

/// A request that fills the read buffer to its last byte leaves the socket marked as readable.
#[tokio::test]
async fn an_idle_connection_is_seen_as_idle_whatever_came_before() {
    let mut gateway =
        Gateway::start("[[route]]\nname = \"a\"\nrespond = { body = \"a\" }\n", &[]).await;
    let mut client = gateway.connect().await;
    let head = "GET / HTTP/1.1\r\nHost: gateway.test\r\nx-fill: ";
    let fill = "f".repeat(8 * 1024 - head.len() - 4);
    client
        .send(format!("{head}{fill}\r\n\r\n").as_bytes())
        .await;
    assert_eq!(client.response("GET").await.expect("an answer").text(), "a");
    // Neither the idle time nor the drain deadline ends sooner than this test's patience.
    gateway.signal("TERM").await;
    assert_eq!(gateway.exit().await.code(), Some(0));
}

/// Clients that do not read hold back their own streams, not the connection that these share with others.
#[tokio::test]
async fn case_78_stalled_clients_leave_a_shared_upstream_connection_to_others() {
    let origin = H2Origin::start(|mut exchange| async move {
        if exchange.request.uri().path() != "/large" {
            return exchange.answer(200, "small");
        }
        let mut stream = exchange.begin(200).expect("a response");
        stream
            .send_data(Bytes::from(vec![b'x'; 16_000_000]), true)
            .expect("a body");
        // Until the gateway gives it up.
        let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
    })
    .await;
    let gateway = Gateway::start(H2C, &[("app", &origin)]).await;
    let mut stalled = Vec::new();
    for _ in 0..8 {
        let mut client = gateway.connect().await;
        client.small_receive_buffer();
        client.send(&Request::get("/large").bytes()).await;
        client.response_head("GET").await.expect("a head");
        stalled.push(client);
    }
    for _ in 0..20 {
        assert_eq!(gateway.get("/small").await.text(), "small");
    }
}
