//! Whatever breaks HTTP/2 itself ends in one record and one count, as everything else does.

use crate::harness::{
    Authority, Client, ClientTls, Gateway, Origin, RawH2, Request, StreamEnd,
    raw_h2::{block, frame},
};

const CONFIG: &str = r#"
    [[listener]]
    name = "web"
    address = "127.0.0.1:0"
    max_streams = 4

    [[route]]
    name = "held"
    path = "/held"
    upstream = "origin"

    [[route]]
    name = "here"
    respond = { body = "here" }

    [upstream.origin]
    endpoints = ["<origin>"]
"#;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const WHOLE: u8 = END_STREAM | END_HEADERS;

type Field = (&'static [u8], &'static [u8]);

const METHOD: Field = (b":method", b"GET");
const SCHEME: Field = (b":scheme", b"http");
const AUTHORITY: Field = (b":authority", b"gateway.test");
const PATH: Field = (b":path", b"/");

fn get(more: &[Field]) -> Vec<u8> {
    head(&[&[METHOD, SCHEME, AUTHORITY, PATH], more].concat())
}

fn head(fields: &[Field]) -> Vec<u8> {
    frame(HEADERS, WHOLE, 1, &block(fields))
}

/// A POST on stream 1 whose body is still to come.
fn post(path: &'static [u8], more: &[Field]) -> Vec<u8> {
    let fields: [Field; 4] = [(b":method", b"POST"), SCHEME, AUTHORITY, (b":path", path)];
    let fields = [&fields, more].concat();
    frame(HEADERS, END_HEADERS, 1, &block(&fields))
}

/// What a client sends on a connection of its own, and the one record that comes of it.
struct Case {
    name: &'static str,
    frames: Vec<Vec<u8>>,
    status: &'static str,
    reason: &'static str,
}

fn case(
    name: &'static str,
    frames: impl Into<Vec<Vec<u8>>>,
    status: &'static str,
    reason: &'static str,
) -> Case {
    Case {
        name,
        frames: frames.into(),
        status,
        reason,
    }
}

/// Heads that never become requests.
fn malformed_heads() -> Vec<Case> {
    let malformed = |name, frames: Vec<u8>| case(name, [frames], "400", "h2_malformed_head");
    vec![
        malformed("connection", get(&[(b"connection", b"close")])),
        malformed(
            "transfer-encoding",
            get(&[(b"transfer-encoding", b"chunked")]),
        ),
        malformed("te", get(&[(b"te", b"gzip")])),
        malformed("a field of responses", get(&[(b":status", b"200")])),
        malformed(
            "a pseudo field after others",
            head(&[METHOD, SCHEME, AUTHORITY, (b"x", b"y"), PATH]),
        ),
        malformed("two paths", head(&[METHOD, SCHEME, AUTHORITY, PATH, PATH])),
        malformed("no method", head(&[SCHEME, AUTHORITY, PATH])),
        malformed("no path", head(&[METHOD, SCHEME, AUTHORITY])),
        malformed(
            "a length that is no number",
            get(&[(b"content-length", b"x")]),
        ),
        malformed("a length and no body", get(&[(b"content-length", b"5")])),
        malformed(
            "a stream that depends on itself",
            frame(
                HEADERS,
                WHOLE | 0x20,
                1,
                &[&[0, 0, 0, 1, 0][..], &block(&[METHOD])].concat(),
            ),
        ),
        case(
            "a malformed head that is taken back",
            [
                get(&[(b"te", b"gzip")]),
                frame(RST_STREAM, 0, 1, &8u32.to_be_bytes()),
            ],
            "400",
            "h2_malformed_head",
        ),
        case(
            "a capital",
            [get(&[(b"X-Y", b"a")])],
            "400",
            "h2_malformed_head",
        ),
        case(
            "an empty name",
            [get(&[(b"", b"a")])],
            "400",
            "h2_malformed_head",
        ),
        case(
            "a line end in a value",
            [get(&[(b"x", b"a\r\nb")])],
            "400",
            "h2_malformed_head",
        ),
    ]
}

/// Frames that end the connection.
fn broken_frames() -> Vec<Case> {
    let protocol = |name, frames: Vec<Vec<u8>>| case(name, frames, "400", "h2_protocol_error");
    let half = frame(HEADERS, END_STREAM, 1, &[0x82]);
    vec![
        protocol("data on an idle stream", vec![frame(DATA, 0, 1, b"x")]),
        protocol(
            "a reset of an idle stream",
            vec![frame(RST_STREAM, 0, 1, &[0; 4])],
        ),
        protocol(
            "a stream of ours",
            vec![frame(HEADERS, WHOLE, 2, &block(&[METHOD]))],
        ),
        protocol(
            "a head on no stream",
            vec![frame(HEADERS, WHOLE, 0, &block(&[METHOD]))],
        ),
        protocol(
            "a promise",
            vec![frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])],
        ),
        protocol(
            "a continuation of nothing",
            vec![frame(CONTINUATION, END_HEADERS, 1, &[0x82])],
        ),
        protocol(
            "data inside a head",
            vec![half.clone(), frame(DATA, 0, 1, b"x")],
        ),
        protocol(
            "a continuation of another head",
            vec![half.clone(), frame(CONTINUATION, END_HEADERS, 3, &[0x84])],
        ),
        case(
            "an index that names nothing",
            [frame(HEADERS, WHOLE, 1, &[0xff, 0xff, 0x7f])],
            "400",
            "h2_compression",
        ),
        case(
            "a short ping",
            [frame(PING, 0, 0, b"short")],
            "400",
            "h2_frame_size",
        ),
        case(
            "settings of a broken size",
            [frame(SETTINGS, 0, 0, &[0; 5])],
            "400",
            "h2_frame_size",
        ),
        protocol("settings on a stream", vec![frame(SETTINGS, 0, 1, &[])]),
        protocol(
            "a window that grows by nothing",
            vec![frame(WINDOW_UPDATE, 0, 0, &[0; 4])],
        ),
        case(
            "a short priority",
            [frame(PRIORITY, 0, 1, &[0; 3])],
            "400",
            "h2_frame_size",
        ),
        case(
            "a window that grows too far",
            [frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes())],
            "400",
            "h2_flow_control",
        ),
        case(
            "a frame that is too long",
            [frame(DATA, 0, 1, &[0; 16_385])],
            "400",
            "h2_frame_size",
        ),
    ]
}

/// Heads beyond the limits.
fn large_heads() -> Vec<Case> {
    // A literal that goes into the dynamic table, 4,000 bytes long, then references to it.
    let entry = [
        &[0x40u8, 1, b'x', 127, 0x80 | 0x21, 0x1e][..],
        &[b'y'; 4000],
    ]
    .concat();
    let large = |times| {
        let fields = block(&[METHOD, SCHEME, AUTHORITY, PATH]);
        frame(
            HEADERS,
            WHOLE,
            1,
            &[fields, entry.clone(), vec![0xbe; times]].concat(),
        )
    };
    vec![
        case("a large head", [large(20)], "431", "head_too_large"),
        case("a head that is a bomb", [large(4000)], "429", "h2_excess"),
    ]
}

/// Requests that break HTTP/2 after their head.
fn broken_bodies() -> Vec<Case> {
    let measured: [Field; 1] = [(b"content-length", b"5")];
    let length = |name, parts: &[(&[u8], u8)]| {
        let mut frames = vec![post(b"/held", &measured)];
        frames.extend(
            parts
                .iter()
                .map(|(part, flags)| frame(DATA, *flags, 1, part)),
        );
        case(name, frames, "400", "length_mismatch")
    };
    vec![
        length("a short body", &[(b"ab", END_STREAM)]),
        length("an empty body", &[(b"", END_STREAM)]),
        length("a long body", &[(b"abcdef", END_STREAM)]),
        length(
            "a body that is too long at last",
            &[(b"abc", 0), (b"def", END_STREAM)],
        ),
        case(
            "trailers without an end",
            [
                post(b"/held", &[]),
                frame(HEADERS, END_HEADERS, 1, &block(&[(b"x", b"y")])),
            ],
            "400",
            "h2_protocol_error",
        ),
        case(
            "a window of a stream that grows too far",
            [
                post(b"/held", &[]),
                frame(WINDOW_UPDATE, 0, 1, &0x7fff_ffff_u32.to_be_bytes()),
            ],
            "400",
            "h2_flow_control",
        ),
        case(
            "a connection that breaks under a request",
            [post(b"/held", &[]), frame(PING, 0, 0, b"short")],
            "400",
            "h2_frame_size",
        ),
    ]
}

/// Sends each case twice, at once and frame by frame, and compares the records and the counts.
async fn one_record_each(cases: &[Case]) {
    let (origin, _gate) = Origin::gated("never").await;
    let gateway = Gateway::start(CONFIG, &[("origin", &origin)]).await;
    let mut expected = 0;
    let mut complaints = Vec::new();
    for Case {
        name,
        frames,
        status,
        reason,
    } in cases
    {
        for at_once in [true, false] {
            let mut raw = RawH2::over(gateway.connect().await).await;
            if at_once {
                raw.bytes(&frames.concat()).await;
            } else {
                for frame in frames {
                    raw.bytes(frame).await;
                }
            }
            expected += 1;
            let records = gateway.records(expected).await;
            let record = &records[expected - 1];
            let got = ["status", "reason", "protocol", "listener", "route"]
                .map(|field| record.text(field));
            let route = &got[4];
            if got[..4] != [*status, *reason, "HTTP/2", "web"]
                || (!route.is_empty() && route != "held")
            {
                complaints.push(format!("{name} (at once: {at_once}): {got:?}"));
            }
            let client = record.text("client_ip");
            if client != "127.0.0.1" {
                complaints.push(format!("{name}: {client}"));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    let metrics = gateway.metrics().await;
    for reason in metrics.values("portcullis_requests_total", "reason") {
        let of_reason = cases.iter().filter(|case| case.reason == reason).count() * 2;
        let labels = [("listener", "web"), ("reason", reason)];
        let counted = metrics.sum("portcullis_requests_total", &labels);
        assert_eq!(counted, of_reason as f64, "{reason}");
    }
    assert_eq!(
        metrics.sum("portcullis_requests_total", &[]),
        expected as f64
    );
    assert_eq!(gateway.stop().await.len(), expected);
}

#[tokio::test]
async fn case_18_19_a_malformed_head_leaves_one_record() {
    one_record_each(&malformed_heads()).await;
}

#[tokio::test]
async fn a_broken_frame_leaves_one_record() {
    one_record_each(&broken_frames()).await;
}

#[tokio::test]
async fn case_25_a_head_beyond_the_limits_leaves_one_record() {
    one_record_each(&large_heads()).await;
}

#[tokio::test]
async fn case_17_29_a_request_that_breaks_off_leaves_one_record() {
    one_record_each(&broken_bodies()).await;
}

/// What the client sends after a broken head is served, and the order of the records is that of the streams.
#[tokio::test]
async fn a_refused_head_hides_no_request() {
    let (origin, _gate) = Origin::gated("never").await;
    let gateway = Gateway::start(CONFIG, &[("origin", &origin)]).await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    let good = |stream| {
        let fields: [Field; 4] = [METHOD, SCHEME, AUTHORITY, PATH];
        frame(HEADERS, WHOLE, stream, &block(&fields))
    };
    // The malformed one is taken back, so that nothing is said about it.
    let frames = [
        get(&[(b"te", b"gzip")]),
        frame(RST_STREAM, 0, 1, &8u32.to_be_bytes()),
        good(3),
        good(5),
    ];
    raw.bytes(&frames.concat()).await;
    assert_eq!(raw.end_of(5).await, StreamEnd::Status(200));
    let records = gateway.records(3).await;
    let statuses: Vec<String> = records.iter().map(|record| record.text("status")).collect();
    assert_eq!(statuses, ["400", "200", "200"]);
    drop(raw);
    assert_eq!(gateway.stop().await.len(), 3);
}

#[tokio::test]
async fn a_stream_beyond_the_limit_leaves_one_record() {
    let (origin, gate) = Origin::gated("held").await;
    let gateway = Gateway::start(CONFIG, &[("origin", &origin)]).await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    let held: [Field; 4] = [METHOD, SCHEME, AUTHORITY, (b":path", b"/held")];
    for stream in [1, 3, 5, 7] {
        raw.headers(stream, &held, true).await;
    }
    gate.reached(4).await;
    raw.headers(9, &held, true).await;
    assert_eq!(raw.end_of(9).await, StreamEnd::Reset(7));
    let records = gateway.records(1).await;
    assert_eq!(records[0].text("status"), "503");
    assert_eq!(records[0].text("reason"), "h2_too_many_streams");
    gate.open();
    // They come in any order.
    let mut answered = 0;
    while answered < 4 {
        let frame = raw.next_frame().await.expect("an answer");
        answered += usize::from(frame.kind == HEADERS);
    }
    assert_eq!(gateway.records(5).await.len(), 5);
    drop(raw);
    assert_eq!(gateway.stop().await.len(), 5);
}

#[tokio::test]
async fn a_head_whose_client_goes_leaves_one_record() {
    let (origin, _gate) = Origin::gated("never").await;
    let gateway = Gateway::start(CONFIG, &[("origin", &origin)]).await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    raw.bytes(&frame(HEADERS, END_STREAM, 1, &[0x82])).await;
    drop(raw);
    let records = gateway.records(1).await;
    assert_eq!(records[0].text("status"), "499");
    assert_eq!(records[0].text("reason"), "client_gone");
    // A connection that carried nothing leaves nothing.
    drop(RawH2::over(gateway.connect().await).await);
    assert_eq!(gateway.get("/").await.text(), "here");
    assert_eq!(gateway.stop().await.len(), 2);
}

#[tokio::test]
async fn what_is_no_http2_at_all_leaves_one_record_with_its_tls_facts() {
    let authority = Authority::new("tests");
    let site = authority.issue(&["gateway.test"]);
    let gateway = Gateway::start(
        r#"
        [[listener]]
        name = "secure"
        address = "127.0.0.1:0"
        tls = { certificates = [<site>] }
        [[route]]
        name = "here"
        respond = { body = "here" }
        "#,
        &[("site", &site)],
    )
    .await;
    let tls = ClientTls::offering(&authority, "gateway.test", &[b"h2"]);
    let mut client = gateway.connect_tls("secure", &tls).await;
    client
        .send(&Request::get("/no-preface-of-http2").bytes())
        .await;
    let records = gateway.records(1).await;
    let got = [
        "status",
        "reason",
        "protocol",
        "listener",
        "tls_version",
        "tls_sni",
    ]
    .map(|field| records[0].text(field));
    assert_eq!(
        got,
        [
            "400",
            "h2_protocol_error",
            "HTTP/2",
            "secure",
            "TLSv1.3",
            "gateway.test"
        ]
    );
    // Nothing was said, so nothing is recorded.
    drop(Client::connect_tls(gateway.address("secure").await, &tls).await);
    assert_eq!(gateway.stop().await.len(), 1);
}
