//! The certificates of a listener and their files: what new handshakes get, re-read when the files change.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::watched::Watched;
use super::{
    Certificate, CertificateFacts, CertificatePaths, CertificateTable, FileChange, TlsError,
};

/// The certificates of one listener.
///
/// Handshakes read `table` and nothing else. `entries` belongs to the one who calls [`Self::reload_changed`]; the lock
/// is never taken on the request path.
#[derive(Debug)]
pub struct CertificateStore {
    table: ArcSwap<CertificateTable>,
    entries: Mutex<Vec<Entry>>,
}

#[derive(Debug)]
struct Entry {
    files: Watched,
    certificate: Certificate,
}

impl CertificateStore {
    /// Reads all of `pairs`. Reads files: not for the request path.
    ///
    /// # Errors
    /// Each pair that cannot be used, in order.
    pub fn load(pairs: &[CertificatePaths]) -> Result<Self, Vec<TlsError>> {
        let mut entries = Vec::with_capacity(pairs.len());
        let mut errors = Vec::new();
        for paths in pairs {
            match Entry::load(paths) {
                Ok(entry) => entries.push(entry),
                Err(error) => errors.push(error),
            }
        }
        if pairs.is_empty() {
            errors.push(TlsError::without_file(
                "no certificate is configured",
                "give `certificates` at least one",
            ));
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            table: ArcSwap::from_pointee(table(&entries)),
            entries: Mutex::new(entries),
        })
    }

    /// Reads those pairs again whose files changed since they were last looked at. A pair that cannot be used stays as
    /// it was, and is tried again when its files change again: a certificate is often there a moment before its key.
    /// Reads files: not for the request path.
    pub fn reload_changed(&self) -> Vec<FileChange> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let changes: Vec<FileChange> = entries.iter_mut().filter_map(Entry::reload).collect();
        if changes
            .iter()
            .any(|change| matches!(change, FileChange::Replaced { .. }))
        {
            self.table.store(Arc::new(table(&entries)));
        }
        changes
    }

    /// Where each certificate in use is from and what it says, in configured order: for metrics and the admin address.
    #[must_use]
    pub fn facts(&self) -> Vec<(CertificatePaths, CertificateFacts)> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries
            .iter()
            .map(|entry| &entry.certificate)
            .map(|certificate| (certificate.paths().clone(), certificate.facts().clone()))
            .collect()
    }
}

impl ResolvesServerCert for CertificateStore {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.table
            .load()
            .choose(client_hello.server_name(), client_hello.signature_schemes())
            .cloned()
    }
}

impl Entry {
    fn load(paths: &CertificatePaths) -> Result<Self, TlsError> {
        let files = Watched::new([paths.certificate.as_path(), paths.key.as_path()]);
        Ok(Self {
            files,
            certificate: Certificate::load(paths)?,
        })
    }

    fn reload(&mut self) -> Option<FileChange> {
        if !self.files.changed() {
            return None;
        }
        Some(match Certificate::load(self.certificate.paths()) {
            Ok(certificate) => {
                self.certificate = certificate;
                FileChange::Replaced {
                    files: self.files.paths(),
                }
            }
            Err(error) => FileChange::Kept { error },
        })
    }
}

fn table(entries: &[Entry]) -> CertificateTable {
    CertificateTable::new(entries.iter().map(|entry| &entry.certificate))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Issuer, leaf};
    use super::*;

    /// The certificate that a client without a name gets now.
    fn served(store: &CertificateStore) -> Vec<u8> {
        let table = store.table.load();
        let key = table.choose(None, &[]).unwrap();
        key.cert[0].to_vec()
    }

    fn store(pairs: &[CertificatePaths]) -> CertificateStore {
        CertificateStore::load(pairs).unwrap()
    }

    #[test]
    fn files_that_did_not_change_are_left_alone() {
        let issuer = Issuer::new();
        let store = store(&[issuer.issue("site", &["example.com"])]);
        assert_eq!(store.reload_changed(), []);
    }

    #[test]
    fn a_changed_pair_is_used_at_once() {
        let issuer = Issuer::new();
        let paths = issuer.issue("site", &["example.com"]);
        let store = store(std::slice::from_ref(&paths));
        let before = served(&store);

        issuer.issue("site", &["example.net"]);
        let files = vec![paths.certificate.clone(), paths.key.clone()];
        assert_eq!(store.reload_changed(), [FileChange::Replaced { files }]);
        assert_ne!(served(&store), before);
        assert_eq!(served(&store), leaf(&paths).to_vec());
        assert_eq!(store.facts()[0].1.names, ["example.net".into()]);
        assert_eq!(store.reload_changed(), []);
    }

    #[test]
    fn a_bad_pair_leaves_the_old_one_in_use_and_is_told_once() {
        let issuer = Issuer::new();
        let paths = issuer.issue("site", &["example.com"]);
        let other = issuer.issue("other", &["example.net"]);
        let store = store(&[paths.clone(), other.clone()]);
        let before = served(&store);

        issuer.write("site.pem", "half a certific");
        issuer.issue("other", &["other.example"]);
        let changes = store.reload_changed();
        let [FileChange::Kept { error }, FileChange::Replaced { files }] = changes.as_slice()
        else {
            panic!("{changes:?}");
        };
        assert_eq!(error.path.as_ref(), Some(&paths.certificate));
        assert_eq!(files[0], other.certificate);
        assert_eq!(served(&store), before);
        assert_eq!(store.reload_changed(), []);
    }

    #[test]
    fn a_certificate_that_arrives_before_its_key_waits_for_it() {
        let issuer = Issuer::new();
        let paths = issuer.issue("site", &["example.com"]);
        let store = store(std::slice::from_ref(&paths));
        let before = served(&store);

        let (certificate, key) = issuer.sign(&["example.com"], &rcgen::PKCS_ED25519, |_| {});
        issuer.write("site.pem", &certificate);
        let changes = store.reload_changed();
        assert!(matches!(changes.as_slice(), [FileChange::Kept { .. }]));
        assert_eq!(served(&store), before);

        issuer.write("site.key", &key);
        let changes = store.reload_changed();
        assert!(matches!(changes.as_slice(), [FileChange::Replaced { .. }]));
        assert_eq!(served(&store), leaf(&paths).to_vec());
    }

    #[test]
    fn a_file_that_disappears_and_comes_back_is_read_again() {
        let issuer = Issuer::new();
        let paths = issuer.issue("site", &["example.com"]);
        let store = store(std::slice::from_ref(&paths));
        std::fs::remove_file(&paths.key).unwrap();
        let changes = store.reload_changed();
        assert!(matches!(changes.as_slice(), [FileChange::Kept { .. }]));
        issuer.issue("site", &["example.com"]);
        let changes = store.reload_changed();
        assert!(matches!(changes.as_slice(), [FileChange::Replaced { .. }]));
    }

    #[test]
    fn every_bad_pair_is_told_at_the_start() {
        let issuer = Issuer::new();
        let errors = CertificateStore::load(&[
            issuer.paths("missing"),
            issuer.issue("site", &["example.com"]),
            issuer.paths("missing-too"),
        ]);
        assert_eq!(errors.unwrap_err().len(), 2);
        assert_eq!(CertificateStore::load(&[]).unwrap_err().len(), 1);
    }
}
