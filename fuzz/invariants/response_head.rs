//! A response head means the same in pieces as in one, and what was read is written as what everybody reads the same.

use portcullis::http::h1::{
    ConnectionHeader, Framing, HeadScan, parse_response, write_response_head,
};
use portcullis::http::{
    BodyLength, HeadError, HeadLimits, Known, Method, ResponseHead, Version, response_body,
};

use super::fields::{assert_clean, assert_text, lasting};
use super::strict;

/// Small enough to be met by a few kilobytes.
const LIMITS: HeadLimits = HeadLimits {
    bytes: 2048,
    fields: 20,
    target: 0,
};

const WIDE: HeadLimits = HeadLimits {
    bytes: usize::MAX,
    fields: usize::MAX,
    target: 0,
};

/// Holds for any bytes.
pub fn check(bytes: &[u8]) {
    let mut head = ResponseHead::default();
    let whole = parse_response(bytes, &mut HeadScan::new(), &LIMITS, &mut head);
    let (pieces, piece) = in_pieces(bytes);
    assert_eq!(whole.ok(), pieces.ok(), "{whole:?} {pieces:?}");
    let Ok(Some(used)) = whole else {
        return;
    };
    assert_eq!(format!("{head:?}"), format!("{piece:?}"));
    assert!(used <= bytes.len() && used <= LIMITS.bytes);
    assert!((100..=999).contains(&head.status));
    assert!(head.fields.len() <= LIMITS.fields);
    assert_clean(&head.fields);
    assert_text(&head.reason);
    for method in [Method::Get, Method::Head, Method::Connect] {
        let length = response_body(&method, &head);
        assert_length(&head, &method, length);
        if let Ok(length) = length {
            assert_written(&head, &method, length);
        }
    }
}

/// The verdict on bytes that come one by one.
fn in_pieces(bytes: &[u8]) -> (Result<Option<usize>, HeadError>, ResponseHead) {
    let mut scan = HeadScan::new();
    let mut head = ResponseHead::default();
    let verdict = (0..=bytes.len())
        .map(|size| parse_response(&bytes[..size], &mut scan, &LIMITS, &mut head))
        .find(|verdict| !matches!(verdict, Ok(None)))
        .unwrap_or(Ok(None));
    (verdict, head)
}

/// A length is accepted when the fields can mean nothing else.
fn assert_length(head: &ResponseHead, method: &Method, length: Result<BodyLength, HeadError>) {
    let lengths = head.fields.all(Known::ContentLength).count();
    let codings = head.fields.all(Known::TransferEncoding).count();
    match length {
        Err(_) => assert!(lengths + codings > 0),
        Ok(_) => assert!(lengths + codings <= 1, "two ways to measure one body"),
    }
    let bodiless = matches!(head.status, 100..=199 | 204 | 304) || *method == Method::Head;
    match length {
        Ok(length) if bodiless => assert_eq!(length, BodyLength::Empty),
        Ok(BodyLength::Exact(_)) => assert_eq!(lengths, 1),
        Ok(BodyLength::Chunked) => {
            assert_eq!(codings, 1);
            assert_eq!(head.version, Version::Http11);
        }
        Ok(BodyLength::UntilClose) => assert_eq!(lengths + codings, 0),
        Ok(BodyLength::Empty) | Err(_) => {}
    }
}

/// What goes to the client is read there as what was decided on here.
fn assert_written(head: &ResponseHead, method: &Method, length: BodyLength) {
    let framing = match length {
        BodyLength::Exact(length) => Framing::Length(length),
        BodyLength::Chunked => Framing::Chunked,
        BodyLength::UntilClose => Framing::UntilClose,
        BodyLength::Empty => Framing::None,
    };
    let mut out = Vec::new();
    write_response_head(head, framing, ConnectionHeader::None, &mut out);
    let mut again = ResponseHead::default();
    let used = parse_response(&out, &mut HeadScan::new(), &WIDE, &mut again);
    assert_eq!(
        used,
        Ok(Some(out.len())),
        "{:?}",
        String::from_utf8_lossy(&out)
    );
    assert_eq!(again.status, head.status);
    if !head.reason.is_empty() {
        assert_eq!(again.reason, head.reason);
    }
    assert_eq!(lasting(&again.fields), lasting(&head.fields));
    assert_eq!(response_body(method, &again), Ok(length));
    let shown = String::from_utf8_lossy(&out);
    // The strict reader has no tab and nothing outside ASCII in a reason.
    if head.reason.iter().all(|byte| matches!(byte, b' '..=b'~')) {
        let (_, theirs) = strict::response_head(&out, method.as_str())
            .unwrap_or_else(|error| panic!("{error} in {shown:?}"));
        let ours = match length {
            BodyLength::Exact(length) => strict::Length::Exact(length),
            BodyLength::Chunked => strict::Length::Chunked,
            BodyLength::UntilClose => strict::Length::UntilClose,
            BodyLength::Empty => strict::Length::Exact(0),
        };
        assert_eq!(ours, theirs, "{shown:?}");
    }
}
