//! Clients and upstreams of HTTP/1.0.

use crate::harness::{Gateway, RawOrigin, RecordingOrigin, curl};

const CONFIG: &str = r#"
    [[route]]
    name = "all"
    upstream = "app"
    [upstream.app]
    endpoints = ["<app>"]
"#;

#[tokio::test]
async fn a_client_of_http_1_0_is_served_once_and_closed() {
    let origin = RecordingOrigin::start().await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client
        .send(b"GET /a HTTP/1.0\r\nHost: gateway.test\r\n\r\n")
        .await;
    let response = client.response("GET").await.expect("an answer");
    assert_eq!((response.status, response.text()), (200, "ok"));
    client.closed().await;
    let seen = &origin.requests()[0];
    assert_eq!(seen.version, "HTTP/1.1");
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("protocol"), "HTTP/1.0");
}

#[tokio::test]
async fn a_client_of_http_1_0_may_ask_to_be_kept() {
    let origin = RecordingOrigin::start().await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    for _ in 0..2 {
        client
            .send(b"GET /a HTTP/1.0\r\nHost: gateway.test\r\nConnection: keep-alive\r\n\r\n")
            .await;
        let response = client.response("GET").await.expect("an answer");
        assert_eq!(response.text(), "ok");
        let connection = response.header("connection").map(str::to_ascii_lowercase);
        assert_eq!(connection.as_deref(), Some("keep-alive"));
    }
}

#[tokio::test]
async fn a_chunked_response_reaches_it_without_chunks() {
    let origin = RawOrigin::answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    )
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client
        .send(b"GET / HTTP/1.0\r\nHost: gateway.test\r\nConnection: keep-alive\r\n\r\n")
        .await;
    let response = client.response("GET").await.expect("an answer");
    assert!(!response.fields.has("transfer-encoding"));
    assert_eq!(response.text(), "abcde");
    client.closed().await;
}

#[tokio::test]
async fn a_client_without_a_host_gets_the_route_for_any_host() {
    let gateway = Gateway::start(
        "[[route]]\nname = \"named\"\nhosts = [\"a.test\"]\nrespond = { body = \"named\" }\n\
         [[route]]\nname = \"any\"\nrespond = { body = \"any\" }\n",
        &[],
    )
    .await;
    let mut client = gateway.connect().await;
    client.send(b"GET / HTTP/1.0\r\n\r\n").await;
    let response = client.response("GET").await.expect("an answer");
    assert_eq!(response.text(), "any");
}

#[tokio::test]
async fn an_upstream_of_http_1_0_is_used_once() {
    let origin = RawOrigin::answering(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    for _ in 0..2 {
        let response = client.ask(crate::harness::Request::get("/")).await;
        assert_eq!(
            (response.version.as_str(), response.text()),
            ("HTTP/1.1", "ok")
        );
    }
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn curl_speaks_http_1_0() {
    let origin = RecordingOrigin::start().await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let url = format!("http://{}/", gateway.web().await);
    let answer = curl(&["--http1.0", "--data", "x", &url]).await;
    assert_eq!(
        (answer.code, answer.stdout.as_str()),
        (Some(0), "ok"),
        "{answer:?}"
    );
}
