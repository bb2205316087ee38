//! PROXY protocol: the header a trusted hop puts before the client's first byte, versions 1 and 2, as a pure parser.
//!
//! The specification is HAProxy's `proxy-protocol.txt`. The parser works on what has arrived so far: more bytes change
//! "incomplete" into an answer and never one answer into another.

mod trusted;

mod v1;

mod v2;

use std::net::{IpAddr, SocketAddr};

pub use trusted::Trusted;

/// The most bytes a header can have; a reader needs no larger buffer.
pub const MAX_BYTES: usize = v2::MAX_BYTES;

/// Who a connection is for, as the hop before us says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// The hop speaks for itself (its health probe), or it does not know: the socket's own addresses hold.
    Local,
    /// A client's connection. IPv4 addresses inside IPv6 are given as IPv4.
    Forwarded {
        /// The client.
        source: SocketAddr,
        /// The address the client connected to.
        destination: SocketAddr,
    },
}

/// Why a connection that must begin with a PROXY header is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// The first bytes are no PROXY header.
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    /// Version 1 has more than 107 bytes, or version 2 more than 4 KiB after its addresses.
    #[error("the PROXY header is too long")]
    TooLong,
    /// The line of version 1 breaks its grammar.
    #[error("the PROXY line is malformed")]
    BadLine,
    /// An address or port that is none.
    #[error("the PROXY header has a bad address")]
    BadAddress,
    /// Neither version 1 nor 2, or a command other than LOCAL and PROXY.
    #[error("the PROXY header has an unknown version or command")]
    UnknownVersion,
    /// Something other than TCP over IPv4 or IPv6.
    #[error("the PROXY header is not about TCP over IPv4 or IPv6")]
    UnsupportedFamily,
    /// The addresses or a TLV of version 2 do not fit into the header's length.
    #[error("the PROXY header's lengths contradict each other")]
    BadLength,
    /// The CRC-32C of version 2 does not match.
    #[error("the PROXY header's checksum is wrong")]
    BadChecksum,
}

/// Parses the header at the start of `bytes`: how many bytes it has, and what it says. `None` asks for more bytes.
///
/// # Errors
/// The connection must be closed: nobody knows whom it belongs to.
pub fn parse(bytes: &[u8]) -> Result<Option<(usize, ProxyHeader)>, ProxyError> {
    match bytes.first() {
        None => Ok(None),
        Some(first) if v2::SIGNATURE.first() == Some(first) => v2::parse(bytes),
        Some(_) => v1::parse(bytes),
    }
}

/// Whether all of `expected` stands at the start of `bytes`; an error as soon as it cannot any more.
fn starts(bytes: &[u8], expected: &[u8]) -> Result<bool, ProxyError> {
    let equal = bytes.iter().zip(expected).all(|(a, b)| a == b);
    if equal {
        Ok(bytes.len() >= expected.len())
    } else {
        Err(ProxyError::Missing)
    }
}

/// One spelling for each address, so that a list of networks means what it says.
fn canonical(address: impl Into<IpAddr>, port: u16) -> SocketAddr {
    SocketAddr::new(address.into().to_canonical(), port)
}

impl ProxyError {
    /// The stable word for logs and metrics.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "proxy_header_missing",
            Self::TooLong => "proxy_header_too_long",
            Self::BadLine => "proxy_header_bad_line",
            Self::BadAddress => "proxy_header_bad_address",
            Self::UnknownVersion => "proxy_header_unknown_version",
            Self::UnsupportedFamily => "proxy_header_unsupported_family",
            Self::BadLength => "proxy_header_bad_length",
            Self::BadChecksum => "proxy_header_bad_checksum",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn line() -> impl Strategy<Value = Vec<u8>> {
        let v4 = any::<[Ipv4Addr; 2]>().prop_map(|[a, b]| format!("TCP4 {a} {b}"));
        let v6 = any::<[Ipv6Addr; 2]>().prop_map(|[a, b]| format!("TCP6 {a} {b}"));
        (prop_oneof![v4, v6], any::<[u16; 2]>()).prop_map(|(addresses, [source, destination])| {
            format!("PROXY {addresses} {source} {destination}\r\n").into_bytes()
        })
    }

    fn binary() -> impl Strategy<Value = Vec<u8>> {
        let kinds = prop::sample::select(vec![[0x21, 0x11], [0x21, 0x21], [0x20, 0], [0x21, 0]]);
        (
            kinds,
            vec(any::<u8>(), 36),
            vec((any::<u8>(), vec(any::<u8>(), 0..40)), 0..4),
        )
            .prop_map(|(kind, mut rest, entries)| {
                if kind[1] == 0x11 {
                    rest.truncate(12);
                }
                for (kind, value) in entries {
                    rest.push(kind);
                    rest.extend(u16::try_from(value.len()).unwrap_or(0).to_be_bytes());
                    rest.extend(value);
                }
                let length = u16::try_from(rest.len()).unwrap_or(0).to_be_bytes();
                [&v2::SIGNATURE[..], &kind, &length, &rest].concat()
            })
    }

    /// Headers of both versions, whole or with one byte changed, and something after them.
    fn input() -> impl Strategy<Value = Vec<u8>> {
        let header = prop_oneof![line(), binary()];
        let damage = proptest::option::of((any::<prop::sample::Index>(), any::<u8>()));
        (header, damage, vec(any::<u8>(), 0..20)).prop_map(|(mut bytes, damage, rest)| {
            if let Some((at, byte)) = damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            bytes.extend(rest);
            bytes
        })
    }

    proptest! {
        #[test]
        fn the_answer_does_not_depend_on_how_the_bytes_arrive(bytes in input()) {
            let whole = parse(&bytes);
            let mut answered = false;
            for end in 0..=bytes.len() {
                let part = parse(&bytes[..end]);
                prop_assert!(part == whole || (part == Ok(None) && !answered), "at {}", end);
                answered |= part != Ok(None);
            }
            if let Ok(Some((used, _))) = whole {
                prop_assert!(used <= bytes.len() && used <= MAX_BYTES);
            }
        }

        #[test]
        fn a_whole_line_is_always_understood(bytes in line()) {
            let length = bytes.len();
            let whole = matches!(parse(&bytes), Ok(Some((used, ProxyHeader::Forwarded { .. }))) if used == length);
            prop_assert!(whole);
        }

        #[test]
        fn no_bytes_whatever_make_it_panic_or_wait_for_ever(bytes in vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
            let long = [&v2::SIGNATURE[..], &bytes, &[0; MAX_BYTES]].concat();
            prop_assert_ne!(parse(&long), Ok(None));
            let long = [b"PROXY ", bytes.as_slice(), &[b' '; MAX_BYTES]].concat();
            prop_assert_ne!(parse(&long), Ok(None));
        }
    }
}
