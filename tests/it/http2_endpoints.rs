//! Endpoints that break HTTP/2, or make the most of it: each costs the request that it was asked, and nobody else's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};

use crate::harness::{
    Connection, Gateway, RawOrigin, Request,
    raw_h2::{block, frame},
    within,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ALL: u8 = END_STREAM | END_HEADERS;

const MAX_CONCURRENT_STREAMS: u16 = 3;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// HPACK's `:status: 200`.
const OK: u8 = 0x88;

const CONFIG: &str = r#"
    [server]
    workers = 1
    [[route]]
    name = "app"
    upstream = "app"
    [upstream.app]
    endpoints = ["<app>"]
    protocol = "h2c"
"#;

/// What one frame of the gateway is about.
struct Seen {
    kind: u8,
    flags: u8,
    stream: u32,
}

/// The next frame of the gateway.
async fn next(connection: &mut Connection) -> Option<Seen> {
    let head = connection.try_bytes(9).await?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
    connection.try_bytes(length).await?;
    Some(Seen {
        kind: head[3],
        flags: head[4],
        stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
    })
}

/// Passes over frames until a whole request is there.
async fn request(connection: &mut Connection) -> Option<u32> {
    loop {
        let seen = next(connection).await?;
        if matches!(seen.kind, DATA | HEADERS) && seen.flags & END_STREAM != 0 {
            return Some(seen.stream);
        }
    }
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    let payload = [&name.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &payload)
}

fn head(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags, stream, block)
}

fn good(stream: u32) -> Vec<u8> {
    head(stream, ALL, &[OK])
}

/// Says its SETTINGS, and passes over the preface.
async fn begin(connection: &mut Connection, settings: &[u8]) {
    let _ = connection.try_send(settings).await;
    connection.try_bytes(24).await;
}

/// An endpoint that answers its first request with this and every other one as it should.
async fn once(bad: Answer, hangs_up: bool) -> RawOrigin {
    let asked = Arc::new(AtomicUsize::new(0));
    RawOrigin::start(move |_, mut connection| {
        let asked = Arc::clone(&asked);
        async move {
            begin(&mut connection, &frame(SETTINGS, 0, 0, &[])).await;
            while let Some(stream) = request(&mut connection).await {
                let is_first = asked.fetch_add(1, Ordering::SeqCst) == 0;
                let answer = if is_first { bad(stream) } else { good(stream) };
                if connection.try_send(&answer).await.is_err() || (is_first && hangs_up) {
                    return;
                }
            }
        }
    })
    .await
}

fn with_length(stream: u32, flags: u8) -> Vec<u8> {
    let length = block(&[(b"content-length", b"5")]);
    head(stream, flags, &[&[OK][..], &length].concat())
}

fn interim(stream: u32, flags: u8) -> Vec<u8> {
    head(
        stream,
        flags,
        &block(&[(b":status", b"103"), (b"link", b"</a>")]),
    )
}

/// One byte for each field of four thousand.
fn bomb(stream: u32) -> Vec<u8> {
    let entry = [
        &[OK, 0x40, 1, b'x', 127, 0x80 | 0x21, 0x1e][..],
        &[b'y'; 4000],
    ]
    .concat();
    head(stream, ALL, &[&entry[..], &[0xbe; 8000]].concat())
}

/// What an endpoint says to the request on a stream.
type Answer = fn(u32) -> Vec<u8>;
type Case = (&'static str, Answer, &'static str);

/// What an endpoint answers, and the word for it.
const BROKEN: &[Case] = &[
    (
        "DATA before the head",
        |stream| frame(DATA, END_STREAM, stream, b"x"),
        "upstream_protocol",
    ),
    (
        "PUSH_PROMISE",
        |stream| frame(PUSH_PROMISE, END_HEADERS, stream, &[0, 0, 0, 2, OK]),
        "upstream_closed",
    ),
    ("a stream of its own", |_| good(2), "upstream_closed"),
    (
        "a stream that nobody has opened",
        |stream| good(stream + 2),
        "upstream_closed",
    ),
    (
        "an interim response that ends the stream",
        |stream| interim(stream, ALL),
        "upstream_protocol",
    ),
    (
        "interim responses without end",
        |stream| interim(stream, END_HEADERS).repeat(1000),
        "upstream_protocol",
    ),
    (
        "a switch of protocols",
        |stream| head(stream, END_HEADERS, &block(&[(b":status", b"101")])),
        "upstream_protocol",
    ),
    (
        "no status",
        |stream| head(stream, ALL, &block(&[(b"x", b"y")])),
        "upstream_malformed",
    ),
    (
        "a status that is none",
        |stream| head(stream, ALL, &block(&[(b":status", b"2x0")])),
        "upstream_malformed",
    ),
    (
        "a field of HTTP/1's connections",
        |stream| {
            head(
                stream,
                ALL,
                &block(&[(b":status", b"200"), (b"connection", b"close")]),
            )
        },
        "upstream_malformed",
    ),
    (
        "less body than was announced",
        |stream| with_length(stream, ALL),
        "upstream_malformed",
    ),
    (
        "a block that cannot be decoded",
        |stream| head(stream, ALL, &[0xff, 0xff, 0xff]),
        "upstream_closed",
    ),
    ("a small block of large fields", bomb, "upstream_closed"),
    (
        "a head without end",
        |stream| {
            let field = block(&[(b"x-fld", &[b'x'; 100])]);
            [
                head(stream, END_STREAM, &[OK]),
                frame(CONTINUATION, 0, stream, &field).repeat(1000),
            ]
            .concat()
        },
        "upstream_closed",
    ),
    (
        "a window beyond 2^31",
        |_| frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]),
        "upstream_closed",
    ),
    (
        "a stream's window beyond 2^31",
        |stream| frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]),
        "upstream_protocol",
    ),
    (
        "a frame that is too long",
        |stream| frame(DATA, 0, stream, &[0; 16_385]),
        "upstream_closed",
    ),
    (
        "more PING than anybody needs",
        |_| frame(PING, 0, 0, &[7; 8]).repeat(11_000),
        "upstream_closed",
    ),
    (
        "more SETTINGS than anybody needs",
        |_| frame(SETTINGS, 0, 0, &[]).repeat(1100),
        "upstream_closed",
    ),
];

/// The endpoint's first answer is this; the request fails for that reason, and the next one is served.
async fn fails(name: &str, origin: &RawOrigin, reason: &str) {
    let gateway = Gateway::start(CONFIG, &[("app", origin)]).await;
    assert_eq!(gateway.get("/").await.status, 502, "{name}");
    assert_eq!(gateway.get("/").await.status, 200, "{name}");
    let records = gateway.stop().await;
    let told: Vec<_> = records
        .iter()
        .map(|record| (record.text("status"), record.text("reason")))
        .collect();
    assert_eq!(told.len(), 2, "{name}: {told:?}");
    assert_eq!(told[0], ("502".to_owned(), reason.to_owned()), "{name}");
    assert_eq!(told[1].0, "200", "{name}");
}

#[tokio::test]
async fn what_breaks_http2_is_the_endpoints_fault() {
    for (name, bad, reason) in BROKEN {
        let origin = once(*bad, false).await;
        fails(name, &origin, reason).await;
    }
}

#[tokio::test]
async fn an_endpoint_that_hangs_up_is_left_for_a_new_connection() {
    let cases: [Case; 3] = [
        ("instead of an answer", |_| Vec::new(), "upstream_closed"),
        (
            "inside a frame's head",
            |_| vec![0, 0, 1, HEADERS],
            "upstream_closed",
        ),
        (
            "inside a head",
            |stream| head(stream, ALL, &[OK; 10])[..12].to_vec(),
            "upstream_closed",
        ),
    ];
    for (name, bad, reason) in cases {
        let origin = once(bad, true).await;
        fails(name, &origin, reason).await;
        assert_eq!(origin.connections(), 2, "{name}");
    }
}

/// A body that is cut, or other than was announced, when its head is out already.
#[tokio::test]
async fn a_broken_body_is_cut_off() {
    let cases: [Case; 4] = [
        (
            "less than was announced",
            |stream| {
                [
                    with_length(stream, END_HEADERS),
                    frame(DATA, END_STREAM, stream, b"abc"),
                ]
                .concat()
            },
            "upstream_malformed",
        ),
        (
            "more than was announced",
            |stream| {
                [
                    with_length(stream, END_HEADERS),
                    frame(DATA, 0, stream, b"abcdef"),
                ]
                .concat()
            },
            "upstream_malformed",
        ),
        (
            "a second head",
            |stream| {
                [
                    with_length(stream, END_HEADERS),
                    frame(DATA, 0, stream, b"abc"),
                    head(stream, END_HEADERS, &[OK]),
                ]
                .concat()
            },
            "upstream_protocol",
        ),
        (
            "a reset",
            |stream| {
                [
                    with_length(stream, END_HEADERS),
                    frame(DATA, 0, stream, b"abc"),
                    frame(RST_STREAM, 0, stream, &[0, 0, 0, 2]),
                ]
                .concat()
            },
            "upstream_closed",
        ),
    ];
    for (name, bad, reason) in cases {
        let origin = once(bad, false).await;
        let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
        let answer = gateway.connect().await.try_ask(Request::get("/")).await;
        assert!(
            answer.is_err() || answer.is_ok_and(|answer| answer.status == 502),
            "{name}"
        );
        assert_eq!(gateway.get("/").await.status, 200, "{name}");
        let records = gateway.stop().await;
        assert_eq!(records.len(), 2, "{name}");
        assert_eq!(records[0].text("reason"), reason, "{name}");
    }
}

/// Only REFUSED_STREAM says that nothing has been done for the request.
#[tokio::test]
async fn a_stream_that_was_reset_is_tried_again_only_if_it_was_refused() {
    let resets: [(Answer, &str, &str); 5] = [
        (
            |stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 0]),
            "502",
            "1",
        ),
        (
            |stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 2]),
            "502",
            "1",
        ),
        (
            |stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]),
            "502",
            "1",
        ),
        (
            |stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 0xff]),
            "502",
            "1",
        ),
        (
            |stream| frame(RST_STREAM, 0, stream, &[0, 0, 0, 7]),
            "200",
            "2",
        ),
    ];
    for (bad, status, attempts) in resets {
        let origin = once(bad, false).await;
        let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
        let answer = gateway.get("/").await;
        assert_eq!(answer.status.to_string(), status);
        assert_eq!(gateway.get("/").await.status, 200);
        let records = gateway.records(2).await;
        assert_eq!(records[0].text("attempts"), attempts);
        // The connection has done nothing wrong.
        assert_eq!(origin.connections(), 1);
    }
}

/// GOAWAY before, in and after a request.
#[tokio::test]
async fn an_endpoint_that_goes_away_is_left_for_a_new_connection() {
    fn goaway(last: u32) -> Vec<u8> {
        frame(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat())
    }
    let phases: [Answer; 4] = [
        // It has not looked at the request.
        |_| goaway(0),
        // It has, and still answers; or has told so ahead.
        |stream| [goaway(stream), good(stream)].concat(),
        |stream| [goaway(0x7fff_ffff), good(stream), goaway(stream)].concat(),
        |stream| [good(stream), goaway(stream)].concat(),
    ];
    for bad in phases {
        let origin = once(bad, false).await;
        let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
        assert_eq!(gateway.get("/").await.status, 200);
        // The one that comes behind the answer may come too late for the next request, which is sent again then.
        assert_eq!(gateway.get("/").await.status, 200);
        assert_eq!(origin.connections(), 2);
    }
}

#[tokio::test]
async fn an_endpoint_that_says_no_settings_is_none() {
    let origin = RawOrigin::start(|index, mut connection| async move {
        let settings: &[u8] = &frame(SETTINGS, 0, 0, &[]);
        begin(&mut connection, if index == 0 { &[] } else { settings }).await;
        while let Some(stream) = request(&mut connection).await {
            if connection.try_send(&good(stream)).await.is_err() {
                return;
            }
        }
    })
    .await;
    fails("no SETTINGS", &origin, "upstream_closed").await;
}

/// One stream at a time: a second one has a connection of its own.
#[tokio::test]
async fn an_endpoint_that_takes_one_stream_has_several_connections() {
    let origin = RawOrigin::start(|index, mut connection| async move {
        begin(&mut connection, &setting(MAX_CONCURRENT_STREAMS, 1)).await;
        let mut open = 0;
        while let Some(seen) = next(&mut connection).await {
            open += usize::from(seen.kind == HEADERS);
            if seen.kind == HEADERS && (index > 0 || open == 1) {
                let _ = connection.try_send(&good(seen.stream)).await;
            }
        }
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    // The gateway knows the endpoint's SETTINGS by now.
    assert_eq!(gateway.get("/").await.status, 200);
    let mut held = gateway.connect().await;
    held.send(&Request::get("/held").bytes()).await;
    origin.until_received(0, b"/held").await;
    assert_eq!(gateway.get("/").await.status, 200);
    assert_eq!(origin.connections(), 2);
}

/// No streams at all: the requests fail, and the connections that nobody can use are not kept.
#[tokio::test]
async fn an_endpoint_that_takes_no_streams_gathers_no_connections() {
    let open = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&open);
    let origin = RawOrigin::start(move |_, mut connection| {
        let count = Arc::clone(&count);
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            begin(&mut connection, &setting(MAX_CONCURRENT_STREAMS, 0)).await;
            while let Some(seen) = next(&mut connection).await {
                if seen.kind == HEADERS {
                    let refused = frame(RST_STREAM, 0, seen.stream, &[0, 0, 0, 7]);
                    let _ = connection.try_send(&refused).await;
                }
            }
            count.fetch_sub(1, Ordering::SeqCst);
        }
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    for _ in 0..20 {
        let answer = gateway.get("/").await;
        assert!((500..600).contains(&answer.status), "{}", answer.status);
    }
    within("the end of the others", async {
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        while open.load(Ordering::SeqCst) > 2 {
            beat.tick().await;
        }
    })
    .await;
}

/// It takes what it is sent and says nothing any more: a process that is stopped, a network that drops everything. Who
/// has asked it waits in vain, who comes later does not, and what is under way goes on.
#[tokio::test]
async fn an_endpoint_that_falls_silent_is_left_for_a_new_connection() {
    let speaks = Arc::new(Notify::new());
    let silence = Arc::clone(&speaks);
    let origin = RawOrigin::start(move |index, mut connection| {
        let speaks = Arc::clone(&silence);
        async move {
            begin(&mut connection, &frame(SETTINGS, 0, 0, &[])).await;
            if index == 0 {
                let long = request(&mut connection).await.expect("the first request");
                let begun = [head(long, END_HEADERS, &[OK]), frame(DATA, 0, long, b"abc")];
                connection.send(&begun.concat()).await;
                speaks.notified().await;
                connection
                    .send(&frame(DATA, END_STREAM, long, b"def"))
                    .await;
            }
            while let Some(stream) = request(&mut connection).await {
                if connection.try_send(&good(stream)).await.is_err() {
                    return;
                }
            }
        }
    })
    .await;
    let config = format!("{CONFIG}response_timeout = \"1100ms\"\nread_timeout = \"1h\"\n");
    let gateway = Gateway::start(&config, &[("app", &origin)]).await;
    let mut long = gateway.connect().await;
    long.send(&Request::get("/long").bytes()).await;
    let (_, length) = long.response_head("GET").await.expect("a head");
    assert_eq!(gateway.get("/").await.status, 504);
    for _ in 0..3 {
        assert_eq!(gateway.get("/").await.status, 200);
    }
    assert_eq!(origin.connections(), 2);
    speaks.notify_one();
    let (body, _) = long.body(length).await.expect("the rest of the body");
    assert_eq!(body, b"abcdef");
}

/// A client that gives up on a silent endpoint earlier than the gateway does not leave the next one to it.
#[tokio::test]
async fn a_client_that_gives_up_on_a_silent_endpoint_leaves_it_to_nobody() {
    let (resets, reset) = watch::channel(false);
    let resets = Arc::new(resets);
    let origin = RawOrigin::start(move |index, mut connection| {
        let resets = Arc::clone(&resets);
        async move {
            begin(&mut connection, &frame(SETTINGS, 0, 0, &[])).await;
            while let Some(seen) = next(&mut connection).await {
                // The first one is answered: what an endpoint says first of all is said by then.
                if seen.kind == HEADERS && (index > 0 || seen.stream == 1) {
                    let _ = connection.try_send(&good(seen.stream)).await;
                }
                if seen.kind == RST_STREAM {
                    resets.send_replace(true);
                }
            }
        }
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    assert_eq!(gateway.get("/").await.status, 200);
    let mut client = gateway.connect().await;
    client.send(&Request::get("/held").bytes()).await;
    origin.until_received(0, b"/held").await;
    a_second().await;
    drop(client);
    let mut reset = reset;
    within("the end of the stream", reset.wait_for(|seen| *seen))
        .await
        .expect("the origin");
    assert_eq!(gateway.get("/").await.status, 200);
    assert_eq!(origin.connections(), 2);
}

/// An endpoint that takes its time over one request and is heard of meanwhile keeps its connection.
#[tokio::test]
async fn an_endpoint_that_is_slow_and_not_silent_keeps_its_connection() {
    let (steps, step) = watch::channel(0);
    let steps = Arc::new(steps);
    let origin = RawOrigin::start(move |_, mut connection| {
        let steps = Arc::clone(&steps);
        async move {
            begin(&mut connection, &frame(SETTINGS, 0, 0, &[])).await;
            let mut asked = false;
            while let Some(seen) = next(&mut connection).await {
                match (seen.kind, seen.flags) {
                    (HEADERS, _) if asked => connection.send(&good(seen.stream)).await,
                    (HEADERS, _) => {
                        asked = true;
                        connection.send(&frame(PING, 0, 0, b"am here!")).await;
                    }
                    (PING, ACK) => {
                        steps.send_replace(1);
                    }
                    (RST_STREAM, _) => {
                        steps.send_replace(2);
                    }
                    _ => {}
                }
            }
        }
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client.send(&Request::get("/held").bytes()).await;
    let mut step = step;
    within("a PING", step.wait_for(|step| *step == 1))
        .await
        .expect("the origin");
    a_second().await;
    drop(client);
    within("the end of the stream", step.wait_for(|step| *step == 2))
        .await
        .expect("the origin");
    assert_eq!(gateway.get("/").await.status, 200);
    assert_eq!(origin.connections(), 1);
}

/// As long as an endpoint has to be silent until that means something.
async fn a_second() {
    let mut beat = tokio::time::interval(Duration::from_millis(1100));
    beat.tick().await;
    beat.tick().await;
}

/// No window at first: the request's body goes when there is one.
#[tokio::test]
async fn a_body_waits_for_the_endpoints_window() {
    let origin = RawOrigin::start(|_, mut connection| async move {
        begin(&mut connection, &setting(INITIAL_WINDOW_SIZE, 0)).await;
        let mut opened = None;
        while let Some(seen) = next(&mut connection).await {
            match (seen.kind, seen.flags) {
                (HEADERS, _) => {
                    opened = Some(seen.stream);
                    // Our SETTINGS were on their way before it came; now all that it needs, byte by byte at first.
                    let mut updates =
                        frame(WINDOW_UPDATE, 0, seen.stream, &[0, 0, 0, 1]).repeat(10);
                    for stream in [0, seen.stream] {
                        updates.extend(frame(WINDOW_UPDATE, 0, stream, &[0, 1, 0, 0]));
                    }
                    let _ = connection.try_send(&updates).await;
                }
                (DATA, END_STREAM) => {
                    let answer = good(opened.unwrap_or(1));
                    let _ = connection.try_send(&answer).await;
                }
                _ => {}
            }
        }
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let body = vec![b'x'; 30_000];
    for _ in 0..3 {
        let answer = gateway.send(Request::post("/", body.clone())).await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(origin.connections(), 1);
}

/// A head in CONTINUATION, interim ones before it, and trailers behind the body.
#[tokio::test]
async fn a_head_comes_in_pieces() {
    let origin = once(
        |stream| {
            let value = [b'y'; 20_000];
            let fields = block(&[(b"x-long", &value)]);
            let (first, rest) = fields.split_at(10_000);
            [
                interim(stream, END_HEADERS),
                head(stream, 0, &[&[OK][..], first].concat()),
                frame(CONTINUATION, 0, stream, &[]),
                frame(CONTINUATION, END_HEADERS, stream, rest),
                frame(DATA, 0, stream, b"body"),
                frame(PING, ACK, 0, &[0; 8]),
                head(stream, ALL, &block(&[(b"x-trailer", b"z")])),
            ]
            .concat()
        },
        false,
    )
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let answer = gateway.get("/").await;
    assert_eq!((answer.status, answer.text()), (200, "body"));
    assert_eq!(answer.header("x-long").map(str::len), Some(20_000));
    assert_eq!(gateway.get("/").await.status, 200);
    assert_eq!(origin.connections(), 1);
}

/// Answers that have no body whatever length they tell (RFC 9110 section 8.6).
#[tokio::test]
async fn answers_without_a_body_may_tell_its_length() {
    let cases: [(&str, Answer, u16); 2] = [
        ("HEAD", |stream| with_length(stream, ALL), 200),
        (
            "GET",
            |stream| {
                head(
                    stream,
                    ALL,
                    &block(&[(b":status", b"304"), (b"content-length", b"5")]),
                )
            },
            304,
        ),
    ];
    for (method, answer, status) in cases {
        let origin = once(answer, false).await;
        let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
        assert_eq!(gateway.send(Request::new(method, "/")).await.status, status);
        assert_eq!(gateway.get("/").await.status, 200);
        assert_eq!(origin.connections(), 1);
    }
}
