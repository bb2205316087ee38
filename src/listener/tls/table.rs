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
