//! The upstream's side of TLS: one configuration for each upstream, shared by all its connections so that sessions
//! resume.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::server::refused;
use super::watched::Stamps;
use super::{Alpn, Certificate, CertificatePaths, FileChange, TlsError, TlsVersion, pem, provider};

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

/// Who may vouch for an upstream's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Verification {
    /// The authorities the operating system trusts.
    #[default]
    System,
    /// The authorities of a PEM file, and no others.
    Authority(PathBuf),
    /// Nobody needs to: any certificate for any name is taken. Traffic is encrypted, but whoever sits in between can
    /// read and change it.
    None,
}

/// The authorities the operating system trusts, read at the first need and then kept: they are some hundred files.
#[derive(Debug, Default)]
pub struct SystemRoots {
    roots: OnceLock<Result<Arc<RootCertStore>, TlsError>>,
}

impl SystemRoots {
    /// The authorities. Reads files the first time: not for the request path.
    ///
    /// # Errors
    /// The system has none.
    pub fn roots(&self) -> Result<Arc<RootCertStore>, TlsError> {
        self.roots.get_or_init(read_system_roots).clone()
    }
}

fn read_system_roots() -> Result<Arc<RootCertStore>, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A system's bundle may hold an authority that rustls cannot use; it says nothing about the others.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(
            || String::from("no trusted authorities were found on this system"),
            |error| format!("the system's trusted authorities cannot be read: {error}"),
        );
        return Err(TlsError::without_file(
            why,
            "install the package ca-certificates, or set `ca` of the upstream",
        ));
    }
    Ok(Arc::new(roots))
}

/// TLS towards one upstream: the configuration for new connections and the files it was made from.
///
/// Workers read `config` when they connect; `control` calls [`Self::reload_changed`].
#[derive(Debug)]
pub struct ClientTls {
    settings: ClientSettings,
    roots: Arc<SystemRoots>,
    config: ArcSwap<ClientConfig>,
    files: Mutex<Stamps>,
}

impl ClientTls {
    /// Reads the files and makes the configuration. Reads files: not for the request path.
    ///
    /// # Errors
    /// The first file that cannot be used, or a system without authorities.
    pub fn load(settings: ClientSettings, roots: &Arc<SystemRoots>) -> Result<Self, TlsError> {
        let files = Stamps::of(settings.files());
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
        *files = files.changed()?;
        let files = self.settings.files().map(Path::to_owned).collect();
        Some(match build(&self.settings, &self.roots) {
            Ok(config) => {
                self.config.store(Arc::new(config));
                FileChange::Replaced { files }
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

fn verifier(
    verification: &Verification,
    roots: &SystemRoots,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let roots = match verification {
        Verification::System => roots.roots()?,
        Verification::Authority(path) => Arc::new(pem::authorities(path)?),
        Verification::None => {
            return Ok(Arc::new(AcceptsAnyCertificate {
                schemes: provider()
                    .signature_verification_algorithms
                    .supported_schemes(),
            }));
        }
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(refused)?;
    Ok(verifier)
}

/// The verifier behind [`Verification::None`]. It does not look at signatures either: they would prove that the
/// upstream has the key of a certificate nobody vouches for, and looking would refuse certificates too old for rustls.
#[derive(Debug)]
struct AcceptsAnyCertificate {
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for AcceptsAnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
