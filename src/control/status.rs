//! What the one writer has done last, for everyone who wants to know.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::config::{Config, Diagnostics};

/// How things stand. Written by the controller, read by the admin address.
#[derive(Clone, Debug)]
pub struct Status {
    /// The number of the configuration that serves, from 1.
    pub generation: u64,
    /// Its hash: equal configurations have equal hashes.
    pub hash: String,
    /// The configuration that serves.
    pub config: Arc<Config>,
    /// Since when it serves.
    pub since: SystemTime,
    /// What requests may expect.
    pub phase: Phase,
    /// The last reload, whatever became of it; `None` before the first one.
    pub last_reload: Option<Arc<ReloadReport>>,
}

/// Where a gateway is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No listener accepts yet.
    Starting,
    /// Requests are served.
    Ready,
    /// What runs may end, and then the process does.
    Draining,
}

/// One reload and what became of it.
#[derive(Clone, Debug)]
pub struct ReloadReport {
    /// Who asked for it.
    pub cause: Cause,
    /// What became of it.
    pub outcome: Outcome,
    /// The generation that serves after it.
    pub generation: u64,
    /// When it began.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
    /// What was found in the files: errors and warnings, in the order of files and lines.
    pub diagnostics: Diagnostics,
    /// What else there is to say: a port in use, a setting that waits for the next start.
    pub remarks: Vec<String>,
}

/// Who asked for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A file has changed.
    File,
    /// SIGHUP.
    Signal,
    /// The admin address.
    Admin,
}

/// What became of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A new configuration serves.
    Applied,
    /// The files say what they said before; nothing has changed.
    Unchanged,
    /// The files are wrong or cannot be put into effect; the old configuration serves on.
    Refused,
}

impl ReloadReport {
    /// Whether the configuration that serves is the one in the files.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.outcome != Outcome::Refused
    }
}

impl Cause {
    /// The word for logs and the admin address.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Signal => "signal",
            Self::Admin => "admin",
        }
    }
}

impl Outcome {
    /// The word for logs and the admin address.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}
