//! Active checks of endpoints, each answered when the test says so.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use tokio::sync::{Mutex, mpsc, watch};

use crate::harness::{Gateway, Origin, within};

/// An origin whose checks wait for the test; other requests get 200.
struct Checked {
    origin: Origin,
    arrived: watch::Receiver<usize>,
    answers: mpsc::UnboundedSender<u16>,
    answered: usize,
}

impl Checked {
    async fn start() -> Self {
        let (arrivals, arrived) = watch::channel(0);
        let (answers, receiver) = mpsc::unbounded_channel();
        let receiver = Arc::new(Mutex::new(receiver));
        let origin = Origin::http(move |seen| {
            let (arrivals, receiver) = (arrivals.clone(), Arc::clone(&receiver));
            async move {
                let mut status = 200;
                if seen.target == "/healthz" {
                    arrivals.send_modify(|count| *count += 1);
                    let answer = receiver.lock().await.recv().await;
                    status = answer.unwrap_or(500);
                }
                http::Response::builder()
                    .status(status)
                    .body(Full::new(Bytes::new()))
                    .expect("a response")
            }
        })
        .await;
        Self {
            origin,
            arrived,
            answers,
            answered: 0,
        }
    }

    /// Answers the next check and waits for the one after it: then the answer has had its effect.
    async fn answer(&mut self, status: u16) {
        self.answers.send(status).expect("the origin");
        self.answered += 1;
        self.until_checked(self.answered + 1).await;
    }

    async fn until_checked(&mut self, count: usize) {
        within("a check", self.arrived.wait_for(|now| *now >= count))
            .await
            .expect("the origin");
    }
}

/// Whether the metrics say that the endpoint is up.
async fn is_up(gateway: &Gateway) -> bool {
    let metrics = gateway.metrics().await;
    metrics.sum("portcullis_endpoint_up", &[("upstream", "app")]) > 0.5
}

async fn start(checked: &Checked, health: &str) -> Gateway {
    Gateway::start(
        &format!(
            "[server]\nworkers = 1\n[[route]]\nname = \"all\"\nupstream = \"app\"\n\
             [upstream.app]\nendpoints = [\"{}\"]\nhealth = {{ path = \"/healthz\", {health} }}\n",
            checked.origin
        ),
        &[],
    )
    .await
}

#[tokio::test]
async fn so_many_failures_and_successes_in_a_row_change_the_state() {
    let mut checked = Checked::start().await;
    let gateway = start(
        &checked,
        "interval = \"20ms\", timeout = \"20s\", unhealthy_after = 3, healthy_after = 2",
    )
    .await;
    for (step, (status, up)) in [
        (200, true),
        (500, true),
        (500, true),
        (200, true),
        (500, true),
        (500, true),
        (500, false),
        (500, false),
        (200, false),
        (500, false),
        (200, false),
        (200, true),
    ]
    .into_iter()
    .enumerate()
    {
        checked.answer(status).await;
        assert_eq!(is_up(&gateway).await, up, "after step {step}");
        // What the metrics say is what requests meet.
        let response = gateway.get("/").await;
        assert_eq!(
            response.status == 200,
            up,
            "after step {step}: {}",
            response.status
        );
    }
}

#[tokio::test]
async fn a_check_that_takes_too_long_is_a_failure() {
    let mut checked = Checked::start().await;
    let gateway = start(
        &checked,
        "interval = \"20ms\", timeout = \"100ms\", unhealthy_after = 1",
    )
    .await;
    // Nobody answers the first one; the second one shows that it was given up.
    checked.until_checked(2).await;
    assert!(!is_up(&gateway).await);
    assert_eq!(gateway.get("/").await.status, 503);
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "no_endpoint");
}

#[tokio::test]
async fn the_expected_statuses_and_the_host_are_configured() {
    let mut checked = Checked::start().await;
    let gateway = start(
        &checked,
        "interval = \"20ms\", timeout = \"20s\", unhealthy_after = 1, healthy_after = 1, \
         expected_status = [401, \"3xx\"], host = \"health.test\"",
    )
    .await;
    for (status, up) in [(401, true), (200, false), (302, true), (404, false)] {
        checked.answer(status).await;
        assert_eq!(is_up(&gateway).await, up, "{status}");
    }
    let checks = checked.origin.seen();
    assert!(
        checks
            .iter()
            .all(|seen| seen.header("host") == Some("health.test"))
    );
    assert!(checks.iter().all(|seen| seen.method == "GET"));
}

#[tokio::test]
async fn a_sick_endpoint_leaves_its_requests_to_the_others() {
    let mut checked = Checked::start().await;
    let other = Origin::answering("other").await;
    let gateway = Gateway::start(
        &format!(
            "[server]\nworkers = 1\n[[route]]\nname = \"all\"\nupstream = \"app\"\n\
             [upstream.app]\nendpoints = [\"{}\", \"{other}\"]\n\
             health = {{ path = \"/healthz\", interval = \"20ms\", timeout = \"20s\", unhealthy_after = 1, healthy_after = 1 }}\n",
            checked.origin
        ),
        &[],
    )
    .await;
    checked.answer(500).await;
    for _ in 0..10 {
        assert_eq!(gateway.get("/").await.text(), "other");
    }
    checked.answer(200).await;
    let mut bodies = Vec::new();
    for _ in 0..4 {
        bodies.push(gateway.get("/").await.text().to_owned());
    }
    assert!(bodies.iter().any(String::is_empty), "{bodies:?}");
}
