//! WebSockets and other upgrades.

use crate::harness::{Gateway, Origin, RawOrigin, Request, WebSocketOrigin, websocket};

const CONFIG: &str = r#"
    [[route]]
    name = "chat"
    upstream = "chat"
    filters = [{ kind = "rewrite", path = "/rewritten" }]
    [upstream.chat]
    endpoints = ["<chat>"]
"#;

#[tokio::test]
async fn a_websocket_passes_and_is_recorded_when_it_ends() {
    let origin = WebSocketOrigin::start().await;
    let gateway = Gateway::start(CONFIG, &[("chat", &origin)]).await;
    let mut socket = websocket(gateway.web().await, "/chat").await;
    for text in ["hello", "again", &"x".repeat(100_000)] {
        socket.say(text).await;
        assert_eq!(socket.hear().await, text);
    }
    gateway.metric_is("portcullis_tunnels_open", &[], 1).await;
    socket.close().await;
    origin.until_ended(1).await;
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("status"), "101");
    assert!(record.number("bytes_received") > 100_000.0);
    assert!(record.number("bytes_sent") > 100_000.0);
    gateway.metric_is("portcullis_tunnels_open", &[], 0).await;
}

#[tokio::test]
async fn the_handshake_reaches_the_upstream_as_it_was() {
    let origin = RawOrigin::start(|_, mut connection| async move {
        let request = connection.request().await.expect("a handshake");
        assert_eq!(request.target, "/rewritten");
        assert_eq!(request.header("upgrade"), Some("websocket"));
        assert_eq!(request.header("connection").map(str::to_ascii_lowercase), Some("upgrade".to_owned()));
        assert_eq!(request.header("sec-websocket-key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
        assert_eq!(request.header("sec-websocket-protocol"), Some("chat"));
        connection
            .send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Protocol: chat\r\n\r\nfrom the start")
            .await;
        connection.expect(b"to the end").await;
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("chat", &origin)]).await;
    let mut client = gateway.connect().await;
    client.send(HANDSHAKE).await;
    let response = client.response("GET").await.expect("a response");
    assert_eq!(response.status, 101);
    assert_eq!(response.header("upgrade"), Some("websocket"));
    assert_eq!(response.header("sec-websocket-protocol"), Some("chat"));
    client.expect(b"from the start").await;
    client.send(b"to the end").await;
    client.closed().await;
}

const HANDSHAKE: &[u8] = b"GET /chat HTTP/1.1\r\nHost: gateway.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat\r\n\r\n";

/// CVE-2026-2833: what follows an upgrade request is not the tunnel's before the upstream has agreed.
#[tokio::test]
async fn case_12_early_bytes_wait_for_the_answer() {
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let receiver = std::sync::Arc::new(std::sync::Mutex::new(Some(receiver)));
    let origin = RawOrigin::start(move |index, mut connection| {
        let wait = receiver.lock().expect("the gate").take();
        async move {
            assert_eq!(index, 0);
            connection.request().await.expect("a handshake");
            if let Some(wait) = wait {
                let _ = wait.await;
            }
            connection
                .send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
                .await;
            connection.expect(b"early").await;
            connection.send(b"late").await;
        }
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("chat", &origin)]).await;
    let mut client = gateway.connect().await;
    client.send(&[HANDSHAKE, b"early"].concat()).await;
    origin.until_received(0, b"\r\n\r\n").await;
    assert!(origin.received(0).ends_with(b"\r\n\r\n"));
    sender.send(()).expect("the origin");
    assert_eq!(
        client.response("GET").await.expect("a response").status,
        101
    );
    client.expect(b"late").await;
}

#[tokio::test]
async fn an_upstream_may_decline() {
    let origin = Origin::answering("no sockets here").await;
    let gateway = Gateway::start(CONFIG, &[("chat", &origin)]).await;
    let mut client = gateway.connect().await;
    client.send(HANDSHAKE).await;
    let response = client.response("GET").await.expect("a response");
    assert_eq!((response.status, response.text()), (200, "no sockets here"));
    // The connection is an ordinary one again.
    let next = client.ask(Request::get("/next")).await;
    assert_eq!(next.status, 200);
}

#[tokio::test]
async fn a_silent_tunnel_is_closed_after_its_time() {
    let origin = WebSocketOrigin::start().await;
    let config = format!("{CONFIG}tunnel_idle_timeout = \"200ms\"\n");
    let gateway = Gateway::start(&config, &[("chat", &origin)]).await;
    let mut socket = websocket(gateway.web().await, "/chat").await;
    socket.say("hello").await;
    assert_eq!(socket.hear().await, "hello");
    socket.ended().await;
    origin.until_ended(1).await;
    gateway.records(1).await;
}

#[tokio::test]
async fn either_side_may_end_a_tunnel() {
    let origin = RawOrigin::start(|index, mut connection| async move {
        connection.request().await.expect("a handshake");
        connection
            .send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            .await;
        if index == 0 {
            connection.send(b"bye").await;
        } else {
            connection.expect(b"bye").await;
            connection.closed().await;
        }
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("chat", &origin)]).await;
    let mut client = gateway.connect().await;
    client.send(HANDSHAKE).await;
    client.response("GET").await.expect("a response");
    client.expect(b"bye").await;
    client.closed().await;

    let mut client = gateway.connect().await;
    client.send(HANDSHAKE).await;
    client.response("GET").await.expect("a response");
    client.send(b"bye").await;
    drop(client);
    let records = gateway.records(2).await;
    assert!(records.iter().all(|record| record.text("status") == "101"));
}
