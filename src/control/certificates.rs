//! Certificates that change while the configuration stays.

use std::sync::Arc;

use crate::{compile::Stores, listener::tls::FileChange};

/// Reads again the certificates, keys and authorities whose files have changed. What cannot be used stays as it was.
pub(super) async fn reload(stores: &Arc<Stores>) {
    let stores = Arc::clone(stores);
    let changes = tokio::task::spawn_blocking(move || {
        let changes = stores.reload_certificates();
        publish(&stores);
        changes
    });
    for change in changes.await.unwrap_or_default() {
        match change {
            FileChange::Replaced { files } => tracing::info!(?files, "certificate read again"),
            FileChange::Kept { error } => {
                tracing::error!(%error, "certificate not usable, the one before stays");
            }
        }
    }
}

/// Tells the metrics which certificates are served.
pub(super) fn publish(stores: &Stores) {
    let served = stores.served_certificates();
    stores.metrics.gateway().set_certificates(served);
}
