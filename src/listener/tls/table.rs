//! The table of a listener's certificates: which one a client gets for the name it asks for.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::sign::CertifiedKey;
use smallvec::SmallVec;

use super::certificate::{Certificate, KeyKind};

/// Certificates by name. An exact name wins over a wildcard, which stands for one label; a client that names no host,
/// or one that no certificate is for, gets the first configured certificate.
#[derive(Debug, Default)]
pub struct CertificateTable {
    exact: HashMap<Box<str>, Choices>,
    /// Keyed by what follows `*.`.
    wildcard: HashMap<Box<str>, Choices>,
    default: Choices,
}

/// The certificates for one name, one for each kind of key, the cheapest first.
#[derive(Debug, Default)]
struct Choices(SmallVec<[(KeyKind, Arc<CertifiedKey>); 2]>);

impl CertificateTable {
    /// The table of `certificates`, in configured order: of two for the same name and kind of key the first counts.
    #[must_use]
    pub fn new<'c>(certificates: impl IntoIterator<Item = &'c Certificate>) -> Self {
        let mut table = Self::default();
        let mut default_names = None;
        for certificate in certificates {
            let names = &certificate.facts().names;
            for name in names {
                let choices = match name.strip_prefix("*.") {
                    Some(suffix) => table.wildcard.entry(suffix.into()).or_default(),
                    None => table.exact.entry(name.clone()).or_default(),
                };
                choices.add(certificate);
            }
            // The same site with another kind of key is the default as well.
            if *default_names.get_or_insert(names) == names {
                table.default.add(certificate);
            }
        }
        table
    }

    /// The certificate for a client that asks for `name` and understands `schemes`. Case and a trailing dot of the
    /// name do not matter. `None` only when the table is empty.
    #[must_use]
    pub fn choose(
        &self,
        name: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> Option<&Arc<CertifiedKey>> {
        name.and_then(|name| self.named(name))
            .unwrap_or(&self.default)
            .choose(schemes)
    }

    fn named(&self, name: &str) -> Option<&Choices> {
        let name = name.strip_suffix('.').unwrap_or(name);
        let name = if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(name.to_ascii_lowercase())
        } else {
            Cow::Borrowed(name)
        };
        self.exact.get(&*name).or_else(|| {
            let (_, suffix) = name.split_once('.')?;
            self.wildcard.get(suffix)
        })
    }
}

impl Choices {
    fn add(&mut self, certificate: &Certificate) {
        let kind = certificate.facts().key;
        if let Err(place) = self.0.binary_search_by_key(&kind, |(kind, _)| *kind) {
            self.0.insert(place, (kind, Arc::clone(certificate.key())));
        }
    }

    /// The first certificate whose key can sign for the client. When none can, the first one: the handshake then
    /// fails with the alert that says so.
    fn choose(&self, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        self.0
            .iter()
            .map(|(_, certified)| certified)
            .find(|certified| certified.key.choose_scheme(schemes).is_some())
            .or_else(|| self.0.first().map(|(_, certified)| certified))
    }
}

#[cfg(test)]
mod tests {
    use rustls::SignatureScheme as Scheme;

    use super::super::CertificatePaths;
    use super::super::testing::Issuer;
    use super::*;

    const ALL: &[Scheme] = &[Scheme::ECDSA_NISTP256_SHA256, Scheme::RSA_PSS_SHA256];

    struct Chosen {
        certificates: Vec<Certificate>,
        table: CertificateTable,
    }

    impl Chosen {
        fn new(pairs: &[CertificatePaths]) -> Self {
            let load = |paths| Certificate::load(paths).unwrap();
            let certificates: Vec<Certificate> = pairs.iter().map(load).collect();
            Self {
                table: CertificateTable::new(&certificates),
                certificates,
            }
        }

        /// The place of the chosen certificate in the configuration.
        fn place(&self, name: Option<&str>, schemes: &[Scheme]) -> Option<usize> {
            let chosen = self.table.choose(name, schemes)?;
            self.certificates
                .iter()
                .position(|certificate| Arc::ptr_eq(certificate.key(), chosen))
        }
    }

    #[test]
    fn exact_wins_over_wildcard_wins_over_the_first() {
        let issuer = Issuer::new();
        let chosen = Chosen::new(&[
            issuer.issue("default", &["default.test"]),
            issuer.issue("wildcard", &["*.example.com"]),
            issuer.issue("exact", &["api.example.com"]),
        ]);
        for (name, place) in [
            (Some("api.example.com"), 2),
            (Some("API.Example.COM"), 2),
            (Some("api.example.com."), 2),
            (Some("www.example.com"), 1),
            (Some("WWW.example.com."), 1),
            (Some("a.b.example.com"), 0),
            (Some("example.com"), 0),
            (Some(".example.com"), 1),
            (Some("other.test"), 0),
            (Some("*.example.com"), 1),
            (Some(""), 0),
            (Some("."), 0),
            (None, 0),
        ] {
            assert_eq!(chosen.place(name, ALL), Some(place), "{name:?}");
        }
    }

    #[test]
    fn the_key_fits_what_the_client_can_verify() {
        let issuer = Issuer::new();
        let rsa = |file, name| issuer.issue_with(file, &[name], &rcgen::PKCS_RSA_SHA256, |_| {});
        let chosen = Chosen::new(&[
            rsa("default-rsa", "default.test"),
            issuer.issue("default-ecdsa", &["default.test"]),
            issuer.issue("site-ecdsa", &["*.example.com"]),
            rsa("site-rsa", "*.example.com"),
        ]);
        let (ecdsa, rsa) = (&[Scheme::ECDSA_NISTP256_SHA256], &[Scheme::RSA_PSS_SHA256]);
        assert_eq!(chosen.place(Some("a.example.com"), ecdsa), Some(2));
        assert_eq!(chosen.place(Some("a.example.com"), rsa), Some(3));
        assert_eq!(chosen.place(Some("a.example.com"), ALL), Some(2));
        assert_eq!(chosen.place(None, rsa), Some(0));
        assert_eq!(chosen.place(None, ecdsa), Some(1));
        assert_eq!(chosen.place(None, ALL), Some(1));
    }

    #[test]
    fn a_client_that_fits_no_key_still_gets_its_own_name() {
        let issuer = Issuer::new();
        let chosen = Chosen::new(&[
            issuer.issue("default", &["default.test"]),
            issuer.issue("site", &["example.com"]),
        ]);
        assert_eq!(
            chosen.place(Some("example.com"), &[Scheme::ED25519]),
            Some(1)
        );
        assert_eq!(chosen.place(Some("example.com"), &[]), Some(1));
    }

    #[test]
    fn of_two_for_the_same_name_the_first_counts() {
        let issuer = Issuer::new();
        let chosen = Chosen::new(&[
            issuer.issue("default", &["default.test"]),
            issuer.issue("first", &["example.com"]),
            issuer.issue("second", &["example.com", "www.example.com"]),
        ]);
        assert_eq!(chosen.place(Some("example.com"), ALL), Some(1));
        assert_eq!(chosen.place(Some("www.example.com"), ALL), Some(2));
    }

    #[test]
    fn an_empty_table_has_no_certificate() {
        assert!(CertificateTable::new([]).choose(None, ALL).is_none());
    }
}
