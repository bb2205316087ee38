//! Which endpoint gets a request.

use crate::harness::{Client, Gate, Gateway, Origin, Request, refusing_address, within};

/// The bodies of so many requests over one connection.
async fn order(gateway: &Gateway, count: usize) -> Vec<String> {
    let mut client = gateway.connect().await;
    let mut order = Vec::new();
    for _ in 0..count {
        let response = client.ask(Request::get("/")).await;
        assert_eq!(response.status, 200);
        order.push(response.text().to_owned());
    }
    order
}

#[tokio::test]
async fn round_robin_is_smooth_and_keeps_the_weights() {
    let (a, b, c) = (
        Origin::answering("a").await,
        Origin::answering("b").await,
        Origin::answering("c").await,
    );
    let gateway = Gateway::start(
        r#"
        [server]
        workers = 1
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        balance = "round_robin"
        endpoints = [{ address = "<a>", weight = 5 }, "<b>", "<c>"]
        "#,
        &[("a", &a), ("b", &b), ("c", &c)],
    )
    .await;
    let order = order(&gateway, 28).await;
    for window in order.windows(7) {
        let of = |name: &str| window.iter().filter(|other| *other == name).count();
        assert_eq!((of("a"), of("b"), of("c")), (5, 1, 1), "{order:?}");
    }
    let longest = order
        .chunk_by(|one, next| one == next)
        .map(<[String]>::len)
        .max();
    assert!(
        longest < Some(5),
        "a block instead of a smooth order: {order:?}"
    );
}

#[tokio::test]
async fn random_keeps_the_weights_on_average() {
    let (a, b) = (Origin::answering("a").await, Origin::answering("b").await);
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        balance = "random"
        endpoints = [{ address = "<a>", weight = 3 }, "<b>"]
        "#,
        &[("a", &a), ("b", &b)],
    )
    .await;
    let order = order(&gateway, 2000).await;
    // Five standard deviations to either side of 1500.
    let share = order.iter().filter(|name| *name == "a").count();
    assert!((1403..=1597).contains(&share), "{share} of 2000");
    let turns = order.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(turns > 400, "not random: {turns} turns");
}

#[tokio::test]
async fn least_connections_counts_across_workers_and_by_weight() {
    let gate = Gate::new();
    let (a, b) = (
        Origin::behind(&gate, "a").await,
        Origin::behind(&gate, "b").await,
    );
    let gateway = Gateway::start(
        r#"
        [server]
        workers = 2
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        balance = "least_connections"
        endpoints = [{ address = "<a>", weight = 3 }, "<b>"]
        "#,
        &[("a", &a), ("b", &b)],
    )
    .await;
    let mut clients = Vec::new();
    for count in 1..=8 {
        let mut client = gateway.connect().await;
        client.send(&Request::get("/").bytes()).await;
        clients.push(client);
        // The next request is sent when this one holds its endpoint.
        gate.reached(count).await;
    }
    assert_eq!((a.seen().len(), b.seen().len()), (6, 2));
    gate.open();
    for client in &mut clients {
        client.response("GET").await.expect("an answer");
    }
}

#[tokio::test]
async fn p2c_takes_the_less_busy_of_two() {
    let gate = Gate::new();
    let (a, b) = (
        Origin::behind(&gate, "a").await,
        Origin::behind(&gate, "b").await,
    );
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        balance = "p2c"
        endpoints = ["<a>", "<b>"]
        "#,
        &[("a", &a), ("b", &b)],
    )
    .await;
    let clients = hold(&gateway, &gate, 1..=8, "").await;
    // Of two endpoints the two that are drawn are always the same.
    assert_eq!((a.seen().len(), b.seen().len()), (4, 4));
    release(&gate, clients).await;
}

#[tokio::test]
async fn peak_ewma_avoids_who_was_slow_lately() {
    let (slow, gate) = Origin::gated("slow").await;
    let quick = Origin::answering("quick").await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        balance = "peak_ewma"
        endpoints = ["<slow>", "<quick>"]
        "#,
        &[("slow", &slow), ("quick", &quick)],
    )
    .await;
    // Who has not answered yet gets one request: of these two each gets one, if the second is chosen after the first.
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = gateway.connect().await;
        client.send(&Request::get("/").bytes()).await;
        clients.push(client);
        tokio::select! {
            () = gate.reached(1) => {}
            _ = gateway.records(1) => {}
        }
    }
    gate.reached(1).await;
    gateway.records(1).await;
    let before = order(&gateway, 200).await;
    assert!(before.iter().all(|name| name == "quick"));
    // Its answer took as long as all of these together, and that counts although it is quick from now on.
    release(&gate, clients).await;
    let after = order(&gateway, 60).await;
    let share = after.iter().filter(|name| *name == "slow").count();
    assert!(share < 20, "{share} of 60");
}

/// A body that names the endpoint, for a request with that user.
async fn endpoint_of(gateway: &Gateway, user: &str) -> String {
    let request = Request::get("/").header("x-user", user);
    let response = gateway.send(request).await;
    assert_eq!(response.status, 200);
    response.text().to_owned()
}

#[tokio::test]
async fn a_hash_keeps_each_key_at_its_endpoint() {
    let (a, b, c) = (
        Origin::answering("a").await,
        Origin::answering("b").await,
        Origin::answering("c").await,
    );
    let text = r#"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        balance = "hash"
        hash = "${request_header.x-user}"
        # An answer may be here before its place is free: with a bound, the next request of its key could go elsewhere.
        hash_load_bound = "off"
        endpoints = [<endpoints>]
        "#;
    let all = format!("\"{a}\", \"{b}\", \"{c}\"");
    let gateway = Gateway::start(text, &[("endpoints", &all)]).await;
    let mut before = Vec::new();
    for user in 0..120 {
        before.push(endpoint_of(&gateway, &user.to_string()).await);
    }
    // Five standard deviations to either side of 40.
    for name in ["a", "b", "c"] {
        let share = before.iter().filter(|other| *other == name).count();
        assert!((15..=65).contains(&share), "{name} has {share} of 120");
    }
    for (user, endpoint) in before.iter().enumerate() {
        assert_eq!(endpoint_of(&gateway, &user.to_string()).await, *endpoint);
    }
    // Without a key anybody will do.
    let keyless: std::collections::BTreeSet<_> = order(&gateway, 60).await.into_iter().collect();
    assert_eq!(keyless.len(), 3);
    // Who was not at the endpoint that goes stays where it is.
    let two = format!("\"{a}\", \"{b}\"");
    gateway.reload(text, &[("endpoints", &two)]).await;
    let mut moved = 0;
    for (user, endpoint) in before.iter().enumerate() {
        let now = endpoint_of(&gateway, &user.to_string()).await;
        if endpoint == "c" {
            assert_ne!(now, "c");
        } else if now != *endpoint {
            moved += 1;
        }
    }
    assert!(moved <= 10, "{moved} moved without need");
}

#[tokio::test]
async fn a_hash_goes_by_any_part_of_the_request() {
    let (a, b) = (Origin::answering("a").await, Origin::answering("b").await);
    type Ask = fn(&str) -> Request;
    let cases: [(&str, Ask); 5] = [
        ("${cookie.user}", |user| {
            Request::get("/").header("cookie", &format!("a=1; user={user}; b=2"))
        }),
        ("${query.user}", |user| {
            Request::get(&format!("/?a=1&user={user}&b=2"))
        }),
        ("${request_header.x-user}", |user| {
            Request::get("/").header("x-user", user)
        }),
        ("${path}", |user| Request::get(&format!("/{user}?a=1"))),
        ("${host} of ${method}", |user| {
            Request::get("/").host(&format!("{user}.test"))
        }),
    ];
    for (hash, ask) in cases {
        let gateway = Gateway::start(
            r#"
            [[route]]
            name = "all"
            upstream = "app"
            [upstream.app]
            balance = "hash"
            hash = "<hash>"
            endpoints = ["<a>", "<b>"]
            "#,
            &[("hash", &hash), ("a", &a), ("b", &b)],
        )
        .await;
        let mut client = gateway.connect().await;
        let mut shares = [0, 0];
        for user in 0..60 {
            let user = format!("user{user}");
            let first = client.ask(ask(&user)).await;
            assert_eq!(first.status, 200, "{hash}");
            for _ in 0..2 {
                let again = client.ask(ask(&user)).await;
                assert_eq!(again.text(), first.text(), "{hash}");
            }
            shares[usize::from(first.text() == "a")] += 1;
        }
        assert!(
            shares.iter().all(|share| *share >= 10),
            "{hash}: {shares:?}"
        );
    }
}

#[tokio::test]
async fn a_hash_by_client_address_tells_clients_apart() {
    let (a, b) = (Origin::answering("a").await, Origin::answering("b").await);
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        balance = "hash"
        hash = "${client_ip}"
        hash_load_bound = "off"
        endpoints = ["<a>", "<b>"]
        "#,
        &[("a", &a), ("b", &b)],
    )
    .await;
    let web = gateway.web().await;
    let mut seen = std::collections::BTreeSet::new();
    for last in 1..=30 {
        let address = format!("127.0.0.{last}");
        let mut answers = Vec::new();
        for _ in 0..2 {
            let mut client = Client::connect_from(&address, web).await;
            answers.push(client.ask(Request::get("/")).await.text().to_owned());
        }
        assert_eq!(answers[0], answers[1]);
        seen.extend(answers);
    }
    assert_eq!(seen.len(), 2);
}

#[tokio::test]
async fn a_hot_key_spills_over_unless_there_is_no_bound() {
    for (bound, busiest) in [
        ("", 5),
        ("hash_load_bound = \"150%\"", 6),
        ("hash_load_bound = \"off\"", 8),
    ] {
        let gate = Gate::new();
        let (a, b) = (
            Origin::behind(&gate, "a").await,
            Origin::behind(&gate, "b").await,
        );
        let text = format!(
            "[[route]]\nname = \"all\"\nupstream = \"app\"\n\
             [upstream.app]\nbalance = \"hash\"\nhash = \"${{path}}\"\n{bound}\n\
             endpoints = [\"{a}\", \"{b}\"]\n"
        );
        let gateway = Gateway::start(&text, &[]).await;
        let clients = hold(&gateway, &gate, 1..=8, "hot").await;
        assert_eq!(a.seen().len().max(b.seen().len()), busiest, "{bound}");
        release(&gate, clients).await;
    }
}

/// Sends so many requests for a path, each when the one before has reached an endpoint behind the gate.
async fn hold(
    gateway: &Gateway,
    gate: &Gate,
    counts: std::ops::RangeInclusive<usize>,
    path: &str,
) -> Vec<Client> {
    let mut clients = Vec::new();
    for count in counts {
        let mut client = gateway.connect().await;
        client
            .send(&Request::get(&format!("/{path}")).bytes())
            .await;
        clients.push(client);
        gate.reached(count).await;
    }
    clients
}

/// Lets the gate open, and waits for every answer.
async fn release(gate: &Gate, clients: Vec<Client>) {
    gate.open();
    for mut client in clients {
        client.response("GET").await.expect("an answer");
    }
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_set_aside() {
    let good = Origin::answering("good").await;
    let (refusing, _guard) = refusing_address();
    let gateway = Gateway::start(
        r#"
        [server]
        workers = 1
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<refusing>", "<good>"]
        "#,
        &[("refusing", &refusing), ("good", &good)],
    )
    .await;
    let order = order(&gateway, 10).await;
    assert!(order.iter().all(|name| name == "good"));
    gateway.records(10).await;
    let metrics = gateway.metrics().await;
    let failures = metrics.sum(
        "portcullis_upstream_connect_failures_total",
        &[("upstream", "app")],
    );
    // Set aside after the first one, not tried for each request.
    assert!((1.0..5.0).contains(&failures), "{failures}");
    assert!(metrics.sum("portcullis_retries_total", &[("upstream", "app")]) >= 1.0);
    let records = gateway.records(10).await;
    assert_eq!(records[0].text("attempts"), "2");
    assert_eq!(records[0].text("endpoint"), good.to_string());
}

#[tokio::test]
async fn an_endpoint_that_comes_back_is_used_again() {
    let (address, guard) = refusing_address();
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<address>"]
        "#,
        &[("address", &address)],
    )
    .await;
    assert_eq!(gateway.get("/").await.text(), "502 connect_failed\n");
    let _origin = Origin::listening(guard, "back");
    // An upstream with nobody else to ask is tried as soon as its time is over; each answer is an event.
    within("the endpoint's return", async {
        while gateway.get("/").await.status != 200 {}
    })
    .await;
}

#[tokio::test]
async fn endpoints_may_be_host_names() {
    let origin = Origin::answering("named").await;
    let port = origin.address().port();
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["localhost:<port>"]
        "#,
        &[("port", &port)],
    )
    .await;
    // The name is resolved in the background; until then there is no endpoint.
    within("an address for localhost", async {
        loop {
            let response = gateway.get("/").await;
            if response.status == 200 {
                assert_eq!(response.text(), "named");
                break;
            }
            assert_eq!(response.status, 503);
        }
    })
    .await;
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_does_not_block_the_start() {
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "all"
        path = "/app"
        upstream = "app"
        [[route]]
        name = "ping"
        path = "/ping"
        respond = { body = "pong" }
        [upstream.app]
        endpoints = ["no-such-host.invalid:80"]
        "#,
        &[],
    )
    .await;
    assert_eq!(gateway.get("/ping").await.text(), "pong");
    assert_eq!(gateway.get("/app").await.status, 503);
    let records = gateway.records(2).await;
    assert_eq!(records[1].text("reason"), "no_endpoint");
}

#[tokio::test]
async fn a_backup_serves_only_while_no_other_can() {
    let (first, backup) = (
        Origin::answering("first").await,
        Origin::answering("backup").await,
    );
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = [{ address = "<backup>", weight = 100, backup = true }, "<first>"]
        "#,
        &[("first", &first), ("backup", &backup)],
    )
    .await;
    assert!(order(&gateway, 10).await.iter().all(|name| name == "first"));
    let shown = gateway.ask_admin(Request::get("/upstreams")).await.json();
    let endpoints = &shown["upstreams"]["app"]["endpoints"];
    assert_eq!(
        (&endpoints[0]["tier"], &endpoints[1]["tier"]),
        (&1.into(), &0.into())
    );
    first.stop().await;
    assert_eq!(gateway.get("/").await.text(), "backup");
}

#[tokio::test]
async fn below_the_panic_threshold_the_sick_get_requests_too() {
    let (a, b) = (Origin::answering("a").await, Origin::answering("b").await);
    for (threshold, status) in [("0%", 503), ("50%", 200)] {
        let gateway = Gateway::start(
            &format!(
                "[[route]]\nname = \"all\"\nupstream = \"app\"\n\
                 [upstream.app]\nendpoints = [\"{a}\", \"{b}\"]\npanic_threshold = \"{threshold}\"\n\
                 health = {{ path = \"/\", interval = \"20ms\", unhealthy_after = 1, expected_status = [204] }}\n"
            ),
            &[],
        )
        .await;
        gateway
            .metric_is("portcullis_endpoint_up", &[("upstream", "app")], 0)
            .await;
        assert_eq!(gateway.get("/").await.status, status, "{threshold}");
    }
}

#[tokio::test]
async fn an_endpoint_that_joins_gets_its_share_slowly() {
    let (old, new) = (
        Origin::answering("old").await,
        Origin::answering("new").await,
    );
    let text = r#"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        slow_start = "1h"
        endpoints = [<endpoints>]
        "#;
    let one = format!("\"{old}\"");
    let gateway = Gateway::start(text, &[("endpoints", &one)]).await;
    order(&gateway, 10).await;
    let both = format!("\"{old}\", \"{new}\"");
    gateway.reload(text, &[("endpoints", &both)]).await;
    let order = order(&gateway, 200).await;
    let share = order.iter().filter(|name| *name == "new").count();
    assert!(share < 50, "{share} of 200");
}

#[tokio::test]
async fn what_is_in_flight_counts_on_after_a_reload() {
    let gate = Gate::new();
    let (a, b) = (
        Origin::behind(&gate, "a").await,
        Origin::behind(&gate, "b").await,
    );
    let text = r#"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        balance = "least_connections"
        endpoints = [<endpoints>]
        "#;
    let one = format!("\"{a}\"");
    let gateway = Gateway::start(text, &[("endpoints", &one)]).await;
    let mut clients = hold(&gateway, &gate, 1..=3, "").await;
    let both = format!("\"{b}\", \"{a}\"");
    gateway.reload(text, &[("endpoints", &both)]).await;
    // The new one is as busy as the old one when it has as many.
    clients.extend(hold(&gateway, &gate, 4..=6, "").await);
    assert_eq!((a.seen().len(), b.seen().len()), (3, 3));
    clients.extend(hold(&gateway, &gate, 7..=8, "").await);
    assert_eq!((a.seen().len(), b.seen().len()), (4, 4));
    release(&gate, clients).await;
}

#[tokio::test]
async fn latencies_are_remembered_over_a_reload() {
    let (slow, gate) = Origin::gated("slow").await;
    let (quick, new) = (
        Origin::answering("quick").await,
        Origin::answering("new").await,
    );
    let text = r#"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        balance = "peak_ewma"
        endpoints = [<endpoints>]
        "#;
    let two = format!("\"{slow}\", \"{quick}\"");
    let gateway = Gateway::start(text, &[("endpoints", &two)]).await;
    // Unmeasured endpoints get one request each: when the quick one had the first, the slow one has the second.
    let mut held = gateway.connect().await;
    held.send(&Request::get("/").bytes()).await;
    let quick_first = tokio::select! {
        () = gate.reached(1) => false,
        response = held.response("GET") => {
            assert_eq!(response.expect("an answer").text(), "quick");
            true
        }
    };
    if quick_first {
        held.send(&Request::get("/").bytes()).await;
        gate.reached(1).await;
    }
    order(&gateway, 200).await;
    release(&gate, vec![held]).await;
    let before = latencies(&gateway).await;
    // Who joins is asked once to be known, and who was slow is known to be.
    let three = format!("\"{new}\", \"{slow}\", \"{quick}\"");
    gateway.reload(text, &[("endpoints", &three)]).await;
    let after = latencies(&gateway).await;
    assert_eq!(after[0], None);
    // They decay, and would be forgotten after twenty seconds without an answer.
    for (was, is) in before.iter().zip(&after[1..]) {
        let (was, is) = (was.expect("a latency"), is.expect("a latency"));
        assert!(0.0 < is && is <= was, "{before:?} {after:?}");
    }
    assert!(order(&gateway, 60).await.contains(&"new".to_owned()));
    assert!(latencies(&gateway).await[0].is_some());
}

/// What each endpoint is known to take, in milliseconds.
async fn latencies(gateway: &Gateway) -> Vec<Option<f64>> {
    let shown = gateway.ask_admin(Request::get("/upstreams")).await.json();
    let endpoints = &shown["upstreams"]["app"]["endpoints"];
    endpoints
        .as_array()
        .expect("a list")
        .iter()
        .map(|endpoint| endpoint["latency_ms"].as_f64())
        .collect()
}
