//! The wall clock jumps while the gateway serves. Only what tells the time of day may follow it.

use std::time::{Instant, SystemTime};

use bytes::Bytes;

use crate::harness::{
    Authority, Broken, Client, ClientTls, Gate, Gateway, H2Answer, H2Client, Origin, Request,
    WallClock, h2_request, ok, within,
};

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

/// What is open, ejected or used up here is so for an hour of real time.
const CONFIG: &str = r#"
    [[listener]]
    name = "web"
    address = "127.0.0.1:0"
    [[listener]]
    name = "narrow"
    address = "127.0.0.1:0"
    per_client = { connection_rate = "2/h" }
    [[listener]]
    name = "secure"
    address = "127.0.0.1:0"
    tls = { certificates = [<site>] }
    [[route]]
    name = "all"
    upstream = "app"
    [[route]]
    name = "pair"
    path = "/pair"
    upstream = "pair"
    [[route]]
    name = "broken"
    path = "/broken"
    upstream = "broken"
    [upstream.app]
    endpoints = ["<app>"]
    outlier = { consecutive_failures = 1 }
    breaker = { consecutive_failures = 1 }
    [upstream.pair]
    endpoints = ["<bad>", "<good>"]
    outlier = { consecutive_failures = 1, ejection_time = "1h", max_ejection_time = "1h" }
    [upstream.broken]
    endpoints = ["<bad>"]
    breaker = { consecutive_failures = 1, open_for = "1h", max_open_for = "1h" }
"#;

#[tokio::test]
async fn case_88_a_jump_of_the_wall_clock_disturbs_nobody() {
    let began = Instant::now();
    let mut clock = WallClock::new();
    let mut scene = Scene::set(&clock).await;
    scene.until_ejected_and_open().await;
    scene.nothing_has_ended().await;
    for ahead in [365 * DAY, -366 * DAY, 0] {
        let flight = scene.take_off().await;
        let jumped = SystemTime::now();
        clock.jump_to(ahead);
        // The stamps follow, so the clock has jumped for this process.
        scene.stamps_follow(&clock, jumped).await;
        scene.land(flight).await;
        scene.nothing_has_ended().await;
    }
    scene.everything_is_accounted_for(began).await;
}

/// A gateway by a clock that jumps, and connections that outlive the jumps.
struct Scene {
    gateway: Gateway,
    _app: Origin,
    bad: Origin,
    _good: Origin,
    gate: Gate,
    tls: ClientTls,
    idle: Client,
    idle_tls: Client,
    h2: H2Client,
    /// How many requests have been answered, and how many have come to the gate.
    answered: usize,
    at_the_gate: usize,
    refused: usize,
}

/// Requests that are on their way: one whose head is cut in the middle, one whose body is, and two that the origin has.
struct Flight {
    head: Client,
    body: Client,
    asked: Client,
    stream: h2::client::ResponseFuture,
}

impl Scene {
    async fn set(clock: &WallClock) -> Self {
        let authority = Authority::new("tests");
        let gate = Gate::new();
        let at_gate = gate.clone();
        let app = Origin::http(move |seen| {
            let gate = at_gate.clone();
            async move {
                if seen.target == "/slow" {
                    gate.pass().await;
                }
                ok(seen.body)
            }
        })
        .await;
        let bad = Origin::http(|_seen| async {
            let mut answer = ok("");
            *answer.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            answer
        })
        .await;
        let good = Origin::answering("good").await;
        let gateway = Gateway::start_with(
            CONFIG,
            &[
                ("site", &authority.issue(&["gateway.test"])),
                ("app", &app),
                ("bad", &bad),
                ("good", &good),
            ],
            |command| clock.rules(command),
        )
        .await;
        let tls = ClientTls::new(&authority, "gateway.test");
        let mut scene = Self {
            idle: gateway.connect().await,
            idle_tls: gateway.connect_tls("secure", &tls).await,
            h2: H2Client::connect(gateway.web().await).await,
            gateway,
            _app: app,
            bad,
            _good: good,
            gate,
            tls,
            answered: 0,
            at_the_gate: 0,
            refused: 0,
        };
        for _ in 0..2 {
            let narrow = scene.gateway.address("narrow").await;
            scene.served(&mut Client::connect(narrow).await, "/").await;
        }
        scene
    }

    async fn served(&mut self, client: &mut Client, path: &str) {
        assert_eq!(client.ask(Request::get(path)).await.status, 200, "{path}");
        self.answered += 1;
    }

    /// The status of one request over a connection of its own.
    async fn status(&mut self, path: &str) -> u16 {
        self.answered += 1;
        self.gateway.get(path).await.status
    }

    /// One endpoint of the pair is ejected, and the breaker is open.
    async fn until_ejected_and_open(&mut self) {
        within("a failure", async {
            while self.status("/pair").await == 200 {}
        })
        .await;
        let pair = [("upstream", "pair")];
        let ejected = "portcullis_endpoint_ejected";
        self.gateway.metric_is(ejected, &pair, 1).await;
        assert_eq!(self.status("/broken").await, 500);
        let broken = [("upstream", "broken"), ("to", "open")];
        let transitions = "portcullis_upstream_breaker_transitions_total";
        self.gateway.metric_is(transitions, &broken, 1).await;
        assert_eq!(self.bad.seen().len(), 2);
    }

    async fn take_off(&mut self) -> Flight {
        let mut flight = Flight {
            head: self.gateway.connect().await,
            body: self.gateway.connect().await,
            asked: self.gateway.connect().await,
            stream: {
                let request = h2_request("GET", "/slow").body(()).expect("a request");
                self.h2.open(request, true).await.0
            },
        };
        flight.head.send(b"GET /head HTTP/1.1\r\nHost: ").await;
        let half = b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345";
        flight.body.send(half).await;
        flight.asked.send(&Request::get("/slow").bytes()).await;
        self.at_the_gate += 2;
        self.gate.reached(self.at_the_gate).await;
        flight
    }

    /// Each of them is answered as if nothing had happened.
    async fn land(&mut self, mut flight: Flight) {
        flight.head.send(b"gateway.test\r\n\r\n").await;
        flight.body.send(b"67890").await;
        self.gate.release(2);
        for (client, body) in [
            (&mut flight.head, ""),
            (&mut flight.body, "1234567890"),
            (&mut flight.asked, ""),
        ] {
            let answer = client.response("GET").await.expect("a response");
            assert_eq!((answer.status, answer.text()), (200, body));
        }
        let answer = within("the stream's answer", H2Answer::read(flight.stream)).await;
        assert_eq!(answer.expect("a response").status, 200);
        self.answered += 4;
        // The connections are as good as new.
        for client in [&mut flight.head, &mut flight.body, &mut flight.asked] {
            self.served(client, "/").await;
        }
    }

    /// `Date`, the access log and the program log tell the time of the new clock.
    async fn stamps_follow(&mut self, clock: &WallClock, jumped: SystemTime) {
        let answer = self.gateway.get("/broken").await;
        self.answered += 1;
        assert_eq!(answer.status, 503);
        let date = answer.header("date").expect("a date");
        let date = jiff::fmt::rfc2822::parse(date).expect("a date");
        let date = date.timestamp().to_string();
        assert!(clock.showed(&date, jumped), "{date}");
        let records = self.gateway.records(self.answered).await;
        let last = records.iter().rfind(|one| one.text("path") == "/broken");
        let time = last.expect("a record").text("time");
        assert!(clock.showed(&time, jumped), "{time}");
        assert_eq!(self.gateway.post_reload().await.status, 200);
        self.gateway
            .log()
            .wait("a line by the new clock", |line| {
                let time = line.field("timestamp")?;
                clock.showed(time, jumped).then_some(())
            })
            .await;
    }

    /// What was idle, open, ejected or used up still is.
    async fn nothing_has_ended(&mut self) {
        let narrow = self.gateway.address("narrow").await;
        let answer = Client::connect(narrow)
            .await
            .try_ask(Request::get("/"))
            .await;
        let refused = matches!(answer, Err(Broken::Closed | Broken::Truncated(_)));
        assert!(refused, "{answer:?}");
        self.refused += 1;
        for path in ["/", "/pair"] {
            for _ in 0..5 {
                assert_eq!(self.status(path).await, 200, "{path}");
            }
        }
        for client in [&mut self.idle, &mut self.idle_tls] {
            assert_eq!(client.ask(Request::get("/")).await.status, 200);
        }
        let request = h2_request("GET", "/")
            .body(Bytes::new())
            .expect("a request");
        assert_eq!(self.h2.ask(request).await.status, 200);
        self.answered += 3;
        let mut new = self.gateway.connect_tls("secure", &self.tls).await;
        self.served(&mut new, "/").await;
    }

    async fn everything_is_accounted_for(self, began: Instant) {
        let Self {
            gateway,
            bad,
            answered,
            refused,
            ..
        } = self;
        gateway
            .metric_is("portcullis_requests_total", &[], answered)
            .await;
        let labels = [("listener", "narrow")];
        let name = "portcullis_connections_refused_total";
        let metrics = gateway.metric_is(name, &labels, refused).await;
        for (name, upstream, count) in [
            ("portcullis_endpoint_ejections_total", "app", 0.0),
            ("portcullis_endpoint_ejections_total", "pair", 1.0),
            ("portcullis_upstream_breaker_transitions_total", "app", 0.0),
            (
                "portcullis_upstream_breaker_transitions_total",
                "broken",
                1.0,
            ),
        ] {
            let sum = metrics.sum(name, &[("upstream", upstream)]);
            assert!((sum - count).abs() < 0.1, "{name} {upstream} {sum}");
        }
        // Nobody asked what has failed once again.
        assert_eq!(bad.seen().len(), 2);
        let records = gateway.stop().await;
        assert_eq!(records.len(), answered);
        let whole = began.elapsed().as_secs_f64() * 1000.0;
        for record in &records {
            for time in ["duration_ms", "head_ms", "overhead_ms"] {
                let took = record.number(time);
                assert!((0.0..=whole).contains(&took), "{time} {:?}", record.whole());
            }
        }
    }
}

/// The keys are made anew every six hours, by the clock of the wall.
#[tokio::test]
async fn case_62_a_ticket_is_good_until_its_key_has_been_replaced_twice() {
    let authority = Authority::new("tests");
    let mut clock = WallClock::new();
    let gateway = Gateway::start_with(
        "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:0\"\n\
         tls = { certificates = [<site>] }\n\
         [[route]]\nname = \"all\"\nrespond = { body = \"hello\" }\n",
        &[("site", &authority.issue(&["gateway.test"]))],
        |command| clock.rules(command),
    )
    .await;
    // Each client keeps tickets of its own.
    let clients = || {
        [
            ClientTls::new(&authority, "gateway.test"),
            ClientTls::only_tls12(&authority, "gateway.test"),
        ]
    };
    let (early, late, too_late) = (clients(), clients(), clients());
    for clients in [&early, &late, &too_late] {
        assert_eq!(resumed(&gateway, clients).await, [false; 2]);
    }
    clock.jump_to(5 * HOUR);
    assert_eq!(resumed(&gateway, &early).await, [true; 2]);
    clock.jump_to(7 * HOUR);
    assert_eq!(resumed(&gateway, &late).await, [true; 2]);
    clock.jump_to(14 * HOUR);
    assert_eq!(resumed(&gateway, &too_late).await, [false; 2]);
    // The new tickets, and those that were given after the first replacement.
    assert_eq!(resumed(&gateway, &too_late).await, [true; 2]);
    assert_eq!(resumed(&gateway, &late).await, [true; 2]);
}

/// Whether each client's next session was a resumed one; all of them are served.
async fn resumed(gateway: &Gateway, clients: &[ClientTls; 2]) -> [bool; 2] {
    let [first, second] = clients;
    let mut kinds = [false; 2];
    for (kind, tls) in kinds.iter_mut().zip([first, second]) {
        let mut client = gateway.connect_tls("secure", tls).await;
        *kind = client.resumed();
        assert_eq!(client.ask(Request::get("/")).await.text(), "hello");
    }
    kinds
}
