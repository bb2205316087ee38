//! The listener's side of TLS: one configuration for each policy, with tickets that are good for that policy alone.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};

use super::watched::Watched;
use super::{
    Alpn, CertificatePaths, CertificateStore, ClientAuth, FileChange, TlsError, TlsVersion, pem,
    provider,
};

/// What the operator decides about TLS on a listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerSettings {
    /// The certificates, the default first.
    pub certificates: Vec<CertificatePaths>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// The protocols that are offered, the preferred first.
    pub alpn: Vec<Alpn>,
    /// Whether clients need a certificate.
    pub client_auth: ClientAuth,
}

/// TLS of one listener: the configuration for new handshakes and the files it was made from.
///
/// The engine reads `config` once a connection. `control` calls [`Self::reload_changed`]. A reload of the configuration
/// keeps the value when the settings are equal and makes a new one when they are not; sessions of the old one cannot
/// be resumed then.
#[derive(Debug)]
pub struct ServerTls {
    settings: ServerSettings,
    certificates: Arc<CertificateStore>,
    config: ArcSwap<ServerConfig>,
    authority: Mutex<Watched>,
}

impl ServerTls {
    /// Reads the files and makes the configuration. Reads files: not for the request path.
    ///
    /// # Errors
    /// Every file that cannot be used.
    pub fn load(settings: ServerSettings) -> Result<Self, Vec<TlsError>> {
        let authority = Watched::new(settings.client_auth.authority().map(PathBuf::as_path));
        let mut errors = Vec::new();
        let certificates = CertificateStore::load(&settings.certificates)
            .map_err(|found| errors.extend(found))
            .map(Arc::new);
        let verifier = client_verifier(&settings.client_auth).map_err(|found| errors.push(found));
        let (Ok(certificates), Ok(verifier)) = (certificates, verifier) else {
            return Err(errors);
        };
        let config =
            build(&settings, verifier, Arc::clone(&certificates)).map_err(|error| vec![error])?;
        Ok(Self {
            settings,
            certificates,
            config: ArcSwap::from_pointee(config),
            authority: Mutex::new(authority),
        })
    }

    /// The settings it was made from.
    #[must_use]
    pub const fn settings(&self) -> &ServerSettings {
        &self.settings
    }

    /// The configuration for a new handshake.
    #[must_use]
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// The certificates in use.
    #[must_use]
    pub fn certificates(&self) -> &CertificateStore {
        &self.certificates
    }

    /// Reads changed files again, see [`CertificateStore::reload_changed`]. A changed file of client authorities ends
    /// all sessions: who was let in by the old authorities must show a certificate again.
    pub fn reload_changed(&self) -> Vec<FileChange> {
        let mut changes = self.certificates.reload_changed();
        changes.extend(self.reload_authority());
        changes
    }

    fn reload_authority(&self) -> Option<FileChange> {
        let mut authority = self
            .authority
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !authority.changed() {
            return None;
        }
        let config = client_verifier(&self.settings.client_auth)
            .and_then(|verifier| build(&self.settings, verifier, Arc::clone(&self.certificates)));
        Some(match config {
            Ok(config) => {
                self.config.store(Arc::new(config));
                FileChange::Replaced {
                    files: authority.paths(),
                }
            }
            Err(error) => FileChange::Kept { error },
        })
    }
}

/// The configuration for `settings` alone, without a watch on its files.
///
/// # Errors
/// The first file that cannot be used.
pub fn server_config(settings: &ServerSettings) -> Result<Arc<ServerConfig>, TlsError> {
    match ServerTls::load(settings.clone()) {
        Ok(tls) => Ok(tls.config()),
        Err(errors) => Err(errors.into_iter().next().unwrap_or_else(no_reason)),
    }
}

fn build(
    settings: &ServerSettings,
    verifier: Arc<dyn ClientCertVerifier>,
    certificates: Arc<CertificateStore>,
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(settings.min_version.and_newer())
        .map_err(refused)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificates);
    config.alpn_protocols = Alpn::wire(&settings.alpn);
    // Sessions live in tickets only, and each configuration has keys of its own: a ticket of another listener, of
    // another process or from before a change of the client authorities leads to a full handshake. The keys are
    // replaced every six hours and a ticket dies with the second replacement.
    config.ticketer = Ticketer::new().map_err(refused)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    // Early data can be replayed, so it is never accepted (RFC 8446, section 8).
    config.max_early_data_size = 0;
    Ok(config)
}

fn client_verifier(auth: &ClientAuth) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let builder = |authority: &PathBuf| {
        let roots = pem::authorities(authority)?;
        Ok(WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            provider(),
        ))
    };
    match auth {
        ClientAuth::Off => Ok(WebPkiClientVerifier::no_client_auth()),
        ClientAuth::Request { authority } => builder(authority)?
            .allow_unauthenticated()
            .build()
            .map_err(refused),
        ClientAuth::Require { authority } => builder(authority)?.build().map_err(refused),
    }
}

/// What is left to go wrong is no file's fault: the random generator, or a fault of ours.
pub(super) fn refused(error: impl Display) -> TlsError {
    TlsError::without_file(
        format!("TLS cannot be set up: {error}"),
        "this is no fault of the configuration; please report it",
    )
}

fn no_reason() -> TlsError {
    refused("no reason was given")
}

#[cfg(test)]
mod resumption_tests;

#[cfg(test)]
mod tests;
