//! TLS configurations that outlive a reload.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rustls::{ClientConfig, pki_types::ServerName};

use crate::listener::tls::{
    CertificateFacts, CertificatePaths, ClientSettings, ClientTls, FileChange, ServerSettings,
    ServerTls, SystemRoots, TlsError,
};

/// The TLS configurations in use, by their settings: equal settings share certificates and sessions, also with the
/// snapshot before.
///
/// Compiling writes it, and whoever watches the certificate files. No connection looks here: a snapshot holds what it
/// needs. An entry goes when no snapshot and no connection uses its configuration any more.
#[derive(Debug, Default)]
pub struct TlsStore {
    entries: Mutex<Entries>,
    roots: Arc<SystemRoots>,
}

#[derive(Debug, Default)]
struct Entries {
    servers: HashMap<ServerSettings, Arc<ServerTls>>,
    clients: HashMap<ClientSettings, Client>,
    /// The last identity that was given.
    last: u64,
}

#[derive(Debug)]
struct Client {
    tls: Arc<ClientTls>,
    /// What the identities below are for: other files make another configuration.
    config: Arc<ClientConfig>,
    identities: HashMap<Option<ServerName<'static>>, u64>,
}

/// The identities up to here are for connections without TLS.
const PLAIN_IDENTITIES: u64 = 1;

/// The identity of plain HTTP/1.1.
pub(super) const PLAIN_HTTP1: u64 = 0;

/// The identity of HTTP/2 with prior knowledge.
pub(super) const PLAIN_HTTP2: u64 = PLAIN_IDENTITIES;

impl TlsStore {
    /// The listener side of these settings. The files are read even when the settings are known, so that what is
    /// wrong with them now is found.
    pub(super) fn server(
        &self,
        settings: &ServerSettings,
    ) -> Result<Arc<ServerTls>, Vec<TlsError>> {
        let fresh = ServerTls::load(settings.clone())?;
        let mut entries = self.lock();
        if let Some(known) = entries.servers.get(settings) {
            known.reload_changed();
            return Ok(Arc::clone(known));
        }
        let fresh = Arc::new(fresh);
        entries.servers.insert(settings.clone(), Arc::clone(&fresh));
        Ok(fresh)
    }

    /// The upstream side of these settings, and the identity of connections to servers of that name.
    pub(super) fn client(
        &self,
        settings: &ClientSettings,
        name: Option<&ServerName<'static>>,
    ) -> Result<(Arc<ClientConfig>, u64), TlsError> {
        let fresh = ClientTls::load(settings.clone(), &self.roots)?;
        let mut guard = self.lock();
        let entries = &mut *guard;
        let client = entries
            .clients
            .entry(settings.clone())
            .or_insert_with(|| Client::new(fresh));
        client.refresh();
        let last = &mut entries.last;
        let identity = client.identities.entry(name.cloned()).or_insert_with(|| {
            *last += 1;
            PLAIN_IDENTITIES + *last
        });
        Ok((Arc::clone(&client.config), *identity))
    }

    /// Reads the files again that have changed. New handshakes use what is in them now; a `Replaced` of client
    /// authorities or of an upstream's files needs a new snapshot besides.
    pub fn reload_changed(&self) -> Vec<FileChange> {
        let (servers, clients) = {
            let entries = self.lock();
            let servers: Vec<_> = entries.servers.values().cloned().collect();
            let clients: Vec<_> = entries
                .clients
                .values()
                .map(|c| Arc::clone(&c.tls))
                .collect();
            (servers, clients)
        };
        servers
            .iter()
            .flat_map(|tls| tls.reload_changed())
            .chain(clients.iter().filter_map(|tls| tls.reload_changed()))
            .collect()
    }

    /// The certificates of all listeners, for metrics and the admin address.
    #[must_use]
    pub fn certificates(&self) -> Vec<(CertificatePaths, CertificateFacts)> {
        let entries = self.lock();
        let mut facts: Vec<_> = entries
            .servers
            .values()
            .flat_map(|tls| tls.certificates().facts())
            .collect();
        facts.sort_by(|(a, _), (b, _)| (&a.certificate, &a.key).cmp(&(&b.certificate, &b.key)));
        facts.dedup_by(|(a, _), (b, _)| a == b);
        facts
    }

    /// Forgets the configurations that nobody uses.
    pub(super) fn retain_used(&self) {
        // One reference is the entry's, one is held while it is asked.
        let unused = 2;
        let mut entries = self.lock();
        entries
            .servers
            .retain(|_, tls| Arc::strong_count(&tls.config()) > unused);
        entries
            .clients
            .retain(|_, client| Arc::strong_count(&client.tls.config()) > unused + 1);
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    fn new(tls: ClientTls) -> Self {
        Self {
            config: tls.config(),
            tls: Arc::new(tls),
            identities: HashMap::new(),
        }
    }

    /// Takes over changed files; connections that were made with the old ones keep their identities for themselves.
    fn refresh(&mut self) {
        self.tls.reload_changed();
        let config = self.tls.config();
        if !Arc::ptr_eq(&config, &self.config) {
            self.config = config;
            self.identities.clear();
        }
    }
}
