//! What an operator may see and do; the admin address turns it into HTTP.

use std::future::Future;

use serde_json::Value;

/// The gateway as the admin address knows it.
///
/// A trait, so that the HTTP side is tested without sockets of its own to serve and files to reload.
pub trait Operations: Send + Sync + 'static {
    /// Whether new requests are welcome.
    fn readiness(&self) -> Readiness;

    /// All figures in the Prometheus text format.
    fn metrics(&self) -> String;

    /// The running configuration; secrets are not in it.
    fn config(&self) -> Value;

    /// The upstreams with their endpoints, their state and their counts.
    fn upstreams(&self) -> Value;

    /// Loads the configuration again and answers when it serves or has been refused.
    fn reload(&self) -> impl Future<Output = ReloadOutcome> + Send;

    /// Stops accepting and lets running exchanges end; the process ends after the last one.
    fn drain(&self);

    /// The filter of the program log.
    fn log_level(&self) -> String;

    /// Changes the filter of the program log; the error says what is wrong with `level`.
    fn set_log_level(&self, level: &str) -> Result<(), String>;
}

/// Whether new requests are welcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// The listeners are not open yet.
    Starting,
    /// Requests are served.
    Ready,
    /// The process is about to end.
    Draining,
}

impl Readiness {
    /// The word in answers.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}

/// How a reload ended.
#[derive(Clone, Debug, PartialEq)]
pub enum ReloadOutcome {
    /// The new configuration serves; it may have warnings.
    Serving {
        /// Its number in the life of the process.
        generation: u64,
        /// The warnings, as a list of diagnostics.
        diagnostics: Value,
    },
    /// The configuration is wrong; the old one serves on.
    Refused {
        /// The number of the configuration that serves on.
        generation: u64,
        /// Everything that is wrong, as a list of diagnostics.
        diagnostics: Value,
    },
    /// Nothing was loaded because of the state of the process: it drains.
    Unavailable {
        /// Why, for people.
        reason: String,
    },
}

#[cfg(test)]
pub(super) mod fake {
    //! A gateway that exists only on paper.

    use std::sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    };

    use serde_json::json;

    use super::*;

    #[derive(Debug)]
    pub(in crate::admin) struct Fake {
        pub(in crate::admin) readiness: Readiness,
        pub(in crate::admin) reload: ReloadOutcome,
        drains: AtomicUsize,
        level: Mutex<String>,
    }

    impl Default for Fake {
        fn default() -> Self {
            Self {
                readiness: Readiness::Ready,
                reload: ReloadOutcome::Serving {
                    generation: 2,
                    diagnostics: json!([]),
                },
                drains: AtomicUsize::new(0),
                level: Mutex::new("info".to_owned()),
            }
        }
    }

    impl Fake {
        pub(in crate::admin) fn drains(&self) -> usize {
            self.drains.load(Ordering::SeqCst)
        }
    }

    impl Operations for Fake {
        fn readiness(&self) -> Readiness {
            self.readiness
        }

        fn metrics(&self) -> String {
            "figures 1\n".to_owned()
        }

        fn config(&self) -> Value {
            json!({ "config": 1 })
        }

        fn upstreams(&self) -> Value {
            json!({ "upstreams": 1 })
        }

        async fn reload(&self) -> ReloadOutcome {
            self.reload.clone()
        }

        fn drain(&self) {
            self.drains.fetch_add(1, Ordering::SeqCst);
        }

        fn log_level(&self) -> String {
            self.level.lock().unwrap().clone()
        }

        fn set_log_level(&self, level: &str) -> Result<(), String> {
            if level != "debug" {
                return Err(format!("no such level: {level}"));
            }
            *self.level.lock().unwrap() = level.to_owned();
            Ok(())
        }
    }
}
