//! Certificates that change while the configuration stays.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    compile::Stores,
    config::Config,
    listener::tls::{CertificatePaths, FileChange},
    observe::metrics::Certificate,
};

/// Reads again the certificates and keys whose files have changed. What cannot be used stays as it was.
pub(super) async fn reload(stores: &Arc<Stores>, config: &Config) {
    let reading = Arc::clone(stores);
    let changes = tokio::task::spawn_blocking(move || reading.tls.reload_changed());
    for change in changes.await.unwrap_or_default() {
        match change {
            FileChange::Replaced { files } => tracing::info!(?files, "certificate read again"),
            FileChange::Kept { error } => {
                tracing::error!(%error, "certificate cannot be used, the one before stays");
            }
        }
    }
    publish(stores, config);
}

/// Tells the metrics which certificates are served.
pub(super) fn publish(stores: &Stores, config: &Config) {
    let known = stores.tls.certificates();
    let expiry = |certificate, key| {
        let paths = CertificatePaths { certificate, key };
        let (_, facts) = known.iter().find(|(known, _)| *known == paths)?;
        Some(UNIX_EPOCH + Duration::from_secs(facts.not_after.try_into().ok()?))
    };
    let mut served = Vec::new();
    for listener in &config.listeners {
        let pairs = listener.tls.iter().flat_map(|tls| tls.certificates.iter());
        for pair in pairs {
            let (certificate, key) = (pair.certificate.as_path(), pair.key.as_path());
            let not_after: Option<SystemTime> = expiry(certificate.to_owned(), key.to_owned());
            served.extend(not_after.map(|not_after| Certificate {
                listener: listener.name.as_str().into(),
                certificate: certificate.display().to_string().into(),
                not_after,
            }));
        }
    }
    stores.metrics.gateway().set_certificates(served);
}
