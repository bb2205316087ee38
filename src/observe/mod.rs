//! What the operator sees: metrics, the access log and the program log.
//!
//! One finished exchange is one [`AccessRecord`]; the counters and the log line both come from it.

pub mod record;

pub mod access_log;
pub mod log;
pub mod metrics;

pub use access_log::{AccessLog, LogSink, WorkerLog};
pub use metrics::{
    EndpointMetrics, ListenerMetrics, Metrics, PickPlace, RouteMetrics, SessionOutcome, Touched,
    UpstreamMetrics,
};
pub use record::{AccessRecord, Source, Timings, TlsFacts};
