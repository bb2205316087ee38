//! The decision of an exchange, from a head that was read to one that goes on, and what filters add to it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use criterion::{BatchSize, Criterion};
use portcullis::compile::Stores;
use portcullis::gateway::{Connection, Exchange, RequestGate, Verdict};
use portcullis::http::h1::{HeadScan, parse_request};
use portcullis::http::{BodyLength, HeadLimits, RequestHead, ResponseHead};
use portcullis::snapshot::Snapshot;

use crate::world;

const NONE: &str = "";

const HEADERS: &str = r#"filters = [
    { kind = "request_headers", set = { x-one = "1", x-two = "two" }, remove = ["x-debug"] },
    { kind = "response_headers", set = { x-served-by = "gateway" }, remove = ["server"] },
]"#;

const ALL: &str = r#"filters = [
    { kind = "request_id", header = "x-request-id" },
    { kind = "rewrite", path = "/internal/*" },
    { kind = "request_headers", set = { x-client = "${client_ip}", x-route = "${route}" }, remove = ["x-debug"] },
    { kind = "response_headers", set = { x-served-by = "${route}" }, remove = ["server"] },
]"#;

pub(crate) fn all(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("filter chain");
    for (name, filters) in [("none", NONE), ("headers", HEADERS), ("all", ALL)] {
        let text = format!(
            "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n\
             [upstream.app]\nendpoints = [\"127.0.0.1:20000\"]\n\
             [[route]]\nname = \"app\"\npath = \"/v1/*\"\nupstream = \"app\"\n{filters}"
        );
        let snapshot = world::snapshot(&text, &Stores::to_check());
        let connection = connection(&snapshot);
        group.bench_function(format!("request: {name}"), |bencher| {
            bencher.iter_batched_ref(
                request,
                |head| decided(&snapshot, &connection, head),
                BatchSize::SmallInput,
            );
        });
        let mut head = request();
        let mut exchange = decided(&snapshot, &connection, &mut head);
        group.bench_function(format!("response: {name}"), |bencher| {
            bencher.iter_batched_ref(
                response,
                |response| exchange.respond(&head, response, &mut || 4),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn decided(
    snapshot: &Arc<Snapshot>,
    connection: &Rc<Connection>,
    head: &mut RequestHead,
) -> Exchange {
    let now = Instant::now();
    let mut exchange = Exchange::begin(Arc::clone(snapshot), Rc::clone(connection), now, now);
    let verdict = exchange.decide(head, BodyLength::Empty, &mut || 4);
    assert!(matches!(verdict, Verdict::Forward), "{verdict:?}");
    exchange
}

fn connection(snapshot: &Snapshot) -> Rc<Connection> {
    let peer = SocketAddr::from(([192, 0, 2, 7], 4711));
    let listener = snapshot.listeners.first().expect("the listener");
    Rc::new(Connection {
        requests: RequestGate::open(),
        listener: Arc::clone(listener),
        peer,
        client: peer,
        tls: None,
        retired: Rc::new(Cell::new(false)),
    })
}

fn request() -> RequestHead {
    let bytes =
        b"GET /v1/users/7?page=2 HTTP/1.1\r\nHost: api.example.test\r\nUser-Agent: curl/8.5.0\r\n\
        Accept: */*\r\nX-Debug: 1\r\n\r\n";
    let mut head = RequestHead::default();
    let limits = HeadLimits::default();
    let read = parse_request(bytes, &mut HeadScan::new(), &limits, &mut head);
    assert_eq!(read, Ok(Some(bytes.len())));
    head
}

fn response() -> ResponseHead {
    let mut head = ResponseHead {
        status: 200,
        ..ResponseHead::default()
    };
    head.fields.push(b"Server", b"app");
    head.fields.push(b"Content-Type", b"application/json");
    head
}
