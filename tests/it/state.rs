//! What is known of endpoints belongs to them: reloads and changes of membership forget nothing of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hickory_resolver::proto::rr::RecordType::A;
use serde_json::Value;

use crate::harness::{Client, Gateway, NameServer, Origin, Request, ok, refusing_address, within};

/// The endpoint of an address as `/upstreams` shows it.
async fn endpoint(gateway: &Gateway, address: &str) -> Option<Value> {
    let shown = gateway.ask_admin(Request::get("/upstreams")).await.json();
    let endpoints = shown["upstreams"]["app"]["endpoints"].as_array()?.clone();
    endpoints.into_iter().find(|one| one["address"] == address)
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
