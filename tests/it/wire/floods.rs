//! Wire rules B: HTTP/2 clients that want more of the gateway's memory and time than their share.

use crate::harness::{Gateway, Origin, RawH2};

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

type Field = (&'static [u8], &'static [u8]);

const GET: &[Field] = &[
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":authority", b"gateway.test"),
    (b":path", b"/held"),
];

const POST: &[Field] = &[
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":authority", b"gateway.test"),
    (b":path", b"/held"),
];

/// A gateway before an origin that never answers, and its memory before the attack.
struct Target {
    gateway: Gateway,
    origin: Origin,
    before: u64,
}

impl Target {
    async fn start() -> Self {
        let (origin, _gate) = Origin::gated("never").await;
        let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
        assert_eq!(gateway.get("/ping").await.text(), "pong");
        let before = gateway.resident();
        Self {
            gateway,
            origin,
            before,
        }
    }

    async fn attacker(&self) -> RawH2 {
        RawH2::over(self.gateway.connect().await).await
    }

    /// Others are served, and memory is what it was but for a little.
    async fn stands(self) {
        assert_eq!(self.gateway.get("/ping").await.text(), "pong");
        let grown = self.gateway.peak_resident().saturating_sub(self.before);
        assert!(grown < MEMORY, "{grown} bytes");
    }
}

#[tokio::test]
async fn case_22_rapid_resets_end_the_connection() {
    let target = Target::start().await;
    let mut raw = target.attacker().await;
    let mut sent = 0;
    while sent < MANY {
        let stream = 2 * sent + 1;
        raw.headers(stream, GET, true).await;
        // RST_STREAM with CANCEL.
        if !raw.frame(3, 0, stream, &8u32.to_be_bytes()).await {
            break;
        }
        sent += 1;
    }
    assert!(sent < MANY, "all resets were taken");
    target.stands().await;
}

/// CVE-2025-8671: the client makes the gateway reset its streams.
#[tokio::test]
async fn case_23_resets_that_the_gateway_is_made_to_send_count_as_well() {
    // A window that grows by nothing, one that grows too far, a stream that depends on itself, data after the end.
    type Payload = fn(u32) -> Vec<u8>;
    let triggers: [(u8, bool, Payload); 4] = [
        (8, false, |_| 0u32.to_be_bytes().to_vec()),
        (8, false, |_| 0x7fff_ffff_u32.to_be_bytes().to_vec()),
        (2, false, |stream| {
            [&stream.to_be_bytes()[..], &[0]].concat()
        }),
        (0, true, |_| b"more".to_vec()),
    ];
    for (kind, end, payload) in triggers {
        let target = Target::start().await;
        let mut raw = target.attacker().await;
        let mut sent = 0;
        while sent < MANY {
            let stream = 2 * sent + 1;
            raw.headers(stream, POST, end).await;
            if !raw.frame(kind, 0, stream, &payload(stream)).await {
                break;
            }
            sent += 1;
        }
        assert!(sent < MANY, "all resets of frame {kind} were made");
        let at_once = target.origin.seen().len();
        assert!(at_once <= 50, "{at_once} requests reached the origin");
        target.stands().await;
    }
}

#[tokio::test]
async fn case_24_a_head_without_end_is_cut_off_while_it_is_small() {
    let target = Target::start().await;
    let mut raw = target.attacker().await;
    // HEADERS without END_HEADERS, then CONTINUATION frames with a field each.
    raw.frame(1, 0, 1, &[0x82, 0x86, 0x84]).await;
    let field = [&[0u8, 5][..], b"x-fld", &[100], &[b'x'; 100]].concat();
    let mut sent = 0;
    while sent < MANY && raw.frame(9, 0, 1, &field).await {
        sent += 1;
    }
    assert!(sent < MANY, "all frames were taken");
    target.stands().await;
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
    let mut stream = 1;
    for _ in 0..200 {
        let block = [&pseudo[..], &entry, &[0xbe; 8000]].concat();
        if !raw.frame(1, 5, stream, &block).await {
            break;
        }
        stream += 2;
    }
    target.stands().await;
}

#[tokio::test]
async fn case_27_empty_data_without_end_costs_nothing() {
    let target = Target::start().await;
    let mut raw = target.attacker().await;
    raw.headers(1, POST, false).await;
    for _ in 0..MANY {
        if !raw.frame(0, 0, 1, b"").await {
            break;
        }
    }
    target.stands().await;
}

/// A hundred streams that nobody reads hold windows, not bodies.
#[tokio::test]
async fn case_28_unread_responses_are_not_piled_up() {
    let origin = Origin::http(|_seen| async {
        let body = bytes::Bytes::from(vec![b'x'; 20_000_000]);
        http::Response::new(http_body_util::Full::new(body))
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
        if frame.kind == 0 {
            got += frame.payload.len();
        }
    }
    assert_eq!(got, 65_535);
    assert_eq!(gateway.get("/ping").await.text(), "pong");
    let grown = gateway.peak_resident().saturating_sub(before);
    assert!(grown < MEMORY, "{grown} bytes");
}
