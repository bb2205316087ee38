//! TLS: certificates chosen by name and re-read when their files change, and the configurations of both sides.
//!
//! Everything a handshake needs is here; the handshake itself runs in the engine.

mod settings;

pub use settings::{Alpn, CertificatePaths, ClientAuth, TlsVersion};

mod error;

pub use error::TlsError;

mod pem;

mod watched;

pub use watched::FileChange;

mod certificate;

pub use certificate::{Certificate, CertificateFacts, KeyKind};

mod table;

pub use table::CertificateTable;

mod store;

pub use store::CertificateStore;

mod server;

pub use server::{ServerSettings, ServerTls, server_config};

mod verification;

pub use verification::{SystemRoots, Verification};

mod client;

pub use client::{ClientSettings, ClientTls, client_config, upstream_name};

mod info;

pub use info::{ClientCertificate, TlsInfo};

mod name;

mod fault;

pub use fault::{HandshakeFault, handshake_fault};

#[cfg(test)]
mod testing;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

/// The cryptography of both sides: aws-lc-rs with the suites and groups of rustls, X25519MLKEM768 first. It is always
/// given explicitly: another crate in the process may have switched on a second provider, and rustls then refuses to
/// choose.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
