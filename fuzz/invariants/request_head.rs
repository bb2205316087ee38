//! A request head means the same in pieces as in one, and what was read is written as what everybody reads the same.

use portcullis::http::h1::{
    ConnectionHeader, Framing, HeadScan, parse_request, write_request_head,
};
use portcullis::http::{
    BodyLength, HeadError, HeadLimits, Known, RequestHead, TargetForm, Version, accepts_trailers,
    expects_continue, is_hop_by_hop, keep_alive, request_body, strip_hop_by_hop, upgrade_token,
};

use super::fields::{assert_clean, assert_text, lasting};
use super::strict;

/// Small enough to be met by a few kilobytes.
const LIMITS: HeadLimits = HeadLimits {
    bytes: 2048,
    fields: 20,
    target: 512,
};

/// More than any head that was accepted can need when it is written again.
const WIDE: HeadLimits = HeadLimits {
    bytes: usize::MAX,
    fields: usize::MAX,
    target: usize::MAX,
};

/// Holds for any bytes.
pub fn check(bytes: &[u8]) {
    let mut head = RequestHead::default();
    let whole = parse_request(bytes, &mut HeadScan::new(), &LIMITS, &mut head);
    let (pieces, piece) = in_pieces(bytes);
    assert_eq!(whole.ok(), pieces.ok(), "{whole:?} {pieces:?}");
    let Ok(Some(used)) = whole else {
        return;
    };
    assert_eq!(format!("{head:?}"), format!("{piece:?}"));
    assert!(used <= bytes.len() && used <= LIMITS.bytes + 2);
    let alone = parse_request(
        &bytes[..used],
        &mut HeadScan::new(),
        &LIMITS,
        &mut RequestHead::default(),
    );
    assert_eq!(alone, Ok(Some(used)), "what follows a head changes it");
    assert_parts(&head);
    let length = request_body(&head);
    assert_length(&head, length);
    if let (Ok(length), false) = (length, head.host.is_empty()) {
        assert_others_agree(&bytes[..used], length);
        assert_written(&head, length);
    }
    strip(head);
}

/// The verdict on bytes that come one by one.
fn in_pieces(bytes: &[u8]) -> (Result<Option<usize>, HeadError>, RequestHead) {
    let mut scan = HeadScan::new();
    let mut head = RequestHead::default();
    let verdict = (0..=bytes.len())
        .map(|size| parse_request(&bytes[..size], &mut scan, &LIMITS, &mut head))
        .find(|verdict| !matches!(verdict, Ok(None)))
        .unwrap_or(Ok(None));
    (verdict, head)
}

pub(super) fn assert_parts(head: &RequestHead) {
    assert_clean(&head.fields);
    assert!(!head.fields.has(Known::Host), "the host is no field");
    assert!(head.fields.len() <= LIMITS.fields);
    assert_text(head.method.as_str().as_bytes());
    assert!(!head.method.as_str().is_empty());
    let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    assert!(visible(&head.host) && !head.host.bytes().any(|byte| byte.is_ascii_uppercase()));
    assert!(visible(&head.path) && !head.path.contains(['?', '#']));
    let query = head.query.as_deref().unwrap_or_default();
    assert!(visible(query) && !query.contains('#'));
    assert_eq!(head.path.starts_with('/'), head.form == TargetForm::Path);
    assert_ne!(head.port, Some(0));
}

/// A length is accepted when the fields can mean nothing else.
fn assert_length(head: &RequestHead, length: Result<BodyLength, HeadError>) {
    let lengths = head.fields.all(Known::ContentLength).count();
    let codings = head.fields.all(Known::TransferEncoding).count();
    match length {
        Err(_) => assert!(lengths + codings > 0),
        Ok(BodyLength::Empty) => assert_eq!((lengths, codings), (0, 0)),
        Ok(BodyLength::Exact(_)) => assert_eq!((lengths, codings), (1, 0)),
        Ok(BodyLength::Chunked) => {
            assert_eq!((lengths, codings), (0, 1));
            assert_eq!(head.version, Version::Http11);
        }
        Ok(BodyLength::UntilClose) => panic!("a request cannot end with its connection"),
    }
}

/// The strict reader of the tests takes what we take, and measures the same.
fn assert_others_agree(head: &[u8], length: BodyLength) {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    let (_, theirs) = strict::request_head(head)
        .unwrap_or_else(|error| panic!("{error} in {:?}", String::from_utf8_lossy(head)));
    let ours = match length {
        BodyLength::Exact(length) => strict::Length::Exact(length),
        BodyLength::Chunked => strict::Length::Chunked,
        BodyLength::Empty | BodyLength::UntilClose => strict::Length::Exact(0),
    };
    assert_eq!(ours, theirs);
}

/// What goes upstream is read there as what was decided on here.
fn assert_written(head: &RequestHead, length: BodyLength) {
    let framing = match length {
        BodyLength::Exact(length) => Framing::Length(length),
        BodyLength::Chunked => Framing::Chunked,
        BodyLength::Empty | BodyLength::UntilClose => Framing::None,
    };
    let mut out = Vec::new();
    write_request_head(head, framing, ConnectionHeader::None, &mut out);
    let mut again = RequestHead::default();
    let used = parse_request(&out, &mut HeadScan::new(), &WIDE, &mut again);
    assert_eq!(
        used,
        Ok(Some(out.len())),
        "{:?}",
        String::from_utf8_lossy(&out)
    );
    assert_eq!(again.method, head.method);
    assert_eq!(again.form, head.form);
    assert_eq!((&again.host, again.port), (&head.host, head.port));
    assert_eq!((&again.path, &again.query), (&head.path, &head.query));
    assert_eq!(lasting(&again.fields), lasting(&head.fields));
    assert_eq!(request_body(&again), Ok(length));
    assert_others_agree(&out, length);
}

/// What belongs to the client's connection goes, and what is for everybody stays.
fn strip(mut head: RequestHead) {
    let _ = expects_continue(&head);
    let _ = accepts_trailers(&head.fields);
    let _ = upgrade_token(head.version, &head.fields);
    let _ = keep_alive(head.version, &head.fields);
    let kept = |head: &RequestHead| {
        let of = |known| head.fields.all(known).count();
        [Known::Authorization, Known::Cookie, Known::ContentLength].map(of)
    };
    let before = kept(&head);
    if strip_hop_by_hop(&mut head.fields).is_ok() {
        assert!(!head.fields.iter().any(|field| is_hop_by_hop(field.known)));
        assert_eq!(kept(&head), before);
    }
}
