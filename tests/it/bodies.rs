//! Request bodies that are too large or too slow, and responses that are read too slowly.

use std::time::Duration;

use bytes::Bytes;

use crate::harness::{
    Client, Gateway, H2Client, Origin, RawH2, RawOrigin, RecordingOrigin, Request, StreamEnd,
    h2_request, ok, within,
};

/// A listener with these keys and a route with those, in front of one upstream.
fn gateway_with(listener: &str, route: &str) -> String {
    format!(
        "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n{listener}\n\
         [[route]]\nname = \"all\"\nupstream = \"app\"\n{route}\n\
         [upstream.app]\nendpoints = [\"<app>\"]\n"
    )
}

/// Sends these bytes every now and then until the gateway has had enough.
async fn trickle(client: &mut Client, bytes: &[u8]) {
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    within("the gateway's patience to end", async {
        while client.try_send(bytes).await.is_ok() {
            beat.tick().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_declared_body_that_is_too_large_is_refused_before_the_upstream_hears_of_it() {
    let origin = RawOrigin::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let gateway = Gateway::start(
        &gateway_with("max_body_size = \"1KiB\"", ""),
        &[("app", &origin)],
    )
    .await;
    for length in [1025, 10_000_000] {
        let mut client = gateway.connect().await;
        let head = format!("POST / HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: {length}\r\n");
        client.send(head.as_bytes()).await;
        // Asking first is what `Expect` is for; the answer comes before any of the body.
        client.send(b"Expect: 100-continue\r\n\r\n").await;
        let response = client.response("POST").await.expect("an answer");
        assert_eq!(response.status, 413);
        assert_eq!(response.header("connection"), Some("close"));
        client.closed().await;
    }
    let over_http2 = H2Client::connect(gateway.web().await).await;
    let request = h2_request("POST", "/")
        .header("content-length", "1025")
        .body(Bytes::from(vec![b'x'; 1025]))
        .expect("a request");
    assert_eq!(over_http2.ask(request).await.status, 413);
    assert_eq!(origin.connections(), 0);
    // What is exactly as large as it may be goes through, on the same connection.
    let request = h2_request("POST", "/")
        .body(Bytes::from(vec![b'x'; 1024]))
        .expect("a request");
    assert_eq!(over_http2.ask(request).await.status, 200);
    for record in &gateway.records(4).await[..3] {
        assert_eq!(record.text("reason"), "body_too_large");
    }
}

#[tokio::test]
async fn an_answer_to_an_unread_body_says_whether_the_connection_goes_on() {
    let text = "[[route]]\nname = \"all\"\nrespond = { body = \"hello\" }\n";
    let gateway = Gateway::start(text, &[]).await;
    let mut client = gateway.connect().await;
    let response = client.ask(Request::post("/", vec![b'x'; 60_000])).await;
    assert_eq!(response.header("connection"), None);
    client
        .send(b"POST / HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 70000\r\n\r\n")
        .await;
    let response = client.response("POST").await.expect("an answer");
    assert_eq!(response.status, 200);
    assert_eq!(response.header("connection"), Some("close"));
    client.closed().await;
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_is_cut_off() {
    let origin = RecordingOrigin::start().await;
    let gateway = Gateway::start(
        &gateway_with("max_body_size = \"100KiB\"", ""),
        &[("app", &origin)],
    )
    .await;
    let mut client = gateway.connect().await;
    client
        .send(b"POST / HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    let chunk = [b"8000\r\n".as_slice(), &[b'x'; 0x8000], b"\r\n"].concat();
    for _ in 0..8 {
        // The gateway may have hung up before the last of them.
        let _ = client.try_send(&chunk).await;
    }
    let response = client.response("POST").await.expect("an answer");
    assert_eq!(response.status, 413);
    client.closed().await;

    let over_http2 = H2Client::connect(gateway.web().await).await;
    let request = h2_request("POST", "/")
        .body(Bytes::from(vec![b'x'; 300_000]))
        .expect("a request");
    match over_http2.try_ask(request).await {
        Ok(answer) => assert_eq!(answer.status, 413),
        Err(error) => assert!(error.is_reset(), "{error}"),
    }
    for record in gateway.records(2).await {
        assert_eq!(record.text("status"), "413");
        assert_eq!(record.text("reason"), "body_too_large");
    }
    origin.settled().await;
    for bytes in origin.bytes() {
        assert!(bytes.len() < 110 * 1024, "{} bytes went on", bytes.len());
        assert!(!bytes.ends_with(b"0\r\n\r\n"), "it looks complete");
    }
}

/// The ways in which a body can be sent: HTTP/1 or HTTP/2, with its length told ahead or not.
const FRAMINGS: [(bool, bool); 4] = [(false, true), (false, false), (true, true), (true, false)];

/// Sends a body of that size in one of those ways, and tells the status of the answer.
async fn post(gateway: &Gateway, path: &str, size: usize, (http2, length): (bool, bool)) -> u16 {
    let body = vec![b'x'; size];
    if http2 {
        let client = H2Client::connect(gateway.web().await).await;
        let mut request = h2_request("POST", path);
        if length {
            request = request.header("content-length", size);
        }
        let request = request.body(Bytes::from(body)).expect("a request");
        return client.ask(request).await.status;
    }
    let mut client = gateway.connect().await;
    if length {
        return client.ask(Request::post(path, body)).await.status;
    }
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n");
    let chunk = format!("\r\n{size:x}\r\n");
    let whole = [head.as_bytes(), chunk.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
    client.send(&whole).await;
    client.response("POST").await.expect("an answer").status
}

#[tokio::test]
async fn a_route_has_its_own_size_of_bodies() {
    const SENT: [(&str, &str, usize, u16); 10] = [
        ("off", "/off", 3_000, 200),
        ("above", "/above", 1_025, 200),
        ("above", "/above", 2_048, 200),
        ("above", "/above", 2_049, 413),
        ("below", "/below", 10, 200),
        ("below", "/below", 11, 413),
        ("below", "/below", 1_024, 413),
        ("all", "/other", 1_024, 200),
        ("all", "/other", 1_025, 413),
        ("all", "/other", 2_048, 413),
    ];
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(
        r#"
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        max_body_size = "1KiB"
        [[route]]
        name = "off"
        path = "/off"
        upstream = "app"
        max_body_size = "off"
        [[route]]
        name = "above"
        path = "/above"
        upstream = "app"
        max_body_size = "2KiB"
        [[route]]
        name = "below"
        path = "/below"
        upstream = "app"
        max_body_size = "10B"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<app>"]
        "#,
        &[("app", &origin)],
    )
    .await;
    for framing in FRAMINGS {
        for (_, path, size, status) in SENT {
            let answered = post(&gateway, path, size, framing).await;
            assert_eq!(answered, status, "{path} {size} {framing:?}");
        }
    }
    for route in ["off", "above", "below", "all"] {
        let refused = SENT
            .iter()
            .filter(|sent| (sent.0, sent.3) == (route, 413))
            .count();
        let labels = [
            ("route", route),
            ("code", "413"),
            ("source", "gateway"),
            ("reason", "body_too_large"),
        ];
        gateway
            .metric_is(
                "portcullis_requests_total",
                &labels,
                refused * FRAMINGS.len(),
            )
            .await;
    }
    for record in gateway.records(SENT.len() * FRAMINGS.len()).await {
        let is_refused = record.text("status") == "413";
        assert_eq!(record.text("reason") == "body_too_large", is_refused);
    }
    // The upstream has seen the end of those bodies alone that were small enough.
    let mut seen: Vec<_> = origin.seen().iter().map(|seen| seen.body.len()).collect();
    let mut let_in: Vec<_> = SENT
        .iter()
        .filter(|sent| sent.3 == 200)
        .flat_map(|sent| [sent.2; FRAMINGS.len()])
        .collect();
    seen.sort_unstable();
    let_in.sort_unstable();
    assert_eq!(seen, let_in);
}

#[tokio::test]
async fn case_35_a_body_that_trickles_is_cut_off_although_it_never_stalls() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(
        &gateway_with("body_timeout = \"500ms\"\nmin_body_rate = \"10KiB/s\"", ""),
        &[("app", &origin)],
    )
    .await;
    let mut client = gateway.connect().await;
    client
        .send(b"POST / HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1000000\r\n\r\n")
        .await;
    trickle(&mut client, b"x").await;
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "body_too_slow");
    assert_eq!(record.text("status"), "408");
    assert!(origin.seen().is_empty());

    // The same over HTTP/2: the stream ends, the connection goes on.
    let mut raw = RawH2::over(gateway.connect().await).await;
    raw.headers(1, POST, false).await;
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    within("the end of a slow stream", async {
        while gateway.access_log().lines_now().len() < 2 {
            beat.tick().await;
            raw.data(1, b"x", false).await;
        }
    })
    .await;
    let record = &gateway.records(2).await[1];
    assert_eq!(record.text("reason"), "body_too_slow");
    raw.headers(3, GET, true).await;
    assert_eq!(raw.end_of(3).await, StreamEnd::Status(200));
}

#[tokio::test]
async fn a_route_has_its_own_rate_of_bodies() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(
        &gateway_with(
            "body_timeout = \"500ms\"\nmin_body_rate = \"10KiB/s\"",
            "min_body_rate = \"off\"",
        ),
        &[("app", &origin)],
    )
    .await;
    let mut client = gateway.connect().await;
    client
        .send(b"POST / HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 100\r\n\r\n")
        .await;
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..100 {
        beat.tick().await;
        client.send(b"x").await;
    }
    let response = client.response("POST").await.expect("an answer");
    assert_eq!(response.status, 200);
}

#[tokio::test]
async fn a_grpc_stream_may_be_slow_unless_its_route_says_otherwise() {
    const HEAD: &[u8] = b"POST / HTTP/1.1\r\nHost: gateway.test\r\n\
        Content-Type: application/grpc+proto\r\nContent-Length: 50\r\n\r\n";
    let origin = Origin::answering("ok").await;
    let text = |route: &str| {
        gateway_with(
            "body_timeout = \"500ms\"\nmin_body_rate = \"10KiB/s\"",
            route,
        )
    };
    let gateway = Gateway::start(&text(""), &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client.send(HEAD).await;
    let mut beat = tokio::time::interval(Duration::from_millis(40));
    for _ in 0..50 {
        beat.tick().await;
        client.send(b"x").await;
    }
    assert_eq!(
        client.response("POST").await.expect("an answer").status,
        200
    );

    gateway
        .reload(&text("min_body_rate = \"10KiB/s\""), &[("app", &origin)])
        .await;
    let mut client = gateway.connect().await;
    client.send(HEAD).await;
    trickle(&mut client, b"x").await;
    let records = gateway.records(2).await;
    assert_eq!(records[1].text("reason"), "body_too_slow");
}

#[tokio::test]
async fn case_36_a_response_that_is_read_by_the_byte_is_cut_off() {
    let origin = Origin::http(|_seen| async { ok(Bytes::from(vec![b'x'; 4_000_000])) }).await;
    let gateway = Gateway::start(
        &gateway_with("body_timeout = \"500ms\"\nmin_send_rate = \"10KiB/s\"", ""),
        &[("app", &origin)],
    )
    .await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    raw.headers(1, GET, true).await;
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    let reset = within("the end of a stream that is read slowly", async {
        loop {
            tokio::select! {
                frame = raw.next_frame() => match frame.map(|frame| (frame.kind, frame.stream)) {
                    Some((3, 1)) => return true,
                    Some(_) => {}
                    None => return false,
                },
                _ = beat.tick() => {
                    // A window of one byte more, for the stream and for the connection.
                    raw.frame(8, 0, 1, &1_u32.to_be_bytes()).await;
                    raw.frame(8, 0, 0, &1_u32.to_be_bytes()).await;
                }
            }
        }
    })
    .await;
    assert!(reset, "the whole connection ended");
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "client_too_slow");
    assert_eq!(record.text("status"), "200");
}

#[tokio::test]
async fn whoever_waits_for_events_is_not_slow() {
    let origin = RawOrigin::start(|_, mut connection| async move {
        let _ = connection.request().await;
        connection
            .send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            .await;
        let mut beat = tokio::time::interval(Duration::from_millis(100));
        for _ in 0..15 {
            beat.tick().await;
            connection.send(b"data: x\n\n").await;
        }
    })
    .await;
    let gateway = Gateway::start(
        &gateway_with(
            "body_timeout = \"300ms\"\nmin_send_rate = \"1MiB/s\"\nmin_body_rate = \"1MiB/s\"",
            "",
        ),
        &[("app", &origin)],
    )
    .await;
    let response = gateway.get("/events").await;
    assert_eq!(response.text().len(), 15 * 9);
}

const GET: &[(&[u8], &[u8])] = &[
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":path", b"/"),
    (b":authority", b"gateway.test"),
];
const POST: &[(&[u8], &[u8])] = &[
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/"),
    (b":authority", b"gateway.test"),
];
