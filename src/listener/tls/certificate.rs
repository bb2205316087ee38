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

#[cfg(test)]
mod tests {
    use rcgen::{DistinguishedName, DnType, DnValue, KeyPair, SanType};

    use super::super::testing::Issuer;
    use super::*;

    fn error(paths: &CertificatePaths) -> TlsError {
        Certificate::load(paths).unwrap_err()
    }

    #[test]
    fn tells_names_validity_and_kind_of_key() {
        let issuer = Issuer::new();
        let paths = issuer.issue_with(
            "site",
            &["Example.com", "*.example.org", "example.com"],
            &rcgen::PKCS_ECDSA_P384_SHA384,
            |params| {
                params.not_before = rcgen::date_time_ymd(2001, 9, 9);
                params.not_after = rcgen::date_time_ymd(2040, 1, 1);
                params
                    .distinguished_name
                    .push(DnType::CommonName, "not-a-name-then.example");
            },
        );
        let certificate = Certificate::load(&paths).unwrap();
        let facts = certificate.facts();
        assert_eq!(facts.names, ["example.com".into(), "*.example.org".into()]);
        assert_eq!(facts.not_before, 999_993_600);
        assert_eq!(facts.not_after, 2_208_988_800);
        assert_eq!(facts.key, KeyKind::Ecdsa);
        assert_eq!(facts.subject, "CN=not-a-name-then.example");
    }

    #[test]
    fn the_common_name_counts_only_without_alternative_names() {
        let issuer = Issuer::new();
        let paths = issuer.issue_with("old", &[], &rcgen::PKCS_ED25519, |params| {
            params
                .distinguished_name
                .push(DnType::CommonName, "old.example.com");
        });
        let certificate = Certificate::load(&paths).unwrap();
        assert_eq!(certificate.facts().names, ["old.example.com".into()]);
        assert_eq!(certificate.facts().key, KeyKind::EdDsa);
    }

    #[test]
    fn what_is_no_host_name_is_no_name() {
        let issuer = Issuer::new();
        let odd = ["good.example\0.evil.example", "a..b", "f*.example", "*"];
        let paths = issuer.issue_with(
            "odd",
            &["fine.example"],
            &rcgen::PKCS_ECDSA_P256_SHA256,
            |params| {
                let names = odd.map(|name| SanType::DnsName(name.try_into().unwrap()));
                params.subject_alt_names.extend(names);
                params
                    .subject_alt_names
                    .push(SanType::IpAddress([127, 0, 0, 1].into()));
            },
        );
        let certificate = Certificate::load(&paths).unwrap();
        assert_eq!(certificate.facts().names, ["fine.example".into()]);
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let issuer = Issuer::new();
        let mut paths = issuer.issue("site", &["example.com"]);
        paths.key = issuer.issue("other", &["example.com"]).key;
        let error = error(&paths);
        assert_eq!(error.path.as_ref(), Some(&paths.key));
        assert!(error.message.contains("does not belong to"), "{error}");
    }

    #[test]
    fn a_chain_in_the_wrong_order_is_named_as_such() {
        let issuer = Issuer::new();
        let (leaf, key) = issuer.sign(&["example.com"], &rcgen::PKCS_ECDSA_P256_SHA256, |_| {});
        issuer.write("site.pem", &format!("{}{leaf}", issuer.authority_pem()));
        issuer.write("site.key", &key);
        let error = error(&issuer.paths("site"));
        assert!(error.message.contains("not the first"), "{error}");
    }

    #[test]
    fn a_chain_and_its_key_may_be_one_file() {
        let issuer = Issuer::new();
        let (leaf, key) = issuer.sign(&["example.com"], &rcgen::PKCS_ECDSA_P256_SHA256, |_| {});
        issuer.write("all.pem", &format!("{key}{leaf}{}", issuer.authority_pem()));
        let path = issuer.path("all.pem");
        let certificate = Certificate::load(&CertificatePaths {
            certificate: path.clone(),
            key: path,
        });
        assert_eq!(certificate.unwrap().key().cert.len(), 2);
    }

    #[test]
    fn swapped_files_are_named_as_such() {
        let issuer = Issuer::new();
        let CertificatePaths { certificate, key } = issuer.issue("site", &["example.com"]);
        let swapped = CertificatePaths {
            certificate: key.clone(),
            key: certificate.clone(),
        };
        assert!(error(&swapped).help.contains("swapped"));
        let twice = CertificatePaths {
            certificate: certificate.clone(),
            key: certificate,
        };
        assert!(error(&twice).help.contains("swapped"));
    }

    #[test]
    fn files_that_are_missing_or_no_pem_name_the_file() {
        let issuer = Issuer::new();
        let mut paths = issuer.issue("site", &["example.com"]);
        paths.certificate = issuer.path("nothing.pem");
        let missing = error(&paths);
        assert_eq!(missing.path.as_ref(), Some(&paths.certificate));
        assert!(missing.message.contains("cannot be read"), "{missing}");

        paths.certificate = issuer.path("");
        assert_eq!(error(&paths).help, "name the file in it");

        issuer.write("site.pem", "hello");
        let paths = issuer.paths("site");
        assert!(error(&paths).help.contains("must be PEM"));
    }

    #[test]
    fn an_encrypted_key_says_how_to_decrypt_it() {
        let issuer = Issuer::new();
        let paths = issuer.issue("site", &["example.com"]);
        issuer.write(
            "site.key",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        );
        assert!(error(&paths).help.contains("openssl pkey"));
    }

    #[test]
    fn a_damaged_key_is_refused_without_quoting_it() {
        let issuer = Issuer::new();
        let paths = issuer.issue("site", &["example.com"]);
        let key = KeyPair::generate().unwrap().serialize_pem();
        let secret = key.lines().nth(1).unwrap();
        for damaged in [
            format!("-----BEGIN PRIVATE KEY-----\n{secret}\n"),
            format!("-----BEGIN PRIVATE KEY-----\n{secret}!\n-----END PRIVATE KEY-----\n"),
            format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n"),
            format!("-----BEGIN {secret}\n"),
        ] {
            issuer.write("site.key", &damaged);
            let error = error(&paths);
            assert_eq!(error.path.as_ref(), Some(&paths.key));
            assert!(!format!("{error:?}{error}").contains(secret), "{error}");
        }
    }

    #[test]
    fn a_damaged_certificate_is_refused() {
        let issuer = Issuer::new();
        let paths = issuer.issue("site", &["example.com"]);
        issuer.write(
            "site.pem",
            "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
        );
        let error = error(&paths);
        assert_eq!(error.path.as_ref(), Some(&paths.certificate));
        assert!(error.message.contains("malformed"), "{error}");
    }

    #[test]
    fn a_subject_cannot_pretend_to_have_more_parts() {
        let issuer = Issuer::new();
        let paths = issuer.issue_with(
            "client",
            &["client.example"],
            &rcgen::PKCS_ECDSA_P256_SHA256,
            |params| {
                params.distinguished_name = DistinguishedName::new();
                let name = &mut params.distinguished_name;
                name.push(DnType::OrganizationName, " #Example, Inc. ");
                name.push(
                    DnType::CommonName,
                    DnValue::Utf8String("alice,CN=admin\r\n\0ü".into()),
                );
                name.push(DnType::CustomDnType(vec![1, 2, 3]), "x");
            },
        );
        let certificate = Certificate::load(&paths).unwrap();
        assert_eq!(
            certificate.facts().subject,
            r"1.2.3=#0c0178,CN=alice\,CN=admin\0D\0A\00\C3\BC,O=\ #Example\, Inc.\ "
        );
    }
}
