//! What the filters of a route do to a request and to its response.

use bytes::Bytes;
use http_body_util::Full;

use crate::harness::{Gateway, H2Client, Origin, Request, h2_request};

#[tokio::test]
async fn request_headers_removes_then_sets_then_adds() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "edited"
        path = "/u/{id}"
        upstream = "app"
        filters = [
          { kind = "request_headers", remove = ["x-secret"], set = { "x-gateway" = "portcullis", "x-who" = "${client_ip} ${method} ${route} ${listener}" }, add = { "x-list" = "own" } },
        ]
        [upstream.app]
        endpoints = ["<app>"]
        "#,
        &[("app", &origin)],
    )
    .await;
    gateway
        .send(
            Request::get("/u/7")
                .header("X-Secret", "1")
                .header("X-Gateway", "forged")
                .header("X-Gateway", "twice")
                .header("X-List", "theirs"),
        )
        .await;
    let seen = origin.only();
    assert!(!seen.fields.has("x-secret"));
    assert_eq!(seen.header("x-gateway"), Some("portcullis"));
    assert_eq!(seen.header("x-who"), Some("127.0.0.1 GET edited web"));
    assert_eq!(seen.fields.all("x-list"), ["theirs", "own"]);
}

#[tokio::test]
async fn response_headers_edits_answers_of_the_upstream_and_of_the_gateway() {
    let origin = Origin::http(|_seen| async {
        http::Response::builder()
            .header("x-powered-by", "secrets")
            .header("x-list", "theirs")
            .body(Full::new(Bytes::from_static(b"ok")))
            .expect("a response")
    })
    .await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "edited"
        path = "/app"
        upstream = "app"
        filters = [
          { kind = "response_headers", remove = ["x-powered-by"], set = { "x-route" = "${route} ${status}" }, add = { "x-list" = "own" } },
        ]
        [[route]]
        name = "fixed"
        path = "/fixed"
        respond = { status = 403, body = "no" }
        filters = [{ kind = "response_headers", set = { "x-route" = "${route} ${status}" } }]
        [upstream.app]
        endpoints = ["<app>"]
        "#,
        &[("app", &origin)],
    )
    .await;
    let response = gateway.get("/app").await;
    assert!(!response.fields.has("x-powered-by"));
    assert_eq!(response.header("x-route"), Some("edited 200"));
    assert_eq!(response.fields.all("x-list"), ["theirs", "own"]);
    let response = gateway.get("/fixed").await;
    assert_eq!(response.header("x-route"), Some("fixed 403"));
}

#[tokio::test]
async fn rewrite_changes_path_and_host_and_keeps_the_query() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "prefix"
        path = "/v1/users/*"
        upstream = "app"
        filters = [{ kind = "rewrite", path = "/users/*" }]
        [[route]]
        name = "captures"
        path = "/shop/{shop}/item/{item}"
        upstream = "app"
        filters = [{ kind = "rewrite", path = "/{item}/of/{shop}", host = "internal.test:81" }]
        [[route]]
        name = "shortened"
        path = "/team/*"
        upstream = "app"
        filters = [{ kind = "rewrite", strip_prefix = "/team", add_prefix = "/squad" }]
        [[route]]
        name = "groups"
        path_regex = "/r/(?<Year>[0-9]{4})-(?<Month>[0-9]{2})"
        upstream = "app"
        filters = [{ kind = "rewrite", path = "/{Month}/{Year}" }]
        [upstream.app]
        endpoints = ["<app>"]
        "#,
        &[("app", &origin)],
    )
    .await;
    for target in [
        "/v1/users/7/x?a=b",
        "/v1/users",
        "/shop/s%20s/item/i?q",
        "/team/7?a",
        "/r/2024-05",
    ] {
        assert_eq!(gateway.get(target).await.status, 200, "{target}");
    }
    let seen = origin.seen();
    let targets: Vec<_> = seen.iter().map(|seen| seen.target.as_str()).collect();
    assert_eq!(
        targets,
        [
            "/users/7/x?a=b",
            "/users",
            "/i/of/s%20s?q",
            "/squad/7?a",
            "/05/2024"
        ]
    );
    assert_eq!(seen[0].header("host"), Some("gateway.test"));
    assert_eq!(seen[2].header("host"), Some("internal.test:81"));
    assert_eq!(seen[2].header("x-forwarded-host"), Some("gateway.test"));
}

#[tokio::test]
async fn request_id_ties_client_upstream_and_log_together() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "given"
        path = "/given"
        upstream = "app"
        filters = [{ kind = "request_id" }]
        [[route]]
        name = "kept"
        path = "/kept"
        upstream = "app"
        filters = [{ kind = "request_id", header = "x-trace", trust = true }]
        [upstream.app]
        endpoints = ["<app>"]
        "#,
        &[("app", &origin)],
    )
    .await;
    let own = gateway
        .send(Request::get("/given").header("X-Request-Id", "theirs"))
        .await;
    let kept = gateway
        .send(Request::get("/kept").header("X-Trace", "theirs-1"))
        .await;
    let unfit = gateway
        .send(Request::get("/kept").header("X-Trace", &"x".repeat(5000)))
        .await;
    let seen = origin.seen();
    let id = own.header("x-request-id").expect("an id");
    assert_ne!(id, "theirs");
    assert_eq!(seen[0].header("x-request-id"), Some(id));
    assert_eq!(kept.header("x-trace"), Some("theirs-1"));
    assert_eq!(seen[1].header("x-trace"), Some("theirs-1"));
    let fresh = unfit.header("x-trace").expect("an id");
    assert!(fresh.len() < 100, "{fresh}");
    let records = gateway.records(3).await;
    assert_eq!(records[0].text("request_id"), id);
    assert_eq!(records[1].text("request_id"), "theirs-1");
}

#[tokio::test]
async fn filters_work_the_same_over_http2() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "edited"
        path = "/a/*"
        upstream = "app"
        filters = [
          { kind = "rewrite", path = "/b/*" },
          { kind = "request_headers", set = { "x-gateway" = "portcullis" } },
          { kind = "response_headers", set = { "x-route" = "${route}" } },
        ]
        [upstream.app]
        endpoints = ["<app>"]
        "#,
        &[("app", &origin)],
    )
    .await;
    let client = H2Client::connect(gateway.web().await).await;
    let request = h2_request("GET", "/a/x").body(Bytes::new());
    let answer = client.ask(request.expect("a request")).await;
    assert_eq!(answer.header("x-route"), Some("edited"));
    let seen = origin.only();
    assert_eq!(seen.target, "/b/x");
    assert_eq!(seen.header("x-gateway"), Some("portcullis"));
}
