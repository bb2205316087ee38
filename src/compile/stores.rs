//! What outlives a reload.

use std::sync::Arc;

use super::TlsStore;
use crate::{
    balance::EndpointStates,
    observe::{LogSink, Metrics},
};

/// What outlives a reload: a new snapshot refers to the same things as the old one, as far as both name them.
///
/// Compiling adds to the stores and takes from them; exchanges use what their snapshot refers to and never look here.
/// What no snapshot refers to any more goes with [`Stores::retain_used`], which the one who publishes calls.
#[derive(Debug)]
pub struct Stores {
    /// The figures, by the names of listeners, routes and upstreams.
    pub metrics: Arc<Metrics>,
    /// Health, counts and turns of endpoints, by upstream and address.
    pub endpoints: EndpointStates,
    /// Certificates and TLS sessions, by their settings.
    pub tls: TlsStore,
    /// The open access logs, by their settings; `None` where nothing is served and so none is opened.
    pub access_logs: Option<LogSink>,
}

impl Stores {
    /// Stores for a configuration that is looked at and not served: compiling with them opens no access log.
    #[must_use]
    pub fn to_check() -> Self {
        Self {
            metrics: Arc::new(Metrics::new(1)),
            endpoints: EndpointStates::default(),
            tls: TlsStore::default(),
            access_logs: None,
        }
    }

    /// Forgets what no snapshot refers to.
    pub fn retain_used(&self) {
        // Series that have ended are shown once more: the metrics forget them themselves.
        self.endpoints.retain_used();
        self.tls.retain_used();
    }
}
