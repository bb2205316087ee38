//! PEM files: certificates and private keys, with an answer for each way such a file can be wrong.

use std::io;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::TlsError;

/// All certificates of a file, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(path)?;
    let found = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| damaged(path, &error))?;
    if found.is_empty() {
        let help = if PrivateKeyDer::from_pem_slice(&bytes).is_ok() {
            "it holds a private key: `certificate` and `key` may be swapped"
        } else {
            "it must be PEM, with `-----BEGIN CERTIFICATE-----` lines"
        };
        return Err(TlsError::in_file(path, "no certificate in this file", help));
    }
    Ok(found)
}

/// The first private key of a file.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = read(path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => {
            TlsError::in_file(path, "no private key in this file", no_key_help(&bytes))
        }
        error => damaged(path, &error),
    })
}

fn no_key_help(bytes: &[u8]) -> &'static str {
    if memchr::memmem::find(bytes, b"BEGIN ENCRYPTED PRIVATE KEY").is_some() {
        "it is encrypted: write it without a passphrase (`openssl pkey -in FILE -out FILE`) and \
         let only the gateway's user read it"
    } else if CertificateDer::from_pem_slice(bytes).is_ok() {
        "it holds a certificate: `certificate` and `key` may be swapped"
    } else {
        "it must be PEM, with a `-----BEGIN PRIVATE KEY-----` line"
    }
}

/// The authorities of a file. Each of them must be usable: one that is left out silently is an outage later.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for (index, certificate) in certificates(path)?.into_iter().enumerate() {
        store.add(certificate).map_err(|error| {
            TlsError::in_file(
                path,
                format!(
                    "certificate {} of this file cannot be an authority: {error}",
                    index + 1
                ),
                "remove it from the file or replace it",
            )
        })?;
    }
    Ok(store)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| {
        let help = match error.kind() {
            io::ErrorKind::NotFound => {
                "check the path; a relative one starts at the configuration file that names it"
            }
            io::ErrorKind::PermissionDenied => "let the user the gateway runs as read it",
            io::ErrorKind::IsADirectory => "name the file in it",
            _ => "the gateway must be able to read it",
        };
        TlsError::in_file(path, format!("cannot be read: {error}"), help)
    })
}

fn damaged(path: &Path, error: &pem::Error) -> TlsError {
    // The parser's own texts quote the file as lists of byte values, and a key file must not be quoted at all.
    let message = match error {
        pem::Error::MissingSectionEnd { .. } => "the PEM text ends before its `-----END` line",
        pem::Error::IllegalSectionStart { .. } => "a `-----BEGIN` line of the PEM text is damaged",
        pem::Error::Base64Decode(_) => "the PEM text is not valid base64",
        _ => "the PEM text is damaged",
    };
    TlsError::in_file(path, message, "write the file again from its source")
}
