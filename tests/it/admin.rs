//! The admin address.

use crate::harness::{Gateway, Origin, Request, curl, portcullis, refusing_address};

const CONFIG: &str = r#"
    [[route]]
    name = "all"
    upstream = "app"
    filters = [{ kind = "request_headers", set = { "authorization" = "Bearer ${env:PORTCULLIS_TEST_TOKEN}" } }]
    [upstream.app]
    endpoints = ["<app>"]
"#;

async fn start(origin: &Origin) -> Gateway {
    Gateway::start_with(CONFIG, &[("app", origin)], |command| {
        command.env("PORTCULLIS_TEST_TOKEN", "s3cr3t-token");
    })
    .await
}

#[tokio::test]
async fn health_and_readiness_are_told() {
    let origin = Origin::answering("ok").await;
    let gateway = start(&origin).await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(
            gateway.ask_admin(Request::get(path)).await.status,
            200,
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_unknown_path_is_404_and_a_wrong_method_405() {
    let origin = Origin::answering("ok").await;
    let gateway = start(&origin).await;
    assert_eq!(
        gateway.ask_admin(Request::get("/nothing")).await.status,
        404
    );
    assert_eq!(gateway.ask_admin(Request::get("/reload")).await.status, 405);
    assert_eq!(gateway.ask_admin(Request::get("/drain")).await.status, 405);
    assert_eq!(
        gateway
            .ask_admin(Request::post("/metrics", ""))
            .await
            .status,
        405
    );
}

#[tokio::test]
async fn the_configuration_is_shown_without_its_secrets() {
    let origin = Origin::answering("ok").await;
    let gateway = start(&origin).await;
    let response = gateway.ask_admin(Request::get("/config")).await;
    assert_eq!(response.status, 200);
    assert!(
        response.text().contains(&origin.to_string()),
        "{}",
        response.text()
    );
    assert!(
        !response.text().contains("s3cr3t-token"),
        "{}",
        response.text()
    );
    // It is in use all the same.
    gateway.get("/").await;
    assert_eq!(
        origin.only().header("authorization"),
        Some("Bearer s3cr3t-token")
    );
    // And in no log.
    gateway.records(1).await;
    assert!(!gateway.log().text().contains("s3cr3t-token"));
    assert!(
        !gateway
            .access_log()
            .lines_now()
            .join("")
            .contains("s3cr3t-token")
    );
}

#[tokio::test]
async fn upstreams_are_shown_with_their_endpoints_states_and_counts() {
    let origin = Origin::answering("ok").await;
    let (refusing, _guard) = refusing_address();
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<app>", "<refusing>"]
        "#,
        &[("app", &origin), ("refusing", &refusing)],
    )
    .await;
    for _ in 0..6 {
        assert_eq!(gateway.get("/").await.status, 200);
    }
    let response = gateway.ask_admin(Request::get("/upstreams")).await;
    assert_eq!(response.status, 200);
    for part in ["app", &origin.to_string(), &refusing.to_string()] {
        assert!(response.text().contains(part), "{}", response.text());
    }
    // Machine-readable.
    response.json();
}

#[tokio::test]
async fn a_reload_answers_with_what_is_wrong() {
    let origin = Origin::answering("ok").await;
    let gateway = start(&origin).await;
    gateway.edit("[[route]]\nname = \"a\"\nupstrem = \"app\"\n", &[]);
    let response = gateway.post_reload().await;
    assert!((400..500).contains(&response.status), "{}", response.status);
    assert!(response.text().contains("upstrem"), "{}", response.text());
    assert!(
        response.text().contains("gateway.toml"),
        "{}",
        response.text()
    );
    // curl sees the same.
    let url = format!("http://{}/reload", gateway.admin().await);
    let answer = curl(&["--request", "POST", "--fail-with-body", &url]).await;
    assert_eq!(answer.code, Some(22), "{answer:?}");
}

#[tokio::test]
async fn the_level_of_the_program_log_changes_at_run_time() {
    let origin = Origin::answering("ok").await;
    let gateway = start(&origin).await;
    let before = gateway.ask_admin(Request::get("/log-level")).await;
    assert_eq!(before.status, 200);
    assert!(before.text().contains("info"), "{}", before.text());
    let changed = gateway
        .ask_admin(Request::new("PUT", "/log-level").body("level=debug"))
        .await;
    assert!((200..300).contains(&changed.status), "{changed:?}");
    let after = gateway.ask_admin(Request::get("/log-level")).await;
    assert!(after.text().contains("debug"), "{}", after.text());
    let refused = gateway
        .ask_admin(Request::new("PUT", "/log-level").body("no level = at all"))
        .await;
    assert!((400..500).contains(&refused.status), "{refused:?}");
    // Debug lines do come now.
    gateway.get("/").await;
    gateway.post_reload().await;
    gateway
        .log()
        .wait("a line of debug", |line| {
            (line.field("level") == Some("DEBUG")).then_some(())
        })
        .await;
}

#[tokio::test]
async fn the_admin_address_can_be_switched_off() {
    let gateway = Gateway::start(
        "[admin]\nenabled = false\n[[route]]\nname = \"a\"\nrespond = { body = \"a\" }\n",
        &[],
    )
    .await;
    assert_eq!(gateway.get("/").await.text(), "a");
    assert!(
        !gateway.log().text().contains("\"admin\""),
        "{}",
        gateway.log().text()
    );
}

#[tokio::test]
async fn a_drain_that_is_asked_for_ends_the_process() {
    let origin = Origin::answering("ok").await;
    let mut gateway = start(&origin).await;
    let response = gateway.ask_admin(Request::post("/drain", "")).await;
    assert!((200..300).contains(&response.status), "{}", response.status);
    assert_eq!(gateway.exit().await.code(), Some(0));
}

/// Two gateways side by side share nothing.
#[tokio::test]
async fn two_gateways_are_two() {
    let (a, b) = (Origin::answering("a").await, Origin::answering("b").await);
    let (one, two) = (start(&a).await, start(&b).await);
    assert_eq!(one.get("/").await.text(), "a");
    assert_eq!(two.get("/").await.text(), "b");
    two.records(1).await;
    let metrics = two.metrics().await;
    let counted = metrics.sum("portcullis_requests_total", &[]);
    assert!((counted - 1.0).abs() < 0.1, "{counted}");
    let version = portcullis(&["version"]).await;
    assert_eq!(version.code, Some(0));
    assert!(
        version.stdout.contains(env!("CARGO_PKG_VERSION")),
        "{version:?}"
    );
}

#[tokio::test]
async fn an_endpoint_is_drained_disabled_and_enabled_across_reloads() {
    let (held, gate) = Origin::gated("held").await;
    let other = Origin::answering("other").await;
    let text = r#"
        [[route]]
        name = "all"
        path = "<path>"
        upstream = "app"
        [upstream.app]
        endpoints = ["<held>", "<other>"]
        "#;
    let gateway =
        Gateway::start(text, &[("path", &"/*"), ("held", &held), ("other", &other)]).await;
    let mut client = gateway.connect().await;
    while held.seen().is_empty() {
        // The turns go round: the second request at the latest is held.
        client = gateway.connect().await;
        client.send(&Request::get("/").bytes()).await;
        if other.seen().is_empty() {
            tokio::select! {
                () = gate.reached(1) => {}
                answer = client.response("GET") => assert_eq!(answer.expect("an answer").text(), "other"),
            }
        } else {
            gate.reached(1).await;
        }
    }
    let set = async |state: &str| {
        let form = format!("upstream=app&endpoint={held}&state={state}");
        let response = gateway.ask_admin(Request::post("/endpoints", form)).await;
        assert_eq!(response.status, 200, "{}", response.text());
        let shown = gateway.ask_admin(Request::get("/upstreams")).await.json();
        shown["upstreams"]["app"]["endpoints"][0]["state"].clone()
    };
    assert_eq!(set("draining").await, "draining");
    for _ in 0..6 {
        assert_eq!(gateway.get("/").await.text(), "other");
    }
    // A reload does not forget it, and what the endpoint has it finishes.
    gateway
        .reload(
            text,
            &[("path", &"/a/*"), ("held", &held), ("other", &other)],
        )
        .await;
    for _ in 0..6 {
        assert_eq!(gateway.get("/a/").await.text(), "other");
    }
    gate.open();
    assert_eq!(
        client.response("GET").await.expect("an answer").text(),
        "held"
    );
    assert_eq!(set("disabled").await, "disabled");
    assert_eq!(gateway.get("/a/").await.text(), "other");
    assert_eq!(set("enabled").await, "up");
    let mut bodies = Vec::new();
    for _ in 0..4 {
        bodies.push(gateway.get("/a/").await.text().to_owned());
    }
    assert!(bodies.iter().any(|body| body == "held"), "{bodies:?}");
    let unknown = Request::post("/endpoints", "upstream=ap&endpoint=a:1&state=draining");
    assert_eq!(gateway.ask_admin(unknown).await.status, 404);
}
