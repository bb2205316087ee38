//! Heads to bytes: the one place that decides what may leave the gateway.
//!
//! Whatever a filter has put into a head, no byte outside the grammar is written: a field whose name is no token is
//! left out, control bytes in values become spaces, other bytes than visible ASCII in a target are escaped. The fields
//! that frame a message or belong to the connection are written from the arguments, never from the list.

use crate::http::connection::is_protocol;
use crate::http::fields::{Field, Fields, Known, Origin};
use crate::http::grammar::{
    escape, is_field_text, is_token, is_token_byte, is_visible_ascii, repair_value,
};
use crate::http::head::{Method, RequestHead, ResponseHead, TargetForm};

/// How the body behind a head is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body, and nothing said about it.
    None,
    /// `Content-Length`; also the length that a response to HEAD or a 304 speaks of.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Ended by the end of the connection, which `Connection: close` announces. For responses alone: a request with it
    /// is written as chunked, since an upstream would take the bare bytes for another request.
    UntilClose,
}

/// What a message says about its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionHeader<'a> {
    /// Nothing: the connection stays, in HTTP/1.1.
    None,
    /// `close`.
    Close,
    /// `keep-alive`, which an HTTP/1.0 client wants to hear.
    KeepAlive,
    /// `upgrade`, to (or from) this protocol.
    Upgrade(&'a [u8]),
}

/// Appends a request head in HTTP/1.1. `Host` comes first, from `host` and `port`.
///
/// `TE: trailers` among the fields is written together with its `Connection` option.
pub fn write_request_head(
    head: &RequestHead,
    framing: Framing,
    connection: ConnectionHeader<'_>,
    out: &mut Vec<u8>,
) {
    let target = head.path.len() + head.query.as_deref().map_or(0, str::len);
    out.reserve(target + head.host.len() + head.fields.written_size() + ROOM);
    write_method(&head.method, out);
    out.push(b' ');
    write_target(head, out);
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    write_authority(head, out);
    out.extend_from_slice(b"\r\n");
    let te = head
        .fields
        .first(Known::Te)
        .is_some_and(|value| value.eq_ignore_ascii_case(b"trailers"));
    write_fields(&head.fields, |field| field.known == Known::Host, out);
    let framing = match framing {
        Framing::UntilClose => Framing::Chunked,
        framing => framing,
    };
    write_framing(framing, out);
    write_connection(connection, te, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends a response head in HTTP/1.1. A head without a reason gets the usual phrase of its status.
///
/// A 1xx or 204 never says anything about a body, whatever `framing` is (RFC 9110 section 8.6).
pub fn write_response_head(
    head: &ResponseHead,
    framing: Framing,
    connection: ConnectionHeader<'_>,
    out: &mut Vec<u8>,
) {
    out.reserve(head.reason.len() + head.fields.written_size() + ROOM);
    let status = match head.status {
        status @ 100..=999 => status,
        _ => 500,
    };
    out.extend_from_slice(b"HTTP/1.1 ");
    write_number(u64::from(status), out);
    out.push(b' ');
    if head.reason.is_empty() || !is_field_text(&head.reason) {
        out.extend_from_slice(usual_phrase(status).as_bytes());
    } else {
        out.extend_from_slice(&head.reason);
    }
    out.extend_from_slice(b"\r\n");
    write_fields(&head.fields, |_| false, out);
    let framing = match status {
        100..=199 | 204 => Framing::None,
        _ => framing,
    };
    write_framing(framing, out);
    let connection = match framing {
        Framing::UntilClose => ConnectionHeader::Close,
        Framing::None | Framing::Length(_) | Framing::Chunked => connection,
    };
    write_connection(connection, false, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends the line of one field, or nothing when its name is no token.
pub(super) fn write_field(field: Field<'_>, origin: Origin, out: &mut Vec<u8>) {
    if matches!(origin, Origin::Parsed | Origin::Secret) {
        write_line(field.name, field.value, out);
    } else if is_token(field.name) {
        write_line(field.name, &repair_value(field.value), out);
    }
}

/// Appends a number in decimal digits.
fn write_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Room for the first line and the fields that the writer adds.
const ROOM: usize = 160;

fn write_method(method: &Method, out: &mut Vec<u8>) {
    let token = method.as_str().as_bytes();
    let start = out.len();
    out.extend(token.iter().filter(|byte| is_token_byte(**byte)));
    if out.len() == start {
        out.extend_from_slice(b"GET");
    }
}

fn write_target(head: &RequestHead, out: &mut Vec<u8>) {
    match head.form {
        TargetForm::Asterisk => out.push(b'*'),
        TargetForm::Authority => write_authority(head, out),
        TargetForm::Path => {
            if !head.path.starts_with('/') {
                out.push(b'/');
            }
            write_escaped(head.path.as_bytes(), b"?#", out);
            if let Some(query) = &head.query {
                out.push(b'?');
                write_escaped(query.as_bytes(), b"#", out);
            }
        }
    }
}

/// Appends bytes of a target; those outside visible ASCII and `also` become escapes.
fn write_escaped(bytes: &[u8], also: &[u8], out: &mut Vec<u8>) {
    if is_visible_ascii(bytes) && !bytes.iter().any(|byte| also.contains(byte)) {
        out.extend_from_slice(bytes);
        return;
    }
    for byte in bytes {
        if byte.is_ascii_graphic() && !also.contains(byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(&escape(*byte));
        }
    }
}

fn write_authority(head: &RequestHead, out: &mut Vec<u8>) {
    let host = head.host.as_bytes();
    if is_visible_ascii(host) {
        out.extend_from_slice(host);
    } else {
        out.extend(host.iter().filter(|byte| byte.is_ascii_graphic()));
    }
    if let Some(port) = head.port {
        out.push(b':');
        write_number(u64::from(port), out);
    }
}

fn write_fields(fields: &Fields, skip: impl Fn(Field<'_>) -> bool, out: &mut Vec<u8>) {
    for (field, origin) in fields.iter_with_origin() {
        if !is_written_from_arguments(field.known) && !skip(field) {
            write_field(field, origin, out);
        }
    }
}

const fn is_written_from_arguments(known: Known) -> bool {
    matches!(
        known,
        Known::Connection
            | Known::ContentLength
            | Known::Http2Settings
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::Te
            | Known::TransferEncoding
            | Known::Upgrade
    )
}

fn write_framing(framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            write_number(length, out);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
}

fn write_connection(connection: ConnectionHeader<'_>, te: bool, out: &mut Vec<u8>) {
    let option: &[u8] = match connection {
        ConnectionHeader::Upgrade(token) if is_protocol(token) => {
            write_line(b"Upgrade", token, out);
            b"upgrade"
        }
        ConnectionHeader::Close => b"close",
        ConnectionHeader::KeepAlive => b"keep-alive",
        ConnectionHeader::None | ConnectionHeader::Upgrade(_) => b"",
    };
    match (option, te) {
        (b"", false) => {}
        (option, false) => write_line(b"Connection", option, out),
        (option, true) => {
            out.extend_from_slice(b"TE: trailers\r\nConnection: ");
            if !option.is_empty() {
                out.extend_from_slice(option);
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(b"TE\r\n");
        }
    }
}

fn write_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn usual_phrase(status: u16) -> &'static str {
    ::http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::h1::{HeadScan, parse_request, parse_response};
    use crate::http::head::Version;
    use crate::http::limits::HeadLimits;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in pairs {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    fn request(head: &RequestHead, framing: Framing, connection: ConnectionHeader<'_>) -> String {
        let mut out = b"before;".to_vec();
        write_request_head(head, framing, connection, &mut out);
        let text = String::from_utf8(out).unwrap();
        text.strip_prefix("before;").unwrap().to_owned()
    }

    fn response(head: &ResponseHead, framing: Framing, connection: ConnectionHeader<'_>) -> String {
        let mut out = Vec::new();
        write_response_head(head, framing, connection, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn get() -> RequestHead {
        RequestHead {
            host: "a.example".to_owned(),
            path: "/x".to_owned(),
            ..RequestHead::default()
        }
    }

    #[test]
    fn a_request_is_written_byte_for_byte() {
        let head = RequestHead {
            method: Method::Post,
            port: Some(8080),
            query: Some("q=%20".to_owned()),
            fields: fields(&[("X-One", "1"), ("x-two", "a  b"), ("X-Empty", "")]),
            ..get()
        };
        assert_eq!(
            request(&head, Framing::Length(12), ConnectionHeader::None),
            "POST /x?q=%20 HTTP/1.1\r\nHost: a.example:8080\r\nX-One: 1\r\nx-two: a  b\r\nX-Empty: \r\nContent-Length: 12\r\n\r\n"
        );
        assert_eq!(
            request(&get(), Framing::None, ConnectionHeader::Close),
            "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(
            request(&get(), Framing::Chunked, ConnectionHeader::KeepAlive),
            "GET /x HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n"
        );
        assert_eq!(
            request(
                &get(),
                Framing::None,
                ConnectionHeader::Upgrade(b"websocket")
            ),
            "GET /x HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
        );
    }

    #[test]
    fn every_form_of_a_target_is_written() {
        let line = |head: &RequestHead| {
            let text = request(head, Framing::None, ConnectionHeader::None);
            text.lines().next().unwrap().to_owned()
        };
        let asterisk = RequestHead {
            method: Method::Options,
            form: TargetForm::Asterisk,
            path: String::new(),
            ..get()
        };
        assert_eq!(line(&asterisk), "OPTIONS * HTTP/1.1");
        let connect = RequestHead {
            method: Method::Connect,
            form: TargetForm::Authority,
            port: Some(443),
            ..get()
        };
        assert_eq!(line(&connect), "CONNECT a.example:443 HTTP/1.1");
        let empty_query = RequestHead {
            query: Some(String::new()),
            ..get()
        };
        assert_eq!(line(&empty_query), "GET /x? HTTP/1.1");
        let rewritten = RequestHead {
            path: "no/slash".to_owned(),
            ..get()
        };
        assert_eq!(line(&rewritten), "GET /no/slash HTTP/1.1");
        let other = RequestHead {
            method: Method::of("M-SEARCH"),
            ..get()
        };
        assert_eq!(line(&other), "M-SEARCH /x HTTP/1.1");
    }

    #[test]
    fn trailers_are_announced_with_their_connection_option() {
        let head = RequestHead {
            fields: fields(&[("te", "trailers")]),
            ..get()
        };
        let text = request(&head, Framing::None, ConnectionHeader::None);
        assert!(
            text.ends_with("Host: a.example\r\nTE: trailers\r\nConnection: TE\r\n\r\n"),
            "{text}"
        );
        let text = request(&head, Framing::None, ConnectionHeader::Close);
        assert!(
            text.ends_with("TE: trailers\r\nConnection: close, TE\r\n\r\n"),
            "{text}"
        );
        let other = RequestHead {
            fields: fields(&[("te", "gzip")]),
            ..get()
        };
        assert!(!request(&other, Framing::None, ConnectionHeader::None).contains("gzip"));
    }

    #[test]
    fn a_response_is_written_byte_for_byte() {
        let head = ResponseHead {
            status: 200,
            reason: b"Fine".to_vec(),
            fields: fields(&[("Date", "now"), ("set-cookie", "a=b")]),
            ..ResponseHead::default()
        };
        assert_eq!(
            response(&head, Framing::Length(0), ConnectionHeader::None),
            "HTTP/1.1 200 Fine\r\nDate: now\r\nset-cookie: a=b\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(
            response(&head, Framing::Chunked, ConnectionHeader::Close),
            "HTTP/1.1 200 Fine\r\nDate: now\r\nset-cookie: a=b\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn a_response_without_reason_gets_the_usual_one() {
        let line = |status: u16| {
            let head = ResponseHead {
                status,
                ..ResponseHead::default()
            };
            let text = response(&head, Framing::None, ConnectionHeader::None);
            text.strip_suffix("\r\n\r\n").unwrap().to_owned()
        };
        assert_eq!(line(200), "HTTP/1.1 200 OK");
        assert_eq!(line(431), "HTTP/1.1 431 Request Header Fields Too Large");
        assert_eq!(line(799), "HTTP/1.1 799 ");
        assert_eq!(line(99), "HTTP/1.1 500 Internal Server Error");
        assert_eq!(line(1000), "HTTP/1.1 500 Internal Server Error");
    }

    #[test]
    fn a_body_that_ends_with_the_connection_says_so() {
        let head = ResponseHead {
            status: 200,
            ..ResponseHead::default()
        };
        for connection in [ConnectionHeader::None, ConnectionHeader::KeepAlive] {
            let text = response(&head, Framing::UntilClose, connection);
            assert_eq!(text, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        }
        let text = request(&get(), Framing::UntilClose, ConnectionHeader::None);
        assert!(text.contains("Transfer-Encoding: chunked"), "{text}");
    }

    #[test]
    fn a_status_without_body_says_nothing_about_one() {
        for status in [100, 101, 103, 204] {
            let head = ResponseHead {
                status,
                ..ResponseHead::default()
            };
            for framing in [Framing::Length(0), Framing::Chunked, Framing::UntilClose] {
                let text = response(&head, framing, ConnectionHeader::None);
                assert_eq!(text.lines().count(), 2, "{text}");
            }
        }
        let switching = ResponseHead {
            status: 101,
            ..ResponseHead::default()
        };
        assert_eq!(
            response(
                &switching,
                Framing::None,
                ConnectionHeader::Upgrade(b"websocket")
            ),
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
        );
    }

    #[test]
    fn case_001_framing_and_connection_come_from_the_arguments_alone() {
        let contradicting = fields(&[
            ("Content-Length", "5"),
            ("content-length", "6"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "x-a"),
            ("Keep-Alive", "timeout=1"),
            ("Proxy-Connection", "close"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "x"),
        ]);
        let head = RequestHead {
            fields: contradicting.clone(),
            ..get()
        };
        assert_eq!(
            request(&head, Framing::Length(1), ConnectionHeader::None),
            "GET /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\n"
        );
        let head = ResponseHead {
            status: 200,
            fields: contradicting,
            ..ResponseHead::default()
        };
        assert_eq!(
            response(&head, Framing::Length(1), ConnectionHeader::None),
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
        );
        let head = RequestHead {
            fields: fields(&[("Host", "other"), ("hOST", "x")]),
            ..get()
        };
        assert_eq!(
            request(&head, Framing::None, ConnectionHeader::None),
            "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n"
        );
    }

    #[test]
    fn case_044_what_a_filter_wrote_cannot_break_out_of_its_place() {
        let head = RequestHead {
            method: Method::of("GET / HTTP/1.1\r\nX:"),
            host: "a\r\nEvil: 1".to_owned(),
            path: "/a b\r\nEvil: 1\r\n\r\n?#é".to_owned(),
            query: Some("q\r\n#".to_owned()),
            fields: fields(&[
                ("X-Good", "a\r\nEvil: 1"),
                ("X-Nul", "\0a\u{7f}"),
                ("Evil: 1\r\nX", "b"),
                ("", "c"),
                ("X-É", "d"),
            ]),
            ..RequestHead::default()
        };
        assert_eq!(
            request(
                &head,
                Framing::None,
                ConnectionHeader::Upgrade(b"x\r\nEvil: 1")
            ),
            "GETHTTP1.1X /a%20b%0D%0AEvil:%201%0D%0A%0D%0A%3F%23%C3%A9?q%0D%0A%23 HTTP/1.1\r\nHost: aEvil:1\r\nX-Good: a  Evil: 1\r\nX-Nul: a\r\n\r\n"
        );
        let head = ResponseHead {
            status: 200,
            reason: b"OK\r\nEvil: 1".to_vec(),
            fields: fields(&[("Location", "/\r\n\r\n<body>")]),
            ..ResponseHead::default()
        };
        assert_eq!(
            response(&head, Framing::None, ConnectionHeader::None),
            "HTTP/1.1 200 OK\r\nLocation: /    <body>\r\n\r\n"
        );
    }

    fn any_fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
        let name = "[!#$%&'*+.^_`|~0-9a-zA-Z-]{1,12}".prop_filter("not from the list", |name| {
            !matches!(Known::of(name.as_bytes()), Known::Host)
                && !is_written_from_arguments(Known::of(name.as_bytes()))
        });
        let value = "([!-~\u{80}-\u{ff}]([ \t!-~]{0,16}[!-~])?)?".prop_map(String::into_bytes);
        proptest::collection::vec((name, value), 0..20)
    }

    fn pairs(fields: &Fields) -> Vec<(String, Vec<u8>)> {
        fields
            .iter()
            .map(|field| {
                (
                    String::from_utf8(field.name.to_vec()).unwrap(),
                    field.value.to_vec(),
                )
            })
            .collect()
    }

    proptest! {
        #[test]
        fn a_written_request_reads_the_same(
            method in "[A-Z]{1,10}",
            host in "[a-z0-9]{1,10}(\\.[a-z0-9_-]{1,8}){0,3}",
            port in proptest::option::of(1_u16..),
            path in "(/[a-zA-Z0-9_~!$&'()*+,;=:@-]{0,8}){1,5}",
            query in proptest::option::of("[!-\"$-~]{0,20}"),
            list in any_fields(),
        ) {
            // Those that nobody lets through.
            let is_refused = path.split('/').rev().skip(1).any(|segment| segment.starts_with(';'));
            prop_assume!(!is_refused && !path.contains("//") && method != "CONNECT");
            let mut head = RequestHead {
                method: Method::of(&method), host, port, path, query, ..RequestHead::default()
            };
            for (name, value) in &list {
                head.fields.push(name.as_bytes(), value);
            }
            let mut out = Vec::new();
            write_request_head(&head, Framing::None, ConnectionHeader::None, &mut out);
            let mut again = RequestHead::default();
            let used = parse_request(&out, &mut HeadScan::new(), &HeadLimits::default(), &mut again);
            prop_assert_eq!(used, Ok(Some(out.len())));
            prop_assert_eq!(&again.method, &head.method);
            prop_assert_eq!(&again.host, &head.host);
            prop_assert_eq!(again.port, head.port);
            prop_assert_eq!(&again.path, &head.path);
            prop_assert_eq!(&again.query, &head.query);
            prop_assert_eq!(pairs(&again.fields), list);
        }

        #[test]
        fn a_written_response_reads_the_same(
            status in 100_u16..=999,
            reason in "([!-~]([ \t!-~]{0,16}[!-~])?)?",
            list in any_fields(),
        ) {
            let mut head = ResponseHead { status, reason: reason.into_bytes(), ..ResponseHead::default() };
            for (name, value) in &list {
                head.fields.push(name.as_bytes(), value);
            }
            let mut out = Vec::new();
            write_response_head(&head, Framing::None, ConnectionHeader::None, &mut out);
            let mut again = ResponseHead::default();
            let used = parse_response(&out, &mut HeadScan::new(), &HeadLimits::default(), &mut again);
            prop_assert_eq!(used, Ok(Some(out.len())));
            prop_assert_eq!((again.version, again.status), (Version::Http11, status));
            if !head.reason.is_empty() {
                prop_assert_eq!(&again.reason, &head.reason);
            }
            prop_assert_eq!(pairs(&again.fields), list);
        }

        #[test]
        fn whatever_is_in_a_head_one_head_is_written(
            method in ".{0,8}", host in ".{0,8}", path in ".{0,12}", query in ".{0,12}",
            list in proptest::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..8),
        ) {
            let mut head = RequestHead {
                method: Method::of(&method), host, path, query: Some(query), ..RequestHead::default()
            };
            for (name, value) in &list {
                head.fields.push(name, value);
            }
            let mut out = Vec::new();
            write_request_head(&head, Framing::None, ConnectionHeader::None, &mut out);
            let mut slots = [httparse::EMPTY_HEADER; 16];
            let mut read = httparse::Request::new(&mut slots);
            prop_assert_eq!(read.parse(&out), Ok(httparse::Status::Complete(out.len())));
            prop_assert!(read.headers.len() <= list.len() + 1);
            prop_assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), read.headers.len() + 2);
        }
    }
}
