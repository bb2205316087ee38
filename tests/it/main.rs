//! The gateway as a process, before real sockets: scenarios of origin, configuration, request and expectation.

mod harness;
mod harness_itself;
