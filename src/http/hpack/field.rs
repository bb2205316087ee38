//! A field of a block, with what the grammar says of it: found out once, and remembered by the tables.

use super::super::fields::Known;
use super::super::grammar::is_field_text;

/// One field of a block, wherever its bytes are.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Seen<'a> {
    pub(in crate::http) name_kind: NameKind,
    pub(in crate::http) value_kind: ValueKind,
    pub(in crate::http) name: &'a [u8],
    pub(in crate::http) value: &'a [u8],
    /// No table may take it in, here or further on (RFC 7541 section 6.2.3).
    pub(in crate::http) secret: bool,
}

/// What a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum NameKind {
    /// A token without capitals.
    Field(Known),
    /// `:authority`
    Authority,
    /// `:method`
    Method,
    /// `:path`
    Path,
    /// `:protocol` (RFC 8441)
    Protocol,
    /// `:scheme`
    Scheme,
    /// `:status`
    Status,
    /// What RFC 9113 sections 8.2.1 and 8.3 forbid: empty, an unknown pseudo-field, a capital, a colon, a space, a byte
    /// outside visible ASCII.
    Malformed,
    /// Something else that is no token.
    NoToken,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum ValueKind {
    /// A field value.
    Good,
    /// A field value with white space around it.
    Padded,
    /// Something with a control byte.
    Bad,
    /// What RFC 9113 section 8.2.1 forbids: something with NUL, CR or LF.
    Malformed,
}

impl NameKind {
    pub(super) fn of(name: &[u8]) -> Self {
        if let [b':', rest @ ..] = name {
            return match rest {
                b"authority" => Self::Authority,
                b"method" => Self::Method,
                b"path" => Self::Path,
                b"protocol" => Self::Protocol,
                b"scheme" => Self::Scheme,
                b"status" => Self::Status,
                _ => Self::Malformed,
            };
        }
        let classes = name.iter().fold(0, |classes, byte| {
            classes | CLASSES.get(usize::from(*byte)).unwrap_or(&MALFORMED)
        });
        match classes {
            _ if name.is_empty() => Self::Malformed,
            0 => Self::Field(Known::of(name)),
            NO_TOKEN => Self::NoToken,
            _ => Self::Malformed,
        }
    }
}

impl ValueKind {
    pub(super) fn of(value: &[u8]) -> Self {
        if is_field_text(value) {
            match value {
                [b' ' | b'\t', ..] | [.., b' ' | b'\t'] => Self::Padded,
                _ => Self::Good,
            }
        } else if memchr::memchr3(0, b'\r', b'\n', value).is_some() {
            Self::Malformed
        } else {
            Self::Bad
        }
    }
}

const NO_TOKEN: u8 = 1;
const MALFORMED: u8 = 2;

/// What each byte makes of a name it stands in.
static CLASSES: [u8; 256] = classes();

#[expect(
    clippy::indexing_slicing,
    reason = "computed by the compiler, which stops at an index outside"
)]
const fn classes() -> [u8; 256] {
    let mut classes = [MALFORMED; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        classes[byte as usize] = match byte {
            b'A'..=b'Z' | b':' => MALFORMED,
            _ if super::super::grammar::is_token_byte(byte) => 0,
            _ => NO_TOKEN,
        };
        byte += 1;
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_name_is_in_its_class() {
        for byte in 0..=255_u8 {
            let kind = NameKind::of(&[b'x', byte]);
            let expected = match byte {
                b'A'..=b'Z' | b':' | 0..=b' ' | 0x7f.. => NameKind::Malformed,
                _ if br#"(),/;<=>?@[\]{}""#.contains(&byte) => NameKind::NoToken,
                _ => NameKind::Field(Known::Other),
            };
            assert_eq!(kind, expected, "{byte:#x}");
        }
        assert_eq!(NameKind::of(b""), NameKind::Malformed);
        assert_eq!(NameKind::of(b":"), NameKind::Malformed);
        assert_eq!(NameKind::of(b":Path"), NameKind::Malformed);
        assert_eq!(NameKind::of(b":path"), NameKind::Path);
        assert_eq!(NameKind::of(b"host"), NameKind::Field(Known::Host));
    }

    #[test]
    fn every_byte_of_a_value_is_in_its_class() {
        for byte in 0..=255_u8 {
            let inside = match byte {
                0 | b'\r' | b'\n' => ValueKind::Malformed,
                b'\t' => ValueKind::Good,
                0..=0x1f | 0x7f => ValueKind::Bad,
                _ => ValueKind::Good,
            };
            assert_eq!(ValueKind::of(&[b'x', byte, b'y']), inside, "{byte:#x}");
        }
        for padded in [" a", "a ", "\ta", "a\t", " "] {
            assert_eq!(ValueKind::of(padded.as_bytes()), ValueKind::Padded);
        }
        assert_eq!(ValueKind::of(b""), ValueKind::Good);
    }
}
