//! One way through a gateway: what the client speaks, what the endpoints speak, and where the endpoints come from.

use std::net::SocketAddr;

use bytes::Bytes;
use hickory_resolver::proto::rr::RecordType::A;
use serde_json::Value;
use tokio::net::TcpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::harness::{
    Client, Connection, Fields, Gateway, H2Client, H2Exchange, H2Origin, NameServer, RawOrigin,
    Request, h2_request, refusing_address, within,
};

/// What is spoken on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    Http1,
    Http2ToHttp1,
    Http1ToHttp2,
    Http2,
    Grpc,
    WebSocket,
}

/// Where the endpoints come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The configuration has their addresses.
    Address,
    /// A and AAAA records of hosts.
    Name,
    /// SRV records.
    Service,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) speech: Speech,
    source: Source,
}

/// Every speech, every source, and each of them beside different others.
pub(super) const WAYS: [Way; 11] = [
    way(Speech::Http1, Source::Address),
    way(Speech::Http2ToHttp1, Source::Address),
    way(Speech::Http1ToHttp2, Source::Address),
    way(Speech::Http2, Source::Address),
    way(Speech::Grpc, Source::Address),
    way(Speech::WebSocket, Source::Address),
    way(Speech::Http1, Source::Name),
    way(Speech::Http1, Source::Service),
    way(Speech::Http2, Source::Service),
    way(Speech::Grpc, Source::Name),
    way(Speech::WebSocket, Source::Service),
];

const fn way(speech: Speech, source: Source) -> Way {
    Way { speech, source }
}

/// What an endpoint does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Well,
    /// 503, or UNAVAILABLE. Checks fail, too.
    Failing,
    /// Keeps requests until it has another mode. Checks pass.
    Waiting,
    /// Ends the connection or the stream. Checks pass.
    HangingUp,
}

/// An endpoint that says its name in a field of each answer.
pub(super) struct Member {
    address: SocketAddr,
    name: &'static str,
    mode: watch::Sender<Mode>,
    seen: watch::Receiver<usize>,
    _origin: Origin,
}

#[expect(dead_code, reason = "held for what happens when they are dropped")]
enum Origin {
    Http1(RawOrigin),
    Http2(H2Origin),
    Nobody(TcpSocket),
}

/// What the tasks of an endpoint know.
#[derive(Clone)]
struct Script {
    name: &'static str,
    mode: watch::Receiver<Mode>,
    seen: watch::Sender<usize>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    grpc: Option<String>,
    /// The endpoint that answered; `None`: the gateway did.
    name: Option<String>,
    /// The cookie that it sets, without attributes.
    pub(super) cookie: Option<String>,
    /// A WebSocket is open as long as this is held.
    _tunnel: Option<Tunnel>,
}

struct Tunnel(#[expect(dead_code, reason = "held until it is dropped")] Client);

/// A gateway before two endpoints, `a` and `b`, of the upstream `app`.
pub(super) struct World {
    way: Way,
    pub(super) a: Member,
    pub(super) b: Member,
    pub(super) gateway: Gateway,
    names: NameServer,
    /// More keys of each endpoint.
    keys: [&'static str; 2],
}

impl World {
    /// With more keys of each endpoint, and these lines of the upstream.
    pub(super) async fn start(way: Way, keys: [&'static str; 2], lines: &str) -> Self {
        let a = Member::start("a", way.speech).await;
        Self::before(way, a, (keys, lines)).await
    }

    /// The same, but the first endpoint takes no connections.
    pub(super) async fn with_one_that_refuses(way: Way, lines: &str) -> Self {
        Self::before(way, Member::refusing("a"), (["", ""], lines)).await
    }

    async fn before(way: Way, a: Member, (keys, lines): ([&'static str; 2], &str)) -> Self {
        let b = Member::start("b", way.speech).await;
        let names = NameServer::start().await;
        for member in [&a, &b] {
            let (name, port) = (member.name, member.address.port());
            let host = format!("{name}.test");
            names.set(&host, A, 300, &["127.0.0.1"]);
            names.serve(&format!("_{name}._tcp.test"), 300, &[(0, 1, port, &host)]);
        }
        let text = text(way, &names, ([&a, &b], keys, lines));
        let gateway = Gateway::start_with(&text, &[], |command| {
            command.env("STICKY_SECRET", "a secret that only the tests know");
        })
        .await;
        let world = Self {
            way,
            a,
            b,
            gateway,
            names,
            keys,
        };
        within("the endpoints", async {
            while world.endpoints().await.len() < 2 {}
        })
        .await;
        world
    }

    /// Gives the upstream these lines.
    pub(super) async fn reload(&self, lines: &str) {
        let text = text(
            self.way,
            &self.names,
            ([&self.a, &self.b], self.keys, lines),
        );
        self.gateway.reload(&text, &[]).await;
    }

    /// Sends a request on a connection of its own and reads the answer.
    pub(super) async fn ask(&self) -> Answer {
        self.ask_with("x-none", "").await
    }

    /// The same with a field.
    pub(super) async fn ask_with(&self, name: &str, value: &str) -> Answer {
        ask(self.gateway.web().await, self.way.speech, (name, value)).await
    }

    /// Sends a request that may have to wait for its answer.
    pub(super) async fn begin(&self) -> JoinHandle<Answer> {
        let (web, speech) = (self.gateway.web().await, self.way.speech);
        tokio::spawn(async move { ask(web, speech, ("x-none", "")).await })
    }

    /// The member that has that name, and the other one.
    pub(super) fn split(&self, name: &str) -> (&Member, &Member) {
        match name {
            "a" => (&self.a, &self.b),
            _ => (&self.b, &self.a),
        }
    }

    pub(super) fn all(&self, mode: Mode) {
        self.a.now(mode);
        self.b.now(mode);
    }

    /// Has an operator put a member into that state.
    pub(super) async fn administer(&self, member: &Member, state: &str) {
        let endpoint = member.label(self.way.source);
        let form = format!("upstream=app&endpoint={endpoint}&state={state}");
        let response = self
            .gateway
            .ask_admin(Request::post("/endpoints", form))
            .await;
        assert_eq!(response.status, 200, "{}", response.text());
    }

    /// Waits until `/upstreams` says that of a member.
    pub(super) async fn until(&self, member: &Member, key: &str, value: impl Into<Value>) {
        let value = value.into();
        within(&format!("{key} of {} to be {value}", member.name), async {
            while self.shown(member).await[key] != value {}
        })
        .await;
    }

    /// What `/upstreams` says of a member.
    pub(super) async fn shown(&self, member: &Member) -> Value {
        let address = member.address.to_string();
        let all = self.endpoints().await;
        let found = all.into_iter().find(|one| one["address"] == address);
        found.expect("the endpoint")
    }

    async fn endpoints(&self) -> Vec<Value> {
        let shown = self.gateway.ask_admin(Request::get("/upstreams")).await;
        let endpoints = &shown.json()["upstreams"]["app"]["endpoints"];
        endpoints.as_array().cloned().unwrap_or_default()
    }

    /// Waits until nothing is in flight.
    pub(super) async fn until_idle(&self) {
        for member in [&self.a, &self.b] {
            self.until(member, "in_flight", 0).await;
        }
    }

    /// Waits until so many requests have been answered for that reason.
    pub(super) async fn until_refused(&self, reason: &str, count: usize) {
        within(reason, async {
            let labels = [("route", "all"), ("reason", reason)];
            let family = "portcullis_requests_total";
            let so_far = async || self.gateway.metrics().await.sum(family, &labels);
            while so_far().await < count as f64 - 0.5 {}
        })
        .await;
    }
}

/// The configuration of a gateway before these members.
fn text(
    way: Way,
    names: &NameServer,
    (members, keys, lines): ([&Member; 2], [&str; 2], &str),
) -> String {
    let endpoints: Vec<String> = members
        .iter()
        .zip(keys)
        .map(|(member, keys)| {
            let label = member.label(way.source);
            let key = match way.source {
                Source::Address | Source::Name => "address",
                Source::Service => "srv",
            };
            format!("{{ {key} = \"{label}\"{keys} }}")
        })
        .collect();
    let protocol = if way.speech.is_http2_upstream() {
        "protocol = \"h2c\""
    } else {
        ""
    };
    format!(
        "[server]\nworkers = 2\nzone = \"here\"\n[dns]\nservers = [\"{names}\"]\nip = \"v4\"\n\
         [[route]]\nname = \"all\"\nupstream = \"app\"\n\
         [upstream.app]\nendpoints = [{}]\n{protocol}\n{lines}\n",
        endpoints.join(", ")
    )
}

async fn ask(web: SocketAddr, speech: Speech, (name, value): (&str, &str)) -> Answer {
    match speech {
        Speech::Http1 | Speech::Http1ToHttp2 => {
            let mut client = Client::connect(web).await;
            let response = client.ask(Request::get("/").header(name, value)).await;
            Answer::new(response.status, &response.fields, None)
        }
        Speech::WebSocket => {
            let mut client = Client::connect(web).await;
            let handshake = Request::get("/")
                .header("connection", "upgrade")
                .header("upgrade", "websocket")
                .header("sec-websocket-version", "13")
                .header("sec-websocket-key", KEY)
                .header(name, value);
            client.send(&handshake.bytes()).await;
            let (head, _) = client.response_head("GET").await.expect("an answer");
            let tunnel = (head.status == 101).then_some(Tunnel(client));
            Answer::new(head.status, &head.fields, tunnel)
        }
        Speech::Http2ToHttp1 | Speech::Http2 | Speech::Grpc => {
            let request = if speech == Speech::Grpc {
                h2_request("POST", "/test.Test/Call")
                    .header("content-type", "application/grpc")
                    .header("te", "trailers")
                    .header(name, value)
                    .body(Bytes::from_static(b"\0\0\0\0\x02hi"))
            } else {
                h2_request("GET", "/")
                    .header(name, value)
                    .body(Bytes::new())
            };
            let client = H2Client::connect(web).await;
            let answer = client.ask(request.expect("a request")).await;
            Answer::new(answer.status, &answer.fields, None)
        }
    }
}

impl Speech {
    const fn is_http2_upstream(self) -> bool {
        matches!(self, Self::Http1ToHttp2 | Self::Http2 | Self::Grpc)
    }
}

impl Answer {
    fn new(status: u16, fields: &Fields, tunnel: Option<Tunnel>) -> Self {
        let field = |name: &str| fields.get(name).map(str::to_owned);
        let cookie = field("set-cookie");
        let cookie = cookie.and_then(|line| line.split(';').next().map(str::to_owned));
        Self {
            status,
            grpc: field("grpc-status"),
            name: field("x-name"),
            cookie,
            _tunnel: tunnel,
        }
    }

    pub(super) fn is_well(&self) -> bool {
        matches!(self.status, 101 | 200) && self.grpc.as_deref().unwrap_or("0") == "0"
    }

    /// The name of the endpoint that served the request.
    #[track_caller]
    pub(super) fn by(&self) -> &str {
        assert!(self.is_well(), "{self:?}");
        self.name.as_deref().expect("an endpoint's answer")
    }

    /// Whether an endpoint failed it and its own words came back.
    pub(super) fn is_failed_by_endpoint(&self) -> bool {
        self.name.is_some() && (self.status == 503 || self.grpc.as_deref() == Some("14"))
    }

    /// Whether the gateway answered, with this status, or over gRPC with this one.
    #[track_caller]
    pub(super) fn check_refused(&self, status: u16, grpc: &str) {
        assert_eq!(self.name, None, "{self:?}");
        match &self.grpc {
            Some(code) => assert_eq!(code, grpc, "{self:?}"),
            None => assert_eq!(self.status, status, "{self:?}"),
        }
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("open")
    }
}

impl Member {
    async fn start(name: &'static str, speech: Speech) -> Self {
        let (mode, modes) = watch::channel(Mode::Well);
        let (seen, count) = watch::channel(0);
        let script = Script {
            name,
            mode: modes,
            seen,
        };
        let (address, origin) = if speech.is_http2_upstream() {
            let origin = H2Origin::start(move |exchange| script.clone().http2(exchange)).await;
            (origin.to_string(), Origin::Http2(origin))
        } else {
            let origin = RawOrigin::start(move |_, connection| {
                let script = script.clone();
                script.http1(connection)
            })
            .await;
            (origin.to_string(), Origin::Http1(origin))
        };
        Self {
            address: address.parse().expect("an address"),
            name,
            mode,
            seen: count,
            _origin: origin,
        }
    }

    fn refusing(name: &'static str) -> Self {
        let (address, guard) = refusing_address();
        Self {
            address,
            name,
            mode: watch::channel(Mode::Well).0,
            seen: watch::channel(0).1,
            _origin: Origin::Nobody(guard),
        }
    }

    pub(super) fn now(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// How many requests it has had, without checks.
    pub(super) fn seen(&self) -> usize {
        *self.seen.borrow()
    }

    pub(super) async fn until_seen(&self, count: usize) {
        let mut seen = self.seen.clone();
        within("a request", seen.wait_for(|seen| *seen >= count))
            .await
            .expect("the endpoint");
    }

    /// Its name in the configuration.
    fn label(&self, source: Source) -> String {
        let Self { address, name, .. } = self;
        match source {
            Source::Address => address.to_string(),
            Source::Name => format!("{name}.test:{}", address.port()),
            Source::Service => format!("_{name}._tcp.test"),
        }
    }
}

impl Script {
    /// Waits for what to do with a request.
    async fn meet(&mut self, target: &str) -> Mode {
        if target == "/healthz" {
            return match *self.mode.borrow() {
                Mode::Failing => Mode::Failing,
                Mode::Well | Mode::Waiting | Mode::HangingUp => Mode::Well,
            };
        }
        self.seen.send_modify(|seen| *seen += 1);
        let mode = self.mode.wait_for(|mode| *mode != Mode::Waiting).await;
        mode.map_or(Mode::HangingUp, |mode| *mode)
    }

    async fn http1(mut self, mut connection: Connection) {
        while let Ok(request) = connection.request().await {
            let is_upgrade = request.fields.has("upgrade");
            let status = match self.meet(&request.target).await {
                Mode::Well if is_upgrade => "101 Switching Protocols",
                Mode::Well => "200 OK",
                Mode::Failing => "503 Service Unavailable",
                Mode::Waiting | Mode::HangingUp => return,
            };
            let more = if status.starts_with("101") {
                format!(
                    "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}"
                )
            } else {
                "Content-Length: 0".to_owned()
            };
            let name = self.name;
            let head = format!("HTTP/1.1 {status}\r\nX-Name: {name}\r\n{more}\r\n\r\n");
            if connection.try_send(head.as_bytes()).await.is_err() {
                return;
            }
            if status.starts_with("101") {
                connection.rest().await;
                return;
            }
        }
    }

    async fn http2(mut self, mut exchange: H2Exchange) {
        exchange.body().await;
        let is_grpc = exchange.request.headers().contains_key("te");
        let path = exchange.request.uri().path().to_owned();
        let (status, code) = match self.meet(&path).await {
            Mode::Well => (200, "0"),
            Mode::Failing => (if is_grpc { 200 } else { 503 }, "14"),
            Mode::Waiting | Mode::HangingUp => {
                return exchange.respond.send_reset(h2::Reason::INTERNAL_ERROR);
            }
        };
        let mut response = http::Response::builder()
            .status(status)
            .header("x-name", self.name);
        if is_grpc {
            response = response
                .header("content-type", "application/grpc")
                .header("grpc-status", code);
        }
        let response = response.body(()).expect("a response");
        // The client may be gone.
        let _ = exchange.respond.send_response(response, true);
    }
}

/// The key and its answer of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
