//! The admin address: health, metrics, configuration, endpoints, reload and drain over HTTP.
//!
//! It is meant for the operator and for Prometheus, on the loopback interface or a private network. It has no
//! passwords, so it keeps web pages out: see `guard`.

mod guard;
mod live;
mod operations;
mod reply;
mod routes;
mod server;
mod status;
mod upstreams;

pub use live::Live;
pub use operations::Operations;
pub use server::Admin;
