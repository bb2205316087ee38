//! When the process ends: Pingora asks here, and is told only once nothing has to be waited for any more.

use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::sync::{Mutex, mpsc};

use super::data_plane::Plane;
use crate::control::{self, ControlHandle, signals::StopSignal};

/// Waits for the end.
pub(super) struct Shutdown {
    control: ControlHandle,
    plane: Arc<Plane>,
    /// Locked by the one who waits, for as long as it waits.
    signals: Mutex<mpsc::Receiver<StopSignal>>,
}

impl Shutdown {
    pub(super) fn new(
        control: ControlHandle,
        plane: Arc<Plane>,
        signals: mpsc::Receiver<StopSignal>,
    ) -> Self {
        Self {
            control,
            plane,
            signals: Mutex::new(signals),
        }
    }
}

#[async_trait]
impl ShutdownSignalWatch for Shutdown {
    async fn recv(&self) -> ShutdownSignal {
        let mut signals = self.signals.lock().await;
        control::stop(&self.control, &*self.plane, &mut signals).await;
        // The waiting is over: Pingora has nothing to add to it.
        ShutdownSignal::FastShutdown
    }
}
