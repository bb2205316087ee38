//! A request head means the same in pieces as in one, and what was read is written as what reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::http::h1::{
    ConnectionHeader, Framing, HeadScan, parse_request, write_request_head,
};
use portcullis::http::{Fields, HeadLimits, Known, RequestHead, is_hop_by_hop};

fuzz_target!(|bytes: &[u8]| {
    let limits = HeadLimits::default();
    let mut head = RequestHead::default();
    let whole = parse_request(bytes, &mut HeadScan::new(), &limits, &mut head);

    let mut scan = HeadScan::new();
    let mut piece = RequestHead::default();
    let pieces = (0..=bytes.len())
        .map(|size| parse_request(&bytes[..size], &mut scan, &limits, &mut piece))
        .find(|outcome| !matches!(outcome, Ok(None)))
        .unwrap_or(Ok(None));
    assert_eq!(whole.ok(), pieces.ok());
    if !matches!(whole, Ok(Some(_))) {
        return;
    }
    assert_eq!(format!("{head:?}"), format!("{piece:?}"));

    // A head of HTTP/1.0 without a host cannot be written in HTTP/1.1 as it is.
    if head.host.is_empty() {
        return;
    }
    let mut out = Vec::new();
    write_request_head(&head, Framing::None, ConnectionHeader::None, &mut out);
    let wide = HeadLimits {
        bytes: usize::MAX,
        fields: usize::MAX,
        target: usize::MAX,
    };
    let mut again = RequestHead::default();
    let used = parse_request(&out, &mut HeadScan::new(), &wide, &mut again);
    assert_eq!(used, Ok(Some(out.len())));
    assert_eq!(again.method, head.method);
    assert_eq!(again.form, head.form);
    assert_eq!((&again.host, again.port), (&head.host, head.port));
    assert_eq!((&again.path, &again.query), (&head.path, &head.query));
    assert_eq!(lasting(&again.fields), lasting(&head.fields));
});

/// The fields that a writer takes from the list.
fn lasting(fields: &Fields) -> Vec<(&[u8], &[u8])> {
    fields
        .iter()
        .filter(|field| !is_hop_by_hop(field.known) && field.known != Known::ContentLength)
        .map(|field| (field.name, field.value))
        .collect()
}
