//! From configuration to snapshot: every check, every message.
//!
//! [`compile`] goes on after a problem, so that all of them are reported in one go. A snapshot is made only when there is
//! no error; after that there is nothing left to check.

mod access_log;
mod balance;
mod breaker;
mod endpoints;
mod filters;
mod health;
mod http2;
mod limits;
mod listener;
mod outlier;
mod process;
mod retry;
mod route;
mod sets;
mod sticky;
mod stores;
mod timeouts;
mod tls;
mod transport;
mod upstream;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, sync::Arc, time::SystemTime};

use crate::{
    config::{self, Code, Config, Diagnostic, Diagnostics, Loaded, Placed},
    snapshot::{Snapshot, Upstream},
};

pub use stores::Stores;
pub use tls::TlsStore;

/// What came of a configuration.
#[derive(Debug)]
pub struct Compiled {
    /// The world it describes; `None` when something stops the load.
    pub snapshot: Option<Snapshot>,
    /// Everything that was found, by reading and by compiling.
    pub diagnostics: Diagnostics,
}

/// Checks what was read and makes a snapshot of it. Reads certificate files, so it is not for the request path.
/// `generation` numbers the configurations of a process from 1; `now` tells which certificates have expired.
#[must_use]
pub fn compile(loaded: &Loaded, stores: &Stores, generation: u64, now: SystemTime) -> Compiled {
    let Some(config) = &loaded.config else {
        return Compiled {
            snapshot: None,
            diagnostics: loaded.diagnostics.clone(),
        };
    };
    let mut compiler = Compiler {
        config,
        stores,
        now,
        found: loaded.diagnostics.clone(),
    };
    let snapshot = compiler.snapshot(generation);
    let mut diagnostics = compiler.found;
    diagnostics.sort();
    if diagnostics.has_errors() {
        drop(snapshot);
        // Nothing of a refused configuration stays behind.
        stores.retain_used();
        return Compiled {
            snapshot: None,
            diagnostics,
        };
    }
    Compiled {
        snapshot,
        diagnostics,
    }
}

/// One run over a configuration.
struct Compiler<'a> {
    config: &'a Config,
    stores: &'a Stores,
    now: SystemTime,
    found: Diagnostics,
}

/// The upstreams that could be made, by name.
type Upstreams = BTreeMap<Box<str>, Arc<Upstream>>;

impl Compiler<'_> {
    fn snapshot(&mut self, generation: u64) -> Option<Snapshot> {
        self.check_process();
        self.check_dns();
        let listeners = self.listeners();
        let upstreams = self.upstreams();
        let (matches, routes) = self.routes(&upstreams);
        let access_log = self.access_log();
        if !self.found.has_errors() {
            self.warn_of_unused_upstreams();
        }
        let router = self.router(matches);
        Some(Snapshot {
            generation,
            hash: config::fingerprint(self.config),
            listeners,
            router,
            routes,
            upstreams: upstreams.into_values().collect(),
            trusted_proxies: values(&self.config.server.trusted_proxies),
            access_log,
        })
    }

    /// An error about a value that another part of the program refused. Its words may repeat the value, so they are
    /// kept back when the value came from a secret.
    fn refused<T>(
        &mut self,
        code: Code,
        value: &Placed<T>,
        key: &str,
        reason: impl fmt::Display,
    ) -> &mut Diagnostic {
        let message = match value.secret() {
            None => format!("`{key}`: {reason}"),
            Some(written) => format!("`{key}`: what \"{written}\" stands for cannot be used here"),
        };
        self.found.error(code, value.place, message)
    }

    /// A warning about a setting that changes nothing as things are.
    fn without_effect<T>(&mut self, value: &Placed<T>, what: impl Into<String>) -> &mut Diagnostic {
        self.found.warning(Code::WithoutEffect, value.place, what)
    }
}

/// Help when something is near to what was written.
fn help_with(finding: &mut Diagnostic, suggestion: Option<String>) {
    if let Some(suggestion) = suggestion {
        finding.help(format!("did you mean \"{suggestion}\"?"));
    }
}

/// The values without their places.
fn values<T: Clone>(placed: &[Placed<T>]) -> Vec<T> {
    placed.iter().map(|item| item.value.clone()).collect()
}
