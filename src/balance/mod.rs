//! Choosing an endpoint: policies, leases and what is remembered of an endpoint.
//!
//! A [`Pool`] is frozen with its snapshot; what changes at run time is in [`EndpointState`], which survives reloads. Time
//! and randomness are arguments, so every choice can be tested.
//!
//! A pick goes down four steps: a sticky session's own endpoint; else the subset that the request wants; within it the
//! first tier that has someone available, and a zone of it; within that one of the policies, among those that are eligible.

mod context;
mod endpoint;
mod identity;
mod lease;
mod metadata;
mod pool;
mod settings;
mod sticky;

mod adaptive;
mod breaker;
mod connections;
mod failures;
mod gradient;
mod limits;
mod load;
mod queue;

mod census;
mod eligible;
mod set;
mod tiers;

mod hash;
mod least_connections;
mod p2c;
mod peak_ewma;
mod random;
mod round_robin;

mod administration;
mod budget;
mod changes;
mod cursor;
mod latency;
mod maglev;
mod outlier;
mod ramp;
mod state;
mod weights;

pub use adaptive::Adaptive;
pub use administration::Administration;
pub use breaker::{Breaker, BreakerPhase};
pub use budget::{RetryBudget, RetryCounts};
pub use connections::{Bell, Bells, OpenConnection, Scarce};
pub use context::PickContext;
pub use cursor::Cursor;
pub use endpoint::{ConnectionId, Endpoint};
pub use hash::key_hash;
pub use identity::EndpointId;
pub use lease::Lease;
pub use limits::{Limits, QueueSettings, Refusal};
pub use load::UpstreamLoad;
pub use metadata::{Member, Metadata};
pub use outlier::{Detector, Ejection, OutlierSettings};
pub use pool::Pool;
pub use queue::{Queue, QueueFull, Ticket};
pub use set::Drawn;
pub use settings::{
    LoadBound, Percent, Policy, Settings, SubsetFallback, SubsetSettings, ZoneSettings,
};
pub use state::{EndpointState, EndpointStates, Health};
pub use sticky::{StickyCookie, StickyId, StickyKey};

#[cfg(test)]
mod testing;
