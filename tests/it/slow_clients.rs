//! Case 39: a thousand slow clients of each kind, beside two hundred normal ones who must not notice.

use std::net::SocketAddr;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::harness::{Authority, Client, Gateway, Origin, Request, ok, within};

const SLOW: usize = 1_000;
const NORMAL: usize = 200;
/// Requests of each normal client, over one connection.
const REQUESTS: usize = 5;
/// What one slow client may cost: the buffers of an exchange, and room for what the allocator keeps.
const BUDGET: u64 = 192 * 1024;

/// A gateway with a plain and a TLS listener, in front of one origin that answers `/large` at length.
async fn gateway() -> (Gateway, Origin) {
    let authority = Authority::new("tests");
    let site = authority.issue(&["gateway.test"]);
    // More than the kernel takes for a narrow client; of all of them, less than it has for the sockets of all tests.
    let large = Bytes::from(vec![b'x'; 500_000]);
    let origin = Origin::narrowly(move |seen| {
        let large = large.clone();
        async move {
            if seen.target == "/large" {
                ok(large)
            } else {
                ok("ok")
            }
        }
    });
    let gateway = Gateway::start(
        r#"
        [server]
        workers = 2
        overload = { relieve_delay = "off", shed_delay = "off" }
        # The clients are slow, and so may the machine be: no deadline ends what is to be there at the end.
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        idle_timeout = "1h"
        head_timeout = "1h"
        body_timeout = "1h"
        [[listener]]
        name = "secure"
        address = "127.0.0.1:0"
        handshake_timeout = "1h"
        tls = { certificates = [<site>] }
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<app>"]
        connect_timeout = "1h"
        response_timeout = "1h"
        "#,
        &[("site", &site), ("app", &origin)],
    )
    .await;
    (gateway, origin)
}

/// Opens the slow connections and says `begin` on each.
async fn slow(address: SocketAddr, begin: &[u8]) -> Vec<Client> {
    let mut clients = Vec::with_capacity(SLOW);
    for _ in 0..SLOW {
        let mut client = Client::connect_narrowly(address).await;
        client.send(begin).await;
        clients.push(client);
    }
    clients
}

/// The requests of the normal clients, side by side; every one must be answered.
async fn normal(address: SocketAddr) {
    let mut clients = JoinSet::new();
    for _ in 0..NORMAL {
        clients.spawn(async move {
            let mut client = Client::connect(address).await;
            for _ in 0..REQUESTS {
                let response = client.ask(Request::get("/")).await;
                assert_eq!(response.status, 200);
                assert_eq!(response.text(), "ok");
            }
        });
    }
    within("the normal clients", clients.join_all()).await;
}

/// Lets normal clients in beside slow ones that begin like this and go on byte by byte.
async fn beside(listener: &str, begin: &[u8], byte: &[u8]) {
    let (gateway, _origin) = gateway().await;
    let web = gateway.web().await;
    normal(web).await;
    let before = gateway.resident();
    let mut clients = slow(gateway.address(listener).await, begin).await;
    normal(web).await;
    for client in &mut clients {
        if !byte.is_empty() {
            client.send(byte).await;
        }
    }
    normal(web).await;
    let grown = gateway.resident().saturating_sub(before);
    assert!(grown < SLOW as u64 * BUDGET, "{grown} bytes for {SLOW}");
    // The slow ones are still there; the kernel may have had some of them in its queue until now.
    let open = "portcullis_connections_open";
    let labels = [("listener", listener)];
    gateway.metric_reaches(open, &labels, SLOW).await;
    let answered = [("code", "200"), ("source", "upstream")];
    let count = 3 * NORMAL * REQUESTS;
    gateway
        .metric_reaches("portcullis_requests_total", &answered, count)
        .await;
    let metrics = gateway.metrics().await;
    // None of the slow ones is through.
    let all = metrics.sum("portcullis_requests_total", &[]);
    assert!((all - count as f64).abs() < 0.1, "{all} requests");
    assert_eq!(
        metrics.sum("portcullis_connections_refused_total", &[]),
        0.0
    );
    drop(clients);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_39_beside_connections_that_say_nothing() {
    beside("web", b"", b"").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_39_beside_heads_that_trickle() {
    beside("web", b"GET / HTTP/1.1\r\nHost: gateway.test\r\nx: ", b"y").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_39_beside_bodies_that_trickle() {
    let head = b"POST / HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1000\r\n\r\n";
    beside("web", head, b"y").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_39_beside_responses_that_nobody_reads() {
    let head = b"GET /large HTTP/1.1\r\nHost: gateway.test\r\n\r\n";
    beside("web", head, b"").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_39_beside_handshakes_that_do_not_end() {
    // The beginning of a ClientHello.
    let hello = [22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];
    beside("secure", &hello, b"x").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_39_beside_http2_connections_that_stop_in_the_preface() {
    beside("web", b"PRI * HTTP/2.0\r\n\r\nSM\r", b"\n").await;
}
