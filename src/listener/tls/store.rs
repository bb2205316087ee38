//! The certificates of a listener and their files: what new handshakes get, re-read when the files change.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::watched::Stamps;
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
    stamps: Stamps,
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
        let stamps = Stamps::of([paths.certificate.as_path(), paths.key.as_path()]);
        Ok(Self {
            stamps,
            certificate: Certificate::load(paths)?,
        })
    }

    fn reload(&mut self) -> Option<FileChange> {
        self.stamps = self.stamps.changed()?;
        Some(match Certificate::load(self.certificate.paths()) {
            Ok(certificate) => {
                self.certificate = certificate;
                let CertificatePaths { certificate, key } = self.certificate.paths().clone();
                FileChange::Replaced {
                    files: vec![certificate, key],
                }
            }
            Err(error) => FileChange::Kept { error },
        })
    }
}

fn table(entries: &[Entry]) -> CertificateTable {
    CertificateTable::new(entries.iter().map(|entry| &entry.certificate))
}
