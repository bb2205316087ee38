//! What the upstream is told about the client: the truth, whoever says otherwise.

use crate::harness::{Client, Gateway, Origin, RawOrigin, RecordingOrigin, Request};

const CONFIG: &str = r#"
    [server]
    trusted_proxies = ["127.0.0.7/32", "10.0.0.0/8"]
    [[route]]
    name = "all"
    upstream = "app"
    [upstream.app]
    endpoints = ["<app>"]
"#;

#[tokio::test]
async fn case_47_a_stranger_is_told_as_what_it_is() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    gateway
        .send(
            Request::get("/")
                .header("X-Forwarded-For", "127.0.0.1")
                .header("X-Forwarded-For", "8.8.8.8")
                .header("X-Forwarded-Proto", "https")
                .header("X-Forwarded-Host", "bank.test")
                .header("X-Forwarded-Port", "443")
                .header("X_Forwarded_For", "9.9.9.9")
                .header("X-Real-IP", "9.9.9.9")
                .header("Forwarded", "for=9.9.9.9"),
        )
        .await;
    let seen = origin.only();
    assert_eq!(seen.fields.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("x-forwarded-host"), Some("gateway.test"));
    for forged in [
        "x-forwarded-port",
        "x_forwarded_for",
        "x-real-ip",
        "forwarded",
    ] {
        assert!(!seen.fields.has(forged), "{forged}");
    }
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("client_ip"), "127.0.0.1");
}

#[tokio::test]
async fn case_47_a_trusted_chain_is_read_from_right_to_left() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let mut proxy = Client::connect_from("127.0.0.7", gateway.web().await).await;
    proxy
        .ask(
            Request::get("/")
                .header("X-Forwarded-For", "1.1.1.1, 2.2.2.2")
                .header("X-Forwarded-For", "10.1.2.3")
                .header("X-Forwarded-Proto", "https")
                .header("X-Forwarded-Host", "www.test"),
        )
        .await;
    let seen = origin.only();
    assert_eq!(
        seen.header("x-forwarded-for"),
        Some("1.1.1.1, 2.2.2.2, 10.1.2.3, 127.0.0.7")
    );
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(seen.header("x-forwarded-host"), Some("www.test"));
    let record = &gateway.records(1).await[0];
    // 10.1.2.3 is a trusted hop; what stands left of the first stranger is hearsay.
    assert_eq!(record.text("client_ip"), "2.2.2.2");
    assert!(record.text("peer").starts_with("127.0.0.7"));
}

#[tokio::test]
async fn case_49_connection_options_cannot_take_away_what_the_gateway_adds() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "all"
        upstream = "app"
        filters = [{ kind = "request_headers", set = { "x-user" = "gateway" } }]
        [upstream.app]
        endpoints = ["<app>"]
        "#,
        &[("app", &origin)],
    )
    .await;
    gateway
        .send(
            Request::get("/")
                .header(
                    "Connection",
                    "X-Forwarded-For, X-Forwarded-Host, X-User, X-Hop",
                )
                .header("X-User", "client")
                .header("X-Hop", "1")
                .header("Keep-Alive", "timeout=5")
                .header("Proxy-Connection", "keep-alive")
                .header("TE", "gzip"),
        )
        .await;
    let seen = origin.only();
    assert_eq!(seen.fields.all("x-user"), ["gateway"]);
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x-forwarded-host"), Some("gateway.test"));
    for hop in ["x-hop", "keep-alive", "proxy-connection", "te"] {
        assert!(!seen.fields.has(hop), "{hop}: {seen:?}");
    }
}

#[tokio::test]
async fn case_50_no_spelling_of_an_asserted_field_reaches_the_upstream() {
    let origin = RecordingOrigin::start().await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "all"
        upstream = "app"
        filters = [{ kind = "request_headers", set = { "x-user" = "gateway" } }]
        [upstream.app]
        endpoints = ["<app>"]
        "#,
        &[("app", &origin)],
    )
    .await;
    let mut client = gateway.connect().await;
    client
        .send(
            b"POST / HTTP/1.1\r\nHost: gateway.test\r\nX-User: a\r\nx-user: b\r\nX_User: c\r\nX.User: d\r\n\
              Transfer-Encoding: chunked\r\n\r\n0\r\nX-User: e\r\n\r\n",
        )
        .await;
    assert_eq!(
        client.response("POST").await.expect("an answer").status,
        200
    );
    let seen = &origin.requests()[0];
    let asserted: Vec<_> = seen
        .fields
        .iter()
        .chain(seen.trailers.iter())
        .filter(|(name, _)| name.replace(['_', '.'], "-").eq_ignore_ascii_case("x-user"))
        .collect();
    assert_eq!(asserted.len(), 1, "{asserted:?}");
    assert_eq!(asserted[0].1, b"gateway");
}

#[tokio::test]
async fn hop_by_hop_fields_of_a_response_stay_on_their_hop() {
    let origin = RawOrigin::answering(
        b"HTTP/1.1 200 OK\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nX-End: 2\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let response = gateway.get("/").await;
    assert_eq!(response.header("x-end"), Some("2"));
    for hop in ["x-hop", "keep-alive"] {
        assert!(!response.fields.has(hop), "{hop}");
    }
}

#[tokio::test]
async fn a_response_passes_as_it_is() {
    let origin = RawOrigin::answering(
        b"HTTP/1.1 299 Odd But Fine\r\nX-Order: 1\r\nSet-Cookie: a=1\r\nx-order: 2\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let response = gateway.get("/").await;
    assert_eq!(
        (response.status, response.reason.as_str()),
        (299, "Odd But Fine")
    );
    assert_eq!(response.fields.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(response.fields.all("x-order"), ["1", "2"]);
    assert!(
        response.fields.iter().any(|(name, _)| name == "X-Order"),
        "spelling is kept"
    );
}
