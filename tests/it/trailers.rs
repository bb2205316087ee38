//! Trailers, in both directions and between the protocols.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use crate::harness::{
    Gateway, H2Answer, H2Client, H2Origin, RawOrigin, RecordingOrigin, Request, h2_request,
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

const CHUNKED_POST: &[u8] =
    b"POST / HTTP/1.1\r\nHost: gateway.test\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n\
      3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n";

const CHUNKED_ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
      2\r\nok\r\n0\r\nX-Sum: 9\r\n\r\n";

/// An HTTP/2 origin that says which trailer it saw and sends one itself.
async fn h2_origin() -> H2Origin {
    H2Origin::start(|mut exchange| async move {
        let (body, trailers) = exchange.body().await;
        let saw = format!(
            "{} bytes, {}",
            body.len(),
            trailers.get("x-sum").unwrap_or("no trailer")
        );
        let mut stream = exchange.begin(200).expect("a response");
        stream.send_data(Bytes::from(saw), false).expect("a body");
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("9"));
        stream.send_trailers(trailers).expect("trailers");
    })
    .await
}

/// Sends a body with a trailer over HTTP/2.
async fn post_with_trailer(client: &H2Client) -> H2Answer {
    let request = h2_request("POST", "/").header("te", "trailers").body(());
    let (response, mut stream) = client.open(request.expect("a request"), false).await;
    stream
        .send_data(Bytes::from_static(b"abc"), false)
        .expect("a body");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("7"));
    stream.send_trailers(trailers).expect("trailers");
    H2Answer::read(response).await.expect("an answer")
}

#[tokio::test]
async fn trailers_pass_from_http1_to_http1() {
    let origin = RecordingOrigin::start().await;
    let gateway = Gateway::start(HTTP1, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client.send(CHUNKED_POST).await;
    client.response("POST").await.expect("an answer");
    assert_eq!(origin.requests()[0].trailers.get("x-sum"), Some("7"));

    let origin = RawOrigin::answering(CHUNKED_ANSWER).await;
    let gateway = Gateway::start(HTTP1, &[("app", &origin)]).await;
    let response = gateway
        .send(Request::get("/").header("TE", "trailers"))
        .await;
    assert_eq!(response.text(), "ok");
    assert_eq!(response.trailers.get("x-sum"), Some("9"));
}

#[tokio::test]
async fn trailers_pass_from_http1_to_http2() {
    let origin = h2_origin().await;
    let gateway = Gateway::start(H2C, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client.send(CHUNKED_POST).await;
    let response = client.response("POST").await.expect("an answer");
    assert_eq!(response.text(), "3 bytes, 7");
    assert_eq!(response.trailers.get("x-sum"), Some("9"));
}

#[tokio::test]
async fn trailers_pass_from_http2_to_http1() {
    let origin = RecordingOrigin::start().await;
    let gateway = Gateway::start(HTTP1, &[("app", &origin)]).await;
    let client = H2Client::connect(gateway.web().await).await;
    assert_eq!(post_with_trailer(&client).await.status, 200);
    assert_eq!(origin.requests()[0].trailers.get("x-sum"), Some("7"));

    let origin = RawOrigin::answering(CHUNKED_ANSWER).await;
    let gateway = Gateway::start(HTTP1, &[("app", &origin)]).await;
    let client = H2Client::connect(gateway.web().await).await;
    let request = h2_request("GET", "/").header("te", "trailers");
    let answer = client
        .ask(request.body(Bytes::new()).expect("a request"))
        .await;
    assert_eq!(answer.text(), "ok");
    assert_eq!(answer.trailers.get("x-sum"), Some("9"));
}

#[tokio::test]
async fn trailers_pass_from_http2_to_http2() {
    let origin = h2_origin().await;
    let gateway = Gateway::start(H2C, &[("app", &origin)]).await;
    let client = H2Client::connect(gateway.web().await).await;
    let answer = post_with_trailer(&client).await;
    assert_eq!(answer.text(), "3 bytes, 7");
    assert_eq!(answer.trailers.get("x-sum"), Some("9"));
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_no_trailers() {
    let origin = RawOrigin::answering(CHUNKED_ANSWER).await;
    let gateway = Gateway::start(HTTP1, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client
        .send(b"GET / HTTP/1.0\r\nHost: gateway.test\r\n\r\n")
        .await;
    let response = client.response("GET").await.expect("an answer");
    assert_eq!(response.text(), "ok");
    assert!(response.trailers.is_empty());
}
