//! The signals that an operator sends.

use std::io;

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
};

/// The signals that ask for a change while the process runs.
#[derive(Debug)]
pub struct ChangeSignals {
    hangup: Signal,
    user1: Signal,
}

/// What a running process is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeSignal {
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR1: open the log files again, because they have been rotated.
    ReopenLogs,
}

/// The signals that ask the process to end.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

/// Which signal asked the process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
    /// SIGQUIT.
    Quit,
}

impl ChangeSignals {
    /// Takes the signals over from their default, which would be to end the process.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
        })
    }

    /// The next signal. Dropping the future loses none.
    pub async fn next(&mut self) -> ChangeSignal {
        let asked = tokio::select! {
            Some(()) = self.hangup.recv() => Some(ChangeSignal::Reload),
            Some(()) = self.user1.recv() => Some(ChangeSignal::ReopenLogs),
            else => None,
        };
        match asked {
            Some(asked) => asked,
            None => std::future::pending().await,
        }
    }
}

impl StopSignals {
    /// Takes the signals over from their default, which would be to end the process.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// Hands the signals over one by one. Runs on the current runtime until the receiver is gone.
    #[must_use]
    pub fn listen(mut self) -> mpsc::Receiver<StopSignal> {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let signal = self.next().await;
                if sender.send(signal).await.is_err() {
                    return;
                }
            }
        });
        receiver
    }

    async fn next(&mut self) -> StopSignal {
        let asked = tokio::select! {
            Some(()) = self.terminate.recv() => Some(StopSignal::Terminate),
            Some(()) = self.interrupt.recv() => Some(StopSignal::Interrupt),
            Some(()) = self.quit.recv() => Some(StopSignal::Quit),
            else => None,
        };
        match asked {
            Some(asked) => asked,
            None => std::future::pending().await,
        }
    }
}

impl StopSignal {
    /// The name as in `kill -l`, with its prefix.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::Quit => "SIGQUIT",
        }
    }
}
