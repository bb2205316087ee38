//! How an upstream is spoken to: protocol, TLS, certificates.

use super::{Compiler, tls as store};
use crate::{
    config::{self, Code, Placed, setting::FilePath, upstream::UpstreamTls},
    listener::tls,
    snapshot::{Protocol, ServerIdentity, Transport},
};

impl Compiler<'_> {
    /// How to speak to the endpoints.
    pub(super) fn transport(&mut self, upstream: &Placed<config::Upstream>) -> Option<Transport> {
        use config::upstream::Protocol as Written;
        let protocol = match upstream.protocol.value {
            Written::Http1 => Protocol::Http1,
            Written::H2 | Written::H2c => Protocol::Http2,
        };
        match (&upstream.tls, upstream.protocol.value) {
            (None, Written::H2) if upstream.is_whole("tls") => {
                self.found
                    .error(
                        Code::ConflictingKeys,
                        upstream.protocol.place,
                        "\"h2\" is HTTP/2 over TLS, and this upstream has no `tls`",
                    )
                    .help("add `tls = {}`, or write \"h2c\" for HTTP/2 without TLS");
                None
            }
            (Some(_), Written::H2c) => {
                self.found
                    .error(
                        Code::ConflictingKeys,
                        upstream.protocol.place,
                        "\"h2c\" is HTTP/2 without TLS, and this upstream has `tls`",
                    )
                    .help("write \"h2\" for HTTP/2 over TLS, or take `tls` away");
                None
            }
            (None, _) => Some(Transport {
                identity: match protocol {
                    Protocol::Http1 => store::PLAIN_HTTP1,
                    Protocol::Http2 => store::PLAIN_HTTP2,
                },
                protocol,
                tls: None,
            }),
            (Some(tls), _) => self.tls_transport(protocol, tls),
        }
    }

    pub(super) fn tls_transport(
        &mut self,
        protocol: Protocol,
        written: &Placed<UpstreamTls>,
    ) -> Option<Transport> {
        let verification = self.verification(written);
        let identity = self.client_certificate(written)?;
        let name = match &written.server_name {
            None => None,
            Some(name) => match tls::upstream_name(name) {
                Ok(name) => Some(name),
                Err(error) => {
                    self.refused(Code::BadHost, name, "server_name", error.message)
                        .help(error.help);
                    return None;
                }
            },
        };
        let settings = tls::ClientSettings {
            verification,
            identity,
            min_version: tls::TlsVersion::default(),
            alpn: match protocol {
                Protocol::Http1 => vec![tls::Alpn::Http11],
                Protocol::Http2 => vec![tls::Alpn::H2],
            },
        };
        match self.stores.tls.client(&settings, name.as_ref()) {
            Ok((config, identity)) => Some(Transport {
                identity,
                protocol,
                tls: Some(ServerIdentity { config, name }),
            }),
            Err(error) => {
                let named = [
                    ("ca", &written.ca),
                    ("certificate", &written.certificate),
                    ("key", &written.key),
                ]
                .into_iter()
                .filter_map(|(key, file)| Some((key, file.as_ref()?)))
                .find(|(_, file)| error.path.as_deref() == Some(file.as_path()));
                match named {
                    Some((key, file)) => {
                        let files = [&written.ca, &written.certificate, &written.key];
                        let hidden = files
                            .into_iter()
                            .flatten()
                            .any(|file| file.secret().is_some());
                        self.bad_file(key, file, &error, hidden);
                    }
                    None => {
                        self.found
                            .error(Code::BadCertificate, written.place, &error.message)
                            .help(error.help);
                    }
                }
                None
            }
        }
    }

    fn verification(&mut self, written: &Placed<UpstreamTls>) -> tls::Verification {
        if !written.verify.value {
            self.found
                .warning(
                    Code::UnverifiedUpstream,
                    written.verify.place,
                    "whoever answers at this address is believed to be the upstream",
                )
                .help("name its authority with `ca` instead");
            if let Some(ca) = &written.ca {
                self.found
                    .error(
                        Code::ConflictingKeys,
                        ca.place,
                        "`ca` has no meaning beside `verify = false`",
                    )
                    .help("take one of them away");
            }
            return tls::Verification::None;
        }
        written.ca.as_ref().map_or(tls::Verification::System, |ca| {
            tls::Verification::Authority(ca.as_path().to_owned())
        })
    }

    /// The gateway's own certificate, if it has one here. The outer `None`: it is wrong.
    fn client_certificate(
        &mut self,
        written: &Placed<UpstreamTls>,
    ) -> Option<Option<tls::CertificatePaths>> {
        let (alone, missing) = match (&written.certificate, &written.key) {
            (None, None) => return Some(None),
            (Some(certificate), Some(key)) => {
                return Some(Some(tls::CertificatePaths {
                    certificate: certificate.as_path().to_owned(),
                    key: key.as_path().to_owned(),
                }));
            }
            (Some(certificate), None) => (certificate, "key"),
            (None, Some(key)) => (key, "certificate"),
        };
        if written.is_whole(missing) {
            self.found
                .error(
                    Code::MissingKey,
                    alone.place,
                    format!("a certificate needs its key, and there is no `{missing}`"),
                )
                .help("write both `certificate` and `key`, or none of them");
        }
        None
    }

    /// Says what is wrong with a file that has to do with TLS. The message may name other files of the same table; it
    /// is kept back when one of their names is hidden.
    pub(super) fn bad_file(
        &mut self,
        key: &str,
        file: &Placed<FilePath>,
        error: &tls::TlsError,
        hidden: bool,
    ) {
        let code = if file.as_path().is_file() {
            Code::BadCertificate
        } else {
            Code::UnreadableFile
        };
        let reason = if hidden {
            "cannot be used"
        } else {
            error.message.as_str()
        };
        self.found
            .error(code, file.place, format!("`{key}`: {file}: {reason}"))
            .help(error.help);
    }
}
