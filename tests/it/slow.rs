//! One endpoint that takes ten times as long as the others: how little of the traffic meets it.
//!
//! Time is counted in requests: one is sent with each step, and an endpoint answers when so many steps have gone by. So
//! the load is the same whatever the policy does, and neither the machine nor what else it does decides.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use crate::harness::{Client, Gateway, Origin, Request, within};

const ENDPOINTS: usize = 20;
const REQUESTS: usize = 600;
/// The steps that an endpoint takes, and those of the slow one.
const SERVICE: usize = 16;
const SLOW: usize = 160;
/// How long a step lasts at least: a machine that stops for a moment must not make a quick endpoint look slow.
const STEP: Duration = Duration::from_millis(1);

/// A request at an endpoint, which answers when it is told.
struct Arrival {
    endpoint: usize,
    answer: oneshot::Sender<()>,
}

/// The requests that are under way, by the step in which they began.
type Running = BTreeMap<usize, (oneshot::Sender<()>, Client)>;

#[tokio::test]
async fn least_connections_keeps_the_slow_endpoint_out_of_the_99th_percentile() {
    compare("least_connections").await;
}

#[tokio::test]
async fn peak_ewma_keeps_the_slow_endpoint_out_of_the_99th_percentile() {
    compare("peak_ewma").await;
}

async fn compare(policy: &str) {
    let without = p99(policy, SERVICE).await;
    let with = p99(policy, SLOW).await;
    assert_eq!(without, SERVICE);
    assert!(
        2 * with <= 3 * without,
        "{policy}: {with} and not {without}"
    );
}

/// The steps that one request in a hundred exceeds, when the first endpoint takes so many.
async fn p99(policy: &str, first: usize) -> usize {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let mut origins = Vec::new();
    for endpoint in 0..ENDPOINTS {
        origins.push(origin(endpoint, arrived.clone()).await);
    }
    let list: Vec<String> = origins.iter().map(|one| format!("\"{one}\"")).collect();
    let gateway = Gateway::start(
        r#"
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        idle_timeout = "1h"
        max_requests = 1000000
        [[route]]
        name = "ping"
        path = "/ping"
        respond = {}
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        balance = "<policy>"
        endpoints = [<endpoints>]
        "#,
        &[("policy", &policy), ("endpoints", &list.join(", "))],
    )
    .await;

    let mut pace = gateway.connect().await;
    let mut idle: Vec<Client> = Vec::new();
    let mut ends = BinaryHeap::new();
    let mut running = Running::new();
    let mut latencies = Vec::new();
    for step in 0..REQUESTS {
        let began = Instant::now();
        while let Some(Reverse((end, _))) = ends.peek()
            && *end <= step
        {
            idle.push(finish(&mut ends, &mut running, &mut latencies).await);
        }
        let mut client = match idle.pop() {
            Some(client) => client,
            None => gateway.connect().await,
        };
        client.send(&Request::get("/").bytes()).await;
        let arrival: Arrival = within("a request at an endpoint", arrivals.recv())
            .await
            .expect("an endpoint");
        let service = if arrival.endpoint == 0 {
            first
        } else {
            SERVICE
        };
        ends.push(Reverse((step + service, step)));
        running.insert(step, (arrival.answer, client));
        while began.elapsed() < STEP {
            pace.ask(Request::get("/ping")).await;
        }
    }
    while !ends.is_empty() {
        finish(&mut ends, &mut running, &mut latencies).await;
    }
    latencies.sort_unstable();
    latencies[latencies.len() * 99 / 100]
}

/// Lets the request that ends first have its answer, and notes how long it took.
async fn finish(
    ends: &mut BinaryHeap<Reverse<(usize, usize)>>,
    running: &mut Running,
    latencies: &mut Vec<usize>,
) -> Client {
    let Reverse((end, began)) = ends.pop().expect("a request");
    let (answer, mut client) = running.remove(&began).expect("a request");
    answer.send(()).expect("an endpoint that waits");
    let response = client.response("GET").await.expect("an answer");
    assert_eq!(response.status, 200);
    latencies.push(end - began);
    client
}

async fn origin(endpoint: usize, arrived: mpsc::UnboundedSender<Arrival>) -> Origin {
    Origin::http(move |_seen| {
        let arrived = arrived.clone();
        async move {
            let (answer, told) = oneshot::channel();
            let _ = arrived.send(Arrival { endpoint, answer });
            let _ = told.await;
            http::Response::new(http_body_util::Full::new("done".into()))
        }
    })
    .await
}
