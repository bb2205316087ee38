//! Wire rules D again: what is decided about a request is decided on what is sent.

use crate::harness::{Gateway, RecordingOrigin, Request};

/// Every spelling of a guarded path is guarded or refused; none of them gets past the guard.
#[tokio::test]
async fn case_40_no_spelling_gets_past_a_guarded_path() {
    let origin = RecordingOrigin::start().await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "guard"
        path = "/admin/*"
        respond = { status = 403, body = "guarded" }

        [[route]]
        name = "public"
        path = "/*"
        upstream = "origin"

        [upstream.origin]
        endpoints = ["<origin>"]
        "#,
        &[("origin", &origin)],
    )
    .await;
    for path in [
        "/admin",
        "/admin/",
        "/admin/x",
        "/public/../admin",
        "/public/%2e%2e/admin",
        "/public/.%2e/admin",
        "//admin",
        "/./admin",
        "/admin%2f..",
        "/a/..;/admin",
        "/;/admin",
        "/%3bx=1/admin",
        "/%61dmin",
        "/%61%64%6d%69%6e/x",
        "/a%5c..%5cadmin",
        "/a%2f..%2fadmin",
        "/admin%00",
        "/%c0%afadmin",
        "/public/..%2fadmin",
    ] {
        let response = gateway.get(path).await;
        assert!(
            matches!(response.status, 400 | 403),
            "{path}: {}",
            response.status
        );
    }
    for public in ["/admins", "/ADMIN", "/x/admin", "/%2561dmin"] {
        assert_eq!(gateway.get(public).await.status, 200, "{public}");
    }
    let seen = origin.requests();
    assert_eq!(seen.len(), 4, "{seen:?}");
}

/// The result is the same with five hosts and with five hundred.
#[tokio::test]
async fn case_41_spellings_of_a_host_are_one_host_however_many_there_are() {
    for count in [5, 500] {
        let mut config = String::new();
        for number in 0..count {
            config.push_str(&format!(
                "[[route]]\nname = \"r{number}\"\nhosts = [\"h{number}.test\"]\nrespond = {{ body = \"{number}\" }}\n"
            ));
        }
        let gateway = Gateway::start(&config, &[]).await;
        for host in [
            "h4.test",
            "H4.TEST",
            "h4.test.",
            "h4.test:8080",
            "h4.TEST.:1",
        ] {
            let response = gateway.send(Request::get("/").host(host)).await;
            assert_eq!((response.status, response.text()), (200, "4"), "{host}");
        }
        for host in ["h4.test.evil", "xh4.test", "h4", "h4.test.."] {
            let response = gateway.send(Request::get("/").host(host)).await;
            assert!(
                matches!(response.status, 400 | 404),
                "{host}: {}",
                response.status
            );
        }
    }
}

#[tokio::test]
async fn case_43_a_route_sees_every_value_of_a_field() {
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "gold"
        headers = { "x-tier" = "gold" }
        respond = { body = "gold" }

        [[route]]
        name = "rest"
        respond = { body = "rest" }
        "#,
        &[],
    )
    .await;
    for (lines, expected) in [
        (&["gold"][..], "gold"),
        (&["lead", "gold"], "gold"),
        (&["gold", "lead"], "gold"),
        (&["lead"], "rest"),
        (&[], "rest"),
    ] {
        let request = lines.iter().fold(Request::get("/"), |request, value| {
            request.header("X-Tier", value)
        });
        assert_eq!(gateway.send(request).await.text(), expected, "{lines:?}");
    }
}

#[tokio::test]
async fn case_44_a_capture_cannot_inject_a_line() {
    let origin = RecordingOrigin::start().await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "rewritten"
        path = "/u/{id}/*"
        upstream = "origin"
        filters = [
          { kind = "rewrite", path = "/users/{id}/*" },
          { kind = "request_headers", set = { "x-path" = "${path}" } },
        ]

        [upstream.origin]
        endpoints = ["<origin>"]
        "#,
        &[("origin", &origin)],
    )
    .await;
    let response = gateway.get("/u/a%0d%0aX-Evil:%201/b").await;
    assert_eq!(response.status, 400);
    let long = "x".repeat(7000);
    let response = gateway.get(&format!("/u/{long}/{}", "%20%3F%23")).await;
    assert_eq!(response.status, 200);
    let seen = origin.requests();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].target, format!("/users/{long}/%20%3F%23"));
}

#[tokio::test]
async fn case_46_a_redirect_names_only_what_is_configured() {
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "old"
        path = "/old/*"
        redirect = { to = "/new/*" }
        "#,
        &[],
    )
    .await;
    let response = gateway
        .send(Request::get("/old/a?b=c").host("evil.test"))
        .await;
    assert_eq!(response.status, 308);
    assert_eq!(response.header("location"), Some("/new/a?b=c"));
    // A path of two slashes would be another host to a browser.
    let response = gateway.get("/old//evil.test").await;
    let location = response.header("location").unwrap_or_default();
    assert!(!location.starts_with("//"), "{location}");
}
