//! Header blocks of HTTP/2 are read in step whatever they say, and what was read is written as what reads the same.

use portcullis::http::h2::{
    BlockError, Decoder, Encoder, read_request, read_response, read_trailers, skip_block,
    write_request, write_response, write_trailers,
};
use portcullis::http::{
    Fields, HeadLimits, Known, Method, RequestHead, ResponseHead, TargetForm, Version,
};

use super::fields::assert_clean;
use super::request_head::assert_parts;

/// Small enough to be met by a few kilobytes. The one cookie of a head is not counted among its fields.
const LIMITS: HeadLimits = HeadLimits {
    bytes: 2048,
    fields: 19,
    target: 512,
};

/// More than any head that was accepted can need when it is written again.
const WIDE: HeadLimits = HeadLimits {
    bytes: usize::MAX,
    fields: usize::MAX,
    target: usize::MAX,
};

/// Holds for any bytes: the blocks of one connection, each behind its length in two bytes.
pub fn check(bytes: &[u8]) {
    let mut decoders = [const { Decoder::new() }; 4];
    let [requests, responses, trailers, skipped] = &mut decoders;
    let mut encoders = [const { Encoder::new() }; 3];
    let mut peers = [const { Decoder::new() }; 3];
    let mut request = RequestHead::default();
    let mut response = ResponseHead::default();
    for block in blocks(bytes) {
        let skipped = skip_block(skipped, block, &LIMITS);
        let read = read_request(requests, block, &mut request, &LIMITS);
        assert_eq!(broken(skipped), broken(read), "the table is out of step");
        if read.is_ok() {
            assert_request(&request, &mut encoders[0], &mut peers[0]);
        }
        let read = read_response(responses, block, &mut response, &LIMITS);
        assert_eq!(broken(skipped), broken(read), "the table is out of step");
        if read.is_ok() {
            assert_response(&response, &mut encoders[1], &mut peers[1]);
        }
        let read = read_trailers(trailers, block, &LIMITS);
        let verdict = read.as_ref().map(|_| ()).map_err(|error| *error);
        assert_eq!(broken(skipped), broken(verdict), "the table is out of step");
        if let Ok(Some(fields)) = read {
            assert_trailers(&fields, &mut encoders[2], &mut peers[2]);
        }
        if skipped.is_err() {
            return;
        }
    }
}

fn blocks(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes(*length)).min(rest.len());
        let (block, rest) = rest.split_at(length);
        bytes = rest;
        Some(block)
    })
}

/// What ends the connection, if anything does. That is the same whoever reads the block.
fn broken(verdict: Result<(), BlockError>) -> Option<BlockError> {
    verdict
        .err()
        .filter(|error| matches!(error, BlockError::Compression | BlockError::Bomb))
}

/// What a list has and may have, apart from pseudo-fields.
fn assert_fields(fields: &Fields) {
    assert_clean(fields);
    let mut size = 0;
    for field in fields.iter() {
        assert!(!field.name.iter().any(u8::is_ascii_uppercase));
        assert!(!field.value.starts_with(b" ") && !field.value.ends_with(b"\t"));
        assert_eq!(field.known, Known::of(field.name));
        size += field.name.len() + field.value.len() + 4;
    }
    assert!(size <= LIMITS.bytes);
}

/// The fields that HTTP/2 carries on.
fn carried(fields: &Fields, te: bool) -> Vec<(&[u8], &[u8])> {
    fields
        .iter()
        .filter(|field| field.known != Known::Http2Settings && (te || field.known != Known::Te))
        .map(|field| (field.name, field.value))
        .collect()
}

fn assert_request(head: &RequestHead, encoder: &mut Encoder, peer: &mut Decoder) {
    assert_eq!(head.version, Version::Http2);
    assert_parts(head);
    assert_fields(&head.fields);
    assert!(head.fields.all(Known::Cookie).count() <= 1);
    assert!(!head.host.is_empty());
    assert!(head.path.len() <= 3 * LIMITS.target);
    let mut out = Vec::new();
    let written = write_request(encoder, head, "https", &mut out);
    if head.method == Method::Connect && head.form == TargetForm::Path {
        assert!(written.is_err() && out.is_empty(), "{head:?}");
        return;
    }
    assert_eq!(written, Ok(()), "{head:?}");
    let mut again = RequestHead::default();
    assert_eq!(
        read_request(peer, &out, &mut again, &WIDE),
        Ok(()),
        "{head:?}"
    );
    assert_eq!(again.method, head.method);
    assert_eq!(again.form, head.form);
    assert_eq!((&again.host, again.port), (&head.host, head.port));
    assert_eq!(again.path, head.path);
    let escaped = |query: &String| {
        let query = query.replace('"', "%22");
        query.replace('<', "%3C").replace('>', "%3E")
    };
    assert_eq!(again.query, head.query.as_ref().map(escaped));
    assert_eq!(carried(&again.fields, true), carried(&head.fields, true));
}

fn assert_response(head: &ResponseHead, encoder: &mut Encoder, peer: &mut Decoder) {
    assert_eq!(head.version, Version::Http2);
    assert!((100..=999).contains(&head.status) && head.status != 101);
    assert_fields(&head.fields);
    assert!(head.fields.len() <= LIMITS.fields);
    let mut out = Vec::new();
    assert_eq!(write_response(encoder, head, &mut out), Ok(()), "{head:?}");
    let mut again = ResponseHead::default();
    assert_eq!(
        read_response(peer, &out, &mut again, &WIDE),
        Ok(()),
        "{head:?}"
    );
    assert_eq!(again.status, head.status);
    assert_eq!(carried(&again.fields, false), carried(&head.fields, false));
}

fn assert_trailers(fields: &Fields, encoder: &mut Encoder, peer: &mut Decoder) {
    assert_fields(fields);
    assert!(!fields.is_empty() && fields.len() <= LIMITS.fields);
    let mut out = Vec::new();
    write_trailers(encoder, fields, &mut out);
    let again = read_trailers(peer, &out, &WIDE).expect("what was read reads again");
    let again = again.expect("what was read is there again");
    assert_eq!(carried(&again, true), carried(fields, true));
}
