//! Wire rules B: HTTP/2 clients that want more of the gateway's memory and time than their share.

use std::future::pending;

use crate::harness::{
    Gateway, H2Client, Origin, RawH2, RawOrigin, StreamEnd, blackhole,
    raw_h2::{block, frame},
};

/// One route that waits for the test and one that does not.
const CONFIG: &str = r#"
    [[listener]]
    name = "web"
    address = "127.0.0.1:0"
    max_streams = 50
    [[route]]
    name = "held"
    path = "/held"
    upstream = "app"
    [[route]]
    name = "ping"
    path = "/ping"
    respond = { body = "pong" }
    [upstream.app]
    endpoints = ["<app>"]
"#;

/// What any attack may cost; without a bound each of them would cost a multiple.
const MEMORY: u64 = 64 * 1024 * 1024;

/// How often an attack is repeated when nobody stops it.
const MANY: u32 = 100_000;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;

/// The error codes that clients are told.
const STREAM_CLOSED: u32 = 5;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

type Field = (&'static [u8], &'static [u8]);

const fn request(method: &'static [u8], path: &'static [u8]) -> [Field; 4] {
    [
        (b":method", method),
        (b":scheme", b"http"),
        (b":authority", b"gateway.test"),
        (b":path", path),
    ]
}

const GET: &[Field] = &request(b"GET", b"/held");
const POST: &[Field] = &request(b"POST", b"/held");

/// A gateway before an origin that never answers, its memory before the attack, and another client.
struct Target {
    gateway: Gateway,
    origin: Origin,
    before: u64,
    bystander: H2Client,
}

impl Target {
    async fn start() -> Self {
        let (origin, _gate) = Origin::gated("never").await;
        let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
        let bystander = H2Client::connect(gateway.web().await).await;
        assert_eq!(bystander.get("/ping").await.text(), "pong");
        let before = gateway.resident();
        Self {
            gateway,
            origin,
            before,
            bystander,
        }
    }

    async fn attacker(&self) -> RawH2 {
        RawH2::over(self.gateway.connect().await).await
    }

    /// Sends what `part` makes of a number, over and over, until the gateway hangs up; it never reads.
    async fn flood(&self, raw: &mut RawH2, mut part: impl FnMut(u32) -> Vec<u8>) -> u32 {
        let mut sent = 0;
        while sent < MANY && raw.bytes(&part(sent)).await {
            sent += 1;
            if sent == 100 {
                assert_eq!(self.bystander.get("/ping").await.text(), "pong");
            }
        }
        assert!(sent < MANY, "all of it was taken");
        sent
    }

    /// Others are served, memory is what it was but for a little, and the one defence has been counted by its name.
    async fn stands(self, defence: Option<&str>) {
        assert_eq!(self.bystander.get("/ping").await.text(), "pong");
        assert_eq!(self.gateway.get("/ping").await.text(), "pong");
        let grown = self.gateway.peak_resident().saturating_sub(self.before);
        assert!(grown < MEMORY, "{grown} bytes");
        // What others were answered comes later than what the attacker did, and both are counted by workers of their own.
        let name = "portcullis_defences_total";
        let count = usize::from(defence.is_some());
        let metrics = self.gateway.metric_reaches(name, &[], count).await;
        assert_eq!(
            metrics.values(name, "defence"),
            Vec::from_iter(defence),
            "the defences"
        );
        let counted = metrics.sum(name, &[("listener", "web")]);
        assert_eq!(counted, f64::from(u8::from(defence.is_some())));
    }
}

#[tokio::test]
async fn case_22_rapid_resets_end_the_connection() {
    let target = Target::start().await;
    let mut raw = target.attacker().await;
    let head = block(GET);
    target
        .flood(&mut raw, |number| {
            let stream = 2 * number + 1;
            [
                frame(HEADERS, END_STREAM | END_HEADERS, stream, &head),
                frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()),
            ]
            .concat()
        })
        .await;
    target.stands(Some("rapid_reset")).await;
}

/// CVE-2025-8671: the client makes the gateway reset its streams.
#[tokio::test]
async fn case_23_resets_that_the_gateway_is_made_to_send_count_as_well() {
    type Payload = fn(u32) -> Vec<u8>;
    let triggers: [(&str, u8, u8, Payload, Option<&str>); 5] = [
        (
            "a window that grows too far",
            WINDOW_UPDATE,
            0,
            |_| 0x7fff_ffff_u32.to_be_bytes().to_vec(),
            Some("made_you_reset"),
        ),
        (
            "a stream that depends on itself",
            PRIORITY,
            0,
            |stream| [&stream.to_be_bytes()[..], &[0]].concat(),
            Some("made_you_reset"),
        ),
        // These break the connection at once.
        (
            "a window that grows by nothing",
            WINDOW_UPDATE,
            0,
            |_| vec![0; 4],
            None,
        ),
        ("a short priority", PRIORITY, 0, |_| vec![0; 3], None),
        (
            "data after the end",
            DATA,
            END_STREAM,
            |_| b"more".to_vec(),
            None,
        ),
    ];
    for (name, kind, flags, payload, defence) in triggers {
        let target = Target::start().await;
        let mut raw = target.attacker().await;
        let head = block(POST);
        // Where data has to come after the end, the head is the end.
        let end = if kind == DATA { END_STREAM } else { 0 };
        target
            .flood(&mut raw, |number| {
                let stream = 2 * number + 1;
                [
                    frame(HEADERS, END_HEADERS | end, stream, &head),
                    frame(kind, flags, stream, &payload(stream)),
                ]
                .concat()
            })
            .await;
        let at_once = target.origin.seen().len();
        assert!(at_once <= 50, "{name}: {at_once} requests at the origin");
        target.stands(defence).await;
    }
}

/// The same from a client that takes its time and reads each reset.
#[tokio::test]
async fn case_23_resets_that_the_client_reads_count_as_well() {
    type Payload = fn(u32) -> Vec<u8>;
    let triggers: [(u8, u8, Payload); 3] = [
        (WINDOW_UPDATE, 0, |_| 0x7fff_ffff_u32.to_be_bytes().to_vec()),
        (PRIORITY, 0, |stream| {
            [&stream.to_be_bytes()[..], &[0]].concat()
        }),
        // Trailers that are not the end.
        (HEADERS, END_HEADERS, |_| block(&[(b"x", b"y")])),
    ];
    for (kind, flags, payload) in triggers {
        let target = Target::start().await;
        let mut raw = target.attacker().await;
        let mut resets = 0;
        loop {
            let stream = 2 * resets + 1;
            raw.headers(stream, POST, false).await;
            raw.frame(kind, flags, stream, &payload(stream)).await;
            match raw.end_of(stream).await {
                StreamEnd::Reset(_) if resets < 1000 => resets += 1,
                end => {
                    assert_eq!(end, StreamEnd::GoAway(ENHANCE_YOUR_CALM), "{resets} resets");
                    break;
                }
            }
        }
        target.stands(Some("made_you_reset")).await;
    }
}

#[tokio::test]
async fn case_24_a_head_without_end_is_cut_off_while_it_is_small() {
    let target = Target::start().await;
    let mut raw = target.attacker().await;
    // HEADERS without END_HEADERS, then CONTINUATION frames with a field each.
    raw.frame(HEADERS, 0, 1, &[0x82, 0x86, 0x84]).await;
    let field = block(&[(b"x-fld", &[b'x'; 100])]);
    target
        .flood(&mut raw, |_| frame(CONTINUATION, 0, 1, &field))
        .await;
    target.stands(Some("continuation_flood")).await;
}

/// One byte for a field of four thousand: what counts is the size after decoding.
#[tokio::test]
async fn case_25_a_small_block_of_large_fields_is_refused() {
    let target = Target::start().await;
    let mut raw = target.attacker().await;
    let pseudo = [0x82u8, 0x86, 0x84, 0x41, 1, b'a'];
    // A literal that goes into the dynamic table, 4,000 bytes long, then references to it.
    let length = [127, 0x80 | 0x21, 0x1e];
    let entry = [&[0x40u8, 1, b'x'][..], &length, &[b'y'; 4000]].concat();
    let bomb = [&pseudo[..], &entry, &[0xbe; 8000]].concat();
    target
        .flood(&mut raw, |number| {
            frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, &bomb)
        })
        .await;
    target.stands(Some("header_bomb")).await;
}

/// Frames that ask for an answer or for nothing at all, from a client that reads nothing.
#[tokio::test]
async fn case_26_floods_of_frames_that_move_nothing_end_the_connection() {
    const ACK: u8 = 1;
    let floods: [(&str, Vec<u8>); 7] = [
        ("ping_flood", frame(PING, 0, 0, &[7; 8])),
        ("ping_flood", frame(PING, ACK, 0, &[7; 8])),
        ("settings_flood", frame(SETTINGS, 0, 0, &[])),
        ("priority_flood", frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 7])),
        (
            "window_update_flood",
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        ),
        ("unknown_frame_flood", frame(0x42, 0, 0, b"what is it?")),
        ("unknown_frame_flood", frame(0x10, 0, 0, &[0; 8])),
    ];
    for (defence, part) in floods {
        let target = Target::start().await;
        let mut raw = target.attacker().await;
        target.flood(&mut raw, |_| part.clone()).await;
        // A connection without a request has a record of its own.
        let labels = [("reason", "h2_excess"), ("code", "429")];
        let requests = "portcullis_requests_total";
        target.gateway.metric_is(requests, &labels, 1).await;
        target.stands(Some(defence)).await;
    }
}

#[tokio::test]
async fn case_26_heads_without_fields_end_the_connection() {
    let target = Target::start().await;
    let mut raw = target.attacker().await;
    target
        .flood(&mut raw, |number| {
            frame(HEADERS, END_STREAM | END_HEADERS, 2 * number + 1, &[])
        })
        .await;
    target.stands(Some("made_you_reset")).await;
}

/// On a stream that has ended there is nothing to reset, and nobody wants trailers of one that was reset.
#[tokio::test]
async fn case_26_frames_for_streams_that_are_closed_end_the_connection() {
    let reset = frame(RST_STREAM, 0, 1, &8u32.to_be_bytes());
    let trailers = frame(
        HEADERS,
        END_STREAM | END_HEADERS,
        1,
        &block(&[(b"x", b"y")]),
    );
    for (part, is_reset) in [(reset, false), (trailers, true)] {
        let target = Target::start().await;
        let mut raw = target.attacker().await;
        if is_reset {
            raw.headers(1, POST, false).await;
            let too_far = 0x7fff_ffff_u32.to_be_bytes();
            raw.frame(WINDOW_UPDATE, 0, 1, &too_far).await;
            assert!(matches!(raw.end_of(1).await, StreamEnd::Reset(_)));
        } else {
            raw.headers(1, &request(b"GET", b"/ping"), true).await;
            assert_eq!(raw.end_of(1).await, StreamEnd::Status(200));
        }
        target.flood(&mut raw, |_| part.clone()).await;
        target.stands(Some("closed_stream_flood")).await;
    }
}

/// Who resets what has been answered meanwhile, or ends what was reset, does so once for each request.
#[tokio::test]
async fn case_26_who_is_late_with_each_request_is_not_ended() {
    let target = Target::start().await;
    let mut raw = target.attacker().await;
    let ping = request(b"GET", b"/ping");
    for number in 0..500 {
        let stream = 2 * number + 1;
        raw.headers(stream, &ping, true).await;
        assert_eq!(raw.end_of(stream).await, StreamEnd::Status(200));
        // The body is on its way as well.
        while raw.next_frame().await.expect("a frame").kind != DATA {}
        assert!(raw.frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()).await);
    }
    drop(raw);
    target.stands(None).await;
}

/// The client is told why, and what it had asked for before is recorded as cut off for it.
#[tokio::test]
async fn case_26_who_reads_is_told_to_be_calm() {
    let target = Target::start().await;
    let mut raw = target.attacker().await;
    raw.headers(1, GET, true).await;
    raw.bytes(&frame(SETTINGS, 0, 0, &[]).repeat(100)).await;
    // With the one of the preface it is one too many.
    assert_eq!(raw.end_of(1).await, StreamEnd::GoAway(ENHANCE_YOUR_CALM));
    let records = target.gateway.records(2).await;
    let got = ["status", "reason", "route"].map(|field| records[1].text(field));
    assert_eq!(got, ["429", "h2_excess", "held"]);
    target.stands(Some("settings_flood")).await;
}

/// As much as the busiest of honest clients send in the time of an allowance.
#[tokio::test]
async fn case_26_honest_clients_are_not_ended() {
    let target = Target::start().await;
    let mut raw = target.attacker().await;
    let parts = [
        frame(SETTINGS, 0, 0, &[]).repeat(90),
        frame(PING, 0, 0, &[7; 8]).repeat(900),
        frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 7]).repeat(900),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(900),
        frame(0x10, 0, 0, &[0; 8]).repeat(900),
    ];
    for part in parts {
        assert!(raw.bytes(&part).await);
    }
    let ping = request(b"GET", b"/ping");
    // Each request is worth ten more.
    for number in 0..200 {
        let stream = 2 * number + 1;
        raw.headers(stream, &ping, true).await;
        assert_eq!(raw.end_of(stream).await, StreamEnd::Status(200));
        let updates = frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]).repeat(10);
        assert!(raw.bytes(&updates).await);
    }
    drop(raw);
    target.stands(None).await;
}

#[tokio::test]
async fn case_27_data_with_next_to_nothing_in_it_ends_the_connection() {
    let empty = frame(DATA, 0, 1, b"");
    let padding_alone = frame(DATA, PADDED, 1, &[9; 10]);
    for part in [empty, padding_alone] {
        let target = Target::start().await;
        let mut raw = target.attacker().await;
        raw.headers(1, POST, false).await;
        target.flood(&mut raw, |_| part.clone()).await;
        target.stands(Some("data_flood")).await;
    }
}

/// A hundred streams that nobody reads hold windows, not bodies.
#[tokio::test]
async fn case_28_unread_responses_are_not_piled_up() {
    // All of them are more than the gateway may hold, and less than would use up what the kernel has for the sockets of
    // all tests: it takes in for the gateway what that does not read.
    let body = bytes::Bytes::from(vec![b'x'; 2_500_000]);
    let origin = Origin::http(move |_seen| {
        let body = body.clone();
        async move { http::Response::new(http_body_util::Full::new(body)) }
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    assert_eq!(gateway.get("/ping").await.text(), "pong");
    let before = gateway.resident();
    let mut raw = RawH2::over(gateway.connect().await).await;
    for number in 0..50 {
        raw.headers(2 * number + 1, GET, true).await;
    }
    // The first window of the connection is used up; that is all that is sent.
    let mut got = 0;
    while got < 65_535 {
        let frame = raw.next_frame().await.expect("a frame");
        if frame.kind == DATA {
            got += frame.payload.len();
        }
    }
    assert_eq!(got, 65_535);
    assert_eq!(gateway.get("/ping").await.text(), "pong");
    let grown = gateway.peak_resident().saturating_sub(before);
    assert!(grown < MEMORY, "{grown} bytes");
}

#[tokio::test]
async fn case_29_a_head_after_the_end_breaks_the_connection_and_nothing_else() {
    let target = Target::start().await;
    let mut raw = target.attacker().await;
    raw.headers(1, GET, true).await;
    raw.headers(1, &[(b"x", b"y")], true).await;
    let end = raw.end_of(1).await;
    assert!(
        matches!(end, StreamEnd::GoAway(STREAM_CLOSED) | StreamEnd::Reset(_)),
        "{end:?}"
    );
    assert_eq!(target.gateway.records(2).await.len(), 2);
    target.stands(None).await;
}

/// Case 34 in HTTP/2: frames that trickle in do not prolong a head.
#[tokio::test]
async fn case_34_a_head_has_one_deadline() {
    let gateway = Gateway::start(
        r#"
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        head_timeout = "200ms"
        [[route]]
        name = "ping"
        respond = { body = "pong" }
        "#,
        &[],
    )
    .await;
    let ping = request(b"GET", b"/ping");
    let mut raw = RawH2::over(gateway.connect().await).await;
    raw.headers(1, &ping, true).await;
    assert_eq!(raw.end_of(1).await, StreamEnd::Status(200));
    raw.frame(HEADERS, END_STREAM, 3, &block(&ping)).await;
    assert_eq!(raw.end_of(3).await, StreamEnd::GoAway(ENHANCE_YOUR_CALM));
    let records = gateway.records(2).await;
    assert_eq!(records[1].text("status"), "408");
    assert_eq!(records[1].text("reason"), "head_timeout");
}

/// A client that does not acknowledge that it was told to go away opens no streams for ever.
#[tokio::test]
async fn streams_after_a_goaway_are_refused() {
    let gateway = Gateway::start(
        r#"
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        max_requests = 3
        max_streams = 2
        [[route]]
        name = "ping"
        respond = { body = "pong" }
        "#,
        &[],
    )
    .await;
    let ping = request(b"GET", b"/ping");
    let mut raw = RawH2::over(gateway.connect().await).await;
    raw.answers_pings = false;
    // Three requests, and as many more as may have been on their way.
    for stream in [1, 3, 5, 7, 9] {
        raw.headers(stream, &ping, true).await;
        assert_eq!(raw.status_of(stream).await, Some(200), "stream {stream}");
    }
    for stream in [11, 13] {
        raw.headers(stream, &ping, true).await;
        assert_eq!(raw.end_of(stream).await, StreamEnd::Reset(REFUSED_STREAM));
    }
    let records = gateway.records(7).await;
    for record in &records[5..] {
        assert_eq!(record.text("status"), "503");
        assert_eq!(record.text("reason"), "h2_after_goaway");
    }
}

/// Bodies that nobody takes keep their own windows and not that of the connection.
#[tokio::test]
async fn stalled_uploads_hold_up_no_other() {
    let (stalled, _full, _client) = blackhole().await;
    let origin = Origin::answering("taken").await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "stalled"
        path = "/stalled"
        upstream = "stalled"
        [[route]]
        name = "app"
        upstream = "app"
        [upstream.stalled]
        endpoints = ["<stalled>"]
        [upstream.app]
        endpoints = ["<app>"]
        "#,
        &[("stalled", &stalled), ("app", &origin)],
    )
    .await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    // The window of the connection has been widened.
    while raw.next_frame().await.expect("a frame").kind != WINDOW_UPDATE {}
    let window = raw.setting(4).expect("a window for streams") as usize;
    let upload = request(b"POST", b"/stalled");
    for stream in [1, 3, 5, 7] {
        raw.headers(stream, &upload, false).await;
        let mut left = window;
        while left > 0 {
            let piece = left.min(16_384);
            raw.data(stream, &vec![b'x'; piece], false).await;
            left -= piece;
        }
    }
    raw.headers(9, &request(b"POST", b"/taken"), false).await;
    raw.data(9, &[b'x'; 16_384], true).await;
    assert_eq!(raw.end_of(9).await, StreamEnd::Status(200));
}

/// An upstream that goes away says which streams it has not looked at: they are for another connection, whatever their
/// method.
#[tokio::test]
async fn a_request_that_an_upstreams_goaway_left_out_is_sent_again() {
    let origin = RawOrigin::start(|index, mut connection| async move {
        connection.send(&frame(SETTINGS, 0, 0, &[])).await;
        let _preface = connection.try_bytes(24).await;
        while let Some(head) = connection.try_bytes(9).await {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            let _payload = connection.try_bytes(length).await;
            if head[3] != HEADERS {
                continue;
            }
            if index == 0 && stream == 3 {
                // The last stream that was looked at is the first, and there was no error.
                let goaway = frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]);
                connection.send(&goaway).await;
                return pending().await;
            }
            let answer = frame(HEADERS, END_STREAM | END_HEADERS, stream, &[0x88]);
            connection.send(&answer).await;
        }
    })
    .await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "app"
        upstream = "app"
        [upstream.app]
        endpoints = ["<app>"]
        protocol = "h2c"
        "#,
        &[("app", &origin)],
    )
    .await;
    assert_eq!(gateway.get("/").await.status, 200);
    let post = crate::harness::Request::new("POST", "/").header("content-length", "0");
    assert_eq!(gateway.send(post).await.status, 200);
    let record = &gateway.records(2).await[1];
    assert_eq!(record.text("attempts"), "2");
    assert_eq!(origin.connections(), 2);
}
