//! What becomes of the heads that come, and of those that go.

use super::super::fields::{Fields, Known};
use super::super::head::{Method, RequestHead, ResponseHead, TargetForm, Version};
use super::*;

const LIMITS: HeadLimits = HeadLimits {
    bytes: 512,
    fields: 8,
    target: 64,
};

/// Larger than anything here.
const WIDE: HeadLimits = HeadLimits {
    bytes: 1 << 20,
    fields: 128,
    target: 1 << 20,
};

type Pair<'a> = (&'a str, &'a str);

/// A block of literals that are not indexed.
fn block(pairs: &[Pair<'_>]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in pairs {
        block.push(0);
        for text in [name, value] {
            hpack::write_string(text.as_bytes(), &mut block);
        }
    }
    block
}

fn read(pairs: &[Pair<'_>]) -> Result<RequestHead, BlockError> {
    let mut head = RequestHead::default();
    head.fields.push(b"stale", b"1");
    head.query = Some("stale".to_owned());
    read_request(&mut Decoder::new(), &block(pairs), &mut head, &LIMITS).map(|()| head)
}

/// A request to that target, `scheme://authority/path`, `authority` or a path alone, as clients send it.
fn request(method: &str, target: &str, fields: &[Pair<'_>]) -> Result<RequestHead, BlockError> {
    let mut pairs = vec![(":method", method)];
    match target.split_once("://") {
        Some((scheme, rest)) => {
            let path = rest.find('/').unwrap();
            pairs.extend([
                (":scheme", scheme),
                (":authority", &rest[..path]),
                (":path", &rest[path..]),
            ]);
        }
        None if target.starts_with(['/', '*']) => {
            pairs.extend([(":scheme", "http"), (":path", target)]);
        }
        None => pairs.push((":authority", target)),
    }
    pairs.extend(fields);
    read(&pairs)
}

fn refused(error: HeadError) -> Option<BlockError> {
    Some(BlockError::Refused(error))
}

fn pairs(fields: &Fields) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    fields
        .iter()
        .map(|field| (text(field.name), text(field.value)))
        .collect()
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// Every field of a block, pseudo-fields among them.
fn listed(block: &[u8]) -> Vec<(String, String)> {
    struct All(Vec<(String, String)>);
    impl hpack::Sink for All {
        fn field(&mut self, seen: &hpack::Seen<'_>) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            self.0.push((text(seen.name), text(seen.value)));
        }
    }
    let mut all = All(Vec::new());
    Decoder::new().read(block, &WIDE, &mut all).unwrap();
    all.0
}

fn written(head: &RequestHead, scheme: &str) -> Result<Vec<(String, String)>, HeadError> {
    let mut out = Vec::new();
    write_request(&mut Encoder::new(), head, scheme, &mut out).map(|()| listed(&out))
}

#[test]
fn a_request_is_taken_apart_as_in_http_1() {
    let head = request(
        "POST",
        "https://Example.com:8443/a/%2e%2e/b?q=1",
        &[("x-a", "1"), ("accept", "*/*")],
    )
    .unwrap();
    assert_eq!((head.version, head.method), (Version::Http2, Method::Post));
    assert_eq!((head.host.as_str(), head.port), ("example.com", Some(8443)));
    assert_eq!(
        (head.path.as_str(), head.query.as_deref()),
        ("/b", Some("q=1"))
    );
    assert_eq!(
        pairs(&head.fields),
        [pair("x-a", "1"), pair("accept", "*/*")]
    );
    assert_eq!(request("GET", "https://a/", &[]).unwrap().query, None);
}

#[test]
fn the_pieces_of_a_cookie_are_joined() {
    let fields = [
        ("cookie", "a=1"),
        ("x", "y"),
        ("cookie", "b=2"),
        ("cookie", "c=3"),
    ];
    let head = request("GET", "https://a/", &fields).unwrap();
    assert_eq!(
        pairs(&head.fields),
        [pair("x", "y"), pair("cookie", "a=1; b=2; c=3")]
    );
    // Nothing of it is left for the next request of the connection.
    let mut decoder = Decoder::new();
    let head_of = |fields: &[Pair<'_>]| {
        block(
            &[
                &[
                    (":method", "GET"),
                    (":scheme", "http"),
                    (":path", "/"),
                    ("host", "a"),
                ],
                fields,
            ]
            .concat(),
        )
    };
    let mut head = RequestHead::default();
    for (fields, cookie) in [
        (&[("cookie", "a=1")][..], Some(&b"a=1"[..])),
        (&[], None),
        (&[("cookie", "")], Some(b"")),
        (&[("cookie", ""), ("cookie", "b")], Some(b"b")),
        (&[("cookie", "a"), ("cookie", "")], Some(b"a")),
    ] {
        read_request(&mut decoder, &head_of(fields), &mut head, &LIMITS).unwrap();
        assert_eq!(head.fields.first(Known::Cookie), cookie);
    }
}

#[test]
fn case_042_authority_and_host_agree() {
    for (target, host) in [
        ("https://a/", "A."),
        ("https://a/", "a:443"),
        ("http://a:80/", "a"),
        ("/", "a"),
    ] {
        let head = request("GET", target, &[("host", host)]).unwrap();
        assert_eq!(head.host, "a");
        assert!(head.fields.is_empty());
    }
    for (target, host) in [
        ("https://a/", "b"),
        ("https://a/", "a:80"),
        ("https://a:1/", "a"),
        ("https://a/", "a.b"),
    ] {
        assert_eq!(
            request("GET", target, &[("host", host)]).err(),
            refused(HeadError::HostMismatch),
            "{target} {host}"
        );
    }
    for (target, hosts, error) in [
        ("/", &[][..], HeadError::MissingHost),
        ("https://a/", &["a", "a"], HeadError::DuplicateHost),
        ("https://u@a/", &[], HeadError::BadHost),
        ("https://a/", &[""], HeadError::BadHost),
        ("https:///", &[], HeadError::BadHost),
    ] {
        let hosts: Vec<Pair<'_>> = hosts.iter().map(|host| ("host", *host)).collect();
        assert_eq!(
            request("GET", target, &hosts).err(),
            refused(error),
            "{target}"
        );
    }
}

#[test]
fn case_018_what_http_1_would_misread_is_refused() {
    for (target, name, value, error) in [
        ("https://a/", "x", " y", HeadError::BadFieldValue),
        ("https://a/", "x", "y\t", HeadError::BadFieldValue),
        ("https://a/", "x", "a\x01b", HeadError::BadFieldValue),
        ("https://a/", "x", "a\x7fb", HeadError::BadFieldValue),
        // RFC 9113 section 8.2.1 lets it pass, RFC 9110 section 5.6.2 does not.
        ("https://a/", "x\"y", "z", HeadError::BadFieldName),
        ("https://a/", "x(y", "z", HeadError::BadFieldName),
        ("https://a/%00", "x", "y", HeadError::AmbiguousPath),
        ("https://a/é", "x", "y", HeadError::BadTarget),
        ("https://a/?é", "x", "y", HeadError::BadTarget),
        ("https://a/ b", "x", "y", HeadError::BadTarget),
        ("https://a/b#c", "x", "y", HeadError::BadTarget),
    ] {
        let result = request("GET", target, &[(name, value)]);
        assert_eq!(result.err(), refused(error), "{target} {name} {value}");
    }
}

const METHOD: Pair<'_> = (":method", "GET");
const SCHEME: Pair<'_> = (":scheme", "https");
const AUTHORITY: Pair<'_> = (":authority", "a");
const PATH: Pair<'_> = (":path", "/");

#[test]
fn case_018_what_http_2_forbids_is_malformed() {
    let whole = [METHOD, SCHEME, AUTHORITY, PATH];
    let with = |name, value| [&whole[..], &[(name, value)]].concat();
    let cases = [
        with("x", "a\r\nb"),
        with("x", "a\rb"),
        with("x", "a\nb"),
        with("x", "a\0b"),
        with("X-Y", "a"),
        with("x:y", "a"),
        with("x y", "a"),
        with("x\r\ny", "a"),
        with("é", "a"),
        with("", "a"),
        with(":evil", "a"),
        with(":", "a"),
        with(":Path", "a"),
        with(":status", "200"),
        with(":path", "/other"),
        with(":method", "GET"),
        with(":scheme", "https"),
        with(":authority", "a"),
        with(":protocol", "websocket"),
        vec![SCHEME, AUTHORITY, PATH],
        vec![METHOD, AUTHORITY, PATH],
        vec![METHOD, SCHEME, AUTHORITY],
        vec![METHOD, SCHEME, ("host", "a")],
        vec![METHOD, SCHEME, AUTHORITY, ("x", "y"), PATH],
        vec![METHOD, SCHEME, AUTHORITY, ("host", "a"), PATH],
        vec![METHOD, SCHEME, AUTHORITY, (":path", "")],
        vec![METHOD, SCHEME, AUTHORITY, (":path", "/\r\nx: y")],
        vec![METHOD, SCHEME, (":authority", "a\nb"), PATH],
        vec![(":method", ""), SCHEME, AUTHORITY, PATH],
        vec![(":method", "GET /"), SCHEME, AUTHORITY, PATH],
        vec![(":method", "é"), SCHEME, AUTHORITY, PATH],
        vec![METHOD, (":scheme", ""), AUTHORITY, PATH],
        vec![METHOD, (":scheme", "h ttp"), AUTHORITY, PATH],
        vec![METHOD, (":scheme", "1http"), AUTHORITY, PATH],
        vec![(":method", "CONNECT"), SCHEME, AUTHORITY],
        vec![(":method", "CONNECT"), AUTHORITY, PATH],
        vec![(":method", "CONNECT"), (":protocol", "x"), AUTHORITY, PATH],
        vec![
            (":method", "CONNECT"),
            (":protocol", "x"),
            SCHEME,
            AUTHORITY,
        ],
        // What is wrong with HTTP/2 goes before what else is wrong.
        vec![
            METHOD,
            SCHEME,
            (":authority", "@"),
            (":path", "x"),
            ("X", "y"),
        ],
    ];
    for fields in cases {
        assert_eq!(
            read(&fields).err(),
            Some(BlockError::Malformed),
            "{fields:?}"
        );
    }
}

#[test]
fn case_019_connection_specific_fields_are_malformed() {
    for field in [
        ("connection", "close"),
        ("keep-alive", "x"),
        ("proxy-connection", "x"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
    ] {
        assert_eq!(
            request("GET", "https://a/", &[field]).err(),
            Some(BlockError::Malformed)
        );
    }
    assert!(request("GET", "https://a/", &[("te", "trailers")]).is_ok());
}

#[test]
fn case_025_the_decoded_head_is_limited() {
    let long = "x".repeat(100);
    let big = ["a", "b", "c", "d", "e"].map(|name| (name, &*long));
    for fields in [big, [("cookie", &*long); 5]] {
        assert_eq!(
            request("GET", "https://a/", &fields).err(),
            refused(HeadError::HeadTooLarge)
        );
    }
    assert_eq!(
        request("GET", "https://a/", &[("x", "y"); 9]).err(),
        refused(HeadError::TooManyFields)
    );
    assert!(request("GET", "https://a/", &[("x", "y"); 8]).is_ok());
    assert!(request("GET", "https://a/", &[("cookie", "y"); 9]).is_ok());
    assert_eq!(
        request("GET", &format!("https://a/{long}"), &[]).err(),
        refused(HeadError::TargetTooLong)
    );
    assert!(request("GET", "https://a/", &[("host", &*long); 9]).is_err());
    // Four times as much as is allowed, each field counting 32 more.
    assert_eq!(
        request("GET", "https://a/", &[("x", &*long); 20]).err(),
        Some(BlockError::Bomb)
    );
    assert_eq!(
        request("GET", "https://a/", &[("x", ""); 70]).err(),
        Some(BlockError::Bomb)
    );
}

#[test]
fn a_refused_block_keeps_the_next_one_in_step() {
    let indexed = |name: &str, value: &str| {
        let mut block = vec![0x40];
        hpack::write_string(name.as_bytes(), &mut block);
        hpack::write_string(value.as_bytes(), &mut block);
        block
    };
    let start = block(&[METHOD, SCHEME, AUTHORITY, PATH]);
    let wrong = [
        block(&[("X", "y")]),
        block(&[("x(", "y")]),
        block(&[("x", &"y".repeat(600))]),
    ];
    let again = [&start[..], &[0xbf, 0xbe]].concat();
    for wrong in wrong {
        let first = [&start[..], &indexed("a", "1"), &wrong, &indexed("b", "2")].concat();
        let mut head = RequestHead::default();
        let mut decoder = Decoder::new();
        assert!(read_request(&mut decoder, &first, &mut head, &LIMITS).is_err());
        read_request(&mut decoder, &again, &mut head, &LIMITS).unwrap();
        assert_eq!(pairs(&head.fields), [pair("a", "1"), pair("b", "2")]);
        let mut decoder = Decoder::new();
        skip_block(&mut decoder, &first, &LIMITS).unwrap();
        read_request(&mut decoder, &again, &mut head, &LIMITS).unwrap();
        assert_eq!(pairs(&head.fields), [pair("a", "1"), pair("b", "2")]);
    }
    // What is wrong with an entry is wrong with it each time.
    let mut decoder = Decoder::new();
    skip_block(&mut decoder, &indexed("x", " y"), &LIMITS).unwrap();
    let result = read_request(
        &mut decoder,
        &[&start[..], &[0xbe]].concat(),
        &mut RequestHead::default(),
        &LIMITS,
    );
    assert_eq!(result.err(), refused(HeadError::BadFieldValue));
}

#[test]
fn case_045_every_form_of_a_target_is_known() {
    let head = request("CONNECT", "a:443", &[]).unwrap();
    assert_eq!(
        (head.form, head.host.as_str(), head.port),
        (TargetForm::Authority, "a", Some(443))
    );
    assert_eq!(
        request("CONNECT", "a", &[]).err(),
        refused(HeadError::BadTarget)
    );
    assert_eq!(
        read(&[(":method", "CONNECT"), ("host", "a:1")]).err(),
        refused(HeadError::MissingHost)
    );
    let extended = [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        SCHEME,
        AUTHORITY,
        (":path", "/chat"),
    ];
    let head = read(&extended).unwrap();
    assert_eq!((head.form, head.path.as_str()), (TargetForm::Path, "/chat"));
    assert_eq!(head.method, Method::Connect);
    let head = request("OPTIONS", "*", &[("host", "a")]).unwrap();
    assert_eq!((head.form, head.path.as_str()), (TargetForm::Asterisk, ""));
    for (method, path) in [
        ("GET", "*"),
        ("OPTIONS", "**"),
        ("GET", "a"),
        ("GET", "http://a/"),
    ] {
        let fields = [(":method", method), (":path", path), SCHEME, AUTHORITY];
        assert_eq!(read(&fields).err(), refused(HeadError::BadTarget), "{path}");
    }
}

#[test]
fn the_order_of_pseudo_fields_does_not_matter() {
    let fields = [(":path", "*"), AUTHORITY, SCHEME, (":method", "OPTIONS")];
    assert_eq!(read(&fields).unwrap().form, TargetForm::Asterisk);
    let fields = [(":authority", "a:1"), (":method", "CONNECT")];
    assert_eq!(read(&fields).unwrap().form, TargetForm::Authority);
    // A CONNECT is one although the gateway has stopped to listen.
    let fields = [(":authority", "@"), (":method", "CONNECT")];
    assert_eq!(read(&fields).err(), refused(HeadError::BadHost));
}

#[test]
fn a_request_goes_out_without_what_http_2_does_not_know() {
    let mut head = RequestHead {
        method: Method::of("PROPFIND"),
        host: "a.example".to_owned(),
        port: Some(81),
        path: "/x".to_owned(),
        query: Some("q={\"<|>\"}".to_owned()),
        ..RequestHead::default()
    };
    for (name, value) in [
        ("X-Upper", "1"),
        ("x-upper", "2"),
        ("Connection", "close"),
        ("Keep-Alive", "x"),
        ("Upgrade", "x"),
        ("Transfer-Encoding", "chunked"),
        ("HTTP2-Settings", "x"),
        ("Host", "other"),
        ("TE", "Trailers"),
        ("Content-Length", "5"),
    ] {
        let name = name.as_bytes();
        head.fields
            .push_parsed(Known::of(name), name, value.as_bytes());
    }
    head.fields.push(b"X-Made", b" a\r\nb ");
    head.fields.push(b"X-\r\n", b"c");
    head.fields.push(b":path", b"/evil");
    assert_eq!(
        written(&head, "https").unwrap(),
        [
            pair(":method", "PROPFIND"),
            pair(":scheme", "https"),
            pair(":path", "/x?q={%22%3C|%3E%22}"),
            pair(":authority", "a.example:81"),
            pair("x-upper", "1"),
            pair("x-upper", "2"),
            pair("te", "trailers"),
            pair("content-length", "5"),
            pair("x-made", "a  b"),
        ]
    );
    head.fields.clear();
    head.fields.push(b"TE", b"gzip");
    assert_eq!(written(&head, "http").unwrap().len(), 4);
}

#[test]
fn a_request_that_has_no_form_in_http_2_leaves_nothing() {
    let fine = RequestHead {
        host: "a".to_owned(),
        path: "/".to_owned(),
        ..RequestHead::default()
    };
    let no_host = RequestHead {
        host: String::new(),
        ..fine.clone()
    };
    let bad_host = RequestHead {
        host: "a/b".to_owned(),
        ..fine.clone()
    };
    let bad_method = RequestHead {
        method: Method::of("GET /"),
        ..fine.clone()
    };
    let connect = RequestHead {
        method: Method::Connect,
        ..fine.clone()
    };
    let mut encoder = Encoder::new();
    let mut out = b"before".to_vec();
    for (head, error) in [
        (no_host, HeadError::MissingHost),
        (bad_host, HeadError::BadHost),
        (bad_method, HeadError::BadRequestLine),
        (connect, HeadError::BadTarget),
    ] {
        assert_eq!(
            write_request(&mut encoder, &head, "http", &mut out),
            Err(error)
        );
        assert_eq!(out, b"before");
    }
    // The first block that is written says that there is no table.
    write_request(&mut encoder, &fine, "http", &mut out).unwrap();
    assert_eq!(out, b"before\x20\x82\x86\x84\x01\x01a");
    out.clear();
    write_request(&mut encoder, &fine, "https", &mut out).unwrap();
    assert_eq!(out, b"\x82\x87\x84\x01\x01a");
}

#[test]
fn every_form_of_a_target_goes_out() {
    let path = |method: Method, form, path: &str| {
        let head = RequestHead {
            method,
            form,
            host: "a".to_owned(),
            port: Some(1),
            path: path.to_owned(),
            ..RequestHead::default()
        };
        written(&head, "http").unwrap()
    };
    let fields = path(Method::Options, TargetForm::Asterisk, "");
    assert_eq!(fields[2], pair(":path", "*"));
    let fields = path(Method::Connect, TargetForm::Authority, "");
    assert_eq!(
        fields,
        [pair(":method", "CONNECT"), pair(":authority", "a:1")]
    );
    let fields = path(Method::Get, TargetForm::Path, "a b?");
    assert_eq!(fields[2], pair(":path", "/a%20b%3F"));
}

#[test]
fn every_query_that_http_1_lets_in_goes_out() {
    let query: String = (b'!'..=b'~')
        .map(char::from)
        .filter(|c| *c != '#')
        .collect();
    let head = RequestHead {
        host: "a".to_owned(),
        path: "/".to_owned(),
        query: Some(query.clone()),
        ..RequestHead::default()
    };
    let wanted = query
        .replace('"', "%22")
        .replace('<', "%3C")
        .replace('>', "%3E");
    assert_eq!(
        written(&head, "http").unwrap()[2],
        pair(":path", &format!("/?{wanted}"))
    );
}

#[test]
fn what_came_goes_out_the_same() {
    let fields = [("x-a", "1"), ("x-b", "\u{e9}")];
    let head = request("PUT", "https://a:1/b/c%20d?e=%20", &fields).unwrap();
    assert_eq!(
        written(&head, "https").unwrap(),
        [
            pair(":method", "PUT"),
            pair(":scheme", "https"),
            pair(":path", "/b/c%20d?e=%20"),
            pair(":authority", "a:1"),
            pair("x-a", "1"),
            pair("x-b", "\u{e9}"),
        ]
    );
}

fn response(fields: &[Pair<'_>]) -> Result<ResponseHead, BlockError> {
    let mut head = ResponseHead {
        reason: b"stale".to_vec(),
        ..ResponseHead::default()
    };
    read_response(&mut Decoder::new(), &block(fields), &mut head, &LIMITS).map(|()| head)
}

#[test]
fn a_response_comes_and_goes() {
    let fields = [
        (":status", "404"),
        ("x-a", "1"),
        ("set-cookie", "a"),
        ("set-cookie", "b"),
    ];
    let mut head = response(&fields).unwrap();
    assert_eq!((head.version, head.status), (Version::Http2, 404));
    assert!(head.reason.is_empty());
    let came = [
        pair("x-a", "1"),
        pair("set-cookie", "a"),
        pair("set-cookie", "b"),
    ];
    assert_eq!(pairs(&head.fields), came);
    head.fields.push(b"Connection", b"close");
    head.fields.push(b"Transfer-Encoding", b"chunked");
    head.fields.push(b"TE", b"trailers");
    let mut out = Vec::new();
    write_response(&mut Encoder::new(), &head, &mut out).unwrap();
    assert_eq!(out[..2], [0x20, 0x8d]);
    let out = listed(&out);
    assert_eq!(out[0], pair(":status", "404"));
    assert_eq!(out[1..], came);
}

#[test]
fn a_malformed_response_is_told_from_one_that_is_not_taken() {
    for fields in [
        &[][..],
        &[("x", "y")],
        &[(":status", "200"), (":status", "200")],
        &[("x", "y"), (":status", "200")],
        &[(":status", "200"), (":path", "/")],
        &[(":status", "20")],
        &[(":status", "2000")],
        &[(":status", "099")],
        &[(":status", "2x0")],
        &[(":status", "")],
        &[(":status", "200"), ("connection", "x")],
        &[(":status", "200"), ("X", "y")],
        &[(":status", "200"), ("x", "a\r\nb")],
    ] {
        assert_eq!(
            response(fields).err(),
            Some(BlockError::Malformed),
            "{fields:?}"
        );
    }
    let long = "x".repeat(600);
    let many = [&[(":status", "200")][..], &[("x", "y"); 9]].concat();
    for (fields, error) in [
        (&[(":status", "101")][..], HeadError::BadStatusLine),
        (&[(":status", "200"), ("x", " y")], HeadError::BadFieldValue),
        (&[(":status", "200"), ("x{", "y")], HeadError::BadFieldName),
        (&[(":status", "200"), ("x", &long)], HeadError::HeadTooLarge),
        (&many, HeadError::TooManyFields),
    ] {
        assert_eq!(response(fields).err(), refused(error), "{fields:?}");
    }
    assert_eq!(response(&[(":status", "103")]).unwrap().status, 103);
}

#[test]
fn a_status_that_http_2_does_not_have_is_refused() {
    let mut out = b"before".to_vec();
    for status in [0, 99, 101, 1000] {
        let head = ResponseHead {
            status,
            ..ResponseHead::default()
        };
        assert_eq!(
            write_response(&mut Encoder::new(), &head, &mut out),
            Err(HeadError::BadStatusLine),
            "{status}"
        );
        assert_eq!(out, b"before");
    }
    for status in (100..=999).filter(|status| *status != 101) {
        let head = ResponseHead {
            status,
            ..ResponseHead::default()
        };
        let mut out = Vec::new();
        write_response(&mut Encoder::new(), &head, &mut out).unwrap();
        let mut again = ResponseHead::default();
        read_response(&mut Decoder::new(), &out, &mut again, &LIMITS).unwrap();
        assert_eq!(again.status, status);
    }
}

fn trailers(fields: &[Pair<'_>]) -> Result<Option<Fields>, BlockError> {
    read_trailers(&mut Decoder::new(), &block(fields), &LIMITS)
}

#[test]
fn case_008_forbidden_trailers_do_not_pass() {
    let fields = [
        ("grpc-status", "0"),
        ("host", "0"),
        ("content-length", "0"),
        ("authorization", "0"),
        ("x\"sum", "0"),
        ("x-sum", " 0 "),
    ];
    let mut fields = trailers(&fields).unwrap().unwrap();
    assert_eq!(
        pairs(&fields),
        [pair("grpc-status", "0"), pair("x-sum", "0")]
    );
    fields.push(b"Cookie", b"a");
    fields.push(b"X-Made", b"a\r\n");
    let mut out = Vec::new();
    write_trailers(&mut Encoder::new(), &fields, &mut out);
    assert_eq!(
        listed(&out),
        [
            pair("grpc-status", "0"),
            pair("x-sum", "0"),
            pair("x-made", "a")
        ]
    );
    assert!(trailers(&[]).unwrap().is_none());
    assert!(trailers(&[("host", "a"), ("x\"", "y")]).unwrap().is_none());
}

#[test]
fn case_025_trailers_are_checked_and_limited() {
    for field in [
        (":path", "/"),
        (":status", "200"),
        ("connection", "close"),
        ("te", "gzip"),
        ("X", "y"),
        ("x", "a\r\nb"),
    ] {
        assert_eq!(
            trailers(&[field]).err(),
            Some(BlockError::Malformed),
            "{field:?}"
        );
    }
    let long = "x".repeat(600);
    for (fields, error) in [
        (&[("x", &*long)][..], HeadError::TrailersTooLarge),
        (&[("x", "y"); 9], HeadError::TrailersTooLarge),
        (&[("x", "a\x01b")], HeadError::BadTrailer),
    ] {
        assert_eq!(trailers(fields).err(), refused(error));
    }
}

#[test]
fn what_nobody_may_guess_is_never_indexed() {
    let mut head = ResponseHead {
        status: 200,
        ..ResponseHead::default()
    };
    for name in [
        "Authorization",
        "Proxy-Authorization",
        "Cookie",
        "Set-Cookie",
    ] {
        head.fields.clear();
        head.fields.push(name.as_bytes(), b"a");
        let mut out = Vec::new();
        write_response(&mut Encoder::new(), &head, &mut out).unwrap();
        assert_eq!(out[2], 0x1f, "{name}");
    }
}

#[test]
fn what_came_as_a_secret_goes_out_as_one() {
    // RFC 7541 section 6.2.3: never indexed, with a name that is spelled out and with one of the table.
    let secrets = b"\x10\x03x-a\x011\x1f\x04\x012\x10\x02te\x08trailers";
    let open = b"\x00\x03x-b\x011\x0f\x04\x012";
    let start = b"\x82\x86\x84\x01\x01a";
    let whole = [&start[..], secrets, open].concat();
    let mut head = RequestHead::default();
    read_request(&mut Decoder::new(), &whole, &mut head, &LIMITS).unwrap();
    let mut out = Vec::new();
    write_request(&mut Encoder::new(), &head, "http", &mut out).unwrap();
    assert_eq!(out, [b"\x20", &whole[..]].concat());
}
