//! A process that is short of memory, of descriptors or of time: first its connections end, then it refuses requests.

use crate::harness::{
    Client, Gateway, Origin, RawH2, RawOrigin, Request, Samples, StreamEnd, blackhole,
    raw_h2::block, within,
};

/// A gateway with these keys in `[server.overload]` and three routes that matter more or less.
fn routes(overload: &str) -> String {
    format!(
        r#"
        [server]
        workers = 1
        overload = {{ {overload} }}
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        [[route]]
        name = "low"
        path = "/low"
        importance = "low"
        respond = {{ body = "low" }}
        [[route]]
        name = "normal"
        path = "/normal"
        respond = {{ body = "normal" }}
        [[route]]
        name = "high"
        path = "/high"
        importance = "high"
        respond = {{ body = "high" }}
        "#
    )
}

/// What becomes of a request for each of the three, and whether connections are kept.
async fn answers(gateway: &Gateway) -> ([u16; 3], bool) {
    let mut statuses = [0; 3];
    let mut kept = true;
    for (status, path) in statuses.iter_mut().zip(["/low", "/normal", "/high"]) {
        let response = gateway.get(path).await;
        *status = response.status;
        kept &= response.header("connection") != Some("close");
        if response.status == 503 {
            assert_eq!(response.header("retry-after"), Some("1"));
        }
    }
    (statuses, kept)
}

/// Asks until this is what becomes of requests.
async fn until(gateway: &Gateway, expected: ([u16; 3], bool)) {
    within("another strain", async {
        let mut beat = tokio::time::interval(std::time::Duration::from_millis(50));
        while answers(gateway).await != expected {
            beat.tick().await;
        }
    })
    .await;
}

async fn level(gateway: &Gateway, resource: &str) -> f64 {
    let metrics = gateway.metrics().await;
    metrics.sum("portcullis_overload_level", &[("resource", resource)])
}

#[tokio::test]
async fn without_strain_everything_is_served() {
    let gateway = Gateway::start(&routes(""), &[]).await;
    assert_eq!(answers(&gateway).await, ([200; 3], true));
    assert!(level(&gateway, "memory").await < 0.5);
    let metrics = gateway.metrics().await;
    assert!(metrics.sum("portcullis_memory_limit_bytes", &[]) > 1e6);
}

#[tokio::test]
async fn short_of_memory_only_what_matters_most_is_served_and_the_operator_sees_it() {
    // No process is so small: this one begins overloaded.
    let gateway = Gateway::start(&routes("max_memory = \"64KiB\""), &[]).await;
    assert_eq!(answers(&gateway).await, ([503, 503, 200], false));
    let records = gateway.records(3).await;
    assert_eq!(records[0].text("reason"), "overloaded");
    assert_eq!(records[0].text("route"), "low");
    for path in ["/healthz", "/readyz", "/metrics", "/config"] {
        let response = gateway.ask_admin(Request::get(path)).await;
        assert_eq!(response.status, 200, "{path}");
    }
    assert!((level(&gateway, "memory").await - 3.0).abs() < 0.1);
    // HTTP/2 connections go on while they have streams, and leave when they have none.
    let mut raw = RawH2::over(gateway.connect().await).await;
    raw.headers(1, HIGH, true).await;
    assert_eq!(raw.end_of(1).await, StreamEnd::Status(200));
    assert_eq!(raw.end_of(u32::MAX).await, StreamEnd::GoAway(0));
    let labels = [("listener", "web"), ("reason", "overload")];
    gateway
        .metric_reaches("portcullis_connections_ended_total", &labels, 1)
        .await;
    // When there is enough again, all is as it was.
    gateway.reload(&routes(""), &[]).await;
    until(&gateway, ([200; 3], true)).await;
    assert!(level(&gateway, "memory").await < 0.5);
}

#[tokio::test]
async fn the_shares_decide_what_is_done() {
    let gateway = Gateway::start(&routes(""), &[]).await;
    // Connections that are kept now are closed when there is not enough for them.
    let mut kept = gateway.connect().await;
    assert_eq!(kept.ask(Request::get("/high")).await.status, 200);
    let memory = |percent: u64| gateway.resident() * 100 / percent / 1024;
    let relief = format!(
        "max_memory = \"{}KiB\", relieve_at = \"20%\", shed_at = \"90%\"",
        memory(50)
    );
    gateway.reload(&routes(&relief), &[]).await;
    until(&gateway, ([200; 3], false)).await;
    kept.closed().await;
    let shed = format!(
        "max_memory = \"{}KiB\", relieve_at = \"20%\", shed_at = \"40%\"",
        memory(55)
    );
    gateway.reload(&routes(&shed), &[]).await;
    until(&gateway, ([503, 200, 200], false)).await;
    let off = "max_memory = \"64KiB\", relieve_at = \"off\", shed_at = \"off\"";
    gateway.reload(&routes(off), &[]).await;
    until(&gateway, ([200; 3], true)).await;
}

/// Connects as many clients that say nothing as the process needs to have so many descriptors open, and no more: those
/// that it has not accepted yet would come on top.
async fn crowd(gateway: &Gateway, clients: &mut Vec<Client>, descriptors: usize) {
    for _ in gateway.descriptors()..descriptors {
        clients.push(gateway.connect().await);
    }
}

#[tokio::test]
async fn short_of_descriptors_connections_end_and_then_requests_are_refused() {
    let keys = "relieve_at = \"30%\", shed_at = \"50%\", max_memory = \"1000GiB\", \
                relieve_delay = \"off\", shed_delay = \"off\"";
    let patient = "address = \"127.0.0.1:0\"\nhead_timeout = \"1h\"";
    let text = routes(keys).replace("address = \"127.0.0.1:0\"", patient);
    let gateway = Gateway::start_under("ulimit -n 256", &text, &[]).await;
    assert_eq!(answers(&gateway).await, ([200; 3], true));
    let mut clients = Vec::new();
    for (descriptors, statuses, step) in [
        (90, [200; 3], 1.0),
        (150, [503, 200, 200], 2.0),
        (210, [503, 503, 200], 3.0),
    ] {
        crowd(&gateway, &mut clients, descriptors).await;
        until(&gateway, (statuses, false)).await;
        for path in ["/healthz", "/metrics", "/config"] {
            let response = gateway.ask_admin(Request::get(path)).await;
            assert_eq!(response.status, 200, "{path}");
        }
        assert!((level(&gateway, "descriptors").await - step).abs() < 0.1);
    }
    let labels = [("reason", "overloaded"), ("code", "503")];
    gateway
        .metric_reaches("portcullis_requests_total", &labels, 1)
        .await;
    drop(clients);
    until(&gateway, ([200; 3], true)).await;
}

#[tokio::test]
async fn a_worker_that_is_behind_ends_connections_and_then_refuses_requests() {
    for (keys, statuses) in [
        ("relieve_delay = \"1ms\", shed_delay = \"off\"", [200; 3]),
        (
            "relieve_delay = \"1ms\", shed_delay = \"1ms\"",
            [503, 503, 200],
        ),
    ] {
        let gateway = Gateway::start(&routes(keys), &[]).await;
        within("a delay that is noticed", async {
            loop {
                // A process that stands still is behind.
                gateway.signal("STOP").await;
                gateway.signal("STOP").await;
                gateway.signal("CONT").await;
                if answers(&gateway).await == (statuses, false) {
                    break;
                }
            }
        })
        .await;
        assert_eq!(
            gateway.ask_admin(Request::get("/healthz")).await.status,
            200
        );
    }
}

/// Case 87: a limit on the address space is no reason to refuse requests as long as there is memory.
#[tokio::test]
async fn case_87_a_limit_on_the_address_space_is_not_taken_for_used_memory() {
    for kilobytes in [500_000, 1_600_000] {
        let limit = format!("ulimit -v {kilobytes}");
        let gateway = Gateway::start_under(&limit, &routes(""), &[]).await;
        assert_eq!(answers(&gateway).await, ([200; 3], true), "{limit}");
        let metrics = gateway.metrics().await;
        let most = metrics.sum("portcullis_memory_limit_bytes", &[]);
        assert!(most < f64::from(kilobytes) * 1024.0, "{most}");
    }
}

/// Case 87: with attack 25 on every connection, and as much memory held by requests as may be, the process sheds and lives.
#[tokio::test]
async fn case_87_under_a_cap_of_memory_the_hpack_bomb_is_shed() {
    const MEBIBYTE: u64 = 1024 * 1024;
    let (origin, gate) = Origin::gated("done").await;
    let text = |overload: &str| {
        format!(
            r#"
            {}
            [[route]]
            name = "held"
            path = "/held"
            upstream = "app"
            [upstream.app]
            endpoints = ["{origin}"]
            "#,
            routes(overload)
        )
    };
    let gateway = Gateway::start_under("ulimit -v 1000000", &text(""), &[]).await;
    assert_eq!(gateway.get("/normal").await.status, 200);
    let before = gateway.resident();
    // What is left is a part of what many connections may have by all other limits.
    let most = (before + 20 * MEBIBYTE) / 1024;
    let keys = format!("max_memory = \"{most}KiB\", relieve_at = \"off\", shed_at = \"60%\"");
    gateway.reload(&text(&keys), &[]).await;

    // A field of 4,000 bytes, and references to it: as many as a head may have, or many more.
    let entry = [
        &[0x40u8, 1, b'x', 127, 0x80 | 0x21, 0x1e][..],
        &[b'y'; 4000],
    ]
    .concat();
    let head = |references: usize| {
        let pseudo = block(&[
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":path", b"/held"),
            (b":authority", b"gateway.test"),
        ]);
        [&pseudo[..], &entry, &vec![0xbe; references]].concat()
    };
    let (allowed, bomb) = (head(6), head(8000));
    let mut held = Vec::new();
    let mut statuses = std::collections::BTreeSet::new();
    let mut beat = tokio::time::interval(std::time::Duration::from_millis(50));
    within("requests that are shed", async {
        while !statuses.contains(&503) {
            let mut bomber = RawH2::over(gateway.connect().await).await;
            let mut stream = 1;
            while stream < 2000
                && bomber
                    .frame(HEADERS, END_STREAM | END_HEADERS, stream, &bomb)
                    .await
            {
                stream += 2;
            }
            assert!(stream < 2000, "all of it was taken");
            let mut holder = RawH2::over(gateway.connect().await).await;
            for number in 0..50 {
                let stream = 2 * number + 1;
                holder
                    .frame(HEADERS, END_STREAM | END_HEADERS, stream, &allowed)
                    .await;
            }
            held.push(holder);
            // Others are served, or told to come again.
            statuses.insert(gateway.get("/normal").await.status);
            beat.tick().await;
        }
    })
    .await;
    assert!(
        statuses.iter().all(|status| [200, 503].contains(status)),
        "{statuses:?}"
    );
    // Under strain it takes bombs all the same, and what matters most is served.
    for _ in 0..10 {
        let mut bomber = RawH2::over(gateway.connect().await).await;
        while bomber
            .frame(HEADERS, END_STREAM | END_HEADERS, 1, &bomb)
            .await
        {}
        assert_eq!(gateway.get("/high").await.status, 200);
        assert_eq!(
            gateway.ask_admin(Request::get("/healthz")).await.status,
            200
        );
    }
    let grown = gateway.peak_resident().saturating_sub(before);
    assert!(grown < 64 * MEBIBYTE, "{grown} bytes");
    let metrics = gateway.metrics().await;
    assert!(metrics.sum("portcullis_requests_total", &[("reason", "overloaded")]) >= 1.0);
    assert!(metrics.sum("portcullis_defences_total", &[("defence", "header_bomb")]) >= 1.0);
    assert!(metrics.sum("portcullis_panics_total", &[]) < 1.0);
    // Without the attackers, and with enough again, all is as it was.
    gate.open();
    drop(held);
    gateway.reload(&text(""), &[]).await;
    until(&gateway, ([200; 3], true)).await;
}

const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

#[tokio::test]
async fn case_85_without_descriptors_accepting_pauses_and_recovers_and_the_admin_address_answers() {
    let (origin, gate) = Origin::gated("ok").await;
    let gateway = Gateway::start_under(
        "ulimit -n 128",
        r#"
        [server]
        workers = 1
        overload = { relieve_at = "off", shed_at = "off", relieve_delay = "off", shed_delay = "off" }
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        [[route]]
        name = "own"
        path = "/own"
        respond = { body = "own" }
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<app>"]
        "#,
        &[("app", &origin)],
    )
    .await;
    let address = gateway.web().await;
    // Each of these wants a descriptor for itself and one for its endpoint.
    let mut clients = Vec::new();
    for _ in 0..150 {
        let mut client = Client::connect(address).await;
        let _ = client.try_send(&Request::get("/").bytes()).await;
        clients.push(client);
    }
    let labels = [("listener", "web"), ("reason", "descriptors_full")];
    gateway
        .metric_reaches("portcullis_connections_refused_total", &labels, 1)
        .await;
    // The operator is not shut out, with however many connections.
    let mut operators = Vec::new();
    for _ in 0..5 {
        let mut client = Client::connect(gateway.admin().await).await;
        let request = Request::get("/healthz").host(&gateway.admin().await.to_string());
        assert_eq!(client.ask(request).await.status, 200);
        operators.push(client);
    }
    drop(clients);
    gate.open();
    within("room for new connections", async {
        loop {
            let mut client = Client::connect(address).await;
            if client.try_ask(Request::get("/own")).await.is_ok() {
                break;
            }
        }
    })
    .await;
    assert_eq!(gateway.get("/").await.text(), "ok");
}

/// Case 85: others than traffic may take the very last descriptor. Who waits in the kernel then is served later.
#[tokio::test]
async fn case_85_when_the_system_gives_no_descriptor_accepting_pauses_and_that_is_counted() {
    let gateway = Gateway::start_under(
        "ulimit -n 64",
        &routes("relieve_at = \"off\", shed_at = \"off\", relieve_delay = \"off\", shed_delay = \"off\""),
        &[],
    )
    .await;
    let admin = gateway.admin().await;
    let mut operator = Client::connect(admin).await;
    let request = |path| Request::get(path).host(&admin.to_string());
    assert_eq!(operator.ask(request("/healthz")).await.status, 200);
    let mut others = Vec::new();
    for _ in 0..60 {
        others.push(Client::connect(admin).await);
    }
    within("the last descriptor", async {
        while gateway.descriptors() < 64 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut waiting = gateway.connect().await;
    waiting.send(&Request::get("/normal").bytes()).await;
    within("a pause that is counted", async {
        loop {
            let page = operator.ask(request("/metrics")).await;
            let labels = [("listener", "web"), ("reason", "accept_paused")];
            let metrics = Samples::parse(page.text());
            if metrics.sum("portcullis_connections_refused_total", &labels) >= 1.0 {
                break;
            }
        }
    })
    .await;
    drop(others);
    let response = waiting.response("GET").await.expect("an answer");
    assert_eq!(response.text(), "normal");
}

/// Case 85: what connects to endpoints that say nothing holds descriptors as well, for as long as it may.
#[tokio::test]
async fn case_85_endpoints_that_do_not_answer_leave_the_operator_his_descriptors() {
    let (silent, _listener, _filler) = blackhole().await;
    let gateway = Gateway::start_under(
        "ulimit -n 128",
        r#"
        [server]
        workers = 1
        overload = { relieve_at = "off", shed_at = "off", relieve_delay = "off", shed_delay = "off" }
        [[route]]
        name = "all"
        upstream = "app"
        timeout = "1h"
        [upstream.app]
        endpoints = ["<app>"]
        connect_timeout = "1h"
        "#,
        &[("app", &silent)],
    )
    .await;
    let mut clients = Vec::new();
    for _ in 0..150 {
        clients.push(gateway.connect().await);
    }
    let labels = [("listener", "web"), ("reason", "descriptors_full")];
    gateway
        .metric_reaches("portcullis_connections_refused_total", &labels, 1)
        .await;
    for client in &mut clients {
        let _ = client.try_send(&Request::get("/").bytes()).await;
    }
    // Those for whom there is no descriptor left are told so; meanwhile the operator sees it.
    let labels = [("reason", "no_descriptors"), ("code", "503")];
    gateway
        .metric_reaches("portcullis_requests_total", &labels, 1)
        .await;
    drop(clients);
}

#[tokio::test]
async fn an_endpoint_is_not_blamed_for_a_lack_of_descriptors() {
    // Each request needs a connection of its own.
    const ONCE: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    let origin = RawOrigin::answering(ONCE).await;
    let gateway = Gateway::start_under(
        "ulimit -n 64",
        r#"
        [server]
        workers = 1
        overload = { relieve_at = "off", shed_at = "off", relieve_delay = "off", shed_delay = "off" }
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        [[route]]
        name = "own"
        path = "/own"
        respond = { body = "own" }
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<app>"]
        "#,
        &[("app", &origin)],
    )
    .await;
    // Kept connections until there is room for a client, and not for its endpoint.
    let mut kept = Vec::new();
    let refused = within("an answer without an endpoint", async {
        loop {
            let mut client = gateway.connect().await;
            match client.try_ask(Request::get("/own")).await {
                Ok(_) => kept.push(client),
                // One too many: the last that was kept makes way.
                Err(_) => drop(kept.pop()),
            }
            if let Some(client) = kept.last_mut() {
                let response = client.ask(Request::get("/")).await;
                if response.status == 503 {
                    break response;
                }
            }
        }
    })
    .await;
    assert_eq!(refused.header("retry-after"), Some("1"));
    let labels = [("reason", "no_descriptors")];
    let metrics = gateway
        .metric_reaches("portcullis_requests_total", &labels, 1)
        .await;
    assert!((metrics.sum("portcullis_endpoint_up", &[]) - 1.0).abs() < 0.1);
    drop(kept);
    within("room for an endpoint", async {
        while gateway.get("/").await.status != 200 {}
    })
    .await;
}

const HIGH: &[(&[u8], &[u8])] = &[
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":path", b"/high"),
    (b":authority", b"gateway.test"),
];
