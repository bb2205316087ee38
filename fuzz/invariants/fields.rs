//! What the heads of requests and responses have in common.

use portcullis::http::{Fields, Known, is_hop_by_hop};

/// The fields that a writer takes from the list: those that frame a message or belong to its connection come from
/// elsewhere.
pub(super) fn lasting(fields: &Fields) -> Vec<(&[u8], &[u8])> {
    fields
        .iter()
        .filter(|field| !is_hop_by_hop(field.known) && field.known != Known::ContentLength)
        .map(|field| (field.name, field.value))
        .collect()
}

/// Nothing in an accepted head could end its line, or be taken for its end by another reader.
pub(super) fn assert_clean(fields: &Fields) {
    for field in fields.iter() {
        assert!(!field.name.is_empty(), "a field without a name");
        assert!(
            field
                .name
                .iter()
                .all(|byte| byte.is_ascii_graphic() && *byte != b':'),
            "the field name {:?}",
            String::from_utf8_lossy(field.name)
        );
        assert_text(field.value);
    }
}

/// A value or a reason phrase.
pub(super) fn assert_text(text: &[u8]) {
    let is_clean = |byte: &u8| (*byte >= b' ' && *byte != 0x7f) || *byte == b'\t';
    assert!(
        text.iter().all(is_clean),
        "the text {:?}",
        String::from_utf8_lossy(text)
    );
}
