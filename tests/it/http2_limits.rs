//! What a client may use of one HTTP/2 connection, as `[listener.http2]` says.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;

use crate::harness::{
    Gate, Gateway, H2Client, Origin, RawH2, StreamEnd,
    raw_h2::{block, frame},
    within,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ALL_OF_A_HEAD: u8 = 5;
const INITIAL_WINDOW_SIZE: u16 = 4;
const ENHANCE_YOUR_CALM: u32 = 11;

type Field = (&'static [u8], &'static [u8]);

const fn get(path: &'static [u8]) -> [Field; 4] {
    [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"gateway.test"),
        (b":path", path),
    ]
}

/// A gateway with these keys in `[listener.http2]` before an origin that answers with so many bytes.
async fn start(keys: &str, bytes: usize) -> (Gateway, Origin) {
    start_with(&format!("http2 = {{ {keys} }}"), bytes).await
}

/// The same with these keys of the listener.
async fn start_with(keys: &str, bytes: usize) -> (Gateway, Origin) {
    let origin = Origin::http(move |_seen| async move {
        http::Response::new(Full::new(Bytes::from(vec![b'x'; bytes])))
    })
    .await;
    (before(&origin, keys).await, origin)
}

/// A gateway with these keys of the listener before this origin.
async fn before(origin: &Origin, keys: &str) -> Gateway {
    let text = format!(
        r#"
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        {keys}
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<app>"]
        "#
    );
    Gateway::start(&text, &[("app", origin)]).await
}

/// A client whose first setting is the window of each stream.
async fn with_window(gateway: &Gateway, window: u32) -> RawH2 {
    let client = gateway.connect().await;
    client.small_receive_buffer();
    let mut raw = RawH2::over(client).await;
    let payload = [
        &INITIAL_WINDOW_SIZE.to_be_bytes()[..],
        &window.to_be_bytes(),
    ]
    .concat();
    raw.frame(SETTINGS, 0, 0, &payload).await;
    raw
}

async fn defences(gateway: &Gateway, defence: &str) -> f64 {
    let metrics = gateway.metrics().await;
    let labels = [("listener", "web"), ("defence", defence)];
    metrics.sum("portcullis_defences_total", &labels)
}

/// Waits until it is counted, which may be after the connection's end is seen, and sees that it is so once.
async fn counted(gateway: &Gateway, defence: &str) {
    let labels = [("listener", "web"), ("defence", defence)];
    let name = "portcullis_defences_total";
    let metrics = gateway.metric_reaches(name, &labels, 1).await;
    assert_eq!(metrics.sum(name, &labels), 1.0);
}

#[tokio::test]
async fn the_windows_are_configured() {
    let keys = r#"stream_window = "20000B", connection_window = "100000B""#;
    let (gateway, _origin) = start(keys, 1).await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    let increment = loop {
        let frame = raw.next_frame().await.expect("a frame");
        if (frame.kind, frame.stream) == (WINDOW_UPDATE, 0) {
            break u32::from_be_bytes(frame.payload.try_into().expect("four bytes"));
        }
    };
    // Every connection begins with 65,535.
    assert_eq!(increment, 100_000 - 65_535);
    raw.headers(1, &get(b"/"), true).await;
    assert_eq!(raw.end_of(1).await, StreamEnd::Status(200));
    assert_eq!(raw.setting(INITIAL_WINDOW_SIZE), Some(20_000));
}

#[tokio::test]
async fn a_response_is_held_in_pieces_of_the_configured_size() {
    let (gateway, _origin) = start(r#"send_buffer = "1KiB""#, 20_000).await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    raw.headers(1, &get(b"/"), true).await;
    let (mut got, mut largest) = (0, 0);
    while got < 20_000 {
        let frame = raw.next_frame().await.expect("a frame");
        if frame.kind == DATA {
            got += frame.payload.len();
            largest = largest.max(frame.payload.len());
        }
    }
    assert_eq!((got, largest), (20_000, 1024));
}

/// One more than is configured of each kind of frame, and what is counted.
#[tokio::test]
async fn frames_that_move_nothing_are_counted_as_configured() {
    let kinds = [
        ("max_settings", frame(SETTINGS, 0, 0, &[]), "settings_flood"),
        ("max_pings", frame(PING, 0, 0, &[7; 8]), "ping_flood"),
        (
            "max_priorities",
            frame(PRIORITY, 0, 1, &[0, 0, 0, 3, 7]),
            "priority_flood",
        ),
        (
            "max_window_updates",
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
            "window_update_flood",
        ),
        (
            "max_unknown_frames",
            frame(0x42, 0, 0, b"what is it?"),
            "unknown_frame_flood",
        ),
    ];
    for (key, part, defence) in kinds {
        let (gateway, _origin) = start(&format!("{key} = 4"), 1).await;
        let mut raw = RawH2::over(gateway.connect().await).await;
        raw.bytes(&part.repeat(5)).await;
        assert_eq!(
            raw.end_of(1).await,
            StreamEnd::GoAway(ENHANCE_YOUR_CALM),
            "{key}"
        );
        assert_eq!(defences(&gateway, defence).await, 1.0, "{key}");
        // Switched off, many times as many do nothing.
        let (gateway, _origin) = start(&format!("{key} = \"off\""), 1).await;
        let mut raw = RawH2::over(gateway.connect().await).await;
        raw.bytes(&part.repeat(3000)).await;
        raw.headers(1, &get(b"/"), true).await;
        assert_eq!(raw.end_of(1).await, StreamEnd::Status(200), "{key}");
    }
}

#[tokio::test]
async fn after_the_configured_time_the_count_begins_again() {
    let (gateway, _origin) = start("max_settings = 4, frames_period = \"1ms\"", 1).await;
    let bystander = H2Client::connect(gateway.web().await).await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    for stream in [1, 3, 5, 7] {
        let began = Instant::now();
        // With the one of the preface and the acknowledgement these are four, and then two more each time.
        raw.bytes(&frame(SETTINGS, 0, 0, &[]).repeat(2)).await;
        raw.headers(stream, &get(b"/"), true).await;
        assert_eq!(raw.end_of(stream).await, StreamEnd::Status(200));
        while began.elapsed() < Duration::from_millis(3) {
            bystander.get("/").await;
        }
    }
}

#[tokio::test]
async fn requests_that_are_given_up_are_counted_as_configured() {
    let (origin, _gate) = Origin::gated("never").await;
    let gateway = Gateway::start(
        r#"
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        http2 = { max_cancelled = 5 }
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<app>"]
        "#,
        &[("app", &origin)],
    )
    .await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    for number in 0..20 {
        let stream = 2 * number + 1;
        raw.frame(HEADERS, ALL_OF_A_HEAD, stream, &block(&get(b"/")))
            .await;
        raw.frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()).await;
    }
    assert_eq!(
        raw.end_of(u32::MAX).await,
        StreamEnd::GoAway(ENHANCE_YOUR_CALM)
    );
    counted(&gateway, "rapid_reset").await;
}

#[tokio::test]
async fn resets_for_the_clients_errors_are_counted_as_configured() {
    let (gateway, _origin) = start("max_error_resets = 3", 1).await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    let mut resets = 0;
    loop {
        let stream = 2 * resets + 1;
        raw.frame(HEADERS, 4, stream, &block(&get(b"/"))).await;
        // A stream that depends on itself.
        let payload = [&stream.to_be_bytes()[..], &[0]].concat();
        raw.frame(PRIORITY, 0, stream, &payload).await;
        match raw.end_of(stream).await {
            StreamEnd::Reset(_) if resets < 100 => resets += 1,
            end => {
                assert_eq!(end, StreamEnd::GoAway(ENHANCE_YOUR_CALM), "{resets} resets");
                break;
            }
        }
    }
    assert!(resets <= 4, "{resets} resets");
    // It is counted by then.
    raw.until_closed().await;
    counted(&gateway, "made_you_reset").await;
}

/// Case 28: windows that open byte by byte make a frame of each byte.
#[tokio::test]
async fn case_28_windows_of_one_byte_are_counted_as_configured() {
    let (gateway, _origin) = start("max_small_pieces = 10", 20_000).await;
    let mut raw = with_window(&gateway, 0).await;
    raw.headers(1, &get(b"/"), true).await;
    assert_eq!(raw.end_of(1).await, StreamEnd::Status(200));
    let mut pieces = 0;
    let end = loop {
        raw.frame(WINDOW_UPDATE, 0, 1, &1u32.to_be_bytes()).await;
        let next = loop {
            let next = raw.next_frame().await.expect("a frame");
            if matches!(next.kind, DATA | GOAWAY | RST_STREAM) {
                break next;
            }
        };
        if next.kind != DATA || pieces > 1000 {
            break next;
        }
        assert_eq!(next.payload.len(), 1);
        pieces += 1;
    };
    assert_eq!((end.kind, end.payload[7]), (GOAWAY, 11), "{end:?}");
    assert!((10..=11).contains(&pieces), "{pieces}");
    counted(&gateway, "small_pieces").await;
}

/// Case 28: what exchanges have left behind for a client that reads nothing has its time, too.
#[tokio::test]
async fn case_28_who_does_not_take_what_it_was_answered_is_ended() {
    const STREAMS: u32 = 100;
    // Long enough for all exchanges to come to their end before the first of them is missed.
    let (gateway, _origin) = start_with("body_timeout = \"6s\"", 100_000).await;
    let mut raw = with_window(&gateway, 1 << 30).await;
    raw.frame(WINDOW_UPDATE, 0, 0, &(1u32 << 30).to_be_bytes())
        .await;
    let head = block(&get(b"/"));
    let heads: Vec<u8> = (0..STREAMS)
        .flat_map(|number| frame(HEADERS, ALL_OF_A_HEAD, 2 * number + 1, &head))
        .collect();
    raw.bytes(&heads).await;
    // The exchanges come to their end; nobody reads a byte of it.
    gateway.records(STREAMS as usize).await;
    within("the end of the connection", async {
        let mut beat = tokio::time::interval(Duration::from_millis(20));
        while defences(&gateway, "slow_reader").await < 1.0 {
            beat.tick().await;
        }
    })
    .await;
    raw.until_closed().await;
    // It tells of nothing that the requests have not told.
    assert_eq!(gateway.stop().await.len(), STREAMS as usize);
}

/// Clients, and requests of each, that are more than may begin in one breath.
const CLIENTS: usize = 4;
const STREAMS: u32 = 100;

/// A gateway before an origin that holds its answers back.
async fn gated() -> (Gateway, Origin, Gate) {
    let (origin, gate) = Origin::gated("late").await;
    (before(&origin, "").await, origin, gate)
}

/// In a crowd a client gets its requests through by and by, also when all of its answers take long: each of them may wait
/// for something.
#[tokio::test]
async fn as_many_requests_as_are_allowed_wait_for_their_answers_at_once() {
    let (gateway, _origin, gate) = gated().await;
    let head = block(&get(b"/"));
    let heads: Vec<u8> = (0..STREAMS)
        .flat_map(|number| frame(HEADERS, ALL_OF_A_HEAD, 2 * number + 1, &head))
        .collect();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut raw = RawH2::over(gateway.connect().await).await;
        raw.bytes(&heads).await;
        clients.push(raw);
    }
    gate.reached(CLIENTS * STREAMS as usize).await;
    gate.open();
    for raw in &mut clients {
        for _ in 0..STREAMS {
            while raw.next_frame().await.expect("a frame").kind != HEADERS {}
        }
    }
    gateway.records(CLIENTS * STREAMS as usize).await;
}

/// Requests that wait for their turn are given up like all others, and those behind them have theirs.
#[tokio::test]
async fn requests_that_are_given_up_before_their_turn_hold_up_nobody() {
    let (gateway, origin, gate) = gated().await;
    let (kept, gone) = (block(&get(b"/kept")), block(&get(b"/gone")));
    let mut bytes = Vec::new();
    for number in 0..STREAMS {
        let head = if number % 2 == 0 { &kept } else { &gone };
        bytes.extend(frame(HEADERS, ALL_OF_A_HEAD, 2 * number + 1, head));
    }
    for number in (1..STREAMS).step_by(2) {
        bytes.extend(frame(RST_STREAM, 0, 2 * number + 1, &8u32.to_be_bytes()));
    }
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut raw = RawH2::over(gateway.connect().await).await;
        raw.bytes(&bytes).await;
        clients.push(raw);
    }
    let half = CLIENTS * STREAMS as usize / 2;
    gate.reached(half).await;
    gate.open();
    let records = gateway.records(2 * half).await;
    let given_up = records
        .iter()
        .filter(|record| record.text("status") == "499");
    assert_eq!(given_up.count(), half);
    let seen = origin.seen();
    let answered = seen.iter().filter(|seen| seen.target == "/kept");
    assert_eq!(answered.count(), half);
}
