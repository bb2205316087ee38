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
    /// The open access logs, by their settings.
    pub access_logs: LogSink,
}

impl Stores {
    /// Forgets what no snapshot refers to.
    pub fn retain_used(&self) {
        self.metrics.retain_used();
        self.endpoints.retain_used();
        self.tls.retain_used();
    }
}
