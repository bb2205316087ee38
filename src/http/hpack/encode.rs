//! Writes header blocks: without a table, without Huffman's code. What that costs in bytes is little; what it saves is
//! most of the time.

use super::super::fields::{Field, Known};
use super::integer;

/// One for each connection.
#[derive(Debug, Default)]
pub(in crate::http) struct Encoder {
    begun: bool,
}

/// Indices of the static table.
pub(in crate::http) const AUTHORITY: usize = 1;
pub(in crate::http) const METHOD: usize = 2;
pub(in crate::http) const METHOD_POST: usize = 3;
pub(in crate::http) const PATH: usize = 4;
pub(in crate::http) const SCHEME: usize = 6;
pub(in crate::http) const SCHEME_HTTPS: usize = 7;
pub(in crate::http) const STATUS: usize = 8;
const ACCEPT_ENCODING: usize = 16;

impl Encoder {
    pub(in crate::http) const fn new() -> Self {
        Self { begun: false }
    }

    /// Begins a block. The first one says that there is no table, so that the peer keeps none and nobody waits for a
    /// change of its size, whatever sizes the peer's settings allow (RFC 7541 section 4.2).
    pub(in crate::http) fn begin(&mut self, out: &mut Vec<u8>) {
        if !self.begun {
            self.begun = true;
            out.push(0x20);
        }
    }
}

/// Appends a field of the static table.
pub(in crate::http) fn write_indexed(index: usize, out: &mut Vec<u8>) {
    integer::write(0x80, 7, index, out);
}

/// Appends a field with a name of the static table.
pub(in crate::http) fn write_named(index: usize, value: &[u8], out: &mut Vec<u8>) {
    write_named_length(index, value.len(), out);
    out.extend_from_slice(value);
}

/// Appends what goes before a value: a name of the static table and the value's length.
pub(in crate::http) fn write_named_length(index: usize, length: usize, out: &mut Vec<u8>) {
    integer::write(0, 4, index, out);
    integer::write(0, 7, length, out);
}

/// Appends a field, its name in lower case. A secret one is kept out of every table on its way.
pub(in crate::http) fn write_field(field: Field<'_>, secret: bool, out: &mut Vec<u8>) {
    let Field { known, name, value } = field;
    // So are those that nobody may guess, byte by byte, from the size of what is sent (RFC 7541 section 7.1.3).
    let guessed = matches!(
        known,
        Known::Authorization | Known::Cookie | Known::ProxyAuthorization | Known::SetCookie
    );
    let pattern = if secret || guessed { 0x10 } else { 0 };
    match index_of(known, name) {
        Some(ACCEPT_ENCODING) if value == b"gzip, deflate" && !secret => {
            write_indexed(ACCEPT_ENCODING, out);
        }
        Some(index) => {
            integer::write(pattern, 4, index, out);
            write_string(value, out);
        }
        None => {
            out.push(pattern);
            integer::write(0, 7, name.len(), out);
            let start = out.len();
            out.extend_from_slice(name);
            if let Some(written) = out.get_mut(start..) {
                written.make_ascii_lowercase();
            }
            write_string(value, out);
        }
    }
}

/// Appends a string.
pub(in crate::http) fn write_string(bytes: &[u8], out: &mut Vec<u8>) {
    integer::write(0, 7, bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Where a name is in the static table.
fn index_of(known: Known, name: &[u8]) -> Option<usize> {
    Some(match known {
        Known::Accept => 19,
        Known::AcceptEncoding => ACCEPT_ENCODING,
        Known::Age => 21,
        Known::Authorization => 23,
        Known::CacheControl => 24,
        Known::ContentEncoding => 26,
        Known::ContentLength => 28,
        Known::ContentType => 31,
        Known::Cookie => 32,
        Known::Date => 33,
        Known::Expect => 35,
        Known::Host => 38,
        Known::Location => 46,
        Known::ProxyAuthenticate => 48,
        Known::ProxyAuthorization => 49,
        Known::Referer => 51,
        Known::RetryAfter => 53,
        Known::Server => 54,
        Known::SetCookie => 55,
        Known::TransferEncoding => 57,
        Known::UserAgent => 58,
        Known::Via => 60,
        Known::Other => return index_of_other(name),
        _ => return None,
    })
}

/// Where a name that the gateway itself does not know is in the static table.
fn index_of_other(name: &[u8]) -> Option<usize> {
    let candidates: &[(&[u8], usize)] = match name.len() {
        4 => &[(b"etag", 34), (b"vary", 59), (b"link", 45), (b"from", 37)],
        5 => &[(b"allow", 22), (b"range", 50)],
        7 => &[(b"expires", 36), (b"refresh", 52)],
        8 => &[(b"if-match", 39), (b"if-range", 42)],
        12 => &[(b"max-forwards", 47)],
        13 => &[
            (b"last-modified", 44),
            (b"accept-ranges", 18),
            (b"if-none-match", 41),
            (b"content-range", 30),
        ],
        14 => &[(b"accept-charset", 15)],
        15 => &[(b"accept-language", 17)],
        16 => &[
            (b"content-language", 27),
            (b"content-location", 29),
            (b"www-authenticate", 61),
        ],
        17 => &[(b"if-modified-since", 40)],
        19 => &[(b"content-disposition", 25), (b"if-unmodified-since", 43)],
        25 => &[(b"strict-transport-security", 56)],
        27 => &[(b"access-control-allow-origin", 20)],
        _ => &[],
    };
    candidates
        .iter()
        .find(|(spelling, _)| name.eq_ignore_ascii_case(spelling))
        .map(|(_, index)| *index)
}

#[cfg(test)]
mod tests {
    use super::super::statics;
    use super::*;

    #[test]
    fn every_name_of_the_static_table_is_found() {
        for index in ACCEPT_ENCODING - 1..=statics::COUNT {
            let name = statics::get(index).unwrap().name;
            let upper = name.to_ascii_uppercase();
            assert_eq!(index_of(Known::of(name), &upper), Some(index));
        }
        assert_eq!(index_of(Known::Te, b"te"), None);
        assert_eq!(index_of(Known::Other, b"x"), None);
    }
}
