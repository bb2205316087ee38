//! The gateway as a process, before real sockets: scenarios of origin, configuration, request and expectation.

mod balance;
mod failure;
mod filters;
mod forwarded;
mod harness;
mod harness_itself;
mod routing;
mod streaming;
mod wire;
