//! Certificates made for one test, as files and as rustls values.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

/// A certificate authority with its own directory of files.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    directory: TempDir,
}

/// A certificate and its key; shows itself as the inline table that the configuration takes.
pub(crate) struct Identity {
    certificate_pem: String,
    key_pem: String,
    certificate_path: String,
    key_path: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).expect("a certificate");
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).expect("a file");
        Self {
            issuer: Issuer::new(params, key),
            certificate: certificate.der().clone(),
            directory,
        }
    }

    /// The path of the authority's certificate, quoted for TOML.
    pub(crate) fn path(&self) -> String {
        format!(
            "{:?}",
            self.directory.path().join("ca.pem").display().to_string()
        )
    }

    /// The path of the authority's certificate for other programs.
    pub(crate) fn file(&self) -> String {
        self.directory.path().join("ca.pem").display().to_string()
    }

    /// A certificate for these host names or addresses, in files named after the first.
    pub(crate) fn issue(&self, names: &[&str]) -> Identity {
        self.issue_as(names, names.first().expect("a name"))
    }

    /// The same in files of another name.
    pub(crate) fn issue_as(&self, names: &[&str], stem: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).expect("parameters");
        params
            .distinguished_name
            .push(DnType::CommonName, names.first().expect("a name").as_str());
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let stem = stem.replace('*', "wildcard");
        let path = |ending: &str| {
            self.directory
                .path()
                .join(format!("{stem}.{ending}"))
                .display()
                .to_string()
        };
        let identity = Identity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate_path: path("pem"),
            key_path: path("key"),
        };
        identity.write_to(&identity.certificate_path, &identity.key_path);
        identity
    }

    pub(crate) fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).expect("a root");
        Arc::new(roots)
    }
}

impl Identity {
    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).expect("PEM")]
    }

    pub(crate) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).expect("PEM")
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.chain().swap_remove(0).to_vec()
    }

    pub(crate) fn certificate_file(&self) -> &str {
        &self.certificate_path
    }

    pub(crate) fn key_file(&self) -> &str {
        &self.key_path
    }

    /// Puts this identity into the files of another one, each by a rename.
    pub(crate) fn replace_files_of(&self, other: &Self) {
        self.write_to(&other.certificate_path, &other.key_path);
    }

    /// The table for a TLS listener of an origin.
    pub(crate) fn acceptor(&self, alpn: &[&[u8]]) -> tokio_rustls::TlsAcceptor {
        self.acceptor_with(alpn, None)
    }

    /// The same, asking clients for a certificate of `clients`.
    pub(crate) fn acceptor_with(
        &self,
        alpn: &[&[u8]],
        clients: Option<&Authority>,
    ) -> tokio_rustls::TlsAcceptor {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = match clients {
            Some(authority) => builder.with_client_cert_verifier(
                rustls::server::WebPkiClientVerifier::builder_with_provider(
                    authority.roots(),
                    provider,
                )
                .build()
                .expect("a verifier"),
            ),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder
            .with_single_cert(self.chain(), self.private_key())
            .expect("a certificate");
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        tokio_rustls::TlsAcceptor::from(Arc::new(config))
    }

    fn write_to(&self, certificate: &str, key: &str) {
        for (path, pem) in [(key, &self.key_pem), (certificate, &self.certificate_pem)] {
            let new = format!("{path}.new");
            std::fs::write(Path::new(&new), pem).expect("a file");
            std::fs::rename(&new, path).expect("a rename");
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{{ certificate = {:?}, key = {:?} }}",
            self.certificate_path, self.key_path
        )
    }
}
