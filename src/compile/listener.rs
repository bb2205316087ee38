//! `[[listener]]`: addresses, limits, certificates.

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use rustls::ServerConfig;

use super::{Compiler, values};
use crate::{
    config::{
        Code, Listener, OrOff, Place, Placed,
        listener::{Alpn, Certificate, ClientAuth, ListenerTls, TlsVersion},
        rate::ByteRate,
        suggest,
        units::{Size, Timeout},
    },
    http::{HeadLimits, MAX_FIELDS},
    listener::tls,
    snapshot::{Deadlines, ListenerLimits, ListenerPlan},
};

impl Compiler<'_> {
    pub(super) fn listeners(&mut self) -> Vec<Arc<ListenerPlan>> {
        self.check_addresses();
        let config = self.config;
        if config.listeners.is_empty() && !self.found.has_errors() {
            self.found
                .general_warning(
                    Code::NoListeners,
                    "there is no [[listener]]: nothing is served",
                )
                .help(
                    "for example: [[listener]] with name = \"web\" and address = \"0.0.0.0:8080\"",
                );
        }
        config
            .listeners
            .iter()
            .filter_map(|listener| self.listener(listener))
            .map(Arc::new)
            .collect()
    }

    /// No two sockets of the process can have the same address. Port 0 is another port each time.
    fn check_addresses(&mut self) {
        let mut taken: Vec<(SocketAddr, String)> = Vec::new();
        if self.config.admin.enabled.value {
            let address = &self.config.admin.address;
            let see = if address.place == Place::default() {
                "[admin] has this address when there is no other for it".to_owned()
            } else {
                format!(
                    "{}: the address of [admin]",
                    self.found.locate(address.place)
                )
            };
            taken.push((address.value, see));
        }
        for listener in &self.config.listeners {
            let address = &listener.address;
            match taken
                .iter()
                .find(|(known, _)| *known == address.value && known.port() != 0)
            {
                Some((_, see)) => {
                    self.found
                        .error(
                            Code::DuplicateAddress,
                            address.place,
                            format!("the address {address} is taken already"),
                        )
                        .see(see)
                        .help("give each listener an address of its own");
                }
                None => {
                    let place = self.found.locate(address.place);
                    let name = &listener.name;
                    taken.push((address.value, format!("{place}: the address of `{name}`")));
                }
            }
        }
    }

    fn listener(&mut self, listener: &Placed<Listener>) -> Option<ListenerPlan> {
        if listener.max_fields.get() > MAX_FIELDS {
            self.found.error(
                Code::OutOfRange,
                listener.max_fields.place,
                format!("`max_fields` cannot be more than {MAX_FIELDS}"),
            );
        }
        let tls = match &listener.tls {
            None => None,
            Some(tls) => Some(self.listener_tls(tls)?),
        };
        Some(ListenerPlan {
            name: listener.name.as_str().into(),
            address: listener.address.value,
            client_certificates: listener
                .tls
                .as_ref()
                .is_some_and(|tls| tls.client_ca.is_some()),
            tls,
            proxy_protocol: values(&listener.proxy_protocol),
            h2c: listener.h2c.value,
            limits: ListenerLimits {
                connections: listener.max_connections.get(),
                client_connections: client_connections(listener),
                client_rate: listener
                    .per_client
                    .connection_rate
                    .limit()
                    .map(|rate| (rate.count.get(), rate.time)),
                ipv6_prefix: self.ipv6_prefix(listener)?,
                concurrent_requests: any(*listener.max_concurrent_requests),
                requests: listener.max_requests.get(),
                head: HeadLimits {
                    bytes: listener.max_head_size.bytes(),
                    fields: listener.max_fields.get(),
                    target: listener.max_target.bytes(),
                },
                streams: listener.max_streams.get(),
                http2: self.http2(&listener.http2, listener.max_streams.get())?,
                body: body_size(*listener.max_body_size),
                receive_rate: byte_rate(*listener.min_body_rate),
                send_rate: byte_rate(*listener.min_send_rate),
            },
            deadlines: Deadlines {
                handshake: listener.handshake_timeout.get(),
                head: listener.head_timeout.get(),
                idle: listener.idle_timeout.get(),
                body: listener.body_timeout.get(),
                connection: listener.max_connection_age.limit().map(Timeout::get),
            },
            metrics: self.stores.metrics.listener(listener.name.as_str()),
        })
    }

    fn ipv6_prefix(&mut self, listener: &Listener) -> Option<u8> {
        let written = &listener.per_client.ipv6_prefix;
        match u8::try_from(written.get()) {
            Ok(bits @ 1..=128) => Some(bits),
            Ok(_) | Err(_) => {
                self.found
                    .error(
                        Code::OutOfRange,
                        written.place,
                        "`ipv6_prefix` cannot be more than 128, which is the whole address",
                    )
                    .help("64 is what one client usually chooses its addresses from");
                None
            }
        }
    }

    fn listener_tls(&mut self, tls: &Placed<ListenerTls>) -> Option<Arc<ServerConfig>> {
        let written = &tls.certificates;
        if written.is_empty() && !self.found.has_errors_in(written.place) {
            self.found
                .error(
                    Code::MissingKey,
                    written.place,
                    "`certificates` is empty: a TLS listener needs at least one",
                )
                .help("for example: [{ certificate = \"tls/site.pem\", key = \"tls/site.key\" }]");
        }
        if written.is_empty() {
            return None;
        }
        let settings = tls::ServerSettings {
            certificates: tls.certificates.iter().map(|pair| paths(pair)).collect(),
            min_version: match tls.min_version.value {
                TlsVersion::V12 => tls::TlsVersion::Tls12,
                TlsVersion::V13 => tls::TlsVersion::Tls13,
            },
            alpn: tls
                .alpn
                .iter()
                .map(|protocol| alpn(protocol.value))
                .collect(),
            client_auth: self.client_auth(tls)?,
        };
        match self.stores.tls.server(&settings) {
            Ok(loaded) => {
                self.check_validity(tls, &loaded);
                Some(loaded.config())
            }
            Err(errors) => {
                for error in errors {
                    self.refused_file(tls, &error);
                }
                None
            }
        }
    }

    fn client_auth(&mut self, tls: &Placed<ListenerTls>) -> Option<tls::ClientAuth> {
        let mode = tls.client_auth.as_ref();
        let Some(authority) = &tls.client_ca else {
            if let Some(mode) = mode.filter(|_| tls.is_whole("client_ca")) {
                self.found
                    .error(
                        Code::MissingKey,
                        mode.place,
                        "`client_auth` needs `client_ca`, to check what clients show",
                    )
                    .help("for example: client_ca = \"tls/clients-ca.pem\"");
                return None;
            }
            return Some(tls::ClientAuth::Off);
        };
        let authority = authority.as_path().to_owned();
        Some(match mode.map(|mode| mode.value) {
            Some(ClientAuth::Request) => tls::ClientAuth::Request { authority },
            Some(ClientAuth::Require) | None => tls::ClientAuth::Require { authority },
        })
    }

    /// Says at the key that names the file what is wrong with it.
    fn refused_file(&mut self, tls: &Placed<ListenerTls>, error: &tls::TlsError) {
        let named = tls
            .certificates
            .iter()
            .flat_map(|pair| [("certificate", &pair.certificate), ("key", &pair.key)])
            .chain(tls.client_ca.iter().map(|ca| ("client_ca", ca)))
            .find(|(_, file)| error.path.as_deref() == Some(file.as_path()));
        match named {
            Some((key, file)) => {
                let files = tls.certificates.iter();
                let hidden = files
                    .flat_map(|pair| [&pair.certificate, &pair.key])
                    .any(|file| file.secret().is_some());
                self.bad_file(key, file, error, hidden);
            }
            None => {
                self.found
                    .error(Code::BadCertificate, tls.place, &error.message)
                    .help(error.help);
            }
        }
    }

    fn check_validity(&mut self, tls: &Placed<ListenerTls>, loaded: &tls::ServerTls) {
        let now = unix_seconds(self.now);
        for (pair, (_, facts)) in tls.certificates.iter().zip(loaded.certificates().facts()) {
            let names = suggest::listed(facts.names.iter().map(|name| &**name));
            if facts.not_after < now {
                self.found
                    .warning(
                        Code::ExpiredCertificate,
                        pair.certificate.place,
                        format!(
                            "the certificate for {names} expired on {}",
                            date(facts.not_after)
                        ),
                    )
                    .help("put a new one in its place: it is used as soon as it is there");
            } else if now < facts.not_before {
                self.found
                    .warning(
                        Code::ExpiredCertificate,
                        pair.certificate.place,
                        format!(
                            "the certificate for {names} is not valid before {}",
                            date(facts.not_before)
                        ),
                    )
                    .help("check the clock of this machine");
            }
        }
    }
}

/// How many connections one client may have: no client alone may shut the others out.
fn client_connections(listener: &Listener) -> usize {
    const LEAST: usize = 100;
    let half = || (listener.max_connections.get() / 2).max(LEAST);
    let written = &listener.per_client.max_connections;
    written.as_ref().map_or_else(half, |most| any(**most))
}

/// The most that there may be; all that there can be without a limit.
fn any(most: OrOff<NonZeroUsize>) -> usize {
    most.limit().map_or(usize::MAX, NonZeroUsize::get)
}

/// The most bytes that a body may have; all there can be without a limit.
pub(super) fn body_size(size: OrOff<Size>) -> u64 {
    size.limit().map_or(u64::MAX, |size| size.bytes() as u64)
}

/// The least bytes that must move in a second; none without a limit.
pub(super) fn byte_rate(rate: OrOff<ByteRate>) -> u64 {
    rate.limit().map_or(0, ByteRate::bytes_per_second)
}

fn paths(pair: &Certificate) -> tls::CertificatePaths {
    tls::CertificatePaths {
        certificate: pair.certificate.as_path().to_owned(),
        key: pair.key.as_path().to_owned(),
    }
}

fn alpn(protocol: Alpn) -> tls::Alpn {
    match protocol {
        Alpn::H2 => tls::Alpn::H2,
        Alpn::Http1 => tls::Alpn::Http11,
    }
}

fn unix_seconds(time: SystemTime) -> i64 {
    let seconds = |duration: std::time::Duration| i64::try_from(duration.as_secs());
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| seconds(since).unwrap_or(i64::MAX))
}

/// The day in UTC.
fn date(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).map_or_else(
        |_| "an unknown day".to_owned(),
        |time| time.strftime("%Y-%m-%d").to_string(),
    )
}
