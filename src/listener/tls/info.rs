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

    /// Whether the session was resumed and the client's certificate has expired since it began, at `now` in Unix
    /// time. A resumption does not look at the certificate again, so such a connection must be closed.
    #[must_use]
    pub fn outlived_its_certificate(&self, now: i64) -> bool {
        self.resumed
            && self
                .client_certificate
                .as_ref()
                .is_some_and(|certificate| certificate.not_after().is_none_or(|last| last < now))
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

#[cfg(test)]
mod tests {
    use super::super::testing::{Issuer, careless, client, connector, handshake, leaf, listener};
    use super::super::{ClientAuth, ClientSettings, server_config};
    use super::*;

    #[test]
    fn a_handshake_tells_what_it_agreed_on() {
        let issuer = Issuer::new();
        let server = server_config(&listener(&[issuer.issue("site", &["example.com"])])).unwrap();
        let config = connector(&client(&issuer.authority_file()));
        let first = TlsInfo::of(&handshake(&config, &server, "EXAMPLE.com.").unwrap().server);
        assert_eq!(
            first,
            TlsInfo {
                version: "TLSv1.3",
                cipher: "TLS_AES_256_GCM_SHA384",
                group: Some("X25519MLKEM768"),
                sni: Some("example.com".into()),
                alpn: Some(Alpn::H2),
                resumed: false,
                client_certificate: None,
            }
        );
        let again = TlsInfo::of(&handshake(&config, &server, "EXAMPLE.com.").unwrap().server);
        assert!(again.resumed);
    }

    #[test]
    fn a_client_that_names_no_host_and_no_protocol_has_none() {
        let issuer = Issuer::new();
        let server = server_config(&listener(&[issuer.issue("site", &["example.com"])])).unwrap();
        let config = careless(|config| config.enable_sni = false);
        let info = TlsInfo::of(&handshake(&config, &server, "example.com").unwrap().server);
        assert_eq!((info.sni, info.alpn), (None, None));
    }

    #[test]
    fn a_client_certificate_is_read_when_asked() {
        let issuer = Issuer::new();
        let alice = issuer.issue_with("alice", &["alice.test"], &rcgen::PKCS_ED25519, |params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            params
                .distinguished_name
                .push(rcgen::DnType::CommonName, "alice");
            params.serial_number = Some(vec![0x0a, 0xbc].into());
            params.not_after = rcgen::date_time_ymd(2040, 1, 1);
        });
        let mut settings = listener(&[issuer.issue("site", &["example.com"])]);
        settings.client_auth = ClientAuth::Request {
            authority: issuer.authority_file(),
        };
        let server = server_config(&settings).unwrap();
        let config = connector(&ClientSettings {
            identity: Some(alice.clone()),
            ..client(&issuer.authority_file())
        });
        let info = TlsInfo::of(&handshake(&config, &server, "example.com").unwrap().server);
        let certificate = info.client_certificate.clone().unwrap();
        assert!(!info.outlived_its_certificate(2_208_988_801));
        assert_eq!(certificate.der(), leaf(&alice).as_ref());
        assert_eq!(certificate.subject().as_deref(), Some("CN=alice"));
        assert_eq!(certificate.issuer().as_deref(), Some("CN=Test authority"));
        assert_eq!(certificate.serial().as_deref(), Some("abc"));
        assert_eq!(certificate.not_after(), Some(2_208_988_800));
    }

    #[test]
    fn a_resumed_session_ends_with_the_certificate_of_its_client() {
        let issuer = Issuer::new();
        let alice = issuer.issue_with("alice", &["alice.test"], &rcgen::PKCS_ED25519, |params| {
            params.not_after = rcgen::date_time_ymd(2040, 1, 1);
        });
        let mut settings = listener(&[issuer.issue("site", &["example.com"])]);
        settings.client_auth = ClientAuth::Require {
            authority: issuer.authority_file(),
        };
        let server = server_config(&settings).unwrap();
        let config = connector(&ClientSettings {
            identity: Some(alice),
            ..client(&issuer.authority_file())
        });
        handshake(&config, &server, "example.com").unwrap();
        let again = TlsInfo::of(&handshake(&config, &server, "example.com").unwrap().server);
        assert!(again.resumed);
        assert!(!again.outlived_its_certificate(2_208_988_800));
        assert!(again.outlived_its_certificate(2_208_988_801));
    }

    #[test]
    fn a_certificate_that_cannot_be_read_says_nothing() {
        let certificate = ClientCertificate {
            der: CertificateDer::from(vec![0x30, 0x00]),
        };
        assert_eq!(certificate.subject(), None);
        assert_eq!(certificate.not_after(), None);
    }

    /// A text that is cut at the NUL would be another subject.
    #[test]
    fn case_65_a_subject_with_a_nul_is_told_as_a_whole() {
        let issuer = Issuer::new();
        let paths = issuer.issue_with("nul", &["a.test"], &rcgen::PKCS_ED25519, |params| {
            let name = rcgen::DnType::CommonName;
            params.distinguished_name.push(name, "alice\0.other.test");
        });
        let certificate = ClientCertificate { der: leaf(&paths) };
        assert_eq!(
            certificate.subject().as_deref(),
            Some("CN=alice\\00.other.test")
        );
    }
}
