//! Who vouches for an upstream: the system's authorities, the operator's own, or nobody.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_native_certs::CertificateResult;

use super::server::refused;
use super::{TlsError, pem, provider};

/// Who may vouch for an upstream's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verification {
    /// The authorities the operating system trusts.
    #[default]
    System,
    /// The authorities of a PEM file, and no others.
    Authority(PathBuf),
    /// Nobody needs to: any certificate for any name is taken. Traffic is encrypted, but whoever sits in between can
    /// read and change it.
    None,
}

/// The authorities the operating system trusts, read at the first need and then kept: they are some hundred files. A
/// failure is not kept, so a reload after installing them finds them.
#[derive(Debug, Default)]
pub struct SystemRoots {
    roots: OnceLock<Arc<RootCertStore>>,
}

impl SystemRoots {
    /// The authorities. Reads files the first time: not for the request path.
    ///
    /// # Errors
    /// The system has none.
    pub fn roots(&self) -> Result<Arc<RootCertStore>, TlsError> {
        if let Some(roots) = self.roots.get() {
            return Ok(Arc::clone(roots));
        }
        let found = usable(rustls_native_certs::load_native_certs())?;
        Ok(Arc::clone(self.roots.get_or_init(|| Arc::new(found))))
    }
}

fn usable(found: CertificateResult) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // A system's bundle may hold an authority that rustls cannot use; it says nothing about the others.
    roots.add_parsable_certificates(found.certs);
    if !roots.is_empty() {
        return Ok(roots);
    }
    let why = found.errors.first().map_or_else(
        || String::from("no trusted authorities were found on this system"),
        |error| format!("the system's trusted authorities cannot be read: {error}"),
    );
    Err(TlsError::without_file(
        why,
        "install the package ca-certificates, or set `ca` of the upstream",
    ))
}

/// The verifier for a choice.
pub(super) fn verifier(
    verification: &Verification,
    roots: &SystemRoots,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let roots = match verification {
        Verification::System => roots.roots()?,
        Verification::Authority(path) => Arc::new(pem::authorities(path)?),
        Verification::None => {
            return Ok(Arc::new(AcceptsAnyCertificate {
                schemes: provider()
                    .signature_verification_algorithms
                    .supported_schemes(),
            }));
        }
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(refused)?;
    Ok(verifier)
}

/// The verifier behind [`Verification::None`]. It does not look at signatures either: they would prove that the
/// upstream has the key of a certificate nobody vouches for, and looking would refuse certificates too old for rustls.
#[derive(Debug)]
struct AcceptsAnyCertificate {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for AcceptsAnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;
    use rustls::{CertificateError, Error};

    use super::super::testing::{Issuer, client, handshake, listener};
    use super::super::{ClientSettings, client_config, server_config};
    use super::*;

    /// A system that trusts `issuer` and nobody else.
    fn system(issuer: &Issuer) -> SystemRoots {
        let system = SystemRoots::default();
        let mut found = CertificateResult::default();
        let authority = CertificateDer::from_pem_slice(issuer.authority_pem().as_bytes());
        found.certs.push(authority.unwrap());
        found.certs.push(CertificateDer::from(vec![0x30, 0]));
        system.roots.set(Arc::new(usable(found).unwrap())).unwrap();
        system
    }

    #[test]
    fn the_system_vouches_for_what_its_authorities_signed() {
        let issuer = Issuer::new();
        let server = server_config(&listener(&[issuer.issue("site", &["partner.test"])])).unwrap();
        let settings = ClientSettings {
            verification: Verification::System,
            ..client(&issuer.authority_file())
        };
        let config = client_config(&settings, &system(&issuer)).unwrap();
        assert!(handshake(&config, &server, "partner.test").is_ok());

        let config = client_config(&settings, &system(&Issuer::stranger())).unwrap();
        let failed = handshake(&config, &server, "partner.test").err().unwrap();
        assert_eq!(
            failed.client,
            Some(Error::InvalidCertificate(CertificateError::UnknownIssuer))
        );
    }

    #[test]
    fn a_system_without_authorities_says_what_to_install() {
        let error = usable(CertificateResult::default()).unwrap_err();
        assert!(error.help.contains("ca-certificates"));
    }
}
