//! The words of a TLS configuration that listeners and upstreams share.

use std::path::PathBuf;

use rustls::SupportedProtocolVersion;

/// Where a certificate chain and its private key are. Both are PEM; they may be the same file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificatePaths {
    /// The chain, the certificate for the key first.
    pub certificate: PathBuf,
    /// The private key, without a passphrase.
    pub key: PathBuf,
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum ClientAuth {
    /// Never.
    #[default]
    Off,
    /// Asked; a client without one is served, one whose certificate is not of the authority is refused.
    Request {
        /// The PEM file of the authorities that may have signed it.
        authority: PathBuf,
    },
    /// A client without a certificate of the authority is refused.
    Require {
        /// The PEM file of the authorities that may have signed it.
        authority: PathBuf,
    },
}

impl ClientAuth {
    /// The file of the authorities, when clients are asked.
    #[must_use]
    pub const fn authority(&self) -> Option<&PathBuf> {
        match self {
            Self::Off => None,
            Self::Request { authority } | Self::Require { authority } => Some(authority),
        }
    }
}

/// The oldest protocol version that is spoken; TLS 1.3 always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TlsVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    Tls12,
    /// TLS 1.3 alone.
    Tls13,
}

impl TlsVersion {
    /// The version that the configuration calls `word`: `"1.2"` or `"1.3"`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "1.2" => Some(Self::Tls12),
            "1.3" => Some(Self::Tls13),
            _ => None,
        }
    }

    /// The word of the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        }
    }

    pub(super) fn and_newer(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => rustls::ALL_VERSIONS,
            Self::Tls13 => TLS13_ALONE,
        }
    }
}

static TLS13_ALONE: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// A protocol that can be agreed on in the handshake (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alpn {
    /// HTTP/2, `h2`.
    H2,
    /// HTTP/1.1, `http/1.1`.
    Http11,
}

impl Alpn {
    /// The protocol that the configuration and the wire call `word`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::H2, Self::Http11]
            .into_iter()
            .find(|known| known.as_str() == word)
    }

    /// The word of the configuration and of the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::H2 => "h2",
            Self::Http11 => "http/1.1",
        }
    }

    pub(super) fn wire(protocols: &[Self]) -> Vec<Vec<u8>> {
        protocols.iter().map(|p| p.as_str().into()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for version in [TlsVersion::Tls12, TlsVersion::Tls13] {
            assert_eq!(TlsVersion::parse(version.as_str()), Some(version));
        }
        for alpn in [Alpn::H2, Alpn::Http11] {
            assert_eq!(Alpn::parse(alpn.as_str()), Some(alpn));
        }
        assert_eq!(TlsVersion::parse("1.1"), None);
        assert_eq!(Alpn::parse("h2c"), None);
    }
}
