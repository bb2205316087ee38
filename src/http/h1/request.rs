//! Request heads (RFC 9112 section 3).

use std::mem::MaybeUninit;

use httparse::Status;

use super::field_fault;
use super::scan::HeadScan;
use crate::http::error::HeadError;
use crate::http::fields::Known;
use crate::http::grammar::is_token_byte;
use crate::http::head::{Method, RequestHead, Version};
use crate::http::limits::{HeadLimits, MAX_FIELDS};
use crate::http::target::{TargetAuthority, read_host_field, read_target};

/// Reads one request head at the start of `bytes`.
///
/// `Ok(None)`: more bytes are needed, and those that are there break no limit. `Ok(Some(used))`: `head` is filled and
/// the body begins behind `used` bytes. In the head the target is split, the path normalised, the host in its one
/// spelling; `Host` is not among the fields; all other fields are there in order. What was in `head` before is
/// forgotten, its memory used again. On an error `head` holds what was understood before it, for the log.
pub fn parse_request(
    bytes: &[u8],
    scan: &mut HeadScan,
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<Option<usize>, HeadError> {
    let knew_first_line = scan.has_first_line();
    let found = scan.advance(bytes);
    if !knew_first_line && (found.is_ok() || scan.has_first_line()) {
        check_request_line(scan.first_line(bytes), scan.has_first_line(), limits)
            .inspect_err(|_| read_method_only(scan.first_line(bytes), head))?;
    }
    let end = found
        .and_then(|end| scan.check(bytes, end, limits).map(|()| end))
        .inspect_err(|_| read_method_only(scan.first_line(bytes), head))?;
    let Some(end) = end else {
        return Ok(None);
    };
    read_head(scan.head(bytes, end), limits, head)?;
    *scan = HeadScan::new();
    Ok(Some(end))
}

/// Longer than any registered method.
const MAX_METHOD: usize = 32;

/// Checks what `httparse` would not see before the whole head is there, so that a client which waits for an answer to
/// a bad first line gets one, and the limits of its parts.
fn check_request_line(line: &[u8], complete: bool, limits: &HeadLimits) -> Result<(), HeadError> {
    let method_end = line
        .iter()
        .take(MAX_METHOD + 1)
        .position(|byte| !is_token_byte(*byte));
    let Some(method_end) = method_end else {
        // Nothing but token bytes so far.
        return if complete || line.len() > MAX_METHOD {
            Err(HeadError::BadRequestLine)
        } else {
            Ok(())
        };
    };
    let Some(([_, ..], [b' ', rest @ ..])) = line.split_at_checked(method_end) else {
        // A lone CR is the first half of the empty line that may come first.
        return if line == b"\r" && !complete {
            Ok(())
        } else {
            Err(HeadError::BadRequestLine)
        };
    };
    if !complete {
        let target = rest.len().saturating_sub(" HTTP/1.1\r".len());
        return if target > limits.target {
            Err(HeadError::TargetTooLong)
        } else {
            Ok(())
        };
    }
    let (target, version) = rest
        .split_last_chunk::<9>()
        .ok_or(HeadError::BadRequestLine)?;
    match version {
        _ if target.len() > limits.target => Err(HeadError::TargetTooLong),
        b" HTTP/1.1" | b" HTTP/1.0" => Ok(()),
        [
            b' ',
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'0'..=b'9',
            b'.',
            b'0'..=b'9',
        ] => Err(HeadError::UnsupportedVersion),
        _ => Err(HeadError::BadRequestLine),
    }
}

fn read_head(bytes: &[u8], limits: &HeadLimits, head: &mut RequestHead) -> Result<(), HeadError> {
    let spare = head.query.take().unwrap_or_default();
    head.clear();
    let mut slots = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let slots = slots.get_mut(..limits.allowed_fields()).unwrap_or_default();
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(bytes, slots);

    head.method = request.method.map_or_else(unknown, Method::of);
    head.version = match request.version {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    };
    let authority = match request.path {
        Some(target) => read_target(target.as_bytes(), spare, head)?,
        None => TargetAuthority::Absent,
    };
    match parsed {
        Ok(Status::Complete(used)) if used == bytes.len() => {}
        Ok(_) => return Err(HeadError::BadRequestLine),
        Err(error) => return Err(request_fault(error, &request, bytes)),
    }
    read_fields(request.headers, authority, head)
}

fn read_fields(
    fields: &[httparse::Header<'_>],
    authority: TargetAuthority,
    head: &mut RequestHead,
) -> Result<(), HeadError> {
    let mut host = None;
    for field in fields {
        let name = field.name.as_bytes();
        let known = Known::of(name);
        if known != Known::Host {
            head.fields.push_parsed(known, name, field.value);
        } else if host.replace(field.value).is_some() {
            return Err(HeadError::DuplicateHost);
        }
    }
    match host {
        Some(host) => read_host_field(host, authority, head),
        None if head.version == Version::Http10 => Ok(()),
        None => Err(HeadError::MissingHost),
    }
}

#[cold]
fn request_fault(
    error: httparse::Error,
    request: &httparse::Request<'_, '_>,
    bytes: &[u8],
) -> HeadError {
    let line_end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    let (line, lines) = bytes.split_at_checked(line_end).unwrap_or_default();
    let spaces = line.iter().filter(|byte| **byte == b' ').count();
    match error {
        httparse::Error::Token if request.method.is_some() => HeadError::BadTarget,
        httparse::Error::Token | httparse::Error::Version => HeadError::BadRequestLine,
        httparse::Error::NewLine if spaces != 2 => HeadError::BadRequestLine,
        error => field_fault(error, lines.get(1..).unwrap_or_default()),
    }
}

/// The method of a request whose head never became complete: all that the log gets to know of it.
#[cold]
pub fn read_method(bytes: &[u8], scan: &HeadScan, head: &mut RequestHead) {
    read_method_only(scan.first_line(bytes), head);
}

/// The method of a request that is refused before its head is complete. What is no method is not shown as one.
#[cold]
fn read_method_only(line: &[u8], head: &mut RequestHead) {
    head.clear();
    let method = match line.iter().position(|byte| *byte == b' ') {
        Some(end) => line.get(..end).unwrap_or_default(),
        // It may go on.
        None => b"",
    };
    let is_method = method.len() <= MAX_METHOD && method.iter().all(|byte| is_token_byte(*byte));
    head.method = match std::str::from_utf8(method) {
        Ok(method) if is_method && !method.is_empty() => Method::of(method),
        _ => unknown(),
    };
}

/// What stands where no method was understood.
fn unknown() -> Method {
    Method::Other(Box::default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http::head::TargetForm;

    const LIMITS: HeadLimits = HeadLimits {
        bytes: 4096,
        fields: 100,
        target: 1024,
    };

    /// The head, and the same again when the bytes come one by one.
    fn parsed(bytes: impl AsRef<[u8]>) -> Result<RequestHead, HeadError> {
        let bytes = bytes.as_ref();
        let whole = parsed_in_steps(bytes, bytes.len());
        let pieces = parsed_in_steps(bytes, 1);
        assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
        whole
    }

    fn parsed_in_steps(bytes: &[u8], step: usize) -> Result<RequestHead, HeadError> {
        let mut scan = HeadScan::new();
        let mut head = RequestHead::default();
        let mut size = 0;
        while size < bytes.len() {
            size = (size + step).min(bytes.len());
            if let Some(used) = parse_request(&bytes[..size], &mut scan, &LIMITS, &mut head)? {
                assert_eq!(used, bytes.len());
                assert!(scan.is_idle());
                return Ok(head);
            }
        }
        panic!("incomplete: {:?}", String::from_utf8_lossy(bytes));
    }

    /// The head of a GET of that target, with `Host: example.com`.
    fn get(target: &str) -> Result<RequestHead, HeadError> {
        parsed(format!(
            "GET {target} HTTP/1.1\r\nHost: example.com\r\n\r\n"
        ))
    }

    fn field_error(lines: &str) -> Option<HeadError> {
        parsed(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n")).err()
    }

    #[test]
    fn a_head_is_taken_apart() {
        let head = parsed(
            "POST /a/%7Eb/../c?q=1?2&%zz HTTP/1.1\r\nAccept: */*\r\nHoSt: Example.COM.:8080\r\nX-Empty:\r\nx-a: \t b c \t\r\nX-A:2\r\n\r\n",
        )
        .unwrap();
        assert_eq!(head.version, Version::Http11);
        assert_eq!(head.method, Method::Post);
        assert_eq!(head.form, TargetForm::Path);
        assert_eq!(head.host, "example.com");
        assert_eq!(head.port, Some(8080));
        assert_eq!(head.path, "/a/c");
        assert_eq!(head.query.as_deref(), Some("q=1?2&%zz"));
        let fields: Vec<_> = head.fields.iter().map(|f| (f.name, f.value)).collect();
        assert_eq!(
            fields,
            [
                (&b"Accept"[..], &b"*/*"[..]),
                (b"X-Empty", b""),
                (b"x-a", b"b c"),
                (b"X-A", b"2"),
            ]
        );
    }

    #[test]
    fn what_follows_a_head_is_left_alone() {
        let mut head = RequestHead::default();
        let bytes = b"\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\n";
        let used = parse_request(bytes, &mut HeadScan::new(), &LIMITS, &mut head).unwrap();
        assert_eq!(used, Some(bytes.len() - 17));
        assert_eq!(head.path, "/1");
    }

    #[test]
    fn case_021_a_bad_request_behind_a_good_one_is_its_own() {
        let bytes = b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost : a\r\n\r\n";
        let (mut scan, mut head) = (HeadScan::new(), RequestHead::default());
        let used = parse_request(bytes, &mut scan, &LIMITS, &mut head)
            .unwrap()
            .unwrap();
        let second = parse_request(&bytes[used..], &mut scan, &LIMITS, &mut head);
        assert_eq!(second, Err(HeadError::BadFieldName));
        assert_eq!(head.path, "/2", "the log knows what was refused");
    }

    #[test]
    fn a_recycled_head_uses_its_memory_again() {
        let mut head = RequestHead::default();
        let mut parse = |target: &str| {
            let bytes = format!("GET {target} HTTP/1.1\r\nHost: h\r\nX-A: b\r\n\r\n");
            parse_request(bytes.as_bytes(), &mut HeadScan::new(), &LIMITS, &mut head).unwrap();
            let field = head.fields.iter().next().unwrap().value.as_ptr();
            let query = head.query.as_ref().unwrap();
            (
                head.host.as_ptr(),
                head.path.as_ptr(),
                query.as_ptr(),
                field,
            )
        };
        let first = parse("/a/long/path?and=a&query");
        assert_eq!(parse("/short?q"), first);
        assert_eq!(parse("/./slow?"), first);
    }

    #[test]
    fn nothing_of_the_request_before_is_left() {
        let mut head = RequestHead::default();
        for bytes in [
            &b"POST /a?b HTTP/1.1\r\nHost: h:1\r\nX: y\r\n\r\n"[..],
            b"GET / HTTP/1.0\r\n\r\n",
        ] {
            parse_request(bytes, &mut HeadScan::new(), &LIMITS, &mut head).unwrap();
        }
        let fresh = parsed("GET / HTTP/1.0\r\n\r\n").unwrap();
        assert_eq!(
            (&head.host, head.port, &head.query),
            (&fresh.host, None, &None)
        );
        assert_eq!(head.method, Method::Get);
        assert!(head.fields.is_empty());
    }

    #[test]
    fn a_request_line_is_checked_before_the_head_is_complete() {
        for (line, error) in [
            ("GET / HTTP/1.2", HeadError::UnsupportedVersion),
            ("GET / HTTP/1.9", HeadError::UnsupportedVersion),
            ("GET / HTTP/0.9", HeadError::UnsupportedVersion),
            ("GET / HTTP/2.0", HeadError::UnsupportedVersion),
            ("PRI * HTTP/2.0", HeadError::UnsupportedVersion),
            ("GET /", HeadError::BadRequestLine),
            ("GET", HeadError::BadRequestLine),
            ("GET / ", HeadError::BadRequestLine),
            ("GET / http/1.1", HeadError::BadRequestLine),
            ("GET / HTTP/1.10", HeadError::BadRequestLine),
            ("GET / HTTP/11", HeadError::BadRequestLine),
            ("GET / HTTP/1.1 ", HeadError::BadRequestLine),
            ("GET / HTTPS/1.1", HeadError::BadRequestLine),
            (" GET / HTTP/1.1", HeadError::BadRequestLine),
            ("GET\t/ HTTP/1.1", HeadError::BadRequestLine),
            ("G(T / HTTP/1.1", HeadError::BadRequestLine),
            ("G\u{e9}T / HTTP/1.1", HeadError::BadRequestLine),
            (
                "AMETHODTHATISLONGERTHANANYOTHERONE / HTTP/1.1",
                HeadError::BadRequestLine,
            ),
        ] {
            let mut head = RequestHead::default();
            let bytes = format!("{line}\r\n");
            let result = parse_request(bytes.as_bytes(), &mut HeadScan::new(), &LIMITS, &mut head);
            assert_eq!(result, Err(error), "{line}");
            assert_eq!(
                parsed(format!("{line}\r\nHost: a\r\n\r\n")).err(),
                Some(error),
                "{line}"
            );
        }
        assert_eq!(HeadError::UnsupportedVersion.status(), 505);
    }

    #[test]
    fn bytes_that_are_no_http_are_refused_at_the_first() {
        for bytes in [
            &b"\x16\x03\x01\x02"[..],
            b"\0",
            b"\r\r",
            b"\rG",
            b"{",
            b"\x80",
        ] {
            let mut head = RequestHead::default();
            let result = parse_request(bytes, &mut HeadScan::new(), &LIMITS, &mut head);
            assert_eq!(result, Err(HeadError::BadRequestLine), "{bytes:?}");
        }
    }

    #[test]
    fn a_request_line_has_single_spaces_and_one_target() {
        for (line, error) in [
            ("GET  / HTTP/1.1", HeadError::BadTarget),
            ("GET /a b HTTP/1.1", HeadError::BadRequestLine),
            ("GET /\tb HTTP/1.1", HeadError::BadTarget),
            ("GET / HTTP/1.1 HTTP/1.1", HeadError::BadRequestLine),
            ("GET /  HTTP/1.1", HeadError::BadRequestLine),
            ("GET /\rb HTTP/1.1", HeadError::BadTarget),
        ] {
            assert_eq!(
                parsed(format!("{line}\r\nHost: a\r\n\r\n")).err(),
                Some(error),
                "{line:?}"
            );
        }
    }

    #[test]
    fn a_method_is_any_token_in_its_own_case() {
        for method in [
            "GET",
            "PATCH",
            "PROPFIND",
            "get",
            "M-SEARCH",
            "A!#$%&'*+-.^_`|~9",
        ] {
            let head = parsed(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
            assert_eq!(head.method.as_str(), method);
        }
        assert_eq!(Method::of("get").label(), "OTHER");
    }

    #[test]
    fn targets_outside_the_grammar_are_refused() {
        for target in [
            "/a#b",
            "#",
            "/?a#b",
            "/\u{1}",
            "/\u{7f}",
            "/\u{e9}",
            "/?\u{e9}",
            "a",
            "a/b",
            "?q",
            "*",
            "**",
            "ftp://example.com/",
            "http:/example.com/",
            "http:example.com",
            "//",
            "mailto:a@b",
            "example.com:80",
            "/%zz",
            "/a?b\u{0}",
        ] {
            let wanted = match target {
                "//" => None,
                _ => Some(HeadError::BadTarget),
            };
            assert_eq!(get(target).err(), wanted, "{target:?}");
        }
    }

    #[test]
    fn case_010_malformed_field_lines_are_refused() {
        assert_eq!(field_error(": a"), Some(HeadError::BadFieldName));
        assert_eq!(field_error("X-No-Colon"), Some(HeadError::BadFieldName));
        assert_eq!(field_error("X : a"), Some(HeadError::BadFieldName));
        assert_eq!(field_error("X\t: a"), Some(HeadError::BadFieldName));
        assert_eq!(field_error("X Y: a"), Some(HeadError::BadFieldName));
        assert_eq!(field_error("X: a\r\n b"), Some(HeadError::ObsoleteFolding));
        assert_eq!(field_error("X: a\r\n\tb"), Some(HeadError::ObsoleteFolding));
        assert_eq!(field_error("X:\r\n a"), Some(HeadError::ObsoleteFolding));
        let first = parsed("GET / HTTP/1.1\r\n Host: a\r\nX: y\r\n\r\n");
        assert_eq!(first.err(), Some(HeadError::ObsoleteFolding));
    }

    #[test]
    fn case_011_bytes_outside_the_field_grammar_are_refused() {
        for byte in (0..=255).filter(|byte| !is_token_byte(*byte) && !matches!(byte, b':' | b'\n'))
        {
            let bytes = [
                b"GET / HTTP/1.1\r\nHost: a\r\nX",
                &[byte][..],
                b"Y: a\r\n\r\n",
            ]
            .concat();
            assert_eq!(
                parsed(bytes).err(),
                Some(HeadError::BadFieldName),
                "{byte:#x}"
            );
        }
        for byte in (0..=31)
            .chain([127])
            .filter(|byte| !matches!(byte, b'\t' | b'\n'))
        {
            let bytes = [
                b"GET / HTTP/1.1\r\nHost: a\r\nX: a",
                &[byte][..],
                b"b\r\n\r\n",
            ]
            .concat();
            assert_eq!(
                parsed(bytes).err(),
                Some(HeadError::BadFieldValue),
                "{byte:#x}"
            );
        }
        let obs_text = b"GET / HTTP/1.1\r\nHost: a\r\nX: \xff\x80\r\n\r\n";
        assert_eq!(
            parsed(obs_text).unwrap().fields.first_named(b"x"),
            Some(&b"\xff\x80"[..])
        );
    }

    #[test]
    fn bare_line_feeds_and_carriage_returns_are_refused() {
        for text in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            assert_eq!(
                parsed(text).err(),
                Some(HeadError::BareLineFeed),
                "{text:?}"
            );
        }
        assert_eq!(field_error("\rX: a"), Some(HeadError::BadFieldName));
        assert_eq!(field_error("X: a\r"), Some(HeadError::BadFieldValue));
        assert_eq!(
            parsed("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n").err(),
            Some(HeadError::BadRequestLine)
        );
    }

    #[test]
    fn a_request_has_exactly_one_host() {
        let with = |lines: &str| parsed(format!("GET / HTTP/1.1\r\n{lines}\r\n")).err();
        assert_eq!(with("X: y\r\n"), Some(HeadError::MissingHost));
        assert_eq!(
            with("Host: a\r\nhost: a\r\n"),
            Some(HeadError::DuplicateHost)
        );
        assert_eq!(with("Host:\r\n"), Some(HeadError::BadHost));
        assert_eq!(with("Host: u@a\r\n"), Some(HeadError::BadHost));
        assert_eq!(with("Host: a, b\r\n"), Some(HeadError::BadHost));
        let old = parsed("GET / HTTP/1.0\r\n\r\n").unwrap();
        assert_eq!((old.version, old.host.as_str()), (Version::Http10, ""));
        let old = parsed("GET / HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();
        assert_eq!(old.host, "a");
    }

    #[test]
    fn case_042_the_host_of_an_absolute_target_is_the_host_field() {
        let head = get("HTTP://EXAMPLE.com:80/a/../b?c").unwrap();
        assert_eq!((head.host.as_str(), head.port), ("example.com", Some(80)));
        assert_eq!(
            (head.path.as_str(), head.query.as_deref()),
            ("/b", Some("c"))
        );
        assert_eq!(get("http://example.com").unwrap().path, "/");
        let head = get("http://example.com?q").unwrap();
        assert_eq!(
            (head.path.as_str(), head.query.as_deref()),
            ("/", Some("q"))
        );
        assert!(get("https://example.com:443/").is_ok());
        for target in [
            "http://other.com/",
            "http://example.com:81/",
            "https://example.com:80/",
            "http://a.example.com/",
        ] {
            assert_eq!(get(target).err(), Some(HeadError::HostMismatch), "{target}");
        }
        for target in [
            "http://",
            "http:///a",
            "http://u@example.com/",
            "http://example.com\\@b/",
        ] {
            assert_eq!(get(target).err(), Some(HeadError::BadHost), "{target}");
        }
        assert_eq!(
            parsed("GET http://a/ HTTP/1.1\r\n\r\n").err(),
            Some(HeadError::MissingHost)
        );
        assert_eq!(parsed("GET http://a/ HTTP/1.0\r\n\r\n").unwrap().host, "a");
    }

    #[test]
    fn case_045_asterisk_and_authority_have_their_methods() {
        let form = |line: &str| {
            parsed(format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n"))
                .map(|head| (head.form, head.host, head.port, head.path))
        };
        let a = || "a".to_owned();
        let none = String::new;
        assert_eq!(
            form("OPTIONS *"),
            Ok((TargetForm::Asterisk, a(), None, none()))
        );
        assert_eq!(
            form("OPTIONS http://a"),
            Ok((TargetForm::Asterisk, a(), None, none()))
        );
        assert_eq!(
            form("OPTIONS http://a/"),
            Ok((TargetForm::Path, a(), None, "/".to_owned()))
        );
        assert_eq!(
            form("CONNECT a:443"),
            Ok((TargetForm::Authority, a(), Some(443), none()))
        );
        assert_eq!(form("GET *"), Err(HeadError::BadTarget));
        assert_eq!(form("GET a:443"), Err(HeadError::BadTarget));
        assert_eq!(form("CONNECT a"), Err(HeadError::BadTarget));
        assert_eq!(form("CONNECT /"), Err(HeadError::BadHost));
        assert_eq!(form("CONNECT http://a/"), Err(HeadError::BadHost));
        assert_eq!(form("CONNECT b:443"), Err(HeadError::HostMismatch));
        let other_port = parsed("CONNECT a:443 HTTP/1.1\r\nHost: a:444\r\n\r\n");
        assert_eq!(other_port.err(), Some(HeadError::HostMismatch));
    }

    #[test]
    fn limits_hold_whether_or_not_the_head_is_complete() {
        let long = |length: usize| format!("/{}", "a".repeat(length - 1));
        assert!(get(&long(LIMITS.target)).is_ok());
        assert_eq!(
            get(&long(LIMITS.target + 1)).err(),
            Some(HeadError::TargetTooLong)
        );
        assert_eq!(
            get(&long(LIMITS.bytes)).err(),
            Some(HeadError::TargetTooLong)
        );

        let mut head = RequestHead::default();
        let endless = format!("PUT {}", long(LIMITS.target + 100));
        let result = parse_request(endless.as_bytes(), &mut HeadScan::new(), &LIMITS, &mut head);
        assert_eq!(result, Err(HeadError::TargetTooLong));
        assert_eq!(head.method, Method::Put, "the log knows what was refused");

        let value = "a".repeat(LIMITS.bytes);
        assert_eq!(
            field_error(&format!("X: {value}")),
            Some(HeadError::HeadTooLarge)
        );
        let lines = |count: usize| vec!["X: y"; count].join("\r\n");
        assert_eq!(field_error(&lines(LIMITS.fields - 1)), None);
        assert_eq!(
            field_error(&lines(LIMITS.fields)),
            Some(HeadError::TooManyFields)
        );
    }

    #[test]
    fn no_configuration_allows_more_fields_than_the_array_holds() {
        let limits = HeadLimits {
            fields: 1000,
            ..LIMITS
        };
        let count = |count: usize| {
            let lines = "X: y\r\n".repeat(count);
            let bytes = format!("GET / HTTP/1.0\r\n{lines}\r\n");
            let mut head = RequestHead::default();
            parse_request(bytes.as_bytes(), &mut HeadScan::new(), &limits, &mut head)
        };
        assert!(count(MAX_FIELDS).is_ok());
        assert_eq!(count(MAX_FIELDS + 1), Err(HeadError::TooManyFields));
    }

    proptest! {
        #[test]
        fn any_bytes_mean_the_same_in_any_pieces(
            text in "(GET |OPTIONS |CONNECT )?(/|\\*|http://|a:1|%2e|\\.|\\?| |\r\n){0,6}( HTTP/1\\.[0-2]\r\n)(Host: a\r\n)?([Xa:@]|: |\r\n|\n|\r| |\t|\u{e9}){0,8}\r\n\r\n",
            cut in any::<prop::sample::Index>(),
        ) {
            let bytes = text.as_bytes();
            let cut = cut.index(bytes.len());
            let mut whole = RequestHead::default();
            let used = parse_request(bytes, &mut HeadScan::new(), &LIMITS, &mut whole);
            let (mut scan, mut pieces) = (HeadScan::new(), RequestHead::default());
            let first = parse_request(&bytes[..cut], &mut scan, &LIMITS, &mut pieces);
            let both = match first {
                Ok(None) => parse_request(bytes, &mut scan, &LIMITS, &mut pieces),
                other => other,
            };
            prop_assert_eq!(both.ok(), used.ok());
            if used.is_ok() {
                prop_assert_eq!(format!("{pieces:?}"), format!("{whole:?}"));
            }
        }
    }
}
