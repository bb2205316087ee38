//! Allocations per exchange, counted and held: a path that begins to allocate more fails here, not in a profile a year
//! later. The whole data plane runs in this process with metrics and the access log on; the client and the origin either
//! allocate nothing or are processes of their own.

#![cfg(test)]

use std::{
    alloc::System,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    num::NonZeroUsize,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use portcullis::{
    balance::{
        ConnectionId, Endpoint, EndpointId, EndpointStates, Member, Metadata, Percent, PickContext,
        Policy, Pool, Settings, StickyKey, SubsetFallback, SubsetSettings, ZoneSettings,
    },
    compile::{Stores, TlsStore},
    control,
    engine::{DoorKey, Gate, Workers},
    gateway::RequestGate,
    http::{
        HeadLimits, RequestHead, ResponseHead,
        h2::{Decoder, Encoder, read_request, read_response, write_request, write_response},
    },
    listener::{
        admission::{Admission, Places},
        bind::bind,
    },
    observe::{LogSink, Metrics},
    snapshot::{Pressure, SnapshotCell},
};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What an exchange may allocate: what it does, and a little room for other compilers and standard libraries.
const HTTP1: f64 = 4.0;
const HTTP1_BODIES: f64 = 4.0;
const HTTP1_TLS: f64 = 6.0;
const HTTP2_TLS: f64 = 10.0;

/// What an idle connection may hold, in bytes.
const IDLE: usize = 1_200;
const IDLE_TLS: usize = 8_400;

/// Exchanges before counting: buffers, heads and cells exist then.
const WARM_UP: usize = 300;
const COUNTED_EXCHANGES: usize = 2_000;

/// One test, for the count is the process's: nothing else may run beside it.
#[test]
fn an_exchange_allocates_no_more_than_it_did() {
    picks_allocate_nothing();
    header_blocks_allocate_nothing();
    let gateway = Gateway::start(origin());
    let plain = gateway.plain;

    let mut client = Client::connect(plain);
    let get =
        b"GET /small?q=1 HTTP/1.1\r\nHost: localhost\r\nUser-Agent: counted\r\nAccept: */*\r\n\r\n";
    held("HTTP/1", HTTP1, |exchanges| client.exchange(get, exchanges));
    let post = b"POST /small HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 11\r\n\r\nhello world";
    let hashed =
        b"GET /hashed/x?q=1 HTTP/1.1\r\nHost: localhost\r\nCookie: user=ann\r\nAccept: */*\r\n\r\n";
    held("HTTP/1 by a hash", HTTP1, |exchanges| {
        client.exchange(hashed, exchanges);
    });
    let session = format!(
        "GET /sessions/x HTTP/1.1\r\nHost: localhost\r\nX-Version: 2\r\nCookie: at={}\r\n\r\n",
        gateway.session
    );
    held("HTTP/1 in a session of a subset", HTTP1, |exchanges| {
        client.exchange(session.as_bytes(), exchanges);
    });
    // A connection serves 10,000 requests.
    let mut client = Client::connect(plain);
    let guarded = b"GET /guarded/x HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n";
    held("HTTP/1 within limits", HTTP1, |exchanges| {
        client.exchange(guarded, exchanges);
    });
    held("HTTP/1 with a body", HTTP1_BODIES, |exchanges| {
        client.exchange(post, exchanges);
    });
    held("HTTP/1 over TLS", HTTP1_TLS, |exchanges| {
        h2load(gateway.tls, exchanges, &["--h1"]);
    });
    held("HTTP/2 over TLS", HTTP2_TLS, |exchanges| {
        h2load(gateway.tls, exchanges, &[]);
    });
    idle_connections_hold_little("plain", gateway.plain, IDLE);
    idle_connections_hold_little("TLS", gateway.tls, IDLE_TLS);
}

/// What connections hold between two exchanges, those of a process that opens so many and leaves them alone.
fn idle_connections_hold_little(kind: &str, address: SocketAddr, most: usize) {
    // What the first ones make, all others use.
    let _first = Idle::open(kind, address);
    let before = live();
    let _counted = Idle::open(kind, address);
    // The last answers have come, but the gateway may still be putting things away.
    let begun = Instant::now();
    let each = loop {
        let each = live().saturating_sub(before) / CONNECTIONS;
        if each <= most || begun.elapsed() > Duration::from_secs(20) {
            break each;
        }
        std::thread::yield_now();
    };
    println!("{kind}: an idle connection holds {each} bytes");
    assert!(
        each <= most,
        "{kind}: an idle connection holds {each} bytes, {most} are allowed"
    );
    assert!(each > 0, "{kind}: nothing was counted");
}

/// The bytes that are allocated at this moment.
fn live() -> usize {
    let stats = COUNTED.stats();
    stats
        .bytes_allocated
        .saturating_sub(stats.bytes_deallocated)
}

/// Connections that have had one exchange each, of a process of their own, which ends with this.
struct Idle(Child);

impl Idle {
    fn open(kind: &str, address: SocketAddr) -> Self {
        let mut process = Command::new("python3")
            .args(["-c", OPEN, kind, &address.port().to_string()])
            .arg(CONNECTIONS.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is there");
        let mut told = [0; 5];
        let out = process.stdout.as_mut().unwrap();
        out.read_exact(&mut told).expect("all connections are open");
        Self(process)
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const CONNECTIONS: usize = 256;

const OPEN: &str = r#"
import socket, ssl, sys
kind, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
kept = []
for _ in range(count):
    connection = socket.create_connection(("127.0.0.1", port), 20)
    if kind == "TLS":
        connection = context.wrap_socket(connection, server_hostname="localhost")
    connection.sendall(b"GET /small HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = b""
    while not answer.endswith(b"\r\n\r\n" + b"x" * 130):
        piece = connection.recv(4096)
        assert piece, "the gateway closed a connection"
        answer += piece
    kept.append(connection)
sys.stdout.write("open\n")
sys.stdout.flush()
sys.stdin.read()
"#;

/// A pick and its lease, by each policy, in a small pool and in a large one, with everything that a pool can have.
fn picks_allocate_nothing() {
    let key = Arc::new(StickyKey::new(SECRET, "picks"));
    let settings = |policy: Policy| Settings {
        panic_threshold: Percent::new(50).unwrap(),
        slow_start: Duration::from_secs(30),
        zone: Some(ZoneSettings {
            own: "a".into(),
            spill_below: Percent::new(90).unwrap(),
        }),
        subsets: Some(SubsetSettings {
            label: "version".into(),
            fallback: SubsetFallback::Any,
        }),
        sticky: Some(Arc::clone(&key)),
        ..policy.into()
    };
    for policy in Policy::ALL {
        for (count, settings) in [
            (10, policy.into()),
            (10, settings(policy)),
            (1_000, settings(policy)),
        ] {
            let pool = pool(&settings, count);
            for endpoint in pool.endpoints().iter().step_by(3) {
                endpoint.state.set_health(false, "down", UNIX_EPOCH);
            }
            let sessions = [None, pool.sticky_id(1), pool.sticky_id(3)];
            let made = fewest_allocations(|| {
                for random in 0..3_000_u64 {
                    let random = random.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                    for sticky in sessions {
                        for subset in [None, Some("1"), Some("nobody's")] {
                            let lease = pool.pick_for(&PickContext {
                                key: Some(random),
                                sticky,
                                subset,
                                ..PickContext::new(random % 1_000, random, &[2])
                            });
                            assert!(lease.is_some(), "{policy:?}");
                        }
                    }
                }
            });
            assert_eq!(made, 0, "{policy:?} with {count} endpoints");
        }
    }
}

/// A request that comes and goes again and again over one connection in HTTP/2, and its response.
fn header_blocks_allocate_nothing() {
    let limits = HeadLimits::default();
    // Literals that become entries, in Huffman's code and as they are, and entries of both tables.
    let first = b"\x82\x87\x44\x06/a?b=c\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff\x58\x86\xa8\xeb\x10\x64\x9c\xbf\
        \x60\x03a=1\x60\x03b=2\x40\x03x-a\x01b\x10\x02te\x08trailers";
    let again = b"\x82\x87\xc3\xc2\xc1\xc0\xbf\xbe\x10\x02te\x08trailers";
    let mut decoder = Decoder::new();
    let mut encoder = Encoder::new();
    let mut request = RequestHead::default();
    let mut response = ResponseHead::default();
    let mut out = Vec::new();
    let mut blocks = |block: &[u8], times: usize| {
        for _ in 0..times {
            read_request(&mut decoder, block, &mut request, &limits).unwrap();
            out.clear();
            write_request(&mut encoder, &request, "https", &mut out).unwrap();
            read_response(&mut decoder, b"\x88\xbe", &mut response, &limits).unwrap();
            out.clear();
            write_response(&mut encoder, &response, &mut out).unwrap();
        }
    };
    let made = allocations(|| blocks(first, 100));
    assert!(made > 0, "nothing was counted");
    let made = fewest_allocations(|| blocks(first, 1_000));
    assert_eq!(made, 0, "new entries");
    let made = fewest_allocations(|| blocks(again, 1_000));
    assert_eq!(made, 0, "entries that are there");
}

/// What is allocated while something is done.
fn allocations(done: impl FnOnce()) -> usize {
    let before = COUNTED.stats();
    done();
    let after = COUNTED.stats();
    let made = after.allocations - before.allocations;
    made + after.reallocations - before.reallocations
}

/// What is allocated in the round with the fewest of some: what something allocates by itself, it allocates in each. The
/// count is the process's, and when a test begins, the thread that began it has something left to do.
fn fewest_allocations(mut done: impl FnMut()) -> usize {
    let mut fewest = usize::MAX;
    for _ in 0..ROUNDS {
        fewest = fewest.min(allocations(&mut done));
        if fewest == 0 {
            break;
        }
    }
    fewest
}

const ROUNDS: usize = 20;

/// A pool of endpoints in two zones and two subsets.
fn pool(settings: &Settings, count: u16) -> Pool {
    let states = EndpointStates::default();
    let metrics = Metrics::new(1).upstream("picks");
    let member = |number: u16| {
        let address = SocketAddr::from(([10, 0, 0, 1], number));
        Member {
            endpoint: Endpoint {
                host: "10.0.0.1".into(),
                name: address.to_string().into(),
                address,
                weight: u32::from(number % 7 + 1),
                connection: ConnectionId(0),
                state: states.endpoint("picks", EndpointId::at(address)),
                metrics: metrics.endpoint(&address.to_string()),
            },
            metadata: Metadata {
                tier: 0,
                zone: Some(if number.is_multiple_of(2) { "a" } else { "b" }.into()),
                labels: vec![("version".into(), (number % 2).to_string().into())],
            },
        }
    };
    Pool::build(settings, (1..=count).map(member).collect(), &Arc::default())
}

/// Counts what exchanges allocate beyond what connecting does, and fails when that is more than `most` for each.
fn held(path: &str, most: f64, mut exchange: impl FnMut(usize)) {
    let mut allocations = |exchanges| allocations(|| exchange(exchanges));
    allocations(WARM_UP);
    let few = allocations(WARM_UP);
    let many = allocations(WARM_UP + COUNTED_EXCHANGES);
    let each = (many as f64 - few as f64) / COUNTED_EXCHANGES as f64;
    println!("{path}: {each:.2} allocations an exchange");
    assert!(
        each <= most,
        "{path}: {each:.2} allocations an exchange, {most} are allowed"
    );
    assert!(each > 0.0, "{path}: nothing was counted");
}

/// A client that allocates nothing.
struct Client {
    stream: TcpStream,
    buffer: [u8; 4096],
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        Self {
            stream: TcpStream::connect(address).unwrap(),
            buffer: [0; 4096],
        }
    }

    fn exchange(&mut self, request: &[u8], times: usize) {
        for _ in 0..times {
            self.stream.write_all(request).unwrap();
            let mut filled = 0;
            while !self.buffer[..filled].ends_with(BODY) {
                let count = self.stream.read(&mut self.buffer[filled..]).unwrap();
                assert!(count > 0, "the gateway closed the connection");
                filled += count;
            }
            assert!(self.buffer.starts_with(b"HTTP/1.1 200 "));
        }
    }
}

/// A client in a process of its own, whose allocations are not counted.
fn h2load(address: SocketAddr, exchanges: usize, more: &[&str]) {
    let done = Command::new("h2load")
        .args(["-c", "1", "-m", "1", "-n", &exchanges.to_string()])
        .args(more)
        .arg(format!("https://{address}/small"))
        .output()
        .expect("h2load (Debian: nghttp2-client) is there; `make setup` installs it");
    let said = String::from_utf8_lossy(&done.stdout);
    let wanted = format!("{exchanges} succeeded, 0 failed");
    assert!(said.contains(&wanted), "{said}");
}

const BODY: &[u8] = &[b'x'; 130];

/// A service that allocates nothing once a connection is open.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || answer(stream.unwrap()));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    let mut head = b"HTTP/1.1 200 OK\r\nServer: counted\r\nContent-Type: text/plain\r\nContent-Length: 130\r\n\r\n".to_vec();
    head.extend_from_slice(BODY);
    let mut buffer = [0; 4096];
    let mut filled = 0;
    while let Ok(count) = stream.read(&mut buffer[filled..])
        && count > 0
    {
        filled += count;
        let request = &buffer[..filled];
        let is_complete = if request.starts_with(b"POST") {
            request.ends_with(b"hello world")
        } else {
            request.ends_with(b"\r\n\r\n")
        };
        if is_complete {
            filled = 0;
            stream.write_all(&head).unwrap();
        }
    }
}

/// The data plane of a gateway with one worker, made from a configuration file as the process makes it.
struct Gateway {
    plain: SocketAddr,
    tls: SocketAddr,
    /// The cookie of a session.
    session: String,
    _workers: Workers,
    _stores: Stores,
    _folder: tempfile::TempDir,
}

impl Gateway {
    fn start(origin: SocketAddr) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("portcullis.toml");
        let site = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("site.crt"), site.cert.pem()).unwrap();
        std::fs::write(
            folder.path().join("site.key"),
            site.signing_key.serialize_pem(),
        )
        .unwrap();
        let text = CONFIGURATION.replace("ORIGIN", &origin.to_string());
        std::fs::write(&path, text).unwrap();

        std::fs::write(folder.path().join("sticky.key"), SECRET).unwrap();
        let key = StickyKey::new(SECRET, "sessions");
        let mut session = Vec::new();
        key.write(key.id(&EndpointId::at(origin)), None, &mut session);

        let metrics = Arc::new(Metrics::new(1));
        let stores = Stores {
            access_logs: Some(LogSink::start(metrics.gateway().access_log()).unwrap()),
            metrics: Arc::clone(&metrics),
            endpoints: EndpointStates::default(),
            tls: TlsStore::default(),
        };
        let (snapshot, _) = control::first(control::Files::read(&path), &stores).unwrap();
        let plans = snapshot.listeners.clone();
        let cell = SnapshotCell::new(snapshot);
        let sink = stores.access_logs.as_ref().unwrap();
        let workers = Workers::start(
            1,
            &cell,
            &metrics,
            sink,
            (Instant::now(), &Arc::new(Pressure::new(1))),
        )
        .unwrap();
        let places = Arc::new(Places::new(2_000));
        let open = |name: &str| {
            let plan = plans.iter().find(|plan| &*plan.name == name).unwrap();
            let bound = bind(name, plan.address, NonZeroUsize::MIN).unwrap();
            let key = DoorKey {
                address: bound.local,
                name: None,
            };
            let gate = Gate {
                admission: Admission::new(&places, 2_000),
                requests: RequestGate::open(),
            };
            workers.open(&key, plan, &gate, bound.sockets);
            bound.local
        };
        Self {
            plain: open("plain"),
            tls: open("tls"),
            session: String::from_utf8(session).unwrap(),
            _workers: workers,
            _stores: stores,
            _folder: folder,
        }
    }
}

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

const CONFIGURATION: &str = r#"
[access_log]
output = "access.log"

[[listener]]
name = "plain"
address = "127.0.0.1:0"
per_client = { max_connections = 2000 }

[[listener]]
name = "tls"
address = "127.0.0.1:0"
per_client = { max_connections = 2000 }
[listener.tls]
certificates = [{ certificate = "site.crt", key = "site.key" }]

[[route]]
name = "all"
path = "/*"
upstream = "origin"

[[route]]
name = "hashed"
path = "/hashed/*"
upstream = "hashed"

[[route]]
name = "sessions"
path = "/sessions/*"
upstream = "sessions"

[upstream.sessions]
endpoints = [{ address = "ORIGIN", labels = { version = "2" } }]
subset = { label = "version", header = "x-version" }
sticky = { cookie = "at", secret = "${file:sticky.key}" }

[[route]]
name = "guarded"
path = "/guarded/*"
upstream = "guarded"

[upstream.guarded]
endpoints = ["ORIGIN"]
limits = { requests = 10, endpoint_requests = 9, endpoint_connections = 8, queue = 5, queue_timeout = "1s" }
adaptive = { min = 2 }
breaker = { consecutive_failures = 3 }

[upstream.origin]
endpoints = ["ORIGIN"]

[upstream.hashed]
balance = "hash"
hash = "${cookie.user}${query.q}${client_ip}"
endpoints = ["ORIGIN"]
"#;
