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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Phase, testing::Bench};

    const SLOW: &str = "[server]\ndrain = \"1h\"\n";

    #[tokio::test]
    async fn a_signal_drains_and_the_last_exchange_ends_the_wait() {
        let bench = Bench::start(SLOW).await;
        let (sender, mut signals) = mpsc::channel(1);
        sender.send(StopSignal::Terminate).await.unwrap();
        bench.plane.ended.notify_one();
        let stopped = stop(&bench.control, &*bench.plane, &mut signals).await;
        assert_eq!(stopped, Stopped::Idle);
        assert_eq!(bench.control.status().phase, Phase::Draining);
        assert_eq!(bench.plane.drains(), 1);
    }

    #[tokio::test]
    async fn a_second_signal_ends_the_wait_at_once() {
        let bench = Bench::start(SLOW).await;
        let (sender, mut signals) = mpsc::channel(2);
        sender.send(StopSignal::Terminate).await.unwrap();
        sender.send(StopSignal::Interrupt).await.unwrap();
        let stopped = stop(&bench.control, &*bench.plane, &mut signals).await;
        assert_eq!(stopped, Stopped::Forced);
    }

    #[tokio::test]
    async fn the_deadline_ends_the_wait() {
        let bench = Bench::start("[server]\ndrain = \"1ms\"\n").await;
        let (sender, mut signals) = mpsc::channel(1);
        sender.send(StopSignal::Terminate).await.unwrap();
        let stopped = stop(&bench.control, &*bench.plane, &mut signals).await;
        assert_eq!(stopped, Stopped::Deadline);
    }

    #[tokio::test]
    async fn a_drain_at_the_admin_address_is_a_wish_to_stop() {
        let bench = Bench::start(SLOW).await;
        let (_sender, mut signals) = mpsc::channel(1);
        bench.control.drain().await.unwrap();
        bench.plane.ended.notify_one();
        let stopped = stop(&bench.control, &*bench.plane, &mut signals).await;
        assert_eq!(stopped, Stopped::Idle);
        assert_eq!(bench.plane.drains(), 1);
    }

    #[tokio::test]
    async fn a_controller_that_has_ended_does_not_keep_the_process() {
        let bench = Bench::start(SLOW).await;
        let (control, plane) = (bench.control.clone(), std::sync::Arc::clone(&bench.plane));
        drop(bench);
        let (sender, mut signals) = mpsc::channel(1);
        sender.send(StopSignal::Terminate).await.unwrap();
        plane.ended.notify_one();
        assert_eq!(stop(&control, &*plane, &mut signals).await, Stopped::Idle);
        assert_eq!(plane.drains(), 1);
    }
}
