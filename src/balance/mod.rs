//! Choosing an endpoint: policies, leases and what is remembered of an endpoint.
//!
//! A [`Pool`] is frozen with its snapshot; what changes at run time is in [`EndpointState`], which survives reloads. Time
//! and randomness are arguments, so every choice can be tested.

mod endpoint;
mod lease;
mod pool;
mod state;

mod eligible;
mod least_connections;
mod random;
mod round_robin;
mod weights;

pub use endpoint::{ConnectionId, Endpoint};
pub use lease::Lease;
pub use pool::{Policy, Pool};
pub use round_robin::Cursor;
pub use state::{EndpointState, EndpointStates, Health};

#[cfg(test)]
mod testing;
