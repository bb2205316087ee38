//! Which route wins, and what its action does.

use crate::harness::{Client, Gateway, Origin, Request};

/// Asks for each target and compares the body, which names the route that won.
async fn winners(gateway: &Gateway, expected: &[(Request, &str)]) {
    for (request, winner) in expected {
        let response = gateway.send(request.clone()).await;
        let got = if response.status == 200 {
            response.text().to_owned()
        } else {
            response.status.to_string()
        };
        assert_eq!(&got, winner, "{request:?}");
    }
}

#[tokio::test]
async fn an_exact_host_wins_over_a_wildcard_and_a_wildcard_over_any() {
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "any"
        respond = { body = "any" }
        [[route]]
        name = "wildcard"
        hosts = ["*.example.org"]
        respond = { body = "wildcard" }
        [[route]]
        name = "deeper"
        hosts = ["*.b.example.org"]
        respond = { body = "deeper" }
        [[route]]
        name = "exact"
        hosts = ["a.example.org", "[::1]"]
        respond = { body = "exact" }
        "#,
        &[],
    )
    .await;
    let get = |host| Request::get("/").host(host);
    winners(
        &gateway,
        &[
            (get("a.example.org"), "exact"),
            (get("A.Example.ORG:8080"), "exact"),
            (get("[::1]:80"), "exact"),
            (get("x.example.org"), "wildcard"),
            (get("x.y.example.org"), "wildcard"),
            (get("x.b.example.org"), "deeper"),
            (get("b.example.org"), "wildcard"),
            (get("example.org"), "any"),
            (get("notexample.org"), "any"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_path_is_exact_or_a_prefix_by_segments_or_has_captures_or_is_a_regex() {
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "exact"
        path = "/a"
        respond = { body = "exact" }
        [[route]]
        name = "prefix"
        path = "/a/*"
        respond = { body = "prefix" }
        [[route]]
        name = "longer"
        path = "/a/b/*"
        respond = { body = "longer" }
        [[route]]
        name = "capture"
        path = "/users/{id}"
        respond = { body = "capture" }
        [[route]]
        name = "literal"
        path = "/users/me"
        respond = { body = "literal" }
        [[route]]
        name = "regex"
        path_regex = "/v[0-9]+/x"
        respond = { body = "regex" }
        "#,
        &[],
    )
    .await;
    winners(
        &gateway,
        &[
            (Request::get("/a"), "exact"),
            (Request::get("/a?q"), "exact"),
            (Request::get("/a/"), "prefix"),
            (Request::get("/a/x/y"), "prefix"),
            (Request::get("/ab"), "404"),
            (Request::get("/a/b"), "longer"),
            (Request::get("/a/bc"), "prefix"),
            (Request::get("/users/7"), "capture"),
            (Request::get("/users/me"), "literal"),
            (Request::get("/users/7/x"), "404"),
            (Request::get("/v12/x"), "regex"),
            (Request::get("/v12/xy"), "404"),
            (Request::get("/w/v12/x"), "404"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_parameter_is_part_of_its_segment_and_a_guard_takes_an_expression() {
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "exact"
        path = "/a"
        respond = { body = "exact" }
        [[route]]
        name = "prefix"
        path = "/a/*"
        respond = { body = "prefix" }
        [[route]]
        name = "guard"
        path_regex = "/b([/;%].*)?"
        respond = { body = "guard" }
        [[route]]
        name = "rest"
        respond = { body = "rest" }
        "#,
        &[],
    )
    .await;
    winners(
        &gateway,
        &[
            (Request::get("/a;x=1"), "rest"),
            (Request::get("/a;x=1/y"), "rest"),
            (Request::get("/a/y;x=1"), "prefix"),
            (Request::get("/b"), "guard"),
            (Request::get("/%62"), "guard"),
            (Request::get("/b/y"), "guard"),
            (Request::get("/b;x=1"), "guard"),
            (Request::get("/b;x=1/y"), "guard"),
            (Request::get("/b%3Bx=1"), "guard"),
            (Request::get("/bc"), "rest"),
        ],
    )
    .await;
}

#[tokio::test]
async fn conditions_narrow_a_route() {
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "rest"
        respond = { body = "rest" }
        [[route]]
        name = "methods"
        methods = ["PUT", "PURGE"]
        respond = { body = "methods" }
        [[route]]
        name = "headers"
        headers = { "x-tier" = "gold", "x-any" = "*" }
        respond = { body = "headers" }
        [[route]]
        name = "prefix"
        headers = { "x-version" = "v2*" }
        respond = { body = "prefix" }
        [[route]]
        name = "regex"
        headers = { "x-version" = "~v3(\\.[0-9]+)?" }
        respond = { body = "regex" }
        [[route]]
        name = "query"
        query = { version = "2" }
        respond = { body = "query" }
        [[route]]
        name = "clients"
        clients = ["127.0.0.9/32"]
        respond = { body = "clients" }
        "#,
        &[],
    )
    .await;
    winners(
        &gateway,
        &[
            (Request::get("/"), "rest"),
            (Request::new("PUT", "/"), "methods"),
            (Request::new("PURGE", "/"), "methods"),
            (Request::new("put", "/"), "rest"),
            (
                Request::get("/")
                    .header("X-Tier", "gold")
                    .header("x-any", ""),
                "headers",
            ),
            (Request::get("/").header("x-tier", "gold"), "rest"),
            (
                Request::get("/")
                    .header("x-tier", "GOLD")
                    .header("x-any", "1"),
                "rest",
            ),
            (Request::get("/").header("x-version", "v2.7"), "prefix"),
            (Request::get("/").header("x-version", "v3.1"), "regex"),
            (Request::get("/").header("x-version", "v3.1x"), "rest"),
            (Request::get("/?a=b&version=2"), "query"),
            (Request::get("/?version=%32"), "query"),
            (Request::get("/?version=3"), "rest"),
            (Request::get("/?xversion=2"), "rest"),
        ],
    )
    .await;
    let mut other = Client::connect_from("127.0.0.9", gateway.web().await).await;
    assert_eq!(other.ask(Request::get("/")).await.text(), "clients");
}

#[tokio::test]
async fn priority_stands_above_everything() {
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "specific"
        hosts = ["gateway.test"]
        path = "/a"
        respond = { body = "specific" }
        [[route]]
        name = "vip"
        priority = 1
        respond = { body = "vip" }
        [[route]]
        name = "last"
        priority = -1
        path = "/b"
        respond = { body = "last" }
        "#,
        &[],
    )
    .await;
    winners(
        &gateway,
        &[(Request::get("/a"), "vip"), (Request::get("/b"), "vip")],
    )
    .await;
}

#[tokio::test]
async fn the_winner_does_not_depend_on_the_order_of_the_file() {
    let routes = [
        "[[route]]\nname = \"one\"\npath = \"/a/*\"\nrespond = { body = \"one\" }\n",
        "[[route]]\nname = \"two\"\npath = \"/a/{x}\"\nrespond = { body = \"two\" }\n",
        "[[route]]\nname = \"three\"\nmethods = [\"GET\"]\nrespond = { body = \"three\" }\n",
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let text: String = order.iter().map(|index| routes[*index]).collect();
        let gateway = Gateway::start(&text, &[]).await;
        winners(
            &gateway,
            &[
                (Request::get("/a/x"), "two"),
                (Request::get("/a/x/y"), "one"),
                (Request::get("/b"), "three"),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn no_route_is_404_with_its_reason() {
    let gateway = Gateway::start(
        "[[route]]\nname = \"a\"\npath = \"/a\"\nrespond = { body = \"a\" }\n",
        &[],
    )
    .await;
    assert_eq!(gateway.get("/b").await.status, 404);
    let record = &gateway.records(1).await[0];
    assert_eq!(
        (
            record.text("status").as_str(),
            record.text("reason").as_str()
        ),
        ("404", "no_route")
    );
    assert_eq!(record.text("source"), "gateway");
}

#[tokio::test]
async fn a_split_keeps_its_weights() {
    let orders = Origin::answering("orders").await;
    let next = Origin::answering("next").await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "canary"
        split = [{ upstream = "orders", weight = 90 }, { upstream = "next", weight = 10 }]
        [upstream.orders]
        endpoints = ["<orders>"]
        [upstream.next]
        endpoints = ["<next>"]
        "#,
        &[("orders", &orders), ("next", &next)],
    )
    .await;
    let mut client = gateway.connect().await;
    for _ in 0..2000 {
        assert_eq!(client.ask(Request::get("/")).await.status, 200);
    }
    // Five standard deviations to either side of 200.
    let share = next.seen().len();
    assert!((133..=267).contains(&share), "{share} of 2000");
    assert_eq!(orders.seen().len() + share, 2000);
    gateway.records(2000).await;
    let metrics = gateway.metrics().await;
    let counted = metrics.sum("portcullis_requests_total", &[("upstream", "next")]);
    assert!((counted - share as f64).abs() < 0.5, "{counted} of {share}");
}

#[tokio::test]
async fn a_redirect_keeps_the_rest_of_the_path_and_the_query() {
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "old"
        path = "/old/*"
        redirect = { to = "/v1/*", status = 308 }
        [[route]]
        name = "moved"
        path = "/moved"
        redirect = { to = "https://www.example.com/here", status = 301 }
        [[route]]
        name = "default"
        path = "/default"
        redirect = { to = "/there" }
        "#,
        &[],
    )
    .await;
    for (target, status, location) in [
        ("/old/a/b?c=d", 308, "/v1/a/b?c=d"),
        ("/old/caf%C3%A9", 308, "/v1/caf%C3%A9"),
        ("/moved", 301, "https://www.example.com/here"),
    ] {
        let response = gateway.get(target).await;
        assert_eq!(response.status, status, "{target}");
        assert_eq!(response.header("location"), Some(location), "{target}");
    }
    let response = gateway.get("/default").await;
    assert_eq!(response.status, 308);
}

#[tokio::test]
async fn a_fixed_answer_has_its_status_its_fields_and_its_body() {
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "teapot"
        path = "/tea"
        respond = { status = 418, body = "short and stout", headers = { "x-kind" = "pot" } }
        [[route]]
        name = "empty"
        path = "/empty"
        respond = { status = 204 }
        "#,
        &[],
    )
    .await;
    let response = gateway.get("/tea").await;
    assert_eq!((response.status, response.text()), (418, "short and stout"));
    assert_eq!(response.header("x-kind"), Some("pot"));
    let response = gateway.send(Request::new("HEAD", "/tea")).await;
    assert_eq!((response.status, response.text()), (418, ""));
    assert_eq!(response.header("content-length"), Some("15"));
    assert_eq!(gateway.get("/empty").await.status, 204);
    let record = &gateway.records(3).await[0];
    assert_eq!(record.text("source"), "gateway");
}

#[tokio::test]
async fn case_32_a_path_cannot_make_an_expression_try_without_end() {
    let gateway = Gateway::start(
        r#"
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        max_target = "8KiB"
        [[route]]
        name = "nested"
        path_regex = "^/((a+)+)+b$"
        respond = { body = "nested" }
        "#,
        &[],
    )
    .await;
    // An engine that goes back and tries again would need more steps for this than there is time.
    let almost = format!("/{}", "a".repeat(8000));
    let found = format!("{almost}b");
    winners(
        &gateway,
        &[
            (Request::get(&almost), "404"),
            (Request::get(&found), "nested"),
        ],
    )
    .await;
}
