//! Parts of an upstream: tiers, zones and subsets.

use std::collections::BTreeMap;

use crate::harness::{Gateway, Origin, Request};

/// How often each origin's name came back for so many of these requests, over one connection.
async fn shares(gateway: &Gateway, count: usize, request: &Request) -> BTreeMap<String, usize> {
    let mut client = gateway.connect().await;
    let mut shares = BTreeMap::new();
    for _ in 0..count {
        let response = client.ask(request.clone()).await;
        assert_eq!(response.status, 200, "{}", response.text());
        *shares.entry(response.text().to_owned()).or_default() += 1;
    }
    shares
}

fn only(name: &str, count: usize) -> BTreeMap<String, usize> {
    BTreeMap::from([(name.to_owned(), count)])
}

#[tokio::test]
async fn tiers_are_used_one_after_the_other() {
    let (first, second, third) = (
        Origin::answering("first").await,
        Origin::answering("second").await,
        Origin::answering("third").await,
    );
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = [{ address = "<third>", tier = 7 }, { address = "<second>", tier = 2 }, "<first>"]
        "#,
        &[("first", &first), ("second", &second), ("third", &third)],
    )
    .await;
    let any = Request::get("/");
    assert_eq!(shares(&gateway, 10, &any).await, only("first", 10));
    first.stop().await;
    assert_eq!(shares(&gateway, 10, &any).await, only("second", 10));
    second.stop().await;
    assert_eq!(shares(&gateway, 10, &any).await, only("third", 10));
    let shown = gateway.ask_admin(Request::get("/upstreams")).await.json();
    let tiers = shown["upstreams"]["app"]["endpoints"]
        .as_array()
        .expect("endpoints")
        .iter()
        .map(|endpoint| endpoint["tier"].as_u64());
    assert_eq!(tiers.collect::<Vec<_>>(), [Some(7), Some(2), Some(0)]);
}

const ZONES: &str = r#"
    [server]
    zone = "<zone>"
    [[route]]
    name = "all"
    upstream = "app"
    [upstream.app]
    endpoints = [{ address = "<a>", zone = "a" }, { address = "<sick>", zone = "a" }, { address = "<b>", zone = "b" }]
    health = { path = "/health", interval = "20ms", timeout = "20s", unhealthy_after = 1 }
    <spill>
    "#;

/// Two endpoints in zone a, one of which fails its checks, and one in zone b.
async fn zoned(zone: &str, spill: &str) -> (Gateway, [Origin; 3]) {
    let sick = Origin::http(|seen| async move {
        let status = if seen.target == "/health" { 503 } else { 200 };
        let mut answer = http::Response::new(http_body_util::Full::new("sick".into()));
        *answer.status_mut() = http::StatusCode::from_u16(status).expect("a status");
        answer
    })
    .await;
    let origins = [
        Origin::answering("a").await,
        sick,
        Origin::answering("b").await,
    ];
    let [a, sick, b] = &origins;
    let gateway = Gateway::start(
        ZONES,
        &[
            ("zone", &zone),
            ("spill", &spill),
            ("a", a),
            ("sick", sick),
            ("b", b),
        ],
    )
    .await;
    gateway
        .metric_is(
            "portcullis_endpoint_up",
            &[("upstream", "app"), ("endpoint", &sick.to_string())],
            0,
        )
        .await;
    (gateway, origins)
}

#[tokio::test]
async fn the_own_zone_goes_first_as_long_as_enough_of_it_is_healthy() {
    let any = Request::get("/");
    // Half of zone a is healthy.
    let (gateway, _origins) = zoned("a", "zone_spill_below = \"50%\"").await;
    assert_eq!(shares(&gateway, 50, &any).await, only("a", 50));
    let (gateway, _origins) = zoned("b", "").await;
    assert_eq!(shares(&gateway, 50, &any).await, only("b", 50));
    let shown = gateway.ask_admin(Request::get("/upstreams")).await.json();
    assert_eq!(shown["upstreams"]["app"]["endpoints"][2]["zone"], "b");
    // Nobody is in the gateway's zone: there is no first choice.
    let (gateway, _origins) = zoned("c", "").await;
    assert_eq!(shares(&gateway, 50, &any).await.len(), 2);
}

#[tokio::test]
async fn what_is_too_much_for_the_own_zone_spills_over() {
    let any = Request::get("/");
    // An endpoint of zone a gets 100/70 of its usual half, or at 100 % no more than that half.
    for (spill, expected) in [("", 571), ("zone_spill_below = \"100%\"", 400)] {
        let (gateway, _origins) = zoned("a", spill).await;
        let shares = shares(&gateway, 800, &any).await;
        assert!(!shares.contains_key("sick"));
        // Five standard deviations to either side.
        let near = shares["a"];
        assert!(
            near.abs_diff(expected) <= 70,
            "{near} of 800 for {expected}"
        );
    }
}

/// How many endpoints were chosen in that tier and zone.
async fn picks(gateway: &Gateway, tier: &str, zone: &str) -> usize {
    let labels = [("upstream", "app"), ("tier", tier), ("zone", zone)];
    let metrics = gateway.metrics().await;
    metrics.sum("portcullis_upstream_picks_total", &labels) as usize
}

#[tokio::test]
async fn what_spills_over_to_another_tier_or_zone_is_counted() {
    let any = Request::get("/");
    let (gateway, _origins) = zoned("a", "zone_spill_below = \"100%\"").await;
    let shares = shares(&gateway, 100, &any).await;
    assert_eq!(picks(&gateway, "first", "own").await, shares["a"]);
    assert_eq!(picks(&gateway, "first", "other").await, shares["b"]);
    assert_eq!(shares["a"] + shares["b"], 100);

    let (first, later) = (
        Origin::answering("first").await,
        Origin::answering("later").await,
    );
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "all"
        upstream = "app"
        [[route]]
        name = "plain"
        path = "/plain"
        upstream = "plain"
        [upstream.app]
        endpoints = ["<first>", { address = "<later>", backup = true }]
        [upstream.plain]
        endpoints = ["<first>"]
        "#,
        &[("first", &first), ("later", &later)],
    )
    .await;
    for _ in 0..3 {
        assert_eq!(gateway.get("/").await.text(), "first");
    }
    let form = format!("upstream=app&endpoint={first}&state=disabled");
    let response = gateway.ask_admin(Request::post("/endpoints", form)).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(gateway.get("/").await.text(), "later");
    assert_eq!(picks(&gateway, "first", "").await, 3);
    assert_eq!(picks(&gateway, "later", "").await, 1);
    // An upstream that is all of a piece has nothing to tell.
    assert_eq!(gateway.get("/plain").await.text(), "first");
    let metrics = gateway.metrics().await;
    let plain = metrics.sum("portcullis_upstream_picks_total", &[("upstream", "plain")]);
    assert!(plain < 0.5, "{plain}");
}

const SUBSETS: &str = r#"
    [[route]]
    name = "canary"
    path = "/canary"
    upstream = "app"
    subset = { version = "2" }
    [[route]]
    name = "shares"
    path = "/shares"
    split = [
      { upstream = "app", weight = 3, subset = { version = "1" } },
      { upstream = "app", subset = { version = "2" } },
    ]
    [[route]]
    name = "field"
    path = "/field"
    upstream = "app"
    filters = [{ kind = "request_headers", set = { x-version = "${query.v}" } }]
    [[route]]
    name = "all"
    upstream = "app"
    [upstream.app]
    endpoints = [
      { address = "<one>", labels = { version = "1" } },
      { address = "<two>", labels = { version = "2", colour = "red" } },
      "<none>",
    ]
    subset = { label = "version", header = "x-version"<more> }
    "#;

async fn subsets(more: &str) -> (Gateway, [Origin; 3]) {
    let origins = [
        Origin::answering("one").await,
        Origin::answering("two").await,
        Origin::answering("none").await,
    ];
    let [one, two, none] = &origins;
    let gateway = Gateway::start(
        SUBSETS,
        &[("more", &more), ("one", one), ("two", two), ("none", none)],
    )
    .await;
    (gateway, origins)
}

fn wanting(version: &str) -> Request {
    Request::get("/").header("X-Version", version)
}

#[tokio::test]
async fn a_header_field_chooses_the_subset() {
    let (gateway, _origins) = subsets("").await;
    assert_eq!(shares(&gateway, 12, &wanting("1")).await, only("one", 12));
    assert_eq!(shares(&gateway, 12, &wanting("2")).await, only("two", 12));
    for unnamed in [Request::get("/"), wanting("")] {
        let all = shares(&gateway, 12, &unnamed).await;
        assert_eq!(all.values().collect::<Vec<_>>(), [&4, &4, &4]);
    }
    // The field is read as the filters leave it.
    let by_filter = Request::get("/field?v=2").header("x-version", "1");
    assert_eq!(shares(&gateway, 12, &by_filter).await, only("two", 12));
    let shown = gateway.ask_admin(Request::get("/upstreams")).await.json();
    let labels = &shown["upstreams"]["app"]["endpoints"][1]["labels"];
    assert_eq!(labels["version"], "2");
    assert_eq!(labels["colour"], "red");
}

#[tokio::test]
async fn a_route_or_a_share_of_a_split_chooses_the_subset() {
    let (gateway, _origins) = subsets("").await;
    // What the operator says goes before what the client says.
    let canary = Request::get("/canary").header("x-version", "1");
    assert_eq!(shares(&gateway, 12, &canary).await, only("two", 12));
    let split = shares(&gateway, 400, &Request::get("/shares")).await;
    assert_eq!(split.len(), 2, "{split:?}");
    // Five standard deviations to either side.
    assert!(split["one"].abs_diff(300) <= 44, "{split:?}");
}

#[tokio::test]
async fn requests_that_name_no_subset_may_have_a_default() {
    let (gateway, _origins) = subsets(", default = \"1\"").await;
    assert_eq!(
        shares(&gateway, 12, &Request::get("/")).await,
        only("one", 12)
    );
    assert_eq!(shares(&gateway, 12, &wanting("2")).await, only("two", 12));
}

#[tokio::test]
async fn who_serves_instead_of_a_subset_is_configured() {
    let (gateway, _origins) = subsets("").await;
    for wanted in ["3", "\u{80}\u{81}"] {
        let refused = gateway.send(wanting(wanted)).await;
        assert_eq!((refused.status, refused.text()), (503, "503 no_subset\n"));
        assert_eq!(refused.fields.get("retry-after"), Some("1"));
    }
    let records = gateway.records(2).await;
    assert_eq!(records[0].text("reason"), "no_subset");
    assert_eq!(records[0].text("upstream"), "app");
    let (gateway, _origins) = subsets(", fallback = \"any\"").await;
    assert_eq!(shares(&gateway, 12, &wanting("3")).await.len(), 3);
    assert_eq!(shares(&gateway, 12, &wanting("2")).await, only("two", 12));
    // Of the two dozen that were answered, and of no other.
    gateway.records(24).await;
    let fallbacks = "portcullis_subset_fallbacks_total";
    gateway
        .metric_is(fallbacks, &[("upstream", "app")], 12)
        .await;
    let (gateway, origins) = subsets(", fallback = \"default\", default = \"1\"").await;
    assert_eq!(shares(&gateway, 12, &wanting("3")).await, only("one", 12));
    let [one, _two, _none] = origins;
    one.stop().await;
    // The only endpoint of the default takes no connection: that says more than that there is no other.
    assert_eq!(
        gateway.send(wanting("3")).await.text(),
        "502 connect_failed\n"
    );
}
