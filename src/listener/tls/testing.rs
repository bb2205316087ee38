//! What the tests of TLS share: certificates made on the spot, and handshakes over two buffers.

use std::fs;
use std::ops::DerefMut;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, GeneralSubtree, IsCa, KeyPair,
    NameConstraints, SignatureAlgorithm,
};
use rustls::pki_types::CertificateDer;
use rustls::{
    ClientConfig, ClientConnection, ConnectionCommon, ServerConfig, ServerConnection, SideData,
};
use tempfile::TempDir;

use super::{
    Alpn, Certificate, CertificatePaths, ClientAuth, ClientSettings, ServerSettings, SystemRoots,
    TlsVersion, Verification, client_config, pem, provider,
};

/// A directory of certificates and the authority that signs them.
pub(super) struct Issuer {
    directory: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Issuer {
    pub(super) fn new() -> Self {
        Self::named("Test authority", |_| {})
    }

    /// An authority that may speak for one domain alone (RFC 5280 section 4.2.1.10).
    pub(super) fn for_domain(domain: &str) -> Self {
        Self::named("Authority of a domain", |params| {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: vec![GeneralSubtree::DnsName(domain.to_owned())],
                excluded_subtrees: Vec::new(),
            });
        })
    }

    /// An authority that nobody else believes; its name is another one, as it would be outside of tests.
    pub(super) fn stranger() -> Self {
        Self::named("Strange authority", |_| {})
    }

    fn named(name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let issuer = Self {
            directory: tempfile::tempdir().unwrap(),
            authority: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(),
        };
        issuer.write("ca.pem", &issuer.authority.pem());
        issuer
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.directory.path().join(file)
    }

    pub(super) fn authority_file(&self) -> PathBuf {
        self.path("ca.pem")
    }

    pub(super) fn authority_pem(&self) -> String {
        self.authority.pem()
    }

    /// Puts the file there as a careful tool does: whole, by a rename. It has a new inode, whatever the clock says.
    pub(super) fn write(&self, file: &str, content: &str) {
        let beside = self.path(&format!("{file}.new"));
        fs::write(&beside, content).unwrap();
        fs::rename(&beside, self.path(file)).unwrap();
    }

    /// Signs a certificate for `names` with a new ECDSA key and writes both as `file.pem` and `file.key`.
    pub(super) fn issue(&self, file: &str, names: &[&str]) -> CertificatePaths {
        self.issue_with(file, names, &rcgen::PKCS_ECDSA_P256_SHA256, |_| {})
    }

    pub(super) fn issue_with(
        &self,
        file: &str,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificatePaths {
        let (certificate, key) = self.sign(names, algorithm, change);
        self.write(&format!("{file}.pem"), &certificate);
        self.write(&format!("{file}.key"), &key);
        self.paths(file)
    }

    /// The PEM of a new certificate and of its key.
    pub(super) fn sign(
        &self,
        names: &[&str],
        algorithm: &'static SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (String, String) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub(super) fn paths(&self, file: &str) -> CertificatePaths {
        CertificatePaths {
            certificate: self.path(&format!("{file}.pem")),
            key: self.path(&format!("{file}.key")),
        }
    }
}

pub(super) fn leaf(paths: &CertificatePaths) -> CertificateDer<'static> {
    Certificate::load(paths).unwrap().key().cert[0].clone()
}

pub(super) fn listener(certificates: &[CertificatePaths]) -> ServerSettings {
    ServerSettings {
        certificates: certificates.to_vec(),
        min_version: TlsVersion::Tls12,
        alpn: vec![Alpn::H2, Alpn::Http11],
        client_auth: ClientAuth::Off,
    }
}

/// A client that believes `authority`.
pub(super) fn client(authority: &Path) -> ClientSettings {
    ClientSettings {
        verification: Verification::Authority(authority.to_owned()),
        identity: None,
        min_version: TlsVersion::Tls12,
        alpn: vec![Alpn::H2, Alpn::Http11],
    }
}

pub(super) fn connector(settings: &ClientSettings) -> Arc<ClientConfig> {
    client_config(settings, &SystemRoots::default()).unwrap()
}

/// A client that takes any certificate, with a change to its configuration.
pub(super) fn careless(change: impl FnOnce(&mut ClientConfig)) -> Arc<ClientConfig> {
    let settings = ClientSettings {
        verification: Verification::None,
        identity: None,
        min_version: TlsVersion::Tls12,
        alpn: Vec::new(),
    };
    let mut config = connector(&settings);
    change(Arc::get_mut(&mut config).unwrap());
    config
}

/// A client that speaks `version` only, believes `issuer` and has an identity from it if one is named.
pub(super) fn speaking(
    version: TlsVersion,
    issuer: &Issuer,
    identity: Option<&str>,
) -> Arc<ClientConfig> {
    let settings = ClientSettings {
        identity: identity.map(|file| issuer.paths(file)),
        min_version: version,
        ..client(&issuer.authority_file())
    };
    let config = connector(&settings);
    match version {
        TlsVersion::Tls13 => config,
        TlsVersion::Tls12 => Arc::new(
            ClientConfig::builder_with_provider(provider())
                .with_protocol_versions(&[&rustls::version::TLS12])
                .unwrap()
                .with_root_certificates(pem::authorities(&issuer.authority_file()).unwrap())
                .with_client_cert_resolver(Arc::clone(&config.client_auth_cert_resolver)),
        ),
    }
}

pub(super) struct Connected {
    pub(super) client: ClientConnection,
    pub(super) server: ServerConnection,
}

/// How a handshake failed, on the side that noticed and on the one that was told.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) client: Option<rustls::Error>,
    pub(super) server: Option<rustls::Error>,
}

/// A whole handshake, with the tickets that follow it.
pub(super) fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &str,
) -> Result<Connected, Box<Failed>> {
    handshake_in_pieces(client, server, name, usize::MAX)
}

/// A handshake in which the server gets at most `piece` bytes at a time.
pub(super) fn handshake_in_pieces(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &str,
    piece: usize,
) -> Result<Connected, Box<Failed>> {
    let name = super::upstream_name(name).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    while client.wants_write() || server.wants_write() {
        let server_error = carry(&mut client, &mut server, piece).err();
        let client_error = carry(&mut server, &mut client, usize::MAX).err();
        if client_error.is_some() || server_error.is_some() {
            let server_error =
                server_error.or_else(|| carry(&mut client, &mut server, piece).err());
            return Err(Box::new(Failed {
                client: client_error,
                server: server_error,
            }));
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(Connected { client, server })
}

/// Carries all bytes that wait in `from`.
fn carry<F: SideData, T: SideData>(
    from: &mut impl DerefMut<Target = ConnectionCommon<F>>,
    to: &mut impl DerefMut<Target = ConnectionCommon<T>>,
    piece: usize,
) -> Result<(), rustls::Error> {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let (mut now, later) = rest.split_at(piece.min(rest.len()));
        while !now.is_empty() {
            to.read_tls(&mut now).unwrap();
            to.process_new_packets()?;
        }
        rest = later;
    }
    Ok(())
}
