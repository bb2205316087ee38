//! Endpoints that take their time: what each part of an exchange may take, and what lasts by its nature.

use std::time::Duration;

use bytes::Bytes;
use tokio_stream::StreamExt;
use tonic::Code;

use crate::harness::{
    Broken, EchoClient, EchoOrigin, Gateway, H2Client, H2Origin, Origin, RawOrigin, Request, Text,
    WebSocketOrigin, blackhole, h2_request, websocket, within,
};

/// A route with these keys to an upstream with those.
fn config(route: &str, upstream: &str) -> String {
    format!(
        "[[route]]\nname = \"all\"\nupstream = \"app\"\n{route}\n\
         [upstream.app]\nendpoints = [\"<app>\"]\n{upstream}\n"
    )
}

/// Waits longer than the short timeouts of this file, beat by beat.
async fn outlast() {
    let mut beat = tokio::time::interval(Duration::from_millis(50));
    for _ in 0..10 {
        beat.tick().await;
    }
}

/// An origin that sends the beginning of a response of this type and then nothing more.
async fn falling_silent(kind: &'static str) -> RawOrigin {
    RawOrigin::start(move |_, mut connection| async move {
        let _ = connection.request().await;
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        );
        connection.send(head.as_bytes()).await;
        connection.rest().await;
    })
    .await
}

/// An origin that sends a chunk now and then for about a second, and then ends.
async fn dripping(kind: &'static str) -> RawOrigin {
    RawOrigin::start(move |_, mut connection| async move {
        let _ = connection.request().await;
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        connection.send(head.as_bytes()).await;
        let mut beat = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..20 {
            beat.tick().await;
            if connection.try_send(b"3\r\nabc\r\n").await.is_err() {
                return;
            }
        }
        let _ = connection.try_send(b"0\r\n\r\n").await;
    })
    .await
}

/// The reason of the first record of an exchange that was broken off inside its body.
async fn broken_off(gateway: &Gateway) -> String {
    let mut client = gateway.connect().await;
    let answer = client.try_ask(Request::get("/")).await;
    assert!(matches!(answer, Err(Broken::Truncated(_))), "{answer:?}");
    gateway.records(1).await[0].text("reason")
}

#[tokio::test]
async fn a_handshake_with_an_endpoint_has_its_own_time() {
    let silent = RawOrigin::start(|_, mut connection| async move {
        connection.rest().await;
    })
    .await;
    for (count, (route, upstream)) in [
        ("", "tls_timeout = \"200ms\""),
        ("tls_timeout = \"200ms\"", "tls_timeout = \"1h\""),
    ]
    .into_iter()
    .enumerate()
    {
        let upstream = format!(
            "tls = {{ verify = false }}\nconnect_timeout = \"1h\"\n{upstream}\nretry = {{ attempts = 1 }}"
        );
        let gateway = Gateway::start(&config(route, &upstream), &[("app", &silent)]).await;
        assert_eq!(gateway.get("/").await.status, 504);
        let record = &gateway.records(1).await[0];
        assert_eq!(record.text("reason"), "connect_timeout");
        assert_eq!(silent.connections(), count + 1);
    }
}

#[tokio::test]
async fn a_route_may_give_a_connection_less_time_than_its_upstream() {
    let (black, _listener, _filler) = blackhole().await;
    for protocol in ["http/1.1", "h2c"] {
        let upstream = format!(
            "connect_timeout = \"1h\"\nprotocol = \"{protocol}\"\nretry = {{ attempts = 1 }}"
        );
        let text = config("connect_timeout = \"200ms\"", &upstream);
        let gateway = Gateway::start(&text, &[("app", &black)]).await;
        assert_eq!(gateway.get("/").await.status, 504);
        let record = &gateway.records(1).await[0];
        assert_eq!(record.text("reason"), "connect_timeout");
    }
}

/// An origin that gives its clients no window, so that no more than the first one of a body is taken.
async fn never_reading() -> H2Origin {
    H2Origin::start(|exchange| async move {
        let _held = exchange;
        std::future::pending().await
    })
    .await
}

#[tokio::test]
async fn an_endpoint_that_takes_no_more_of_the_request_is_given_up() {
    for (route, upstream) in [
        ("", "send_timeout = \"200ms\""),
        ("send_timeout = \"200ms\"", "send_timeout = \"1h\""),
    ] {
        let origin = never_reading().await;
        let upstream = format!("protocol = \"h2c\"\nresponse_timeout = \"1h\"\n{upstream}");
        let gateway = Gateway::start(&config(route, &upstream), &[("app", &origin)]).await;
        let response = gateway.send(Request::post("/", vec![b'x'; 300_000])).await;
        assert_eq!(response.status, 504, "{route} {upstream}");
        let record = &gateway.records(1).await[0];
        assert_eq!(record.text("reason"), "upstream_timeout");
    }
}

#[tokio::test]
async fn a_body_that_stalls_is_broken_off_by_the_time_between_its_parts() {
    for (route, upstream) in [
        ("", "read_timeout = \"200ms\""),
        ("read_timeout = \"200ms\"", "read_timeout = \"1h\""),
    ] {
        let origin = falling_silent("text/plain").await;
        let upstream =
            format!("response_timeout = \"1h\"\nstream_idle_timeout = \"1h\"\n{upstream}");
        let gateway = Gateway::start(&config(route, &upstream), &[("app", &origin)]).await;
        assert_eq!(broken_off(&gateway).await, "upstream_timeout", "{upstream}");
    }
}

#[tokio::test]
async fn a_route_may_wait_longer_for_the_head_than_its_upstream() {
    let (origin, gate) = Origin::gated("late").await;
    let gateway = Gateway::start(
        &config("response_timeout = \"1h\"", "response_timeout = \"100ms\""),
        &[("app", &origin)],
    )
    .await;
    let mut client = gateway.connect().await;
    client.send(&Request::get("/").bytes()).await;
    gate.reached(1).await;
    outlast().await;
    gate.open();
    assert_eq!(
        client.response("GET").await.expect("an answer").text(),
        "late"
    );
}

#[tokio::test]
async fn an_event_stream_has_an_idle_time_of_its_own() {
    for (route, upstream) in [
        ("", "stream_idle_timeout = \"200ms\""),
        ("stream_idle_timeout = \"200ms\"", ""),
    ] {
        let origin = falling_silent("text/event-stream; charset=utf-8").await;
        let upstream = format!("read_timeout = \"1h\"\n{upstream}");
        let gateway = Gateway::start(&config(route, &upstream), &[("app", &origin)]).await;
        assert_eq!(broken_off(&gateway).await, "upstream_timeout", "{upstream}");
    }
}

#[tokio::test]
async fn an_event_stream_may_be_silent_for_longer_than_other_bodies() {
    let (go_on, wait) = tokio::sync::watch::channel(false);
    let origin = RawOrigin::start(move |_, mut connection| {
        let mut wait = wait.clone();
        async move {
            let _ = connection.request().await;
            connection
                .send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await;
            wait.wait_for(|go| *go).await.expect("the test");
            connection.send(b"3\r\nabc\r\n0\r\n\r\n").await;
        }
    })
    .await;
    let gateway = Gateway::start(
        &config("timeout = \"300ms\"", "read_timeout = \"100ms\""),
        &[("app", &origin)],
    )
    .await;
    let mut client = gateway.connect().await;
    client.send(&Request::get("/").bytes()).await;
    let (head, _) = client.response_head("GET").await.expect("a head");
    assert_eq!(head.status, 200);
    outlast().await;
    go_on.send(true).expect("the origin");
    assert_eq!(client.chunk().await.as_deref(), Some(&b"abc"[..]));
}

#[tokio::test]
async fn the_time_of_a_route_cuts_bodies_and_streams_only_if_asked() {
    for (kind, streams, is_cut) in [
        ("text/plain", "false", true),
        ("text/event-stream", "false", false),
        ("text/event-stream", "true", true),
    ] {
        let origin = dripping(kind).await;
        let route = format!("timeout = \"300ms\"\ntimeout_streams = {streams}");
        let gateway = Gateway::start(&config(&route, ""), &[("app", &origin)]).await;
        if is_cut {
            assert_eq!(broken_off(&gateway).await, "route_timeout", "{kind}");
        } else {
            let response = gateway.get("/").await;
            assert_eq!(response.text(), "abc".repeat(20), "{kind}");
        }
    }
}

#[tokio::test]
async fn a_tunnel_is_cut_by_the_time_of_a_route_only_if_asked() {
    for streams in [false, true] {
        let origin = WebSocketOrigin::start().await;
        let route = format!("timeout = \"300ms\"\ntimeout_streams = {streams}");
        let gateway = Gateway::start(&config(&route, ""), &[("app", &origin)]).await;
        let mut socket = websocket(gateway.web().await, "/").await;
        if streams {
            socket.ended().await;
        } else {
            outlast().await;
            socket.say("still here").await;
            assert_eq!(socket.hear().await, "still here");
        }
    }
}

#[tokio::test]
async fn a_route_has_its_own_idle_time_for_tunnels() {
    let origin = WebSocketOrigin::start().await;
    let gateway = Gateway::start(
        &config("tunnel_idle_timeout = \"200ms\"", ""),
        &[("app", &origin)],
    )
    .await;
    let socket = websocket(gateway.web().await, "/").await;
    socket.ended().await;
}

#[tokio::test]
async fn a_grpc_stream_outlasts_the_time_of_its_route() {
    let origin = EchoOrigin::start().await;
    let gateway = Gateway::start(
        &config(
            "timeout = \"300ms\"",
            "protocol = \"h2c\"\nread_timeout = \"100ms\"",
        ),
        &[("app", &origin)],
    )
    .await;
    let mut client = EchoClient::connect(gateway.web().await).await;
    let (say, mut hear) = client.talk().await.expect("a stream");
    for text in ["one", "two"] {
        say.send(Text::new(text)).await.expect("the call");
        let answer = within("an answer", hear.next()).await;
        let answer = answer.expect("a message").expect("a message");
        assert_eq!(answer.text, format!("you said {text}"));
        outlast().await;
    }
    drop(say);
    assert!(within("the end", hear.next()).await.is_none());
    assert_eq!(gateway.records(1).await[0].text("grpc_status"), "0");
}

#[tokio::test]
async fn a_grpc_stream_is_cut_by_the_time_of_its_route_if_asked_and_told_so() {
    let origin = EchoOrigin::start().await;
    let gateway = Gateway::start(
        &config(
            "timeout = \"500ms\"\ntimeout_streams = true",
            "protocol = \"h2c\"",
        ),
        &[("app", &origin)],
    )
    .await;
    let mut client = EchoClient::connect(gateway.web().await).await;
    let (say, mut hear) = client.talk().await.expect("a stream");
    say.send(Text::new("one")).await.expect("the call");
    within("an answer", hear.next())
        .await
        .expect("a message")
        .expect("a message");
    let end = within("the end", hear.next()).await.expect("an end");
    let status = end.expect_err("a status");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "route_timeout");
    assert_eq!(record.text("grpc_status"), "4");
}

#[tokio::test]
async fn a_silent_grpc_stream_is_ended() {
    let origin = EchoOrigin::start().await;
    let gateway = Gateway::start(
        &config(
            "",
            "protocol = \"h2c\"\nresponse_timeout = \"1h\"\nstream_idle_timeout = \"300ms\"",
        ),
        &[("app", &origin)],
    )
    .await;
    let mut client = EchoClient::connect(gateway.web().await).await;
    let (_say, mut hear) = client.talk().await.expect("a stream");
    let end = within("the end", hear.next()).await.expect("an end");
    end.expect_err("a broken stream");
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "upstream_timeout");
}

#[tokio::test]
async fn a_call_without_an_answer_ends_with_the_time_of_its_route() {
    let origin = EchoOrigin::start().await;
    let gateway = Gateway::start(
        &config("timeout = \"300ms\"", "protocol = \"h2c\""),
        &[("app", &origin)],
    )
    .await;
    let mut client = EchoClient::connect(gateway.web().await).await;
    let call = client.unary(tonic::Request::new(Text::new("hang")));
    let status = call.await.expect_err("a status");
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status:?}");
    origin.until_cancelled(1).await;
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "route_timeout");
    assert_eq!(record.text("grpc_status"), "4");
}

/// A gRPC call with this `grpc-timeout`, by a client that does not keep it itself.
fn call(timeout: &[&str]) -> http::Request<Bytes> {
    let mut request = h2_request("POST", "/test.Echo/Unary")
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for timeout in timeout {
        request = request.header("grpc-timeout", *timeout);
    }
    // The message `Text { text: "hang" }`.
    let message = Bytes::from_static(b"\0\0\0\0\x06\x0a\x04hang");
    request.body(message).expect("a request")
}

#[tokio::test]
async fn the_deadline_of_a_call_is_kept_by_the_gateway() {
    // A service that does not keep it itself.
    let (gone, mut cancelled) = tokio::sync::mpsc::unbounded_channel();
    let origin = H2Origin::start(move |mut exchange| {
        let gone = gone.clone();
        async move {
            let reset = std::future::poll_fn(|cx| exchange.respond.poll_reset(cx)).await;
            gone.send(reset.expect("a reset")).expect("the test");
        }
    })
    .await;
    let gateway = Gateway::start(&config("", "protocol = \"h2c\""), &[("app", &origin)]).await;
    let client = H2Client::connect(gateway.web().await).await;
    let answer = client.ask(call(&["300m"])).await;
    assert_eq!(
        (answer.status, answer.header("grpc-status")),
        (200, Some("4"))
    );
    assert_eq!(answer.header("grpc-message"), Some("deadline_exceeded"));
    let reset = within("a cancelled call", cancelled.recv()).await;
    assert_eq!(reset, Some(h2::Reason::CANCEL));
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "deadline_exceeded");
    assert_eq!(record.text("grpc_status"), "4");
}

/// What a service is told of the time that it has, in milliseconds.
async fn told(route: &str, timeout: &str) -> f64 {
    let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let origin = H2Origin::start(move |mut exchange| {
        let said = said.clone();
        async move {
            let told = exchange.request.headers().get("grpc-timeout").cloned();
            said.send(told).expect("the test");
            exchange.answer(200, "");
        }
    })
    .await;
    let gateway = Gateway::start(&config(route, "protocol = \"h2c\""), &[("app", &origin)]).await;
    let client = H2Client::connect(gateway.web().await).await;
    client.ask(call(&[timeout])).await;
    let told = within("a call at the service", heard.recv()).await;
    let told = told.expect("a call").expect("a timeout");
    let text = told.to_str().expect("a text");
    let (number, unit) = text.split_at(text.len() - 1);
    let number: f64 = number.parse().expect("a number");
    match unit {
        "m" => number,
        "u" => number / 1_000.0,
        "n" => number / 1_000_000.0,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_deadline_of_a_call_is_passed_on_without_the_time_that_is_spent() {
    let left = told("", "20S").await;
    assert!(left > 0.0 && left < 20_000.0, "{left}");
    let left = told("timeout = \"10s\"\ntimeout_streams = true", "20S").await;
    assert!(left > 0.0 && left < 10_000.0, "{left}");
    let left = told("timeout = \"10s\"", "1H").await;
    assert!(
        left > 10_000.0,
        "a stream may outlast the time of the route: {left}"
    );
}

#[tokio::test]
async fn a_deadline_that_makes_no_sense_is_refused() {
    let origin = EchoOrigin::start().await;
    let gateway = Gateway::start(&config("", "protocol = \"h2c\""), &[("app", &origin)]).await;
    let client = H2Client::connect(gateway.web().await).await;
    for (records, timeouts) in [&["5s"][..], &["123456789m"], &["1S", "1S"]]
        .iter()
        .enumerate()
    {
        let answer = client.ask(call(timeouts)).await;
        assert_eq!(answer.header("grpc-status"), Some("13"), "{timeouts:?}");
        let record = &gateway.records(records + 1).await[records];
        assert_eq!(record.text("reason"), "bad_grpc_timeout");
        assert_eq!(record.text("attempts"), "0");
    }
}

#[tokio::test]
async fn a_deadline_that_has_passed_asks_nobody() {
    let origin = EchoOrigin::start().await;
    let gateway = Gateway::start(&config("", "protocol = \"h2c\""), &[("app", &origin)]).await;
    let client = H2Client::connect(gateway.web().await).await;
    let answer = client.ask(call(&["0S"])).await;
    assert_eq!(answer.header("grpc-status"), Some("4"));
}
