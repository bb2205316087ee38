//! From the wish to stop to the moment when the process may end.

use std::time::Duration;

use tokio::{sync::mpsc, time::timeout};

use super::{data_plane::DataPlane, handle::ControlHandle, signals::StopSignal};

/// How a gateway came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Every exchange has ended.
    Idle,
    /// The time to drain was over; what still ran is cut.
    Deadline,
    /// A second signal came; what still ran is cut.
    Forced,
}

/// Waits until somebody wants the process to end, by signal or at the admin address, lets running exchanges end within
/// the configured time, and returns when the process may end. A second signal ends the wait.
pub async fn stop<D: DataPlane>(
    control: &ControlHandle,
    plane: &D,
    signals: &mut mpsc::Receiver<StopSignal>,
) -> Stopped {
    tokio::select! {
        signal = next(signals) => tracing::info!(signal = signal.name(), "asked to stop"),
        () = control.draining() => {}
    }
    // A controller that has ended, or that waits for a file system, cannot do it for us.
    if !matches!(timeout(PATIENCE, control.drain()).await, Ok(Ok(()))) {
        plane.drain();
    }
    let patience = *control.status().config.server.drain;
    tokio::select! {
        idle = timeout(patience, plane.idle()) => match idle {
            Ok(()) => {
                tracing::info!("every exchange has ended");
                Stopped::Idle
            }
            Err(_) => {
                tracing::warn!(drain = ?patience, "time to drain is over, running exchanges are cut");
                Stopped::Deadline
            }
        },
        signal = next(signals) => {
            tracing::warn!(signal = signal.name(), "asked to stop again, running exchanges are cut");
            Stopped::Forced
        }
    }
}

/// The next signal; waits for ever when nobody can send one any more.
async fn next(signals: &mut mpsc::Receiver<StopSignal>) -> StopSignal {
    match signals.recv().await {
        Some(signal) => signal,
        None => std::future::pending().await,
    }
}

/// How long the controller may take to begin the drain.
const PATIENCE: Duration = Duration::from_secs(2);
