//! Bodies that the kernel moves from socket to socket: not a byte more, not a byte less, and nothing is left behind.

use bytes::Bytes;
use http_body_util::Full;

use crate::harness::{Broken, Gateway, Origin, RawOrigin, Request};

const CONFIG: &str = r#"
    [[route]]
    name = "all"
    upstream = "app"
    [upstream.app]
    endpoints = ["<app>"]
"#;

const SIZE: usize = 3 * 1024 * 1024 + 7;

/// Bytes of which no two stretches look alike.
fn pattern(size: usize) -> Vec<u8> {
    let mut state = 1_u64;
    (0..size)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .collect()
}

#[tokio::test]
async fn large_downloads_arrive_byte_for_byte_one_after_the_other() {
    let origin =
        Origin::http(|_| async { http::Response::new(Full::new(Bytes::from(pattern(SIZE)))) })
            .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    for _ in 0..3 {
        let response = client.ask(Request::get("/")).await;
        assert!(response.body == pattern(SIZE), "the body is another one");
    }
    assert_eq!(
        origin.connections(),
        1,
        "the endpoint's connection was kept"
    );
}

#[tokio::test]
async fn what_follows_a_large_upload_is_the_next_request() {
    let origin = Origin::answering("taken").await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    let mut bytes = Request::post("/first", pattern(SIZE)).bytes();
    bytes.extend(Request::get("/second").bytes());
    bytes.extend(Request::post("/third", pattern(SIZE)).bytes());
    client.send(&bytes).await;
    for method in ["POST", "GET", "POST"] {
        let response = client.response(method).await.expect("an answer");
        assert_eq!(response.text(), "taken");
    }
    let seen = origin.seen();
    let paths: Vec<_> = seen.iter().map(|request| request.target.clone()).collect();
    assert_eq!(paths, ["/first", "/second", "/third"]);
    assert!(seen[0].body == pattern(SIZE) && seen[2].body == pattern(SIZE));
    assert!(seen[1].body.is_empty());
}

#[tokio::test]
async fn a_large_body_that_breaks_off_does_not_look_whole() {
    let origin = RawOrigin::start(|_, mut connection| async move {
        let _ = connection.request().await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
        connection.send(head.as_bytes()).await;
        connection.send(&pattern(SIZE / 2)).await;
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    let broken = client.try_ask(Request::get("/")).await;
    assert!(matches!(broken, Err(Broken::Truncated(_))), "{broken:?}");
    assert_eq!(
        gateway.records(1).await[0].text("reason"),
        "upstream_closed"
    );
}

#[tokio::test]
async fn pipes_are_closed_when_the_client_leaves() {
    let origin = RawOrigin::start(|_, mut connection| async move {
        let _ = connection.request().await;
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1_u64 << 40);
        connection.send(head.as_bytes()).await;
        while connection.try_send(&[0; 65536]).await.is_ok() {}
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let before = gateway.pipes();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut client = gateway.connect().await;
        client.send(&Request::get("/").bytes()).await;
        client.response_head("GET").await.expect("a head");
        client.try_bytes(SIZE).await.expect("a part of the body");
        clients.push(client);
        assert_eq!(gateway.pipes(), before + 2 * clients.len());
    }
    drop(clients);
    gateway.records(4).await;
    assert_eq!(gateway.pipes(), before);
}
