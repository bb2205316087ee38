//! Large bodies: they pass with back-pressure, and the gateway's memory does not grow with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;

use crate::harness::{
    Client, Connection, Gateway, H2Client, Length, Origin, RawOrigin, Request, h2_request, within,
};

const CONFIG: &str = r#"
    [[route]]
    name = "all"
    upstream = "app"
    [upstream.app]
    endpoints = ["<app>"]
"#;

const SIZE: usize = 100 * 1024 * 1024;

/// What the gateway may take for one exchange beside what it had; a fraction of the body.
const MEMORY: u64 = 24 * 1024 * 1024;

/// Kernel buffers on two connections, and the gateway's own.
const UNDER_WAY: usize = 40 * 1024 * 1024;

#[tokio::test]
async fn a_download_is_held_back_by_a_slow_client() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let origin = RawOrigin::start(move |_, mut connection| {
        let counter = Arc::clone(&counter);
        async move {
            let _ = connection.request().await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
            connection.send(head.as_bytes()).await;
            send_body(&mut connection, &counter).await;
            connection.rest().await;
        }
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let before = gateway.resident();
    let mut client = gateway.connect().await;
    client.small_receive_buffer();
    client.send(&Request::get("/").bytes()).await;
    let (head, length) = client.response_head("GET").await.expect("a head");
    assert_eq!(
        head.header("content-length"),
        Some(SIZE.to_string().as_str())
    );
    let mut got = 0;
    let mut furthest = 0;
    client
        .stream_body(length, &mut |part| {
            got += part.len();
            furthest = furthest.max(sent.load(Ordering::SeqCst).saturating_sub(got));
        })
        .await
        .expect("the body");
    assert_eq!(got, SIZE);
    assert!(
        furthest < UNDER_WAY,
        "the origin was {furthest} bytes ahead"
    );
    let grown = gateway.peak_resident().saturating_sub(before);
    assert!(grown < MEMORY, "{grown} bytes for one download");
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("bytes_sent"), SIZE.to_string());
}

#[tokio::test]
async fn case_31_an_upload_is_held_back_by_a_slow_upstream() {
    let origin = RawOrigin::start(|_, mut connection| async move {
        connection.small_receive_buffer();
        let (_head, length) = connection.request_head().await.expect("a head");
        let mut got = 0;
        connection
            .stream_body(length, &mut |part| got += part.len())
            .await
            .expect("the body");
        let body = got.to_string();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.send(answer.as_bytes()).await;
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let before = gateway.resident();
    let mut client = gateway.connect().await;
    let head = format!("POST / HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: {SIZE}\r\n\r\n");
    client.send(head.as_bytes()).await;
    send_body(&mut client, &AtomicUsize::new(0)).await;
    let response = client.response("POST").await.expect("an answer");
    assert_eq!(response.text(), SIZE.to_string());
    let grown = gateway.peak_resident().saturating_sub(before);
    assert!(grown < MEMORY, "{grown} bytes for one upload");
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("bytes_received"), SIZE.to_string());
}

#[tokio::test]
async fn chunks_come_as_they_are_sent() {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel::<&'static [u8]>();
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let origin = RawOrigin::start(move |_, mut connection| {
        let receiver = Arc::clone(&receiver);
        async move {
            let _ = connection.request().await;
            connection
                .send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await;
            while let Some(part) = receiver.lock().await.recv().await {
                connection.send(part).await;
            }
        }
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client.send(&Request::get("/").bytes()).await;
    // The head comes although there is no body yet, and each part before the next one is sent.
    let (head, _length) = client.response_head("GET").await.expect("a head");
    assert_eq!(head.header("transfer-encoding"), Some("chunked"));
    sender.send(b"3\r\none\r\n").expect("the origin");
    assert_eq!(client.chunk().await.as_deref(), Some(&b"one"[..]));
    sender.send(b"3\r\ntwo\r\n").expect("the origin");
    assert_eq!(client.chunk().await.as_deref(), Some(&b"two"[..]));
    sender.send(b"0\r\n\r\n").expect("the origin");
    assert_eq!(client.chunk().await, None);
}

#[tokio::test]
async fn an_upload_comes_as_it_is_sent() {
    let origin = RawOrigin::start(|_, mut connection| async move {
        let (_head, length) = connection.request_head().await.expect("a head");
        assert_eq!(length, Length::Chunked);
        assert_eq!(connection.chunk().await.as_deref(), Some(&b"one"[..]));
        // The answer to the first part lets the client send the second.
        connection
            .send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
            .await;
        assert_eq!(connection.chunk().await.as_deref(), Some(&b"two"[..]));
        assert_eq!(connection.chunk().await, None);
        connection.send(b"3\r\ntwo\r\n0\r\n\r\n").await;
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client
        .send(b"POST / HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        .await;
    let (head, _length) = client.response_head("POST").await.expect("a head");
    assert_eq!(head.status, 200);
    assert_eq!(client.chunk().await.as_deref(), Some(&b"one"[..]));
    client.send(b"3\r\ntwo\r\n0\r\n\r\n").await;
    assert_eq!(client.chunk().await.as_deref(), Some(&b"two"[..]));
    assert_eq!(client.chunk().await, None);
}

#[tokio::test]
async fn an_answer_may_come_before_the_end_of_the_upload() {
    let origin = RawOrigin::start(|_, mut connection| async move {
        let _ = connection.request_head().await;
        connection
            .send(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
            .await;
        connection.rest().await;
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client
        .send(b"POST / HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1000000\r\n\r\nbeginning")
        .await;
    let response = client.response("POST").await.expect("an answer");
    assert_eq!((response.status, response.text()), (413, "big"));
    client.closed().await;
}

#[tokio::test]
async fn large_bodies_pass_between_http2_and_http1() {
    let origin =
        Origin::http(|seen| async move { http::Response::new(Full::new(Bytes::from(seen.body))) })
            .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let client = H2Client::connect(gateway.web().await).await;
    // Larger than every initial window.
    let body: Vec<u8> = (0..3_000_000u32)
        .map(|number| number.to_le_bytes()[0])
        .collect();
    let request = h2_request("POST", "/").body(Bytes::from(body.clone()));
    let answer = client.ask(request.expect("a request")).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body == body, "the body came back changed");
}

#[tokio::test]
async fn one_stalled_stream_does_not_stop_its_neighbours() {
    let origin = Origin::http(|seen| async move {
        let size = if seen.target == "/large" {
            8_000_000
        } else {
            2
        };
        http::Response::new(Full::new(Bytes::from(vec![b'x'; size])))
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let client = H2Client::connect(gateway.web().await).await;
    let request = h2_request("GET", "/large").body(()).expect("a request");
    let (response, _stream) = client.open(request, true).await;
    let stalled = within("a head", response).await.expect("a head");
    // Nobody reads the body of that one.
    for _ in 0..20 {
        assert_eq!(client.get("/small").await.text(), "xx");
    }
    drop(stalled);
}

/// Writes `SIZE` bytes and counts them.
async fn send_body(connection: &mut Connection, counter: &AtomicUsize) {
    let part = vec![b'x'; 64 * 1024];
    let mut left = SIZE;
    while left > 0 {
        let part = &part[..part.len().min(left)];
        connection.send(part).await;
        left -= part.len();
        counter.fetch_add(part.len(), Ordering::SeqCst);
    }
}

#[tokio::test]
async fn case_36_a_client_that_never_reads_is_given_up() {
    let origin = Origin::http(|_seen| async {
        http::Response::new(Full::new(Bytes::from(vec![b'x'; 50_000_000])))
    })
    .await;
    let gateway = Gateway::start(
        r#"
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        body_timeout = "300ms"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<app>"]
        "#,
        &[("app", &origin)],
    )
    .await;
    let mut client = Client::connect(gateway.web().await).await;
    client.send(&Request::get("/").bytes()).await;
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "client_stalled");
}
