//! Wire rules 17 to 19 and 42: HTTP/2 requests that would be something else in HTTP/1.

use bytes::Bytes;

use crate::harness::{Gateway, H2Client, RawH2, RecordingOrigin, StreamEnd, h2_request};

const CONFIG: &str = r#"
    [server]
    workers = 1

    [[route]]
    name = "all"
    upstream = "origin"

    [upstream.origin]
    endpoints = ["<origin>"]
"#;

type Field = (&'static [u8], &'static [u8]);

const METHOD: Field = (b":method", b"GET");
const SCHEME: Field = (b":scheme", b"http");
const AUTHORITY: Field = (b":authority", b"gateway.test");
const PATH: Field = (b":path", b"/");

/// Heads that no stream may carry.
const HEADS: &[(&str, &[Field])] = &[
    // 18: bytes that would end or split a line in HTTP/1.
    (
        "a line end in a value",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"x", b"a\r\nevil: b")],
    ),
    (
        "a carriage return in a value",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"x", b"a\rb")],
    ),
    (
        "a line feed in a value",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"x", b"a\nb")],
    ),
    (
        "NUL in a value",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"x", b"a\0b")],
    ),
    (
        "a line end in a name",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"x\r\ny", b"a")],
    ),
    (
        "a colon in a name",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"x:y", b"a")],
    ),
    (
        "a space in a name",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"x y", b"a")],
    ),
    (
        "a capital in a name",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"X-Y", b"a")],
    ),
    (
        "an empty name",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"", b"a")],
    ),
    (
        "a space in the path",
        &[METHOD, SCHEME, AUTHORITY, (b":path", b"/ HTTP/1.1")],
    ),
    (
        "a line end in the path",
        &[METHOD, SCHEME, AUTHORITY, (b":path", b"/ HTTP/1.1\r\nx: y")],
    ),
    (
        "a fragment in the path",
        &[METHOD, SCHEME, AUTHORITY, (b":path", b"/a#b")],
    ),
    (
        "NUL in the path",
        &[METHOD, SCHEME, AUTHORITY, (b":path", b"/a\0b")],
    ),
    (
        "bytes beyond ASCII in the path",
        &[METHOD, SCHEME, AUTHORITY, (b":path", b"/\xc3\xa9")],
    ),
    (
        "a line end in the scheme",
        &[METHOD, (b":scheme", b"http\r\nx: y"), AUTHORITY, PATH],
    ),
    (
        "a space before a value",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"x", b" y")],
    ),
    (
        "an empty path",
        &[METHOD, SCHEME, AUTHORITY, (b":path", b"")],
    ),
    (
        "a path without a slash",
        &[METHOD, SCHEME, AUTHORITY, (b":path", b"a")],
    ),
    (
        "a line end in the method",
        &[
            (b":method", b"GET / HTTP/1.1\r\nx: y"),
            SCHEME,
            AUTHORITY,
            PATH,
        ],
    ),
    (
        "an empty method",
        &[(b":method", b""), SCHEME, AUTHORITY, PATH],
    ),
    (
        "a line end in the authority",
        &[
            METHOD,
            SCHEME,
            (b":authority", b"gateway.test\r\nx: y"),
            PATH,
        ],
    ),
    (
        "user information in the authority",
        &[METHOD, SCHEME, (b":authority", b"a@gateway.test"), PATH],
    ),
    ("no path", &[METHOD, SCHEME, AUTHORITY]),
    ("no method", &[SCHEME, AUTHORITY, PATH]),
    (
        "two paths",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b":path", b"/other")],
    ),
    (
        "an unknown pseudo field",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b":evil", b"x")],
    ),
    (
        "a pseudo field of responses",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b":status", b"200")],
    ),
    (
        "a pseudo field after the others",
        &[METHOD, SCHEME, AUTHORITY, (b"x", b"y"), PATH],
    ),
    // 19: fields that only mean something in HTTP/1.
    (
        "transfer-encoding",
        &[
            METHOD,
            SCHEME,
            AUTHORITY,
            PATH,
            (b"transfer-encoding", b"chunked"),
        ],
    ),
    (
        "connection",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"connection", b"close")],
    ),
    (
        "keep-alive",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"keep-alive", b"x")],
    ),
    (
        "proxy-connection",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"proxy-connection", b"x")],
    ),
    (
        "upgrade",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"upgrade", b"websocket")],
    ),
    (
        "te other than trailers",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"te", b"gzip")],
    ),
    // 17: lengths that are none, or more than one.
    (
        "two lengths",
        &[
            METHOD,
            SCHEME,
            AUTHORITY,
            PATH,
            (b"content-length", b"0"),
            (b"content-length", b"0"),
        ],
    ),
    (
        "a list of lengths",
        &[
            METHOD,
            SCHEME,
            AUTHORITY,
            PATH,
            (b"content-length", b"0, 0"),
        ],
    ),
    (
        "a length with a sign",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"content-length", b"+0")],
    ),
    (
        "an empty length",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"content-length", b"")],
    ),
    (
        "a length without a body",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"content-length", b"1")],
    ),
    // 42: two hosts.
    (
        "an authority and another host",
        &[METHOD, SCHEME, AUTHORITY, PATH, (b"host", b"other.test")],
    ),
    (
        "an authority and two hosts",
        &[
            METHOD,
            SCHEME,
            AUTHORITY,
            PATH,
            (b"host", b"gateway.test"),
            (b"host", b"other.test"),
        ],
    ),
];

#[tokio::test]
async fn case_18_19_no_malformed_head_leaves_its_stream() {
    let origin = RecordingOrigin::start().await;
    let gateway = Gateway::start(CONFIG, &[("origin", &origin)]).await;
    let mut complaints = Vec::new();
    for (name, fields) in HEADS {
        let mut raw = RawH2::over(gateway.connect().await).await;
        raw.headers(1, fields, true).await;
        match raw.end_of(1).await {
            StreamEnd::Status(400 | 0) | StreamEnd::Reset(_) | StreamEnd::GoAway(_) => {}
            other => complaints.push(format!("{name}: {other:?}")),
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    // Whoever is next is served, and the origin has seen nobody else.
    let client = H2Client::connect(gateway.web().await).await;
    assert_eq!(client.get("/good").await.status, 200);
    let seen = origin.requests();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(
        origin
            .connections()
            .iter()
            .all(|one| !one.partial && !one.malformed)
    );
    // Each of them has left one record, whoever refused it.
    let records = gateway.stop().await;
    assert_eq!(records.len(), HEADS.len() + 1);
    for record in &records[..HEADS.len()] {
        assert_eq!(record.text("status"), "400", "{:?}", record.whole());
    }
}

/// Bodies that are not as long as they said.
#[tokio::test]
async fn case_17_a_body_of_another_length_is_no_request() {
    let origin = RecordingOrigin::start().await;
    let gateway = Gateway::start(CONFIG, &[("origin", &origin)]).await;
    let post: [Field; 5] = [
        (b":method", b"POST"),
        SCHEME,
        AUTHORITY,
        PATH,
        (b"content-length", b"5"),
    ];
    for (parts, with_trailers) in [
        (&[&b"ab"[..]][..], false),
        (&[b"abcdef"], false),
        (&[b"abc", b"def"], false),
        (&[b""], false),
        // The end may come with trailers, too.
        (&[], true),
        (&[b"ab"], true),
        (&[b"abcdef"], true),
    ] {
        let mut raw = RawH2::over(gateway.connect().await).await;
        raw.headers(1, &post, false).await;
        for (index, part) in parts.iter().enumerate() {
            let is_end = !with_trailers && index + 1 == parts.len();
            raw.data(1, part, is_end).await;
        }
        if with_trailers {
            raw.headers(1, &[(b"x", b"y")], true).await;
        }
        match raw.end_of(1).await {
            StreamEnd::Status(400 | 0) | StreamEnd::Reset(_) | StreamEnd::GoAway(_) => {}
            other => panic!("{parts:?}: {other:?}"),
        }
        let client = H2Client::connect(gateway.web().await).await;
        assert_eq!(client.get("/next").await.status, 200, "{parts:?}");
    }
    origin.settled().await;
    assert!(
        origin
            .requests()
            .iter()
            .all(|request| request.target == "/next")
    );
    assert!(origin.connections().iter().all(|one| !one.malformed));
}

/// A stream that the client gives up leaves half a request, and its connection is not used again.
#[tokio::test]
async fn case_17_a_stream_given_up_ends_its_upstream_connection() {
    let origin = RecordingOrigin::start().await;
    let gateway = Gateway::start(CONFIG, &[("origin", &origin)]).await;
    let client = H2Client::connect(gateway.web().await).await;
    let request = h2_request("POST", "/half").body(()).expect("a request");
    let (_response, mut stream) = client.open(request, false).await;
    stream
        .send_data(Bytes::from_static(b"half"), false)
        .expect("a part");
    origin.until_connections(1).await;
    stream.send_reset(h2::Reason::CANCEL);
    assert_eq!(client.get("/next").await.status, 200);
    origin.settled().await;
    let seen = origin.requests();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].target, "/next");
    assert_eq!(origin.connections().len(), 2);
}

#[tokio::test]
async fn http2_fields_become_http1_fields() {
    let origin = RecordingOrigin::start().await;
    let gateway = Gateway::start(CONFIG, &[("origin", &origin)]).await;
    let client = H2Client::connect(gateway.web().await).await;
    let request = h2_request("POST", "/a?b")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("te", "trailers")
        .body(Bytes::from_static(b"body"))
        .expect("a request");
    assert_eq!(client.ask(request).await.status, 200);
    let seen = origin.requests();
    let request = seen.first().expect("a request");
    assert_eq!(request.target, "/a?b");
    assert_eq!(request.header("host"), Some("gateway.test"));
    assert_eq!(request.header("cookie"), Some("a=1; b=2"));
    assert_eq!(request.body, b"body");
}
