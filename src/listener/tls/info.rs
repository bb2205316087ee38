//! What a finished handshake agreed on, for the access log, the filters and the metrics.

use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::Alpn;
use super::name::subject_text;

/// The facts of one TLS connection from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// The protocol version, `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite by its IANA name.
    pub cipher: &'static str,
    /// The key exchange group by its IANA name; none when a TLS 1.2 session was resumed.
    pub group: Option<&'static str>,
    /// The host name the client asked for: lower case, without a trailing dot.
    pub sni: Option<Box<str>>,
    /// The protocol that was agreed on, if the client speaks ALPN.
    pub alpn: Option<Alpn>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The client's certificate. The listener's verifier has accepted it, now or when the session began.
    pub client_certificate: Option<ClientCertificate>,
}

/// A client's certificate as it came; it is parsed when somebody asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    der: CertificateDer<'static>,
}

impl TlsInfo {
    /// The facts of `connection`, whose handshake is finished.
    #[must_use]
    pub fn of(connection: &ServerConnection) -> Self {
        Self {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "unknown",
            },
            cipher: connection
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .map_or("unknown", iana_suite),
            group: connection
                .negotiated_key_exchange_group()
                .and_then(|group| group.name().as_str()),
            sni: connection
                .server_name()
                .map(|name| name.strip_suffix('.').unwrap_or(name).into()),
            alpn: connection
                .alpn_protocol()
                .and_then(|word| std::str::from_utf8(word).ok())
                .and_then(Alpn::parse),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            client_certificate: connection
                .peer_certificates()
                .and_then(|chain| chain.first())
                .map(|leaf| ClientCertificate {
                    der: leaf.clone().into_owned(),
                }),
        }
    }
}

/// rustls names the suites of TLS 1.3 its own way.
fn iana_suite(name: &'static str) -> &'static str {
    match name {
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        other => other,
    }
}

impl ClientCertificate {
    /// The certificate as it came, DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its subject as RFC 4514 writes it, in ASCII; none when it cannot be read.
    #[must_use]
    pub fn subject(&self) -> Option<String> {
        self.parsed(|certificate| subject_text(certificate.subject()))
    }

    /// Its issuer as RFC 4514 writes it, in ASCII; none when it cannot be read.
    #[must_use]
    pub fn issuer(&self) -> Option<String> {
        self.parsed(|certificate| subject_text(certificate.issuer()))
    }

    /// Its serial number in hexadecimal, lower case, without separators; none when it cannot be read.
    #[must_use]
    pub fn serial(&self) -> Option<String> {
        self.parsed(|certificate| format!("{:x}", certificate.tbs_certificate.serial))
    }

    /// The last second of its validity, Unix time; none when it cannot be read.
    #[must_use]
    pub fn not_after(&self) -> Option<i64> {
        self.parsed(|certificate| certificate.validity().not_after.timestamp())
    }

    fn parsed<T>(&self, read: impl FnOnce(&X509Certificate<'_>) -> T) -> Option<T> {
        let (_, certificate) = X509Certificate::from_der(&self.der).ok()?;
        Some(read(&certificate))
    }
}
