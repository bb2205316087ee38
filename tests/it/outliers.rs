//! Outlier detection: endpoints that serve badly go, for a while, and not too many of them.

use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use serde_json::Value as Json;

use crate::harness::{
    EchoClient, EchoOrigin, Gateway, Origin, RawOrigin, Request, ResponseMessage, Text, within,
};

/// A gateway before one upstream, `app`, whose endpoints are watched so.
async fn start(endpoints: &[&Origin], outlier: &str) -> Gateway {
    Gateway::start(&config(endpoints, outlier), &[]).await
}

fn config(endpoints: &[&Origin], outlier: &str) -> String {
    let endpoints: Vec<_> = endpoints.iter().map(|one| format!("\"{one}\"")).collect();
    format!(
        "[[route]]\nname = \"all\"\nupstream = \"app\"\n\
         [upstream.app]\nendpoints = [{}]\noutlier = {{ {outlier} }}\n",
        endpoints.join(", ")
    )
}

async fn answering(status: u16) -> Origin {
    Origin::http(move |_seen| async move { response(status) }).await
}

fn response(status: u16) -> http::Response<Full<Bytes>> {
    http::Response::builder()
        .status(status)
        .body(Full::new(Bytes::new()))
        .expect("a response")
}

/// The answer to a request, by which its endpoint has been judged then: an answer may be here a moment before that.
async fn judged(gateway: &Gateway) -> ResponseMessage {
    let before = gateway.access_log().lines_now().len();
    let answer = gateway.get("/").await;
    gateway.access_log().lines(before + 1).await;
    answer
}

/// Sends requests one after the other until the log has a line with that message, and returns its text. All of them are
/// over by then: none is still on its way to an endpoint.
async fn ask_until(gateway: &Gateway, message: &str) -> String {
    let mut line = pin!(gateway.log().wait(message, |line| {
        (line.message() == message).then(|| line.text().to_owned())
    }));
    loop {
        judged(gateway).await;
        tokio::select! {
            biased;
            line = &mut line => return line,
            () = ready(()) => {}
        }
    }
}

async fn endpoints(gateway: &Gateway) -> Vec<Json> {
    let shown = gateway.ask_admin(Request::get("/upstreams")).await.json();
    let endpoints = shown["upstreams"]["app"]["endpoints"].as_array();
    endpoints.expect("endpoints").clone()
}

#[tokio::test]
async fn failures_in_a_row_eject_an_endpoint_at_once() {
    let (bad, good) = (answering(503).await, Origin::answering("good").await);
    let gateway = start(&[&bad, &good], "consecutive_failures = 3").await;
    for _ in 0..20 {
        judged(&gateway).await;
    }
    // Not one more than it takes.
    assert_eq!(bad.seen().len(), 3);
    assert_eq!(good.seen().len(), 17);
    let line = ask_until(&gateway, "endpoint is ejected").await;
    assert!(line.contains("consecutive_failures"), "{line}");
    let shown = endpoints(&gateway).await;
    assert_eq!(shown[0]["state"], "ejected");
    assert_eq!(shown[0]["ejected"]["reason"], "consecutive_failures");
    assert!(shown[0]["ejected"]["for_ms"].as_u64() > Some(0));
    assert_eq!(shown[1]["ejected"], Json::Null);
    let bad = bad.to_string();
    let labels = [("upstream", "app"), ("endpoint", bad.as_str())];
    let reason = [labels[0], labels[1], ("reason", "consecutive_failures")];
    for (name, labels, count) in [
        ("portcullis_endpoint_up", &labels[..], 0),
        ("portcullis_endpoint_ejected", &labels, 1),
        ("portcullis_endpoint_ejections_total", &reason, 1),
    ] {
        gateway.metric_is(name, labels, count).await;
    }
}

#[tokio::test]
async fn an_endpoint_that_accepts_and_never_answers_is_ejected() {
    let mute = RawOrigin::start(|_, mut connection| async move {
        connection.rest().await;
    })
    .await;
    let good = Origin::answering("good").await;
    let gateway = Gateway::start(
        "[[route]]\nname = \"all\"\nupstream = \"app\"\n[upstream.app]\nendpoints = [\"<mute>\", \"<good>\"]\n\
         response_timeout = \"500ms\"\noutlier = { consecutive_failures = 2 }\n",
        &[("mute", &mute), ("good", &good)],
    )
    .await;
    for _ in 0..20 {
        judged(&gateway).await;
    }
    assert_eq!(mute.connections(), 2);
    let records = gateway.records(20).await;
    let of_mute = records
        .iter()
        .filter(|record| record.text("endpoint") == mute.to_string());
    let statuses: Vec<_> = of_mute.map(|record| record.text("status")).collect();
    assert_eq!(statuses, ["504", "504"]);
}

#[tokio::test]
async fn an_endpoint_that_breaks_off_its_bodies_is_ejected() {
    let broken = RawOrigin::start(|_, mut connection| async move {
        let _ = connection.request().await;
        let half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
        connection.send(half).await;
    })
    .await;
    let good = Origin::answering("good").await;
    let gateway = Gateway::start(
        "[[route]]\nname = \"all\"\nupstream = \"app\"\n[upstream.app]\nendpoints = [\"<broken>\", \"<good>\"]\n\
         outlier = { consecutive_failures = 2 }\n",
        &[("broken", &broken), ("good", &good)],
    )
    .await;
    for count in 1..=10 {
        let mut client = gateway.connect().await;
        let _ = client.try_ask(Request::get("/")).await;
        // The record is written when all is known of the exchange.
        drop(client);
        gateway.records(count).await;
    }
    assert_eq!(broken.connections(), 2);
}

#[tokio::test]
async fn a_grpc_endpoint_fails_by_its_codes() {
    let (echo, other) = (EchoOrigin::start().await, EchoOrigin::start().await);
    let gateway = Gateway::start(
        "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\nh2c = true\n\
         [[route]]\nname = \"all\"\nupstream = \"app\"\n\
         [upstream.app]\nprotocol = \"h2c\"\nendpoints = [\"<echo>\", \"<other>\"]\n\
         outlier = { consecutive_failures = 1, failure_status = [400] }\n",
        &[("echo", &echo), ("other", &other)],
    )
    .await;
    let mut client = EchoClient::connect(gateway.web().await).await;
    client
        .unary(tonic::Request::new(Text::new("hello")))
        .await
        .expect("an answer");
    // FAILED_PRECONDITION is 400.
    for _ in 0..2 {
        let refused = client.unary(tonic::Request::new(Text::new("refuse"))).await;
        assert!(refused.is_err());
    }
    // With its record an endpoint has been judged.
    gateway.records(3).await;
    let states = endpoints(&gateway).await;
    let ejected = states
        .iter()
        .filter(|one| one["state"] == "ejected")
        .count();
    assert_eq!(ejected, 1, "{states:?}");
}

#[tokio::test]
async fn which_statuses_are_failures_is_configured() {
    let (teapot, bad) = (answering(418).await, answering(500).await);
    let good = Origin::answering("good").await;
    let gateway = start(
        &[&teapot, &bad, &good],
        "consecutive_failures = 2, failure_status = [418]",
    )
    .await;
    for _ in 0..20 {
        judged(&gateway).await;
    }
    assert_eq!(teapot.seen().len(), 2);
    assert_eq!(bad.seen().len(), 9);
}

#[tokio::test]
async fn a_share_of_failures_ejects_an_endpoint_that_had_enough_requests() {
    // Every second request fails, so there is never more than one failure in a row.
    let flaky = || async {
        let count = Arc::new(AtomicUsize::new(0));
        Origin::http(move |_seen| {
            let odd = count.fetch_add(1, Ordering::SeqCst) % 2 == 1;
            async move { response(if odd { 500 } else { 200 }) }
        })
        .await
    };
    let (good, flaky, rare) = (
        Origin::answering("good").await,
        flaky().await,
        flaky().await,
    );
    let gateway = Gateway::start(
        "[[route]]\nname = \"all\"\nupstream = \"app\"\n\
         [[route]]\nname = \"rare\"\npath = \"/rare\"\nupstream = \"rare\"\n\
         [upstream.app]\nendpoints = [\"<flaky>\", \"<good>\"]\n\
         outlier = { failure_share = \"40%\", interval = \"3s\", minimum_requests = 5 }\n\
         [upstream.rare]\nendpoints = [\"<rare>\", \"<good>\"]\n\
         outlier = { failure_share = \"40%\", interval = \"3s\", minimum_requests = 1000000 }\n",
        &[("flaky", &flaky), ("good", &good), ("rare", &rare)],
    )
    .await;
    for _ in 0..10 {
        gateway.get("/rare").await;
    }
    let line = ask_until(&gateway, "endpoint is ejected").await;
    assert!(
        line.contains("failure_share") && line.contains(&flaky.to_string()),
        "{line}"
    );
    let before = flaky.seen().len();
    for _ in 0..6 {
        assert_eq!(judged(&gateway).await.text(), "good");
    }
    assert_eq!(flaky.seen().len(), before);
    // The other upstream was looked at as often.
    let shown = gateway.ask_admin(Request::get("/upstreams")).await.json();
    assert_eq!(shown["upstreams"]["rare"]["endpoints"][0]["state"], "up");
}

#[tokio::test]
async fn an_endpoint_that_is_much_slower_than_the_others_is_ejected() {
    let slow = Origin::http(|_seen| async {
        #[expect(
            clippy::disallowed_methods,
            reason = "being slow is what the endpoint does"
        )]
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        response(200)
    })
    .await;
    let (one, other) = (Origin::answering("1").await, Origin::answering("2").await);
    let gateway = start(
        &[&one, &slow, &other],
        "latency = \"300%\", interval = \"1s\", minimum_requests = 3",
    )
    .await;
    let line = ask_until(&gateway, "endpoint is ejected").await;
    assert!(
        line.contains("latency") && line.contains(&slow.to_string()),
        "{line}"
    );
    let before = slow.seen().len();
    for _ in 0..6 {
        judged(&gateway).await;
    }
    assert_eq!(slow.seen().len(), before);
}

#[tokio::test]
async fn an_endpoint_that_clients_wait_for_in_vain_is_slow() {
    let mute = RawOrigin::start(|_, mut connection| async move {
        connection.rest().await;
    })
    .await;
    let (one, other) = (Origin::answering("1").await, Origin::answering("2").await);
    let gateway = Gateway::start(
        "[[route]]\nname = \"all\"\nupstream = \"app\"\n\
         [upstream.app]\nendpoints = [\"<one>\", \"<mute>\", \"<other>\"]\n\
         outlier = { latency = \"300%\", interval = \"2s\", minimum_requests = 3 }\n",
        &[("one", &one), ("mute", &mute), ("other", &other)],
    )
    .await;
    let ejected = gateway.log().wait("an ejection", |line| {
        (line.message() == "endpoint is ejected").then(|| line.text().to_owned())
    });
    // The gateway itself would wait for a minute; these clients do not.
    let impatient = async {
        loop {
            let mut client = gateway.connect().await;
            let patience = std::time::Duration::from_millis(100);
            let _ = tokio::time::timeout(patience, client.try_ask(Request::get("/"))).await;
        }
    };
    let line = tokio::select! {
        line = ejected => line,
        () = impatient => unreachable!("they ask on and on"),
    };
    assert!(
        line.contains("\"latency\"") && line.contains(&mute.to_string()),
        "{line}"
    );
}

#[tokio::test]
async fn an_ejection_has_its_time_and_a_longest_one() {
    let (bad, good) = (answering(500).await, Origin::answering("good").await);
    let gateway = start(
        &[&bad, &good],
        "consecutive_failures = 1, ejection_time = \"400ms\", max_ejection_time = \"500ms\", interval = \"1h\"",
    )
    .await;
    let first = ask_until(&gateway, "endpoint is ejected").await;
    let back = ask_until(&gateway, "endpoint is back").await;
    assert!(back.contains("consecutive_failures"), "{back}");
    // It fails again, and again: twice as long would be 800 ms.
    within("three more ejections", async {
        while bad.seen().len() < 4 {
            judged(&gateway).await;
        }
    })
    .await;
    let for_ms = |line: &str| -> u64 {
        let line: Json = serde_json::from_str(line).expect("JSON");
        let found = line
            .pointer("/fields/for_ms")
            .or_else(|| line.get("for_ms"));
        found.and_then(Json::as_u64).expect("a time")
    };
    assert!(for_ms(&first) <= 400, "{first}");
    let state = endpoints(&gateway).await[0].clone();
    assert!(state["ejected"]["for_ms"].as_u64() <= Some(500), "{state}");
    let labels = [("upstream", "app"), ("reason", "consecutive_failures")];
    gateway
        .metric_reaches("portcullis_endpoint_returns_total", &labels, 1)
        .await;
}

#[tokio::test]
async fn so_much_of_a_pool_is_ejected_and_no_more() {
    for (share, most) in [("50%", 2), ("10%", 1), ("100%", 3)] {
        let mut origins = Vec::new();
        for _ in 0..4 {
            origins.push(answering(503).await);
        }
        let all: Vec<_> = origins.iter().collect();
        let outlier = format!("consecutive_failures = 1, max_ejected = \"{share}\"");
        let gateway = start(&all, &outlier).await;
        for _ in 0..20 {
            // An answer of an endpoint, bad as it is: not the gateway's word that there is nobody.
            assert_eq!(judged(&gateway).await.status, 503);
        }
        let states = endpoints(&gateway).await;
        let ejected = states.iter().filter(|one| one["state"] == "ejected");
        assert_eq!(ejected.count(), most, "{share}");
        let records = gateway.records(20).await;
        assert!(
            records
                .iter()
                .all(|record| record.text("source") == "upstream")
        );
    }
}

#[tokio::test]
async fn below_the_panic_threshold_the_ejected_get_requests_too() {
    let mut origins = Vec::new();
    for _ in 0..3 {
        origins.push(answering(503).await);
    }
    let all: Vec<_> = origins.iter().collect();
    let text = config(&all, "consecutive_failures = 1, max_ejected = \"100%\"")
        .replace("outlier =", "panic_threshold = \"50%\"\noutlier =");
    let gateway = Gateway::start(&text, &[]).await;
    for _ in 0..31 {
        judged(&gateway).await;
    }
    // Two of three are ejected: that is too many, so all three have their turns.
    let seen: Vec<_> = origins.iter().map(|origin| origin.seen().len()).collect();
    assert!(seen.iter().all(|count| *count >= 9), "{seen:?}");
}

#[tokio::test]
async fn reasons_that_are_off_eject_nobody() {
    let (bad, good) = (answering(500).await, Origin::answering("good").await);
    let gateway = start(
        &[&bad, &good],
        "consecutive_failures = \"off\", failure_share = \"100%\", interval = \"1h\"",
    )
    .await;
    for _ in 0..40 {
        judged(&gateway).await;
    }
    assert_eq!(bad.seen().len(), 20);
}

#[tokio::test]
async fn an_operator_ends_an_ejection_and_so_does_taking_the_table_away() {
    let (bad, good) = (answering(500).await, Origin::answering("good").await);
    let outlier = "consecutive_failures = 1, ejection_time = \"1h\", max_ejection_time = \"1h\"";
    let gateway = start(&[&bad, &good], outlier).await;
    ask_until(&gateway, "endpoint is ejected").await;
    let form = format!("upstream=app&endpoint={bad}&state=enabled");
    let response = gateway.ask_admin(Request::post("/endpoints", form)).await;
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(bad.seen().len(), 1);
    for _ in 0..2 {
        judged(&gateway).await;
    }
    assert_eq!(bad.seen().len(), 2);
    assert_eq!(endpoints(&gateway).await[0]["state"], "ejected");
    let without = config(&[&bad, &good], outlier);
    let without = without.split("outlier").next().expect("a text");
    gateway.reload(without, &[]).await;
    within("the endpoint's return", async {
        while bad.seen().len() < 3 {
            judged(&gateway).await;
        }
    })
    .await;
}
