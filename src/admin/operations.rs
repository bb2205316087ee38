//! What an operator may see and do; the admin address turns it into HTTP.

use std::{future::Future, net::SocketAddr, sync::Arc};

use serde_json::Value;

use crate::{
    balance::Administration,
    control::{Ended, ReloadReport, Status},
};

/// The gateway as the admin address knows it.
///
/// A trait, so that the HTTP side is tested without sockets of its own to serve and files to reload.
pub trait Operations: Send + Sync + 'static {
    /// How things stand.
    fn status(&self) -> Arc<Status>;

    /// All figures in the Prometheus text format.
    fn metrics(&self) -> String;

    /// The upstreams with their endpoints, their state and their counts.
    fn upstreams(&self) -> Value;

    /// Puts an endpoint into use or takes it out, and returns its addresses. It is named as the configuration does, or by
    /// one address; the error says what there is no such thing of.
    fn administer(
        &self,
        upstream: &str,
        endpoint: &str,
        state: Administration,
    ) -> Result<Vec<SocketAddr>, String>;

    /// Loads the configuration again and answers when it serves or has been refused.
    fn reload(&self) -> impl Future<Output = Result<Arc<ReloadReport>, Ended>> + Send;

    /// Begins to drain: running exchanges end, and the process ends after the last one.
    fn drain(&self) -> impl Future<Output = Result<(), Ended>> + Send;

    /// The level of the program log; `None` when this gateway has none of its own.
    fn log_level(&self) -> Option<String>;

    /// Changes the level of the program log; the error says what is wrong with `level`.
    fn set_log_level(&self, level: &str) -> Result<(), String>;
}

#[cfg(test)]
pub(super) mod fake {
    //! A gateway that exists only on paper.

    use std::{
        path::Path,
        sync::{
            Mutex,
            atomic::{AtomicUsize, Ordering},
        },
        time::{Duration, SystemTime},
    };

    use serde_json::json;

    use super::*;
    use crate::{
        config::{self, Diagnostics},
        control::{Cause, Outcome, Phase},
    };

    #[derive(Debug)]
    pub(in crate::admin) struct Fake {
        pub(in crate::admin) status: Status,
        pub(in crate::admin) reload: Result<Arc<ReloadReport>, Ended>,
        drains: AtomicUsize,
        level: Mutex<String>,
    }

    impl Default for Fake {
        fn default() -> Self {
            Self {
                status: Status {
                    generation: 1,
                    hash: "0123456789abcdef".to_owned(),
                    since: SystemTime::UNIX_EPOCH,
                    config: Arc::new(
                        config::parse_str("a.toml", "", Path::new(""))
                            .config
                            .unwrap(),
                    ),
                    phase: Phase::Ready,
                    last_reload: None,
                },
                reload: Ok(Arc::new(report(Outcome::Applied))),
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

    /// The report of a reload that found nothing.
    pub(in crate::admin) fn report(outcome: Outcome) -> ReloadReport {
        ReloadReport {
            cause: Cause::Admin,
            outcome,
            generation: 2,
            at: SystemTime::UNIX_EPOCH,
            took: Duration::from_millis(4),
            diagnostics: Diagnostics::default(),
            remarks: Vec::new(),
        }
    }

    impl Operations for Fake {
        fn status(&self) -> Arc<Status> {
            Arc::new(self.status.clone())
        }

        fn metrics(&self) -> String {
            "figures 1\n".to_owned()
        }

        fn upstreams(&self) -> Value {
            json!({ "upstreams": 1 })
        }

        fn administer(
            &self,
            upstream: &str,
            endpoint: &str,
            _state: Administration,
        ) -> Result<Vec<SocketAddr>, String> {
            match (upstream, endpoint.parse()) {
                ("users", Ok(address)) => Ok(vec![address]),
                _ => Err("no such endpoint".to_owned()),
            }
        }

        async fn reload(&self) -> Result<Arc<ReloadReport>, Ended> {
            self.reload.clone()
        }

        async fn drain(&self) -> Result<(), Ended> {
            self.drains.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }

        fn log_level(&self) -> Option<String> {
            Some(self.level.lock().unwrap().clone())
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
