//! What is known of endpoints belongs to them: reloads and changes of membership forget nothing of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hickory_resolver::proto::rr::RecordType::A;
use serde_json::Value;

use crate::harness::{
    Client, Gateway, H2Answer, H2Client, NameServer, Origin, Request, h2_request, ok,
    refusing_address, within,
};

/// The endpoint of an address as `/upstreams` shows it.
async fn endpoint(gateway: &Gateway, address: &str) -> Option<Value> {
    find(gateway, "address", address).await
}

/// The first endpoint of which `/upstreams` says that.
async fn find(gateway: &Gateway, key: &str, value: &str) -> Option<Value> {
    let shown = gateway.ask_admin(Request::get("/upstreams")).await.json();
    let endpoints = shown["upstreams"]["app"]["endpoints"].as_array()?.clone();
    endpoints.into_iter().find(|one| one[key] == value)
}

/// What must not change of an endpoint that gets no requests.
fn kept(endpoint: &Value) -> [&Value; 6] {
    let health = &endpoint["health"];
    [
        &endpoint["state"],
        &endpoint["in_flight"],
        &endpoint["requests"],
        &endpoint["connect_failures"],
        &health["reason"],
        &health["since"],
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_forgotten_in_reloads_and_changes_of_membership_under_load() {
    const RELOADS: usize = 30;
    let (held, gate) = Origin::gated("held").await;
    let quick = Origin::answering("quick").await;
    // Fails its check, and gets no requests for that.
    let sick = Origin::http(|seen| async move {
        let mut response = ok("sick");
        if seen.target == "/healthz" {
            *response.status_mut() = http::StatusCode::IM_A_TEAPOT;
        }
        response
    })
    .await;
    let (refusing, _guard) = refusing_address();
    let joiner = Origin::answering("joiner").await;
    let names = NameServer::start().await;
    names.set("app.test", A, 1, &["127.0.0.1"]);
    let text = |mark: usize, members: &[&str]| {
        let members: Vec<String> = members.iter().map(|one| format!("\"{one}\"")).collect();
        format!(
            "[server]\nworkers = 2\n\
             [[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\nmax_requests = 1000000\n\
             [dns]\nservers = [\"{names}\"]\nip = \"v4\"\nmin_ttl = \"20ms\"\nmax_ttl = \"20ms\"\n\
             [[route]]\nname = \"route-{mark}\"\nupstream = \"app\"\n\
             [upstream.app]\nbalance = \"peak_ewma\"\nendpoints = [{}]\n\
             health = {{ path = \"/healthz\", interval = \"1h\", timeout = \"1h\", unhealthy_after = 1 }}\n",
            members.join(", ")
        )
    };
    let [held_at, quick_at, sick_at] = [&held, &quick, &sick].map(ToString::to_string);
    let (refusing_at, joiner_at) = (refusing.to_string(), joiner.to_string());
    let named = format!("app.test:{}", joiner.address().port());

    // Three requests are held by the first, which an operator then drains.
    let gateway = Gateway::start(&text(0, &[&held_at]), &[]).await;
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut client = gateway.connect().await;
        client.send(&Request::get("/").bytes()).await;
        waiting.push(client);
    }
    // And its health is being asked for.
    gate.reached(4).await;
    let drain = format!("upstream=app&endpoint={held_at}&state=draining");
    let response = gateway.ask_admin(Request::post("/endpoints", drain)).await;
    assert_eq!(response.status, 200, "{}", response.text());

    // The others join: one quick, one sick, one that refuses even the check.
    let most = [&*held_at, &*quick_at, &*sick_at, &*refusing_at];
    gateway.reload(&text(1, &most), &[]).await;
    within("the verdicts of the checks", async {
        for address in [&sick_at, &refusing_at] {
            while endpoint(&gateway, address)
                .await
                .is_none_or(|one| one["state"] != "unhealthy")
            {}
        }
    })
    .await;
    assert_eq!(gateway.get("/").await.text(), "quick");
    let idle = [&held_at, &sick_at, &refusing_at];
    let mut before = Vec::new();
    for address in idle {
        before.push(endpoint(&gateway, address).await.expect("the endpoint"));
    }
    assert_eq!(before[0]["state"], "draining");
    assert_eq!(before[0]["in_flight"], 3);

    // Under load the configuration changes again and again, by it the membership, and by the name the membership too.
    let address = gateway.web().await;
    let done = Arc::new(AtomicBool::new(false));
    let mut load = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let done = Arc::clone(&done);
        load.spawn(async move {
            let mut client = Client::connect(address).await;
            let mut count = 0_u64;
            while !done.load(Ordering::Relaxed) {
                let response = client.ask(Request::get("/")).await;
                assert_eq!(response.status, 200);
                assert!(matches!(response.text(), "quick" | "joiner"));
                count += 1;
            }
            count
        });
    }
    let mut served = 0;
    for mark in 2..RELOADS {
        let mut members = most.to_vec();
        match mark % 3 {
            0 => members.push(&joiner_at),
            1 => members.insert(0, &named),
            _ => members.reverse(),
        }
        let addresses: &[&str] = match mark % 2 {
            0 => &["127.0.0.1", "127.0.0.2"],
            _ => &["127.0.0.1"],
        };
        names.set("app.test", A, 1, addresses);
        gateway.reload(&text(mark, &members), &[]).await;
        let now = endpoint(&gateway, &quick_at).await.expect("the endpoint");
        let requests = now["requests"].as_u64().expect("a count");
        assert!(requests >= served, "{requests} after {served}");
        assert!(now["latency_ms"].is_number(), "{now}");
        served = requests;
    }
    done.store(true, Ordering::Relaxed);
    let made: u64 = load.join_all().await.iter().sum();
    assert!(made > 0);

    for (address, before) in idle.into_iter().zip(&before) {
        let after = endpoint(&gateway, address).await.expect("the endpoint");
        assert_eq!(kept(&after), kept(before), "{address}");
    }
    // What was held all the time is answered now, and counted out.
    gate.open();
    for mut client in waiting {
        let response = client.response("GET").await.expect("an answer");
        assert_eq!(response.text(), "held");
    }
    within("the last exchange", async {
        let held = async || endpoint(&gateway, &held_at).await.expect("the endpoint");
        while held().await["in_flight"] != 0 {}
    })
    .await;
}

#[tokio::test]
async fn two_hosts_at_one_address_are_two_endpoints() {
    // One of the hosts that this origin has fails its checks.
    let origin = Origin::http(|seen| async move {
        let mut response = ok("fine");
        let host = seen.header("host").unwrap_or_default().to_owned();
        if seen.target == "/healthz" && host.starts_with("bad.test") {
            *response.status_mut() = http::StatusCode::IM_A_TEAPOT;
        }
        response
    })
    .await;
    let names = NameServer::start().await;
    for name in ["good.test", "bad.test"] {
        names.set(name, A, 300, &["127.0.0.1"]);
    }
    let port = origin.address().port();
    let [good, bad] = ["good.test", "bad.test"].map(|name| format!("{name}:{port}"));
    let text = |more: &str| {
        format!(
            "[dns]\nservers = [\"{names}\"]\nip = \"v4\"\n\
             [[route]]\nname = \"all\"\nupstream = \"app\"\n\
             [upstream.app]\nendpoints = [\"{good}\", {{ address = \"{bad}\"{more} }}]\n\
             health = {{ path = \"/healthz\", interval = \"20ms\", timeout = \"20s\", unhealthy_after = 1, healthy_after = 1 }}\n"
        )
    };
    let gateway = Gateway::start(&text(""), &[]).await;
    let shown = async |name: &str| find(&gateway, "name", name).await.expect("the endpoint");
    within("the verdicts of both checks", async {
        while shown(&good).await["health"]["since"].is_null() {}
        while shown(&bad).await["state"] != "unhealthy" {}
    })
    .await;

    // All requests go to the other, and the figures know which.
    let requests = async |name: &str| shown(name).await["requests"].as_u64().expect("a count");
    let (before, idle) = (requests(&good).await, requests(&bad).await);
    for _ in 0..6 {
        assert_eq!(gateway.get("/").await.text(), "fine");
    }
    assert_eq!(requests(&good).await, before + 6);
    assert_eq!(requests(&bad).await, idle);
    assert_eq!(shown(&good).await["state"], "up");
    let metrics = gateway.metrics().await;
    for (name, up) in [(&good, 1.0), (&bad, 0.0)] {
        let labels = [("upstream", "app"), ("endpoint", name.as_str())];
        let shown = metrics.sum("portcullis_endpoint_up", &labels);
        assert!((shown - up).abs() < 0.1, "{name}: {shown}");
    }

    // What is said of the endpoint changes, but not what it is.
    let since = shown(&bad).await["health"]["since"].clone();
    gateway.reload(&text(", weight = 3"), &[]).await;
    let after = shown(&bad).await;
    assert_eq!(after["state"], "unhealthy", "{after}");
    assert_eq!(after["health"]["since"], since);
    assert_eq!(after["weight"], 3);

    // An operator means the one that is named.
    let form = format!("upstream=app&endpoint={bad}&state=disabled");
    let response = gateway.ask_admin(Request::post("/endpoints", form)).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(shown(&bad).await["state"], "disabled");
    assert_eq!(shown(&good).await["state"], "up");
    assert_eq!(gateway.get("/").await.text(), "fine");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_that_a_reload_adds_count_what_is_in_flight_already() {
    let text = |added: &str, endpoints: &str| {
        format!(
            "[server]\nworkers = 2\n[[route]]\nname = \"all\"\nupstream = \"app\"\n\
             [upstream.app]\nendpoints = [{endpoints}]\n{added}\n"
        )
    };
    for (added, reason) in [
        ("limits = { requests = 2 }", "upstream_overloaded"),
        ("limits = { connections = 2 }", "upstream_overloaded"),
        ("limits = { endpoint_requests = 2 }", "upstream_overloaded"),
        ("adaptive = { min = 2, max = 2 }", "adaptive_limit"),
        (
            "limits = { requests = 2, queue = 1, queue_timeout = \"1ms\" }",
            "queue_timeout",
        ),
    ] {
        let (origin, gate) = Origin::gated("held").await;
        let endpoints = format!("\"{origin}\"");
        let gateway = Gateway::start(&text("", &endpoints), &[]).await;
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut client = gateway.connect().await;
            client.send(&Request::get("/").bytes()).await;
            held.push(client);
        }
        gate.reached(2).await;
        gateway.reload(&text(added, &endpoints), &[]).await;
        let refused = gateway.get("/").await;
        assert_eq!(refused.status, 503, "{added}");
        assert_eq!(refused.text(), format!("503 {reason}\n"), "{added}");

        // Their places are given back, to the limit that they did not know.
        gate.open();
        for mut client in held {
            let response = client.response("GET").await.expect("an answer");
            assert_eq!(response.text(), "held", "{added}");
        }
        until_in_flight(&gateway, 0).await;
        assert_eq!(gateway.get("/").await.text(), "held", "{added}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_idle_when_a_reload_limits_them_make_room() {
    const IDLE: usize = 3;
    let text = |added: &str, origin: &Origin| {
        format!(
            "[server]\nworkers = 2\n[[route]]\nname = \"all\"\nupstream = \"app\"\n\
             [upstream.app]\nendpoints = [\"{origin}\"]\n{added}\n"
        )
    };
    let (origin, gate) = Origin::gated("ok").await;
    let gateway = Gateway::start(&text("", &origin), &[]).await;
    // One client, so that one worker has all of them.
    let client = H2Client::connect(gateway.web().await).await;
    let mut answers = Vec::new();
    for _ in 0..IDLE {
        let request = h2_request("GET", "/").body(()).expect("a request");
        answers.push(client.open(request, true).await.0);
    }
    gate.reached(IDLE).await;
    gate.open();
    for answer in answers {
        let answer = H2Answer::read(answer).await.expect("an answer");
        assert_eq!(answer.text(), "ok");
    }
    gateway.records(IDLE).await;
    assert_eq!(origin.connections(), IDLE);
    let limit = "limits = { connections = 1, queue = 1, queue_timeout = \"1h\" }";
    gateway.reload(&text(limit, &origin), &[]).await;
    // Which worker gets a client is the kernel's choice; of so many, some are with the one that has none.
    for count in 1..=32 {
        let response = gateway.get("/").await;
        assert_eq!((response.status, response.text()), (200, "ok"), "{count}");
    }
    assert!(origin.connections() > IDLE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_in_a_queue_that_a_reload_adds_is_called_by_those_before_it() {
    let text = |added: &str, endpoint: &Origin| {
        format!(
            "[server]\nworkers = 2\n[[route]]\nname = \"all\"\nupstream = \"app\"\n\
             [upstream.app]\nendpoints = [\"{endpoint}\"]\n{added}\n"
        )
    };
    let (origin, gate) = Origin::gated("held").await;
    let gateway = Gateway::start(&text("", &origin), &[]).await;
    let begin = async || {
        let mut client = gateway.connect().await;
        client.send(&Request::get("/").bytes()).await;
        client
    };
    let mut clients = vec![begin().await, begin().await];
    gate.reached(2).await;
    let added = "limits = { requests = 2, queue = 5, queue_timeout = \"1h\" }";
    gateway.reload(&text(added, &origin), &[]).await;
    clients.push(begin().await);
    within("one request to wait", async {
        let waiting = [("upstream", "app")];
        let family = "portcullis_upstream_requests_waiting";
        while gateway.metrics().await.sum(family, &waiting) < 0.5 {}
    })
    .await;
    // It is let through when one of those ends that began without a limit, and not before.
    assert_eq!(origin.seen().len(), 2);
    gate.release(1);
    gate.reached(3).await;
    gate.open();
    for mut client in clients {
        let response = client.response("GET").await.expect("an answer");
        assert_eq!(response.text(), "held");
    }
    until_in_flight(&gateway, 0).await;
}

/// Waits until the limits of the upstream count so many requests.
async fn until_in_flight(gateway: &Gateway, count: u64) {
    within("the places to be free", async {
        loop {
            let shown = gateway.ask_admin(Request::get("/upstreams")).await.json();
            if shown["upstreams"]["app"]["limits"]["in_flight"] == count {
                return;
            }
        }
    })
    .await;
}
