//! A response head means the same in pieces as in one, and what was read is written as what reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::http::h1::{
    ConnectionHeader, Framing, HeadScan, parse_response, write_response_head,
};
use portcullis::http::{Fields, HeadLimits, Known, ResponseHead, is_hop_by_hop};

fuzz_target!(|bytes: &[u8]| {
    let limits = HeadLimits::default();
    let mut head = ResponseHead::default();
    let whole = parse_response(bytes, &mut HeadScan::new(), &limits, &mut head);

    let mut scan = HeadScan::new();
    let mut piece = ResponseHead::default();
    let pieces = (0..=bytes.len())
        .map(|size| parse_response(&bytes[..size], &mut scan, &limits, &mut piece))
        .find(|outcome| !matches!(outcome, Ok(None)))
        .unwrap_or(Ok(None));
    assert_eq!(whole.ok(), pieces.ok());
    if !matches!(whole, Ok(Some(_))) {
        return;
    }
    assert_eq!(format!("{head:?}"), format!("{piece:?}"));

    let mut out = Vec::new();
    write_response_head(&head, Framing::None, ConnectionHeader::None, &mut out);
    let wide = HeadLimits {
        bytes: usize::MAX,
        fields: usize::MAX,
        target: usize::MAX,
    };
    let mut again = ResponseHead::default();
    let used = parse_response(&out, &mut HeadScan::new(), &wide, &mut again);
    assert_eq!(used, Ok(Some(out.len())));
    assert_eq!(again.status, head.status);
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
