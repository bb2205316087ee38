//! The upstream's side of TLS: one configuration for each upstream, shared by all its connections so that sessions
//! resume.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;

use super::server::refused;
use super::verification::{SystemRoots, Verification, verifier};
use super::watched::Watched;
use super::{Alpn, Certificate, CertificatePaths, FileChange, TlsError, TlsVersion, provider};

/// What the operator decides about TLS towards an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientSettings {
    /// Who may vouch for the upstream.
    pub verification: Verification,
    /// The certificate the gateway shows when the upstream asks for one.
    pub identity: Option<CertificatePaths>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// The protocols that are offered, the preferred first.
    pub alpn: Vec<Alpn>,
}

/// TLS towards one upstream: the configuration for new connections and the files it was made from.
///
/// Workers read `config` when they connect; `control` calls [`Self::reload_changed`].
#[derive(Debug)]
pub struct ClientTls {
    settings: ClientSettings,
    roots: Arc<SystemRoots>,
    config: ArcSwap<ClientConfig>,
    files: Mutex<Watched>,
}

impl ClientTls {
    /// Reads the files and makes the configuration. Reads files: not for the request path.
    ///
    /// # Errors
    /// The first file that cannot be used, or a system without authorities.
    pub fn load(settings: ClientSettings, roots: &Arc<SystemRoots>) -> Result<Self, TlsError> {
        let files = Watched::new(settings.files());
        let config = build(&settings, roots)?;
        Ok(Self {
            settings,
            roots: Arc::clone(roots),
            config: ArcSwap::from_pointee(config),
            files: Mutex::new(files),
        })
    }

    /// The settings it was made from.
    #[must_use]
    pub const fn settings(&self) -> &ClientSettings {
        &self.settings
    }

    /// The configuration for a new connection. Two connections under different values must not stand in for each
    /// other in a pool: compare with [`Arc::ptr_eq`].
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        self.config.load_full()
    }

    /// Makes the configuration again when one of its files changed; the old one stays when the new files cannot be
    /// used. Reads files: not for the request path.
    pub fn reload_changed(&self) -> Option<FileChange> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if !files.changed() {
            return None;
        }
        Some(match build(&self.settings, &self.roots) {
            Ok(config) => {
                self.config.store(Arc::new(config));
                FileChange::Replaced {
                    files: files.paths(),
                }
            }
            Err(error) => FileChange::Kept { error },
        })
    }
}

impl ClientSettings {
    fn files(&self) -> impl Iterator<Item = &Path> {
        let authority = match &self.verification {
            Verification::Authority(path) => Some(path.as_path()),
            Verification::System | Verification::None => None,
        };
        let identity = self.identity.iter();
        authority
            .into_iter()
            .chain(identity.flat_map(|pair| [pair.certificate.as_path(), pair.key.as_path()]))
    }
}

/// The configuration for `settings` alone, without a watch on its files.
///
/// # Errors
/// The first file that cannot be used, or a system without authorities.
pub fn client_config(
    settings: &ClientSettings,
    roots: &SystemRoots,
) -> Result<Arc<ClientConfig>, TlsError> {
    build(settings, roots).map(Arc::new)
}

/// The name an upstream's certificate must be for; an IP address is one as well, but is not sent as SNI.
///
/// # Errors
/// `name` is neither a host name nor an IP address.
pub fn upstream_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name)
        .map(|name| name.to_owned())
        .map_err(|_| {
            TlsError::without_file(
                format!("`{name}` is neither a host name nor an IP address"),
                "give `server_name` the name in the upstream's certificate",
            )
        })
}

fn build(settings: &ClientSettings, roots: &SystemRoots) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(settings.min_version.and_newer())
        .map_err(refused)?
        .dangerous()
        .with_custom_certificate_verifier(verifier(&settings.verification, roots)?);
    let mut config = match &settings.identity {
        None => builder.with_no_client_auth(),
        Some(paths) => {
            let identity = Certificate::load(paths)?;
            let identity = SingleCertAndKey::from(Arc::clone(identity.key()));
            builder.with_client_cert_resolver(Arc::new(identity))
        }
    };
    config.alpn_protocols = Alpn::wire(&settings.alpn);
    Ok(config)
}

#[cfg(test)]
mod tests;
