//! Active checks: asks each endpoint from time to time and says who gets requests.
//!
//! Each endpoint of an upstream with a health plan has one task. A task outlives reloads and new pools as long as what
//! it does stays the same; what it found is kept with the endpoint, so that a task that has to be replaced goes on from
//! there.

pub mod probe;
pub mod streak;

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::pki_types::ServerName;
use tokio::time::{Instant, sleep_until};

use super::task::Task;
use crate::{
    balance::{Endpoint, EndpointState},
    snapshot::{HealthPlan, Snapshot, Transport, Upstream},
};
use probe::Probe;
use streak::Streak;

/// The checks of all upstreams. Belongs to the controller.
#[derive(Debug, Default)]
pub struct HealthChecks {
    running: HashMap<Checked, Running>,
}

/// What is checked: one address of one upstream, as the endpoint's state is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Checked {
    upstream: Box<str>,
    address: SocketAddr,
}

#[derive(Debug)]
struct Running {
    plan: HealthPlan,
    name: Box<str>,
    transport: u64,
    _task: Task,
}
