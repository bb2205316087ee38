//! What the log and the metrics are told of configurations.

use std::time::SystemTime;

use super::status::{Outcome, ReloadReport};
use crate::{
    config::{Diagnostics, Severity},
    observe::Metrics,
    snapshot::Snapshot,
};

/// The first configuration serves.
pub(super) fn started(snapshot: &Snapshot, metrics: &Metrics) {
    let (generation, hash) = (snapshot.generation, snapshot.hash.as_str());
    let gateway = metrics.gateway();
    gateway.config_loaded(generation, hash, SystemTime::now());
    tracing::info!(generation, hash, "configuration serves");
}

/// A reload has ended; `snapshot` serves after it.
pub(super) fn ended(report: &ReloadReport, snapshot: &Snapshot, metrics: &Metrics) {
    let (generation, hash) = (snapshot.generation, snapshot.hash.as_str());
    let cause = report.cause.as_str();
    // What is said of an unchanged file has been said before.
    if report.outcome != Outcome::Unchanged {
        diagnostics(&report.diagnostics);
    }
    for remark in &report.remarks {
        tracing::warn!(cause, "{remark}");
    }
    let took = report.took;
    match report.outcome {
        Outcome::Refused => {
            metrics.gateway().config_refused();
            let errors = report.diagnostics.errors();
            tracing::error!(
                cause,
                generation,
                errors,
                "configuration refused, the one before serves on"
            );
            return;
        }
        Outcome::Applied => {
            tracing::info!(cause, generation, hash, ?took, "configuration applied");
        }
        Outcome::Unchanged => {
            tracing::info!(cause, generation, hash, "configuration unchanged");
        }
    }
    let gateway = metrics.gateway();
    gateway.config_loaded(generation, hash, SystemTime::now());
}

/// Logs each finding once, as one line.
pub(super) fn diagnostics(diagnostics: &Diagnostics) {
    for found in diagnostics.iter() {
        let (file, line, column) = (&found.file, found.line, found.column);
        let (code, help) = (found.code.as_str(), found.help.as_deref());
        match found.severity {
            Severity::Error => {
                tracing::error!(file, line, column, code, help, "{}", found.message);
            }
            Severity::Warning => {
                tracing::warn!(file, line, column, code, help, "{}", found.message);
            }
        }
    }
}
