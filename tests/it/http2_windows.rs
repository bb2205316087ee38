//! HTTP/2's windows: what each side may send, that what is used up comes back, and that streams share them.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::Full;

use crate::harness::{
    Gateway, H2Origin, Origin, RawH2, StreamEnd, blackhole,
    raw_h2::{Frame, block, frame},
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

const FLOW_CONTROL_ERROR: u32 = 3;
const CANCEL: u32 = 8;

const FIRST_WINDOW: usize = 65_535;
const LONGEST: usize = 16_384;

type Field = (&'static [u8], &'static [u8]);

const fn request(method: &'static [u8], path: &'static [u8]) -> [Field; 4] {
    [
        (b":method", method),
        (b":scheme", b"http"),
        (b":authority", b"gateway.test"),
        (b":path", path),
    ]
}

const GET: &[Field] = &request(b"GET", b"/");

/// What streams of a `Careful` client begin with.
const OF_A_STREAM: usize = 64 * 1024;

/// A client that keeps to the windows, its own SETTINGS acknowledged before it sends.
struct Careful {
    raw: RawH2,
    window: usize,
    /// What each stream may send.
    streams: BTreeMap<u32, usize>,
    seen: Vec<Frame>,
}

impl Careful {
    async fn over(raw: RawH2) -> Self {
        let mut client = Self {
            raw,
            window: FIRST_WINDOW,
            streams: BTreeMap::new(),
            seen: Vec::new(),
        };
        while client.window == FIRST_WINDOW {
            client.next().await;
        }
        client
    }

    async fn next(&mut self) -> (u8, u32) {
        let next = self.raw.next_frame().await.expect("a frame");
        assert_ne!(next.kind, GOAWAY, "{next:?}");
        if next.kind == WINDOW_UPDATE {
            let more = u32::from_be_bytes(next.payload[..4].try_into().expect("four bytes"));
            let window = match next.stream {
                0 => &mut self.window,
                stream => self.streams.entry(stream).or_insert(OF_A_STREAM),
            };
            *window += more as usize;
        }
        let seen = (next.kind, next.stream);
        self.seen.push(next);
        seen
    }

    /// Sends a frame of DATA as soon as the windows allow it.
    async fn data(&mut self, stream: u32, flags: u8, payload: &[u8]) {
        let length = payload.len();
        let own = |all: &BTreeMap<u32, usize>| *all.get(&stream).unwrap_or(&OF_A_STREAM);
        while self.window < length || own(&self.streams) < length {
            self.next().await;
        }
        self.window -= length;
        *self.streams.entry(stream).or_insert(OF_A_STREAM) -= length;
        self.raw.frame(DATA, flags, stream, payload).await;
    }

    async fn answered(&mut self, stream: u32) {
        while self.next().await != (HEADERS, stream) {}
    }
}

fn update(stream: u32, more: usize) -> Vec<u8> {
    let more = u32::try_from(more).expect("a window");
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

fn window(value: u32) -> Vec<u8> {
    let payload = [&4u16.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &payload)
}

fn listener(keys: &str, rest: &str) -> String {
    format!(
        "[server]\nworkers = 1\n[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\nhttp2 = {{ {keys} }}\n{rest}"
    )
}

const UPSTREAM: &str = r#"
    [[route]]
    name = "all"
    upstream = "app"
    [upstream.app]
    endpoints = ["<app>"]
"#;

/// Bodies that nobody reads because there is no connection to an endpoint.
const STALLED: &str = r#"
    [[route]]
    name = "stalled"
    path = "/stalled"
    upstream = "stalled"
    [[route]]
    name = "all"
    upstream = "app"
    [upstream.stalled]
    endpoints = ["<stalled>"]
    connect_timeout = "60s"
    [upstream.app]
    endpoints = ["<app>"]
"#;

/// Before it knows of another one a client has the window that every stream begins with.
#[tokio::test]
async fn a_stream_has_its_first_window_until_ours_is_acknowledged() {
    let (stalled, _full, _client) = blackhole().await;
    let origin = Origin::answering("app").await;
    for own in ["1KiB", "1MiB"] {
        let keys = format!("stream_window = \"{own}\", connection_window = \"1MiB\"");
        let gateway = Gateway::start(
            &listener(&keys, STALLED),
            &[("stalled", &stalled), ("app", &origin)],
        )
        .await;
        let mut raw = RawH2::over(gateway.connect().await).await;
        raw.acknowledges = false;
        raw.headers(1, &request(b"POST", b"/stalled"), false).await;
        let body = vec![b'x'; FIRST_WINDOW];
        for piece in body.chunks(LONGEST) {
            raw.data(1, piece, false).await;
        }
        raw.frame(PING, 0, 0, b"pingpong").await;
        let pong = loop {
            let next = raw.next_frame().await.expect("a frame");
            assert!(!matches!(next.kind, RST_STREAM | GOAWAY), "{next:?}");
            if (next.kind, next.flags) == (PING, ACK) {
                break next.payload;
            }
        };
        assert_eq!(pong, b"pingpong");
        raw.data(1, b"x", false).await;
        let end = raw.end_of(1).await;
        assert_eq!(end, StreamEnd::Reset(FLOW_CONTROL_ERROR), "{own}");
    }
}

#[tokio::test]
async fn a_stream_has_our_window_once_that_is_acknowledged() {
    let (stalled, _full, _client) = blackhole().await;
    let origin = Origin::answering("app").await;
    let keys = r#"stream_window = "1KiB", connection_window = "1MiB""#;
    let gateway = Gateway::start(
        &listener(keys, STALLED),
        &[("stalled", &stalled), ("app", &origin)],
    )
    .await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    // One stream is older than the acknowledgement.
    raw.headers(1, &request(b"POST", b"/stalled"), false).await;
    while raw.setting(4).is_none() {
        raw.next_frame().await.expect("a frame");
    }
    raw.headers(3, &request(b"POST", b"/stalled"), false).await;
    for stream in [1, 3] {
        raw.data(stream, &[b'x'; 1024], false).await;
        raw.data(stream, b"x", false).await;
        let end = raw.end_of(stream).await;
        assert_eq!(end, StreamEnd::Reset(FLOW_CONTROL_ERROR), "{stream}");
    }
}

/// Who is late with its acknowledgement gets its window back all the same.
#[tokio::test]
async fn what_was_taken_comes_back_before_the_acknowledgement() {
    let origin = Origin::answering("app").await;
    let keys = r#"stream_window = "1MiB", connection_window = "1MiB""#;
    let gateway = Gateway::start(&listener(keys, UPSTREAM), &[("app", &origin)]).await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    raw.acknowledges = false;
    raw.headers(1, &request(b"POST", b"/"), false).await;
    let mut window = FIRST_WINDOW;
    for _ in 0..20 {
        while window < LONGEST {
            let next = raw.next_frame().await.expect("a frame");
            if (next.kind, next.stream) == (WINDOW_UPDATE, 1) {
                let more = next.payload[..4].try_into().expect("four bytes");
                window += u32::from_be_bytes(more) as usize;
            }
        }
        window -= LONGEST;
        raw.data(1, &[b'x'; LONGEST], false).await;
    }
    raw.data(1, &[], true).await;
    assert_eq!(raw.end_of(1).await, StreamEnd::Status(200));
    assert_eq!(origin.only().body.len(), 20 * LONGEST);
}

/// Uploads of which nothing is read, and of which much is under way when their streams end.
#[tokio::test]
async fn uploads_that_nobody_reads_give_the_window_back() {
    const EARLY: &[Field] = &request(b"POST", b"/early");
    const STALL: &[Field] = &request(b"POST", b"/stalled");
    let (stalled, _full, _client) = blackhole().await;
    let origin = Origin::answering("app").await;
    let keys = r#"stream_window = "64KiB", connection_window = "64KiB", max_cancelled = "off""#;
    let text = format!(
        "{}\n[[route]]\nname = \"early\"\npath = \"/early\"\nrespond = {{ body = \"no\" }}\n",
        listener(keys, STALLED)
    );
    let gateway = Gateway::start(&text, &[("stalled", &stalled), ("app", &origin)]).await;
    let mut client = Careful::over(RawH2::over(gateway.connect().await).await).await;
    for number in 0..300 {
        let stream = 2 * number + 1;
        // The gateway answers without them, the client gives them up, and much of one frame is padding.
        let gives_up = number % 2 == 0;
        let head = if gives_up { STALL } else { EARLY };
        client.raw.headers(stream, head, false).await;
        let padded = [&[255][..], &[0; 512]].concat();
        client.data(stream, PADDED, &padded).await;
        client.data(stream, 0, &[b'x'; LONGEST]).await;
        if gives_up {
            let code = CANCEL.to_be_bytes();
            client.raw.frame(RST_STREAM, 0, stream, &code).await;
        } else {
            client.answered(stream).await;
        }
    }
    // And the whole window is still there for one more.
    client
        .raw
        .headers(601, &request(b"POST", b"/"), false)
        .await;
    for _ in 0..8 {
        client.data(601, 0, &[b'x'; LONGEST]).await;
    }
    client.data(601, END_STREAM, &[]).await;
    client.answered(601).await;
    let seen = origin.only();
    assert_eq!(seen.body.len(), 8 * LONGEST);
}

/// All streams of a client at once are answered early while their bodies are under way: that is no error of the client.
#[tokio::test]
async fn bodies_under_way_to_streams_that_were_answered_are_no_errors() {
    let keys = r#"stream_window = "64KiB", connection_window = "16MiB", max_error_resets = 1"#;
    let text = listener(
        keys,
        "[[route]]\nname = \"all\"\nrespond = { body = \"no\" }\n",
    );
    let gateway = Gateway::start(&text, &[]).await;
    let mut client = Careful::over(RawH2::over(gateway.connect().await).await).await;
    let head = request(b"POST", b"/");
    let streams = || (0..120).map(|number| 2 * number + 1);
    for stream in streams() {
        client.raw.headers(stream, &head, false).await;
    }
    // All are answered, and reset since nobody wants the rest; the client only learns of it when it has sent that.
    for _ in streams() {
        while client.next().await.0 != RST_STREAM {}
    }
    for stream in streams() {
        client.data(stream, 0, &[b'x'; 100]).await;
        let trailers = block(&[(b"x", b"y")]);
        client
            .raw
            .frame(HEADERS, END_STREAM | END_HEADERS, stream, &trailers)
            .await;
    }
    client.raw.headers(301, GET, true).await;
    client.answered(301).await;
    let resets = client.seen.iter().filter(|one| one.kind == RST_STREAM);
    assert_eq!(resets.count(), 120);
}

/// Bodies that nobody takes hold most of the window: the rest of it goes round.
#[tokio::test]
async fn a_window_that_others_hold_is_not_held_back_for_who_is_left() {
    let (stalled, _full, _client) = blackhole().await;
    let origin = Origin::answering("app").await;
    let keys = r#"stream_window = "64KiB", connection_window = "256KiB""#;
    let gateway = Gateway::start(
        &listener(keys, STALLED),
        &[("stalled", &stalled), ("app", &origin)],
    )
    .await;
    let mut client = Careful::over(RawH2::over(gateway.connect().await).await).await;
    for stream in [1, 3, 5] {
        let head = request(b"POST", b"/stalled");
        client.raw.headers(stream, &head, false).await;
        for _ in 0..4 {
            client.data(stream, 0, &[b'x'; LONGEST]).await;
        }
    }
    client.raw.headers(7, &request(b"POST", b"/"), false).await;
    for _ in 0..60 {
        client.data(7, 0, &[b'x'; 4096]).await;
    }
    client.data(7, END_STREAM, &[]).await;
    client.answered(7).await;
    assert_eq!(origin.only().body.len(), 60 * 4096);
}

/// Answers that their clients give up leave an endpoint's connection as it was.
#[tokio::test]
async fn answers_that_nobody_takes_give_the_endpoints_window_back() {
    const ANSWER: usize = 300_000;
    let origin = H2Origin::start(|mut exchange| async move {
        if let Ok(mut body) = exchange.begin(200) {
            // It goes out as the windows allow, or not at all.
            let _ = body.send_data(Bytes::from(vec![b'x'; ANSWER]), true);
        }
    })
    .await;
    let text = listener(r#"max_cancelled = "off""#, UPSTREAM) + "protocol = \"h2c\"\n";
    let gateway = Gateway::start(&text, &[("app", &origin)]).await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    for number in 0..300 {
        let stream = 2 * number + 1;
        raw.headers(stream, GET, true).await;
        assert_eq!(raw.end_of(stream).await, StreamEnd::Status(200));
        raw.frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
            .await;
        // What has come by then is not given back.
        raw.bytes(&update(0, LONGEST * 5)).await;
    }
    raw.bytes(&update(0, ANSWER)).await;
    let answer = gateway.get("/").await;
    assert_eq!(answer.body.len(), ANSWER);
    assert_eq!(origin.connections(), 1);
}

/// Streams that wait for the window of the connection have it in turn.
#[tokio::test]
async fn streams_that_wait_for_the_connection_take_turns() {
    let text = "[[route]]\nname = \"all\"\nrespond = { body = \"".to_owned()
        + &"x".repeat(100_000)
        + "\" }\n";
    let gateway = Gateway::start(&text, &[]).await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    raw.bytes(&window(1 << 20)).await;
    for stream in [1, 3, 5] {
        raw.headers(stream, GET, true).await;
    }
    let mut got: BTreeMap<u32, usize> = BTreeMap::new();
    let mut heads = 0;
    while heads < 3 || got.values().sum::<usize>() < FIRST_WINDOW {
        let next = raw.next_frame().await.expect("a frame");
        heads += usize::from(next.kind == HEADERS);
        if next.kind == DATA {
            *got.entry(next.stream).or_default() += next.payload.len();
        }
    }
    let mut turns: BTreeMap<u32, u32> = BTreeMap::new();
    for _ in 0..9 {
        raw.bytes(&update(0, 2000)).await;
        let mut left = 2000;
        while left > 0 {
            let next = raw.next_frame().await.expect("a frame");
            if next.kind == DATA {
                left -= next.payload.len();
                *got.entry(next.stream).or_default() += next.payload.len();
                *turns.entry(next.stream).or_default() += 1;
            }
        }
    }
    assert!(
        turns.len() == 3 && turns.values().all(|count| *count >= 2),
        "{turns:?}"
    );
    // And all come to their end.
    raw.bytes(&update(0, 1 << 20)).await;
    let mut ended = 0;
    while ended < 3 {
        let next = raw.next_frame().await.expect("a frame");
        if next.kind == DATA {
            *got.entry(next.stream).or_default() += next.payload.len();
            ended += usize::from(next.flags & END_STREAM != 0);
        }
    }
    assert!(got.values().all(|bytes| *bytes == 100_000), "{got:?}");
}

/// A window that has shrunk below what is out already has to grow above nothing first (RFC 9113 section 6.9.2).
#[tokio::test]
async fn a_window_that_has_shrunk_below_nothing_is_kept_to() {
    let text = "[[route]]\nname = \"all\"\nrespond = { body = \"".to_owned()
        + &"x".repeat(100_000)
        + "\" }\n";
    let gateway = Gateway::start(&text, &[]).await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    raw.headers(1, GET, true).await;
    let mut got = 0;
    while got < FIRST_WINDOW {
        let next = raw.next_frame().await.expect("a frame");
        if next.kind == DATA {
            got += next.payload.len();
        }
    }
    let frames = [
        window(0),
        update(0, 1 << 20),
        update(1, FIRST_WINDOW),
        frame(PING, 0, 0, b"pingpong"),
    ];
    raw.bytes(&frames.concat()).await;
    loop {
        let next = raw.next_frame().await.expect("a frame");
        assert_ne!(next.kind, DATA, "{next:?}");
        if next.kind == PING {
            break;
        }
    }
    raw.bytes(&update(1, 1000)).await;
    let next = raw.next_frame().await.expect("a frame");
    assert_eq!((next.kind, next.payload.len()), (DATA, 1000));
    // A window of streams that grows is one of this stream, too.
    raw.bytes(&window(500)).await;
    loop {
        let next = raw.next_frame().await.expect("a frame");
        if next.kind == DATA {
            assert_eq!(next.payload.len(), 500);
            break;
        }
    }
}

/// What a client says while much is on its way to it is heard once that is out.
#[tokio::test]
async fn a_client_is_heard_behind_a_large_buffer() {
    const ANSWER: usize = 12 * 1024 * 1024;
    let origin = Origin::http(|_seen| async {
        http::Response::new(Full::new(Bytes::from(vec![b'x'; ANSWER])))
    })
    .await;
    let text = listener(r#"send_buffer = "16MiB""#, UPSTREAM);
    let gateway = Gateway::start(&text, &[("app", &origin)]).await;
    let client = gateway.connect().await;
    client.small_receive_buffer();
    let mut raw = RawH2::over(client).await;
    raw.bytes(&[window(1 << 30), update(0, 1 << 30)].concat())
        .await;
    raw.headers(1, GET, true).await;
    // All of it is in the gateway, and most of it waits for the socket.
    gateway.records(1).await;
    raw.headers(3, &request(b"HEAD", b"/"), true).await;
    let mut got = 0;
    while got < ANSWER {
        let next = raw.next_frame().await.expect("a frame");
        if next.kind == DATA {
            got += next.payload.len();
        }
    }
    assert_eq!(raw.end_of(3).await, StreamEnd::Status(200));
}

/// A head that is longer than a frame goes out in several.
#[tokio::test]
async fn a_long_head_goes_on_in_continuations() {
    let value = "y".repeat(20_000);
    let origin = Origin::http(move |_seen| {
        let value = value.clone();
        async move {
            http::Response::builder()
                .header("x-long", value)
                .body(Full::new(Bytes::from_static(b"body")))
                .expect("a response")
        }
    })
    .await;
    let gateway = Gateway::start(UPSTREAM, &[("app", &origin)]).await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    raw.headers(1, GET, true).await;
    let mut seen = Vec::new();
    let mut length = 0;
    loop {
        let next = raw.next_frame().await.expect("a frame");
        if next.stream != 1 {
            continue;
        }
        seen.push((next.kind, next.flags & END_HEADERS));
        if next.kind == DATA {
            break;
        }
        length += next.payload.len();
    }
    let expected = [(HEADERS, 0), (CONTINUATION, END_HEADERS), (DATA, 0)];
    assert_eq!(seen, expected);
    assert!(length > 20_000);
}
