//! How the rest of the process asks the one writer for something.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::status::{Cause, Phase, ReloadReport, Status};

/// Asks the controller. Clones ask the same one.
#[derive(Clone, Debug)]
pub struct ControlHandle {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<Arc<Status>>,
}

/// What a controller can be asked for.
#[derive(Debug)]
pub(super) enum Command {
    Reload(Cause, oneshot::Sender<Arc<ReloadReport>>),
    Drain(oneshot::Sender<()>),
}

/// The controller has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gateway is stopping")]
pub struct Ended;

impl ControlHandle {
    /// A handle and the other end of it.
    pub(super) fn new(status: watch::Receiver<Arc<Status>>) -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(QUEUE);
        (Self { commands, status }, receiver)
    }

    /// Reads the configuration again and, if it is good, puts it into effect. Returns when that is done. Requests that
    /// arrive while a reload runs are all answered by one more.
    ///
    /// # Errors
    /// The controller has ended.
    pub async fn reload(&self, cause: Cause) -> Result<Arc<ReloadReport>, Ended> {
        let (answer, answered) = oneshot::channel();
        self.commands
            .send(Command::Reload(cause, answer))
            .await
            .map_err(|_| Ended)?;
        answered.await.map_err(|_| Ended)
    }

    /// Begins to drain: not ready any more, no new connections, and those that are open end with their exchanges.
    /// Returns when that has begun. There is no way back.
    ///
    /// # Errors
    /// The controller has ended.
    pub async fn drain(&self) -> Result<(), Ended> {
        let (answer, answered) = oneshot::channel();
        self.commands
            .send(Command::Drain(answer))
            .await
            .map_err(|_| Ended)?;
        answered.await.map_err(|_| Ended)
    }

    /// How things stand.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&self.status.borrow())
    }

    /// Follows how things stand, for those who have to do something about a new configuration.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Status>> {
        self.status.clone()
    }

    /// Waits until the first configuration serves, or the controller has ended.
    pub async fn started(&self) {
        self.reached(|phase| phase != Phase::Starting).await;
    }

    /// Waits until a drain has begun, or the controller has ended.
    pub async fn draining(&self) {
        self.reached(|phase| phase == Phase::Draining).await;
    }

    async fn reached(&self, reached: impl Fn(Phase) -> bool) {
        let mut status = self.status.clone();
        // An error means that the controller has ended.
        let _ = status.wait_for(|status| reached(status.phase)).await;
    }
}

/// Who asks when so many are waiting waits until one of them has been served.
const QUEUE: usize = 64;
