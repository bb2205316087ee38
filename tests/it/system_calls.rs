//! System calls per exchange, counted and held: whoever makes the engine ask the kernel once more for each request sees
//! it here, on a busy machine as on a quiet one.

use crate::harness::{Authority, Call, Gateway, Origin, SystemCalls, h2load};

const CONFIG: &str = r#"
    [[listener]]
    name = "web"
    address = "127.0.0.1:0"
    [[listener]]
    name = "secure"
    address = "127.0.0.1:0"
    tls = { certificates = [<site>] }
    [[route]]
    name = "all"
    upstream = "app"
    [upstream.app]
    endpoints = ["<app>"]
"#;

/// Calls that carry a part of a message.
const CARRYING: &[&str] = &[
    "readv", "recvfrom", "recvmsg", "sendmsg", "sendto", "splice", "writev",
];
/// Calls that wait or wake a thread, whose number is a matter of what else the machine does: on a busy one, a wait is
/// interrupted by the clock's tick and the log's thread sleeps more often.
const WAITING: &[&str] = &["epoll_pwait", "epoll_wait", "futex", "read", "write"];

/// Exchanges on a connection before those that are counted.
const WARM_UP: usize = 50;
const COUNTED: usize = 300;

#[tokio::test]
async fn an_exchange_of_http1_takes_four_calls() {
    held("web", "http", &["--h1"]).await;
}

#[tokio::test]
async fn an_exchange_of_http1_over_tls_takes_no_call_more() {
    held("secure", "https", &["--h1"]).await;
}

#[tokio::test]
async fn an_exchange_of_http2_over_tls_takes_no_call_more() {
    held("secure", "https", &[]).await;
}

/// Runs exchanges over one connection, one after the other, and counts what the worker asks of the kernel for each: a
/// message in and out in each direction. What connections cost is taken off by a connection with few exchanges before
/// that with many.
async fn held(listener: &str, scheme: &str, version: &[&str]) {
    // The files of the certificate are there as long as the authority is.
    let authority = Authority::new("tests");
    let site = authority.issue(&["gateway.test"]);
    let origin = Origin::answering("hello").await;
    let trace = SystemCalls::new();
    let mut gateway =
        Gateway::start_traced(&trace, CONFIG, &[("site", &site), ("app", &origin)]).await;
    let url = format!("{scheme}://{}/", gateway.address(listener).await);
    for exchanges in [WARM_UP, WARM_UP, WARM_UP + COUNTED] {
        let count = exchanges.to_string();
        let mut arguments = vec!["-c", "1", "-m", "1", "-n", &count];
        arguments.extend_from_slice(version);
        arguments.push(&url);
        let answer = h2load(&arguments).await;
        let all_succeeded = format!("{exchanges} succeeded, 0 failed");
        assert!(answer.stdout.contains(&all_succeeded), "{answer:?}");
    }
    gateway.signal("TERM").await;
    gateway.exit().await;
    // The tracer has it, too, until everything is written.
    gateway.log().end().await;

    let calls = trace.of_thread("worker-0");
    let connections: Vec<_> = calls
        .split(|call| call.name == "accept4" && call.succeeded)
        .collect();
    let [_start, _warm_up, few, many] = connections[..] else {
        panic!("{} connections instead of three", connections.len() - 1);
    };
    let each = |counts: fn(&str) -> bool| {
        let count = |calls: &[Call]| calls.iter().filter(|call| counts(&call.name)).count() as f64;
        (count(many) - count(few)) / COUNTED as f64
    };
    let carrying = each(|name| CARRYING.contains(&name));
    let other = each(|name| !CARRYING.contains(&name) && !WAITING.contains(&name));
    println!(
        "{url}: {carrying:.2} calls an exchange carry messages, {other:.2} are neither those nor waits"
    );
    assert!(
        (3.99..=4.1).contains(&carrying),
        "{carrying:.2} calls an exchange carry messages"
    );
    assert!(
        other < 0.5,
        "{other:.2} calls an exchange carry nothing and are no waits"
    );
}
