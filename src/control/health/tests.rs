//! Checks of real origins, and what becomes of them when the world changes.

use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::Notify,
};

use super::*;
use crate::control::testing::{Bench, Names, snapshot, stores, upstream_of};

/// A service that answers every request with the status that a test has set, and says when it has answered.
struct Origin {
    address: SocketAddr,
    status: AtomicU16,
    asked: AtomicUsize,
    answered: Notify,
}

impl Origin {
    async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Arc::new(Self {
            address: listener.local_addr().unwrap(),
            status: AtomicU16::new(200),
            asked: AtomicUsize::new(0),
            answered: Notify::new(),
        });
        let serving = Arc::clone(&origin);
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    if socket.read_buf(&mut request).await.unwrap_or(0) == 0 {
                        break;
                    }
                }
                let status = serving.status.load(Ordering::SeqCst);
                let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
                let _ = socket.write_all(answer.as_bytes()).await;
                serving.asked.fetch_add(1, Ordering::SeqCst);
                serving.answered.notify_one();
            }
        });
        origin
    }

    fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}

fn checked(endpoints: &str) -> String {
    format!(
        "{}health = {{ path = \"/healthz\", interval = \"5ms\", timeout = \"5s\", unhealthy_after = 2, healthy_after = 2 }}\n",
        unchecked(endpoints)
    )
}

fn unchecked(endpoints: &str) -> String {
    format!("[upstream.users]\nendpoints = [{endpoints}]\n")
}

fn state(bench: &Bench) -> Arc<EndpointState> {
    let pool = upstream_of(&bench.cell.load(), "users").pool.load_full();
    Arc::clone(&pool.endpoints()[0].state)
}

async fn until(origin: &Origin, reached: impl Fn() -> bool) {
    let waiting = async {
        while !reached() {
            origin.answered.notified().await;
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    assert!(waited.is_ok(), "the checks never came there");
}

#[tokio::test]
async fn failures_take_an_endpoint_out_and_successes_bring_it_back() {
    let origin = Origin::start().await;
    let bench = Bench::start(&checked(&format!("\"{}\"", origin.address))).await;
    let state = state(&bench);
    assert!(state.is_healthy());
    origin.answer(503);
    until(&origin, || !state.is_healthy()).await;
    assert_eq!(&*state.health().reason, "status 503");
    origin.answer(204);
    until(&origin, || state.is_healthy()).await;
    assert_eq!(&*state.health().reason, "passed");
}

#[tokio::test]
async fn what_a_check_found_survives_a_reload_and_ends_with_the_check() {
    let origin = Origin::start().await;
    let endpoint = format!("\"{}\"", origin.address);
    let bench = Bench::start(&checked(&endpoint)).await;
    origin.answer(500);
    until(&origin, || !state(&bench).is_healthy()).await;
    let more = format!("{}\n[upstream.more]\nendpoints = []\n", checked(&endpoint));
    assert_eq!(bench.reload(&more).await.generation, 2);
    assert!(!state(&bench).is_healthy());
    assert_eq!(bench.reload(&unchecked(&endpoint)).await.generation, 3);
    assert!(state(&bench).is_healthy());
}

#[tokio::test]
async fn a_check_that_passes_ends_the_setting_aside() {
    let origin = Origin::start().await;
    let bench = Bench::start(&checked(&format!("\"{}\"", origin.address))).await;
    let pool = upstream_of(&bench.cell.load(), "users").pool.load_full();
    let lease = pool.pick(0, 0, &[]).unwrap();
    lease.connect_failed(u64::MAX - 60_000);
    let state = state(&bench);
    assert_eq!(state.failed_in_a_row(), 1);
    until(&origin, || state.failed_in_a_row() == 0).await;
    assert_eq!(state.set_aside_until(0), None);
}

#[tokio::test]
async fn a_check_at_another_port_says_nothing_of_the_one_that_requests_go_to() {
    let origin = Origin::start().await;
    let port = origin.address.port();
    let text = checked("\"127.0.0.1:1\"").replace("interval", &format!("port = {port}, interval"));
    let bench = Bench::start(&text).await;
    let pool = upstream_of(&bench.cell.load(), "users").pool.load_full();
    pool.pick(0, 0, &[]).unwrap().connect_failed(0);
    let seen = origin.asked.load(Ordering::SeqCst);
    until(&origin, || origin.asked.load(Ordering::SeqCst) > seen + 3).await;
    assert_eq!(state(&bench).failed_in_a_row(), 1);
}

#[tokio::test]
async fn addresses_that_are_found_later_are_checked_too() {
    let origin = Origin::start().await;
    origin.answer(503);
    let port = origin.address.port();
    let names = Names::default();
    let folder = tempfile::tempdir().unwrap();
    names.set("users.test", &[]);
    let text = checked(&format!("\"users.test:{port}\""));
    let bench = Bench::start_in(folder, &text, names).await;
    bench.names.set("users.test", &["127.0.0.1"]);
    bench
        .until_pool("users", &[&format!("127.0.0.1:{port}")])
        .await;
    until(&origin, || !state(&bench).is_healthy()).await;
}

#[tokio::test]
async fn an_unchanged_check_keeps_its_task_and_a_changed_one_gets_another() {
    let stores = stores();
    let mut checks = HealthChecks::default();
    let mut tasks = |text: &str| {
        checks.follow(&snapshot(text, &stores));
        let running = checks.running.iter();
        let mut tasks: Vec<_> = running
            .map(|(checked, running)| (checked.endpoint.address.port(), running._task.id()))
            .collect();
        tasks.sort_by_key(|(port, _)| *port);
        tasks
    };
    let first = tasks(&checked("\"127.0.0.1:1\", \"127.0.0.1:2\""));
    assert_eq!(first.len(), 2);
    let second = tasks(&checked("\"127.0.0.1:2\", \"127.0.0.1:3\""));
    assert_eq!(second[0], first[1]);
    assert_eq!(second.len(), 2);
    let other = checked("\"127.0.0.1:2\"").replace("/healthz", "/alive");
    let third = tasks(&other);
    assert_eq!(third.len(), 1);
    assert_ne!(third[0], second[0]);
    assert_eq!(tasks(&unchecked("\"127.0.0.1:2\"")), []);
}
