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
