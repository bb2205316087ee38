//! When the process ends: Pingora asks here, and is told only once nothing has to be waited for any more.

use std::{future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::{sync::mpsc, time::timeout};

use super::data_plane::Plane;
use crate::control::{self, ControlHandle, signals::StopSignals};

/// How long the admin address may take over its last answer.
const LAST_ANSWER: Duration = Duration::from_millis(100);

/// Waits for the end.
pub(super) struct Shutdown {
    control: ControlHandle,
    plane: Arc<Plane>,
}

impl Shutdown {
    pub(super) const fn new(control: ControlHandle, plane: Arc<Plane>) -> Self {
        Self { control, plane }
    }
}

#[async_trait]
impl ShutdownSignalWatch for Shutdown {
    async fn recv(&self) -> ShutdownSignal {
        let mut signals = match StopSignals::new() {
            Ok(signals) => signals.listen(),
            Err(error) => {
                tracing::error!(%error, "cannot catch signals");
                // Without a sender: only the admin address can stop this process in order.
                mpsc::channel(1).1
            }
        };
        control::stop(&self.control, &*self.plane, &mut signals).await;
        // With nothing to wait for, the answer to `POST /drain` may still be on its way to whoever asked.
        let _ = timeout(LAST_ANSWER, pending::<()>()).await;
        // The waiting is over: Pingora has nothing to add to it.
        ShutdownSignal::FastShutdown
    }
}
