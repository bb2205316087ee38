//! gRPC end to end, with a client and a service that are tonic's.

use std::time::Duration;

use tokio_stream::StreamExt;
use tonic::Code;

use crate::harness::{EchoClient, EchoOrigin, Gateway, Text};

const CONFIG: &str = r#"
    [[route]]
    name = "echo"
    path = "/test.Echo/*"
    upstream = "echo"
    [upstream.echo]
    endpoints = ["<echo>"]
    protocol = "h2c"
"#;

#[tokio::test]
async fn unary_calls_pass_with_their_metadata() {
    let origin = EchoOrigin::start().await;
    let gateway = Gateway::start(CONFIG, &[("echo", &origin)]).await;
    let mut client = EchoClient::connect(gateway.web().await).await;
    let mut request = tonic::Request::new(Text::new("hello"));
    request
        .metadata_mut()
        .insert("x-ask", "why".parse().unwrap());
    let response = client.unary(request).await.expect("a response");
    assert_eq!(response.metadata().get("x-answer").unwrap(), "why");
    assert_eq!(response.into_inner().text, "hello");
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("grpc_status"), "0");
    assert_eq!(record.text("protocol"), "HTTP/2");
}

#[tokio::test]
async fn messages_larger_than_a_window_pass() {
    let origin = EchoOrigin::start().await;
    let gateway = Gateway::start(CONFIG, &[("echo", &origin)]).await;
    let mut client = EchoClient::connect(gateway.web().await).await;
    let text = "x".repeat(2_000_000);
    let response = client.unary(tonic::Request::new(Text::new(&text))).await;
    assert!(response.expect("a response").into_inner().text == text);
}

#[tokio::test]
async fn streams_of_the_client_the_service_and_both_pass() {
    let origin = EchoOrigin::start().await;
    let gateway = Gateway::start(CONFIG, &[("echo", &origin)]).await;
    let mut client = EchoClient::connect(gateway.web().await).await;

    let collected = client.collect(&["a", "b", "c"]).await.expect("a response");
    assert_eq!(collected.into_inner().text, "a,b,c");

    let repeated: Vec<_> = client.repeat("r").await.expect("a stream").collect().await;
    let texts: Vec<_> = repeated
        .into_iter()
        .map(|text| text.expect("a message").text)
        .collect();
    assert_eq!(texts, ["r 0", "r 1", "r 2"]);

    // Each message waits for the answer to the one before, so nothing may be held back on the way.
    let (say, mut hear) = client.talk().await.expect("a stream");
    for text in ["one", "two", "three"] {
        say.send(Text::new(text)).await.expect("the call");
        let answer = crate::harness::within("an answer", hear.next()).await;
        let answer = answer.expect("a message").expect("a message");
        assert_eq!(answer.text, format!("you said {text}"));
    }
    drop(say);
    assert!(
        crate::harness::within("the end", hear.next())
            .await
            .is_none()
    );
}

#[tokio::test]
async fn an_error_without_messages_keeps_its_code_text_and_metadata() {
    let origin = EchoOrigin::start().await;
    let gateway = Gateway::start(CONFIG, &[("echo", &origin)]).await;
    let mut client = EchoClient::connect(gateway.web().await).await;
    let status = client
        .unary(tonic::Request::new(Text::new("refuse")))
        .await
        .expect_err("a refusal");
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), "not today: 100% & ü");
    assert_eq!(status.metadata().get("x-detail").unwrap(), "kept");
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("grpc_status"), "9");
}

#[tokio::test]
async fn a_deadline_reaches_the_service_and_ends_the_call() {
    let origin = EchoOrigin::start().await;
    let gateway = Gateway::start(CONFIG, &[("echo", &origin)]).await;
    let mut client = EchoClient::connect(gateway.web().await).await;
    let mut request = tonic::Request::new(Text::new("hello"));
    request.set_timeout(Duration::from_secs(5));
    let response = client.unary(request).await.expect("a response");
    assert!(response.metadata().get("x-timeout").is_some());

    let mut request = tonic::Request::new(Text::new("hang"));
    request.set_timeout(Duration::from_millis(200));
    let status = client.unary(request).await.expect_err("a deadline");
    assert!(
        matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled),
        "{status:?}"
    );
    origin.until_cancelled(1).await;
}

#[tokio::test]
async fn a_cancelled_call_is_cancelled_at_the_service() {
    let origin = EchoOrigin::start().await;
    let gateway = Gateway::start(CONFIG, &[("echo", &origin)]).await;
    let client = EchoClient::connect(gateway.web().await).await;
    let mut hanging = client.clone();
    let call =
        tokio::spawn(async move { hanging.unary(tonic::Request::new(Text::new("hang"))).await });
    origin.until_hanging(1).await;
    call.abort();
    origin.until_cancelled(1).await;
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "client_gone");
    // The connection and its other streams live on.
    let mut client = client;
    let response = client.unary(tonic::Request::new(Text::new("next"))).await;
    assert_eq!(response.expect("a response").into_inner().text, "next");
}

#[tokio::test]
async fn a_gateway_without_a_service_is_unavailable_to_a_grpc_client() {
    let (refusing, _guard) = crate::harness::refusing_address();
    let gateway = Gateway::start(CONFIG, &[("echo", &refusing)]).await;
    let mut client = EchoClient::connect(gateway.web().await).await;
    let status = client
        .unary(tonic::Request::new(Text::new("hello")))
        .await
        .expect_err("no service");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
}

#[tokio::test]
async fn calls_share_a_connection_to_the_service() {
    let origin = EchoOrigin::start().await;
    let gateway = Gateway::start(
        &format!("[server]\nworkers = 1\n{CONFIG}"),
        &[("echo", &origin)],
    )
    .await;
    let client = EchoClient::connect(gateway.web().await).await;
    let calls = (0..50).map(|number| {
        let mut client = client.clone();
        async move {
            let text = format!("call {number}");
            let response = client.unary(tonic::Request::new(Text::new(&text))).await;
            assert_eq!(response.expect("a response").into_inner().text, text);
        }
    });
    futures_util::future::join_all(calls).await;
    gateway.records(50).await;
    let metrics = gateway.metrics().await;
    let opened = metrics.sum(
        "portcullis_upstream_connections_total",
        &[("upstream", "echo")],
    );
    assert!((opened - 1.0).abs() < 0.1, "{opened} connections");
}
