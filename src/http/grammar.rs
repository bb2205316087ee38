//! The byte classes of RFC 9110, and the repair of fields that a filter made outside of them.

use std::borrow::Cow;

/// Whether the bytes are a token (RFC 9110 section 5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// Whether a byte can stand in a token.
pub(super) const fn is_token_byte(byte: u8) -> bool {
    matches!(
        byte,
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9'
            | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
    )
}

/// Whether the bytes can stand in a field value: visible ASCII, space, tab and bytes from 0x80 (RFC 9110 section 5.5).
pub(super) fn is_field_text(bytes: &[u8]) -> bool {
    // Without an early exit the compiler makes vector instructions of it.
    !bytes
        .iter()
        .fold(false, |bad, byte| bad | !is_field_text_byte(*byte))
}

/// Whether all bytes are visible ASCII: no space, no control byte, nothing from 0x7f on.
pub(super) fn is_visible_ascii(bytes: &[u8]) -> bool {
    !bytes
        .iter()
        .fold(false, |bad, byte| bad | !byte.is_ascii_graphic())
}

/// The value as it may be sent: bytes outside the grammar become spaces (RFC 9110 section 5.5), white space around it
/// goes.
pub(super) fn repair_value(value: &[u8]) -> Cow<'_, [u8]> {
    if is_field_text(value) {
        return Cow::Borrowed(trim(value));
    }
    let spaced: Vec<u8> = value
        .iter()
        .map(|byte| {
            if is_field_text_byte(*byte) {
                *byte
            } else {
                b' '
            }
        })
        .collect();
    Cow::Owned(trim(&spaced).to_vec())
}

/// The members of a comma-separated list, without white space and without empty ones (RFC 9110 section 5.6.1.2).
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|byte| *byte == b',')
        .map(trim)
        .filter(|member| !member.is_empty())
}

/// The bytes without spaces and tabs around them.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// `%XX`, in upper case.
pub(super) const fn escape(byte: u8) -> [u8; 3] {
    const fn digit(value: u8) -> u8 {
        if value < 10 {
            b'0' + value
        } else {
            b'A' + value - 10
        }
    }
    [b'%', digit(byte >> 4), digit(byte & 15)]
}

const fn is_field_text_byte(byte: u8) -> bool {
    (byte >= b' ' && byte != 0x7f) || byte == b'\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_in_its_class() {
        for byte in 0..=255_u8 {
            let text = matches!(byte, b'\t' | b' '..=b'~' | 0x80..);
            assert_eq!(is_field_text(&[b'a', byte, b'b']), text, "{byte:#x}");
            let visible = matches!(byte, b'!'..=b'~');
            assert_eq!(is_visible_ascii(&[b'a', byte]), visible, "{byte:#x}");
            let token = visible && !br#"(),/:;<=>?@[\]{}""#.contains(&byte);
            assert_eq!(is_token(&[b'a', byte]), token, "{byte:#x}");
        }
        assert!(!is_token(b""));
    }

    #[test]
    fn a_value_is_repaired_with_spaces() {
        assert_eq!(&*repair_value(b"a\r\nEvil: 1\0"), b"a  Evil: 1");
        assert_eq!(&*repair_value(b" fine\t"), b"fine");
        assert_eq!(&*repair_value(b"\r\n"), b"");
    }

    #[test]
    fn a_list_has_no_empty_members() {
        let members: Vec<_> = list(b" , a,,\tb c ,").collect();
        assert_eq!(members, [&b"a"[..], b"b c"]);
    }
}
