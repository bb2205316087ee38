//! Whatever a client sends to a whole gateway, the upstream gets requests that a route has let through, each of them
//! recorded, and nothing else.
//!
//! The data plane runs in this process, with one worker and real sockets on loopback. The client and the origin run
//! on the calling thread.

use std::{
    cell::RefCell,
    collections::HashMap,
    fs::File,
    io::{self, Read},
    mem::ManuallyDrop,
    net::SocketAddr,
    num::NonZeroUsize,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis::{
    balance::EndpointStates,
    compile::{Stores, TlsStore},
    control,
    engine::{DoorKey, Gate, Workers},
    gateway::RequestGate,
    listener::{
        admission::{Admission, Places},
        bind::bind,
    },
    observe::{LogSink, Metrics},
    snapshot::{Pressure, SnapshotCell},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
    task::LocalSet,
    time::timeout,
};

use super::client;
use super::origin::{self, Seen};
use super::strict::RequestMessage;

/// Each route that forwards says so in `x-granted`; `origin::allowed` knows what each of them may let through.
const CONFIGURATION: &str = r#"
[server]
workers = 1

[access_log]
output = "access.log"
format = "${request_id} ${route} ${attempts} ${method} ${path}"

[[listener]]
name = "web"
address = "127.0.0.1:0"
max_head_size = "4KiB"
max_target = "1KiB"
max_body_size = "16KiB"
max_streams = 8

[[route]]
name = "open"
path = "/open/*"
upstream = "origin"
filters = [
  { kind = "request_id" },
  { kind = "request_headers", set = { "x-granted" = "open" }, remove = ["x-secret"] },
]

[[route]]
name = "closed"
path = "/open/closed/*"
respond = { status = 403 }

[[route]]
name = "written"
path = "/written/*"
methods = ["POST", "PUT"]
upstream = "origin"
filters = [
  { kind = "request_id" },
  { kind = "request_headers", set = { "x-granted" = "written" }, remove = ["x-secret"] },
]

[[route]]
name = "moved"
path = "/old/*"
upstream = "origin"
filters = [
  { kind = "request_id" },
  { kind = "rewrite", path = "/new/*", host = "moved.test" },
  { kind = "request_headers", set = { "x-granted" = "moved" }, remove = ["x-secret"] },
]

[[route]]
name = "inner"
hosts = ["inner.test"]
upstream = "origin"
filters = [
  { kind = "request_id" },
  { kind = "request_headers", set = { "x-granted" = "inner" }, remove = ["x-secret"] },
]

[upstream.origin]
endpoints = ["ORIGIN"]
"#;

/// After how many inputs what the origin got is compared with what was recorded: a record takes its time to the log.
const BATCH: usize = 256;

/// How long nothing happens before the client takes it that the gateway has done what it does. Nothing depends on it
/// being right.
const SILENCE: Duration = Duration::from_millis(1);

/// How long a gateway may take for what it does at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// Parts of the origin's odd answers that are no part of any response.
const NEVER_SENT: &[&[u8]] = &[b"and more than that", b"SSH-2.0-other"];

thread_local! {
    /// Not dropped with its thread: tokio's own thread locals may be gone by then.
    static BENCH: RefCell<Option<ManuallyDrop<Bench>>> = const { RefCell::new(None) };
}

/// Holds for any bytes. The first one chooses what the origin answers and in what pieces the client sends.
pub fn check(bytes: &[u8]) {
    BENCH.with_borrow_mut(|bench| {
        let bench = bench.get_or_insert_with(|| ManuallyDrop::new(Bench::start()));
        bench.try_input(bytes);
    });
}

/// Compares what is left to be compared, and ends the gateway of this thread.
pub fn finish() {
    if let Some(bench) = BENCH.take() {
        let mut bench = ManuallyDrop::into_inner(bench);
        bench.settle();
    }
}

/// A gateway before an origin.
struct Bench {
    runtime: Runtime,
    tasks: LocalSet,
    seen: Rc<Seen>,
    address: SocketAddr,
    log: File,
    /// The beginning of a line of the log, without its end.
    line: String,
    /// What the log said when it was read last. A request whose client leaves at once is recorded before the origin
    /// gets to read it, and so may belong to the batch after its record.
    recorded: HashMap<String, Record>,
    /// The inputs that have not been compared yet.
    batch: Vec<Vec<u8>>,
    metrics: Arc<Metrics>,
    _workers: Workers,
    _stores: Stores,
}

/// What the access log says of one exchange.
#[derive(Debug)]
struct Record {
    route: String,
    attempts: usize,
    method: String,
    path: String,
}

impl Bench {
    fn start() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let tasks = LocalSet::new();
        let (listener, origin) = tasks.block_on(&runtime, origin::bind());
        let seen = Rc::<Seen>::default();
        tasks.spawn_local(origin::serve(listener, Rc::clone(&seen)));

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("portcullis.toml");
        let text = CONFIGURATION.replace("ORIGIN", &origin.to_string());
        std::fs::write(&path, text).expect("the configuration");
        let metrics = Arc::new(Metrics::new(1));
        let sink = LogSink::start(metrics.gateway().access_log()).expect("the access log");
        let stores = Stores {
            access_logs: Some(sink),
            metrics: Arc::clone(&metrics),
            endpoints: EndpointStates::default(),
            tls: TlsStore::default(),
        };
        let (snapshot, _) = control::first(control::Files::read(&path), &stores)
            .unwrap_or_else(|found| panic!("{found}"));
        let plan = Arc::clone(&snapshot.listeners[0]);
        let cell = SnapshotCell::new(snapshot);
        let sink = stores.access_logs.as_ref().expect("the access log");
        let shared = (Instant::now(), &Arc::new(Pressure::new(1)));
        let workers = Workers::start(1, &cell, &metrics, sink, shared).expect("a worker");
        let bound = bind("web", plan.address, NonZeroUsize::MIN).expect("a socket");
        let key = DoorKey {
            address: bound.local,
            name: None,
        };
        let gate = Gate {
            admission: Admission::new(&Arc::new(Places::new(1000)), 1000),
            requests: RequestGate::open(),
        };
        workers.open(&key, &plan, &gate, bound.sockets);
        // Once it is open, the log needs no name, and nothing is left behind however this ends.
        let log = File::open(folder.path().join("access.log")).expect("the access log");
        Self {
            log,
            line: String::new(),
            recorded: HashMap::new(),
            runtime,
            tasks,
            seen,
            address: bound.local,
            batch: Vec::new(),
            metrics,
            _workers: workers,
            _stores: stores,
        }
    }

    fn try_input(&mut self, bytes: &[u8]) {
        self.run(bytes);
        self.batch.push(bytes.to_vec());
        if self.batch.len() >= BATCH {
            self.settle();
        }
    }

    /// Lets a client send these bytes and leave.
    fn run(&self, bytes: &[u8]) {
        let Some((how, stream)) = bytes.split_first() else {
            return;
        };
        self.seen.answer.set(how & 0x0f);
        // At most so many pieces that sending them takes no time.
        let least = stream.len() / 256 + 1;
        let piece = match how >> 6 {
            0 => stream.len().max(1),
            1 => least,
            2 => least.max(7),
            _ => least.max(64),
        };
        let (seen, address) = (Rc::clone(&self.seen), self.address);
        let client = async move {
            let got = talk(address, stream, piece, &seen).await;
            while seen.busy.get() > 0 {
                seen.changed.notified().await;
            }
            got
        };
        let got = self
            .tasks
            .block_on(&self.runtime, async { timeout(PATIENCE, client).await });
        let got = got.expect("the gateway lets go of a client that has left, and of its upstream");
        if let Some(complaint) = self.seen.complaint.take() {
            panic!("the upstream got what it must not get: {complaint}");
        }
        // Over HTTP/2 it is frames, and the answer to a HEAD has a length and no body.
        let is_http2 = stream.starts_with(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        if !is_http2 && !stream.windows(4).any(|word| word == b"HEAD") {
            let judged = client::judge(&got);
            judged.unwrap_or_else(|error| panic!("{error} in \"{}\"", got.escape_ascii()));
        }
        for never in NEVER_SENT {
            let leaked = got.windows(never.len()).any(|window| window == *never);
            assert!(
                !leaked,
                "the client got {:?}",
                String::from_utf8_lossy(&got)
            );
        }
    }

    /// Compares the batch, and finds the input that is to blame if something is wrong.
    fn settle(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let Err(complaint) = self.compare() else {
            return;
        };
        for input in &batch {
            self.run(input);
            if let Err(complaint) = self.compare() {
                panic!("{complaint}, after \"{}\"", input.escape_ascii());
            }
        }
        panic!(
            "{complaint}, after {} inputs, none of them alone",
            batch.len()
        );
    }

    /// Each request that the origin got was recorded, once, as what it was.
    fn compare(&mut self) -> Result<(), String> {
        let requests = self.seen.requests.take();
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for request in &requests {
            *counts.entry(identity(request)).or_default() += 1;
        }
        let records = self.read_log(&counts)?;
        for request in &requests {
            let id = identity(request);
            let known = records.get(id).or_else(|| self.recorded.get(id));
            let record = known.ok_or_else(|| format!("{id} has no record"))?;
            compare_one(request, record)?;
            if counts[id] > record.attempts {
                return Err(format!(
                    "{record:?} reached the upstream {} times",
                    counts[id]
                ));
            }
        }
        self.recorded = records;
        let page = self.metrics.encode();
        if !page.lines().any(|line| line == "portcullis_panics_total 0") {
            return Err("an exchange panicked".to_owned());
        }
        Ok(())
    }

    /// Reads the log until it has these identities; gives back what is new.
    fn read_log(
        &mut self,
        wanted: &HashMap<&str, usize>,
    ) -> Result<HashMap<String, Record>, String> {
        let mut found: HashMap<String, Record> = HashMap::new();
        let begun = Instant::now();
        loop {
            let mut more = String::new();
            self.log
                .read_to_string(&mut more)
                .map_err(|error| error.to_string())?;
            self.line.push_str(&more);
            let complete = self.line.rfind('\n').map_or(0, |end| end + 1);
            for line in self.line.drain(..complete).collect::<String>().lines() {
                let (id, record) =
                    Record::read(line).ok_or_else(|| format!("the line {line:?}"))?;
                let is_second = self.recorded.contains_key(&id) || found.contains_key(&id);
                if id != "-" && is_second {
                    return Err(format!("two records of one identity: {line}"));
                }
                found.insert(id, record);
            }
            let is_there = |id: &&str| found.contains_key(*id) || self.recorded.contains_key(*id);
            let missing: Vec<_> = wanted.keys().filter(|id| !is_there(id)).collect();
            if missing.is_empty() {
                return Ok(found);
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!(
                    "the upstream got {missing:?}, which nobody recorded"
                ));
            }
            if more.is_empty() {
                std::thread::yield_now();
            }
        }
    }
}

impl Record {
    fn read(line: &str) -> Option<(String, Self)> {
        let words: Vec<&str> = line.split(' ').collect();
        let &[id, route, attempts, method, path] = words.as_slice() else {
            return None;
        };
        let record = Self {
            route: route.to_owned(),
            attempts: attempts.parse().ok()?,
            method: method.to_owned(),
            path: path.to_owned(),
        };
        Some((id.to_owned(), record))
    }
}

fn identity(request: &RequestMessage) -> &str {
    request.header("x-request-id").unwrap_or_default()
}

/// What was sent is what was decided on.
fn compare_one(request: &RequestMessage, record: &Record) -> Result<(), String> {
    let (path, _) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    let wanted = match path.strip_prefix("/new") {
        Some(rest) if record.route == "moved" => format!("/old{rest}"),
        _ => path.to_owned(),
    };
    let same = request.header("x-granted") == Some(&record.route)
        && request.method == record.method
        && (wanted == record.path || request.target == "*");
    if same {
        Ok(())
    } else {
        Err(format!(
            "the upstream got {} {} where the record is {record:?}",
            request.method, request.target
        ))
    }
}

/// Sends the bytes, takes what comes until nothing more does, and leaves. Gives back all that came.
async fn talk(address: SocketAddr, bytes: &[u8], piece: usize, seen: &Seen) -> Vec<u8> {
    let mut got = Vec::new();
    let mut stream = TcpStream::connect(address).await.expect("the gateway");
    let _ = stream.set_nodelay(true);
    for piece in bytes.chunks(piece) {
        // The gateway may hang up before it has read everything.
        if stream.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    loop {
        let something = async {
            tokio::select! {
                read = stream.read_buf(&mut got) => read,
                () = seen.changed.notified() => Ok(1),
            }
        };
        match timeout(SILENCE, something).await {
            Ok(Ok(0) | Err(_)) => return got,
            Ok(Ok(_)) => {}
            Err(_) => break,
        }
    }
    let _ = stream.shutdown().await;
    // A reset is an end, too.
    let _: io::Result<usize> = stream.read_to_end(&mut got).await;
    got
}
