//! The one writer: reload, discovery, health checks, drain.

pub mod discovery;
pub mod health;
pub mod signals;
pub mod watch;
