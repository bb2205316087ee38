//! How the rest of the process asks the one writer for something.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

use super::status::{Cause, ReloadReport, Status};

/// Asks the controller. Clones ask the same one.
#[derive(Clone, Debug)]
pub struct ControlHandle {
    commands: mpsc::Sender<Command>,
    status: Arc<ArcSwap<Status>>,
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
pub struct Stopped;

impl ControlHandle {
    /// A handle and the other end of it.
    pub(super) fn new(status: Arc<ArcSwap<Status>>) -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(QUEUE);
        (Self { commands, status }, receiver)
    }

    /// Reads the configuration again and, if it is good, puts it into effect. Returns when that is done. Requests that
    /// arrive while a reload runs are all answered by one more.
    ///
    /// # Errors
    /// The controller has ended.
    pub async fn reload(&self, cause: Cause) -> Result<Arc<ReloadReport>, Stopped> {
        let (answer, answered) = oneshot::channel();
        self.commands
            .send(Command::Reload(cause, answer))
            .await
            .map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)
    }

    /// Begins to drain: not ready any more, no new connections, and those that are open end with their exchanges.
    /// Returns when that has begun. There is no way back.
    ///
    /// # Errors
    /// The controller has ended.
    pub async fn drain(&self) -> Result<(), Stopped> {
        let (answer, answered) = oneshot::channel();
        self.commands
            .send(Command::Drain(answer))
            .await
            .map_err(|_| Stopped)?;
        answered.await.map_err(|_| Stopped)
    }

    /// How things stand.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        self.status.load_full()
    }
}

/// Who asks when so many are waiting waits until one of them has been served.
const QUEUE: usize = 64;
