//! How things stand, as JSON.

use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    config,
    control::{Phase, ReloadReport, Status},
};

/// The running configuration with what is known about it.
pub(super) fn running(status: &Status) -> Value {
    json!({
        "generation": status.generation,
        "hash": status.hash,
        "since": time(status.since),
        "phase": phase(status.phase),
        "last_reload": status.last_reload.as_deref().map(reload),
        "config": config::redacted(&status.config),
    })
}

/// The word for where the gateway is in its life.
pub(super) const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Ready => "ready",
        Phase::Draining => "draining",
    }
}

/// One reload and what became of it.
pub(super) fn reload(report: &ReloadReport) -> Value {
    json!({
        "outcome": report.outcome.as_str(),
        "cause": report.cause.as_str(),
        "generation": report.generation,
        "at": time(report.at),
        "took_seconds": report.took.as_secs_f64(),
        "diagnostics": report.diagnostics,
        "remarks": report.remarks,
    })
}

/// UTC as in RFC 3339; `null` for a time that no calendar has.
pub(super) fn time(at: SystemTime) -> Value {
    Timestamp::try_from(at).map_or(Value::Null, |at| format!("{at:.3}").into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_utc() {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
        assert_eq!(time(at), "1970-01-01T00:00:01.500Z");
    }
}
