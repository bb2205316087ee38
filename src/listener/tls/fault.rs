//! Why a handshake failed, in the few words that logs and metrics have for it.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// The kinds of failed handshakes, the same for both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandshakeFault {
    /// The peer closed or reset the connection in the middle.
    Closed,
    /// The peer sent something that is no TLS, or broke its rules.
    BadMessage,
    /// No protocol version in common.
    Version,
    /// No cipher suite, group or signature scheme in common.
    Parameters,
    /// No application protocol in common.
    Protocol,
    /// A certificate was needed and none was shown.
    CertificateMissing,
    /// The peer's certificate has expired or is not valid yet.
    CertificateExpired,
    /// The peer's certificate is not from an authority that is trusted here.
    CertificateAuthority,
    /// The peer's certificate is for another name.
    CertificateName,
    /// The peer's certificate is wrong in another way.
    CertificateInvalid,
    /// The peer did not want our certificate.
    CertificateRefused,
    /// The peer refused for a reason of its own.
    Alert,
    /// The fault is ours.
    Internal,
}

impl HandshakeFault {
    /// The stable word for logs and metrics.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Closed => "tls_closed",
            Self::BadMessage => "tls_bad_message",
            Self::Version => "tls_no_common_version",
            Self::Parameters => "tls_no_common_parameters",
            Self::Protocol => "tls_no_common_protocol",
            Self::CertificateMissing => "tls_certificate_missing",
            Self::CertificateExpired => "tls_certificate_expired",
            Self::CertificateAuthority => "tls_certificate_unknown_authority",
            Self::CertificateName => "tls_certificate_other_name",
            Self::CertificateInvalid => "tls_certificate_invalid",
            Self::CertificateRefused => "tls_certificate_refused",
            Self::Alert => "tls_alert",
            Self::Internal => "tls_internal",
        }
    }
}

/// What the error of a handshake over a socket means; `tokio-rustls` wraps the error of rustls into the one of I/O.
#[must_use]
pub fn handshake_fault(error: &io::Error) -> HandshakeFault {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
        .map_or(HandshakeFault::Closed, classify)
}

fn classify(error: &Error) -> HandshakeFault {
    match error {
        Error::NoCertificatesPresented => HandshakeFault::CertificateMissing,
        Error::InvalidCertificate(certificate) => of_certificate(certificate),
        Error::PeerIncompatible(incompatible) => of_incompatible(incompatible),
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::NoApplicationProtocol => HandshakeFault::Protocol,
        Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::InvalidMessage(_)
        | Error::PeerMisbehaved(_)
        | Error::PeerSentOversizedRecord
        | Error::DecryptError => HandshakeFault::BadMessage,
        _ => HandshakeFault::Internal,
    }
}

fn of_certificate(error: &CertificateError) -> HandshakeFault {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. } => {
            HandshakeFault::CertificateExpired
        }
        E::UnknownIssuer => HandshakeFault::CertificateAuthority,
        E::NotValidForName | E::NotValidForNameContext { .. } => HandshakeFault::CertificateName,
        _ => HandshakeFault::CertificateInvalid,
    }
}

fn of_incompatible(error: &PeerIncompatible) -> HandshakeFault {
    use PeerIncompatible as E;
    match error {
        E::ServerDoesNotSupportTls12Or13
        | E::ServerTlsVersionIsDisabledByOurConfig
        | E::SupportedVersionsExtensionRequired
        | E::Tls12NotOffered
        | E::Tls12NotOfferedOrEnabled => HandshakeFault::Version,
        _ => HandshakeFault::Parameters,
    }
}

fn of_alert(alert: AlertDescription) -> HandshakeFault {
    use AlertDescription as A;
    match alert {
        A::ProtocolVersion => HandshakeFault::Version,
        A::HandshakeFailure | A::InsufficientSecurity => HandshakeFault::Parameters,
        A::NoApplicationProtocol => HandshakeFault::Protocol,
        A::CertificateRequired => HandshakeFault::CertificateMissing,
        A::NoCertificate
        | A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
        | A::AccessDenied => HandshakeFault::CertificateRefused,
        _ => HandshakeFault::Alert,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{
        Failed, Issuer, careless, client, connector, handshake, listener, speaking,
    };
    use super::super::{ClientAuth, ServerSettings, TlsVersion, server_config};
    use super::*;

    /// What both sides of a failed handshake say about it, as the engine sees it.
    fn faults(failed: &Failed) -> (Option<HandshakeFault>, Option<HandshakeFault>) {
        let fault = |error: &Error| {
            handshake_fault(&io::Error::new(io::ErrorKind::InvalidData, error.clone()))
        };
        (
            failed.client.as_ref().map(fault),
            failed.server.as_ref().map(fault),
        )
    }

    #[test]
    fn both_sides_find_the_same_word() {
        use HandshakeFault as F;
        let issuer = Issuer::new();
        let good = listener(&[issuer.issue("site", &["example.com"])]);
        let guarded = ServerSettings {
            client_auth: ClientAuth::Require {
                authority: issuer.authority_file(),
            },
            ..good.clone()
        };
        let modern = ServerSettings {
            min_version: TlsVersion::Tls13,
            ..good.clone()
        };
        let plain = || careless(|_| {});
        let unknown = careless(|config| config.alpn_protocols = vec![b"spdy/3".to_vec()]);
        let trusting = connector(&client(&issuer.authority_file()));
        let strange = connector(&client(&Issuer::stranger().authority_file()));
        let old = speaking(TlsVersion::Tls12, &issuer, None);
        for (client, server, name, at_client, at_server) in [
            (
                &plain(),
                &guarded,
                "example.com",
                F::CertificateMissing,
                F::CertificateMissing,
            ),
            (&old, &modern, "example.com", F::Version, F::Version),
            (&unknown, &good, "example.com", F::Protocol, F::Protocol),
            (
                &strange,
                &good,
                "example.com",
                F::CertificateAuthority,
                F::CertificateRefused,
            ),
            (
                &trusting,
                &good,
                "other.test",
                F::CertificateName,
                F::CertificateRefused,
            ),
        ] {
            let server = server_config(server).unwrap();
            let failed = handshake(client, &server, name).err().unwrap();
            assert_eq!(faults(&failed), (Some(at_client), Some(at_server)));
        }
    }

    #[test]
    fn what_is_no_tls_is_told_from_a_connection_that_ended() {
        let issuer = Issuer::new();
        let server = server_config(&listener(&[issuer.issue("site", &["example.com"])])).unwrap();
        let mut connection = rustls::ServerConnection::new(server).unwrap();
        connection
            .read_tls(&mut &b"GET / HTTP/1.1\r\n\r\n"[..])
            .unwrap();
        let error = connection.process_new_packets().unwrap_err();
        let error = io::Error::new(io::ErrorKind::InvalidData, error);
        assert_eq!(handshake_fault(&error), HandshakeFault::BadMessage);
        let ended = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(handshake_fault(&ended), HandshakeFault::Closed);
    }
}
