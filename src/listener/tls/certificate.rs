//! A certificate: a chain with its key, checked, and the facts an operator asks about.

use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::pki_types::{CertificateDer, DnsName};
use rustls::sign::{self, CertifiedKey};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::name::subject_text;
use super::settings::CertificatePaths;
use super::{TlsError, pem};

/// A certificate chain with its private key, read from files and found to belong together.
#[derive(Clone, Debug)]
pub struct Certificate {
    paths: CertificatePaths,
    facts: CertificateFacts,
    key: Arc<CertifiedKey>,
}

/// What the first certificate of a chain says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The subject as RFC 4514 writes it.
    pub subject: String,
    /// The host names it is for, lower case, `*.` first in a wildcard: the DNS names of the subject alternative name
    /// extension or, where there is none, the common name.
    pub names: Vec<Box<str>>,
    /// The first second of its validity, Unix time.
    pub not_before: i64,
    /// The last second of its validity, Unix time.
    pub not_after: i64,
    /// What kind of key it has.
    pub key: KeyKind,
}

/// The kinds of keys, the cheapest for the listener first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// ECDSA.
    Ecdsa,
    /// EdDSA.
    EdDsa,
    /// RSA.
    Rsa,
}

impl Certificate {
    /// Reads the chain and the key. Reads files: not for the request path.
    ///
    /// # Errors
    /// A file cannot be read or is no PEM, the key does not belong to the first certificate, or the certificate is
    /// malformed. A certificate that has expired is none: see [`CertificateFacts::not_after`].
    pub fn load(paths: &CertificatePaths) -> Result<Self, TlsError> {
        let chain = pem::certificates(&paths.certificate)?;
        let key = signing_key(paths)?;
        let certified = CertifiedKey::new(chain, key);
        check_pair(paths, &certified)?;
        Ok(Self {
            facts: facts(paths, &certified)?,
            paths: paths.clone(),
            key: Arc::new(certified),
        })
    }

    /// Where it was read from.
    #[must_use]
    pub const fn paths(&self) -> &CertificatePaths {
        &self.paths
    }

    /// What it says about itself.
    #[must_use]
    pub const fn facts(&self) -> &CertificateFacts {
        &self.facts
    }

    /// The chain and key as rustls wants them.
    #[must_use]
    pub const fn key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }
}

fn signing_key(paths: &CertificatePaths) -> Result<Arc<dyn sign::SigningKey>, TlsError> {
    let key = pem::private_key(&paths.key)?;
    // rustls' own text about a key it cannot use says no more than this.
    rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).map_err(|_| {
        TlsError::in_file(
            &paths.key,
            "the private key is damaged or of an unsupported kind",
            "use RSA of 2048 to 8192 bits, ECDSA on P-256, P-384 or P-521, or Ed25519",
        )
    })
}

fn check_pair(paths: &CertificatePaths, certified: &CertifiedKey) -> Result<(), TlsError> {
    let belongs = |certificate: &CertificateDer<'static>| {
        CertifiedKey::new(vec![certificate.clone()], Arc::clone(&certified.key)).keys_match()
    };
    let [first, others @ ..] = certified.cert.as_slice() else {
        return Ok(());
    };
    match belongs(first) {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(()),
        Err(rustls::Error::InconsistentKeys(_)) if others.iter().any(|c| belongs(c).is_ok()) => {
            Err(TlsError::in_file(
                &paths.certificate,
                "the certificate for the key is not the first one of the file",
                "put it first, then the certificate that signed it, and so on",
            ))
        }
        Err(rustls::Error::InconsistentKeys(_)) => Err(TlsError::in_file(
            &paths.key,
            format!(
                "the private key does not belong to the certificate in {}",
                paths.certificate.display()
            ),
            "check that both files are from the same issue",
        )),
        Err(error) => Err(malformed(paths, &error.to_string())),
    }
}

fn facts(paths: &CertificatePaths, certified: &CertifiedKey) -> Result<CertificateFacts, TlsError> {
    let der = certified.cert.first().map_or(&[][..], |leaf| leaf.as_ref());
    let (_, leaf) =
        X509Certificate::from_der(der).map_err(|error| malformed(paths, &error.to_string()))?;
    let key = match certified.key.algorithm() {
        SignatureAlgorithm::RSA => KeyKind::Rsa,
        SignatureAlgorithm::ECDSA => KeyKind::Ecdsa,
        _ => KeyKind::EdDsa,
    };
    Ok(CertificateFacts {
        subject: subject_text(leaf.subject()),
        names: names(&leaf),
        not_before: leaf.validity().not_before.timestamp(),
        not_after: leaf.validity().not_after.timestamp(),
        key,
    })
}

fn malformed(paths: &CertificatePaths, why: &str) -> TlsError {
    TlsError::in_file(
        &paths.certificate,
        format!("the certificate is malformed: {why}"),
        "have it issued again",
    )
}

/// The host names of a certificate. What is no host name is left out: no client can ask for it.
fn names(leaf: &X509Certificate<'_>) -> Vec<Box<str>> {
    let alternative = leaf.subject_alternative_name().ok().flatten();
    let found: Vec<&str> = match &alternative {
        Some(extension) => extension
            .value
            .general_names
            .iter()
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(*name),
                _ => None,
            })
            .collect(),
        None => leaf
            .subject()
            .iter_common_name()
            .filter_map(|name| name.as_str().ok())
            .collect(),
    };
    let mut names: Vec<Box<str>> = Vec::new();
    for name in found {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let host = name.strip_prefix("*.").unwrap_or(&name);
        let known = names.iter().any(|known| **known == *name);
        if !known && DnsName::try_from(host).is_ok() {
            names.push(name.into());
        }
    }
    names
}
