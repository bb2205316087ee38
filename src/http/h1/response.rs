//! Response heads (RFC 9112 section 4).

use std::mem::MaybeUninit;

use httparse::Status;

use super::field_fault;
use super::scan::HeadScan;
use crate::http::error::HeadError;
use crate::http::fields::Known;
use crate::http::head::{ResponseHead, Version};
use crate::http::limits::{HeadLimits, MAX_FIELDS};

/// Reads one response head at the start of `bytes`, a 1xx like any other.
///
/// `Ok(None)`: more bytes are needed, and those that are there break no limit. `Ok(Some(used))`: `head` is filled and
/// what follows begins behind `used` bytes. What was in `head` before is forgotten, its memory used again.
pub fn parse_response(
    bytes: &[u8],
    scan: &mut HeadScan,
    limits: &HeadLimits,
    head: &mut ResponseHead,
) -> Result<Option<usize>, HeadError> {
    // An upstream that speaks something else is known by its first bytes, and often sends no line feed at all.
    if bytes.iter().zip(START).any(|(byte, wanted)| byte != wanted) {
        return Err(HeadError::BadStatusLine);
    }
    let end = scan.advance(bytes)?;
    scan.check(bytes, end, limits)?;
    let Some(end) = end else {
        return Ok(None);
    };
    read_head(scan.head(bytes, end), limits, head)?;
    *scan = HeadScan::new();
    Ok(Some(end))
}

const START: &[u8] = b"HTTP/1.";

fn read_head(bytes: &[u8], limits: &HeadLimits, head: &mut ResponseHead) -> Result<(), HeadError> {
    head.clear();
    let mut slots = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let slots = slots.get_mut(..limits.allowed_fields()).unwrap_or_default();
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        bytes,
        slots,
    );
    let code = response.code;
    head.version = match response.version {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    };
    match parsed {
        Ok(Status::Complete(used)) if used == bytes.len() => {}
        Ok(_) => return Err(HeadError::BadStatusLine),
        Err(error) => return Err(response_fault(error, code.is_some(), bytes)),
    }
    head.status = code
        .filter(|code| *code >= 100)
        .ok_or(HeadError::BadStatusLine)?;
    head.reason
        .extend_from_slice(response.reason.unwrap_or_default().as_bytes());
    for field in response.headers.iter() {
        let name = field.name.as_bytes();
        head.fields.push_parsed(Known::of(name), name, field.value);
    }
    Ok(())
}

#[cold]
fn response_fault(error: httparse::Error, has_status: bool, bytes: &[u8]) -> HeadError {
    let line_end = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
    match error {
        httparse::Error::Version | httparse::Error::Status | httparse::Error::Token => {
            HeadError::BadStatusLine
        }
        _ if !has_status => HeadError::BadStatusLine,
        error => field_fault(error, bytes.get(line_end + 1..).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits {
        bytes: 1024,
        fields: 10,
        target: 0,
    };

    fn parsed(bytes: impl AsRef<[u8]>) -> Result<ResponseHead, HeadError> {
        let bytes = bytes.as_ref();
        let whole = parsed_in_steps(bytes, bytes.len());
        let pieces = parsed_in_steps(bytes, 1);
        assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
        whole
    }

    fn parsed_in_steps(bytes: &[u8], step: usize) -> Result<ResponseHead, HeadError> {
        let mut scan = HeadScan::new();
        let mut head = ResponseHead::default();
        let mut size = 0;
        while size < bytes.len() {
            size = (size + step).min(bytes.len());
            if let Some(used) = parse_response(&bytes[..size], &mut scan, &LIMITS, &mut head)? {
                assert_eq!(used, bytes.len());
                return Ok(head);
            }
        }
        panic!("incomplete: {:?}", String::from_utf8_lossy(bytes));
    }

    #[test]
    fn a_head_is_taken_apart() {
        let head = parsed("HTTP/1.1 404 Not  Here\r\nContent-Length: 0\r\nX-a: b\r\n\r\n").unwrap();
        assert_eq!((head.version, head.status), (Version::Http11, 404));
        assert_eq!(head.reason, b"Not  Here");
        let fields: Vec<_> = head.fields.iter().map(|f| (f.name, f.value)).collect();
        assert_eq!(
            fields,
            [(&b"Content-Length"[..], &b"0"[..]), (b"X-a", b"b")]
        );
    }

    #[test]
    fn a_status_line_needs_no_reason() {
        for line in ["HTTP/1.0 200", "HTTP/1.0 200 "] {
            let head = parsed(format!("{line}\r\n\r\n")).unwrap();
            assert_eq!((head.version, head.status), (Version::Http10, 200));
            assert_eq!(head.reason, b"");
        }
        assert_eq!(parsed(b"HTTP/1.1 200 caf\xe9\r\n\r\n").unwrap().reason, b"");
        assert_eq!(parsed("HTTP/1.1 999 x\r\n\r\n").unwrap().status, 999);
    }

    #[test]
    fn case_020_malformed_status_lines_are_refused() {
        for line in [
            "HTTP/1.2 200 OK",
            "HTTP/2.0 200 OK",
            "HTTP/1.1  200 OK",
            "HTTP/1.1 20 OK",
            "HTTP/1.1 099 x",
            "HTTP/1.1 000 x",
            "HTTP/1.1 2000 x",
            "HTTP/1.1 2x0 OK",
            "HTTP/1.1 -20 OK",
            "HTTP/1.1",
            "HTTP/1.1 ",
            "http/1.1 200 OK",
            " HTTP/1.1 200 OK",
            "ICY 200 OK",
            "HTTP/1.1 200 a\0b",
            "HTTP/1.1 200 a\rb",
            "HTTP/1.1\t200 OK",
            "HTTP/1.1 200OK",
        ] {
            let result = parsed(format!("{line}\r\nX: y\r\n\r\n"));
            assert_eq!(result.err(), Some(HeadError::BadStatusLine), "{line:?}");
        }
        assert_eq!(HeadError::BadStatusLine.status(), 502);
    }

    #[test]
    fn case_079_garbage_is_known_by_its_first_bytes() {
        for bytes in [&b"SSH-2.0"[..], b"\x15\x03", b"\r\n", b"HTTP/2", b"hello"] {
            let mut head = ResponseHead::default();
            let result = parse_response(bytes, &mut HeadScan::new(), &LIMITS, &mut head);
            assert_eq!(result, Err(HeadError::BadStatusLine), "{bytes:?}");
        }
    }

    #[test]
    fn fields_have_the_grammar_of_a_request() {
        for (lines, error) in [
            ("X : y", HeadError::BadFieldName),
            ("X", HeadError::BadFieldName),
            (": y", HeadError::BadFieldName),
            (" X: y", HeadError::ObsoleteFolding),
            ("X: a\r\n b", HeadError::ObsoleteFolding),
            ("X: a\0", HeadError::BadFieldValue),
            ("X: a\rb", HeadError::BadFieldValue),
            ("X: a\nY: b", HeadError::BareLineFeed),
        ] {
            let result = parsed(format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n"));
            assert_eq!(result.err(), Some(error), "{lines:?}");
        }
    }

    #[test]
    fn case_079_an_endless_head_is_refused() {
        let mut head = ResponseHead::default();
        let endless = format!("HTTP/1.1 200 {}", "a".repeat(LIMITS.bytes));
        let result = parse_response(endless.as_bytes(), &mut HeadScan::new(), &LIMITS, &mut head);
        assert_eq!(result, Err(HeadError::HeadTooLarge));
        let many = format!(
            "HTTP/1.1 200 OK\r\n{}",
            "X: y\r\n".repeat(LIMITS.fields + 1)
        );
        let result = parse_response(many.as_bytes(), &mut HeadScan::new(), &LIMITS, &mut head);
        assert_eq!(result, Err(HeadError::TooManyFields));
    }

    #[test]
    fn interim_heads_are_read_one_after_the_other() {
        let bytes = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody";
        let (mut scan, mut head) = (HeadScan::new(), ResponseHead::default());
        let used = parse_response(bytes, &mut scan, &LIMITS, &mut head)
            .unwrap()
            .unwrap();
        assert_eq!(head.status, 103);
        let rest = &bytes[used..];
        let used = parse_response(rest, &mut scan, &LIMITS, &mut head)
            .unwrap()
            .unwrap();
        assert_eq!((head.status, &rest[used..]), (200, &b"body"[..]));
        assert!(head.fields.is_empty());
    }
}
