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
    snapshot::{HealthPlan, Snapshot, Upstream},
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

impl HealthChecks {
    /// Checks exactly the endpoints that the pools of this snapshot have now, each as its upstream plans it.
    pub fn follow(&mut self, snapshot: &Snapshot) {
        let mut wanted = HashSet::new();
        for upstream in &snapshot.upstreams {
            for endpoint in upstream.pool.load().endpoints() {
                match &upstream.health {
                    Some(plan) => {
                        let checked = Checked {
                            upstream: upstream.name.clone(),
                            address: endpoint.address,
                        };
                        if wanted.insert(checked.clone()) {
                            self.check(checked, upstream, plan, endpoint);
                        }
                    }
                    // What an earlier plan found must not outlive it.
                    None if !endpoint.state.is_healthy() => endpoint.state.forget_health(),
                    None => {}
                }
            }
        }
        self.running.retain(|checked, _| wanted.contains(checked));
    }

    fn check(
        &mut self,
        checked: Checked,
        upstream: &Upstream,
        plan: &HealthPlan,
        endpoint: &Endpoint,
    ) {
        let same = self.running.get(&checked).is_some_and(|running| {
            running.plan == *plan
                && running.name == endpoint.name
                && running.transport == upstream.transport.identity
        });
        if same {
            return;
        }
        let check = Check {
            upstream: upstream.name.clone(),
            name: endpoint.name.clone(),
            address: endpoint.address,
            probe: probe(upstream, plan, endpoint),
            plan: plan.clone(),
            state: Arc::clone(&endpoint.state),
        };
        let running = Running {
            plan: plan.clone(),
            name: endpoint.name.clone(),
            transport: upstream.transport.identity,
            _task: Task::start(check.run()),
        };
        self.running.insert(checked, running);
    }
}

/// One endpoint and how it is checked.
#[derive(Debug)]
struct Check {
    upstream: Box<str>,
    name: Box<str>,
    address: SocketAddr,
    /// Without a name to verify there is nothing to ask, and this is the reason.
    probe: Result<Probe, String>,
    plan: HealthPlan,
    state: Arc<EndpointState>,
}

impl Check {
    async fn run(self) {
        let mut streak = Streak::new(self.state.is_healthy());
        let mut next = Instant::now() + first_wait(self.plan.interval, fastrand::u64(..));
        loop {
            sleep_until(next).await;
            let began = Instant::now();
            let found = match &self.probe {
                Ok(probe) => probe.run().await.map_err(|fault| fault.to_string()),
                Err(reason) => Err(reason.clone()),
            };
            self.note(&mut streak, &found);
            next = began + spread(self.plan.interval, fastrand::u64(..));
        }
    }

    fn note(&self, streak: &mut Streak, found: &Result<(), String>) {
        let changed = streak.note(
            found.is_ok(),
            self.plan.unhealthy_after,
            self.plan.healthy_after,
        );
        let reason = found.as_ref().map_or_else(String::as_str, |()| "passed");
        self.state
            .set_health(streak.healthy(), reason, SystemTime::now());
        if !changed {
            return;
        }
        let Self { upstream, name, .. } = self;
        let address = self.address;
        if streak.healthy() {
            tracing::info!(%upstream, endpoint = %name, %address, "endpoint is healthy again");
        } else {
            tracing::warn!(%upstream, endpoint = %name, %address, reason, "endpoint is unhealthy and gets no requests");
        }
    }
}

fn probe(upstream: &Upstream, plan: &HealthPlan, endpoint: &Endpoint) -> Result<Probe, String> {
    let tls = match &upstream.transport.tls {
        None => None,
        Some(tls) => {
            let name = match &tls.name {
                Some(name) => name.clone(),
                None => server_name(&endpoint.host)
                    .ok_or_else(|| format!("`{}` is no name for TLS", endpoint.host))?,
            };
            Some((Arc::clone(&tls.config), name))
        }
    };
    Ok(Probe {
        address: endpoint.address,
        protocol: upstream.transport.protocol,
        tls,
        host: plan
            .host
            .clone()
            .unwrap_or_else(|| endpoint.authority().into()),
        path: plan.path.clone(),
        timeout: plan.timeout,
        expected_status: plan.expected_status.clone(),
    })
}

fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).ok()
}

/// The wait before the first check: short, so that a start finds out soon, but not the same for all.
fn first_wait(interval: Duration, random: u64) -> Duration {
    part(interval.min(FIRST_CHECKS), random)
}

/// From one check to the next: the interval, a tenth more or less, so that checks that began together drift apart.
fn spread(interval: Duration, random: u64) -> Duration {
    (interval - interval / 10 + part(interval / 5, random)).max(SHORTEST)
}

/// A random part of a duration.
fn part(whole: Duration, random: u64) -> Duration {
    let whole = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX - 1);
    Duration::from_micros(random % (whole + 1))
}

/// A new endpoint is checked for the first time within this time.
const FIRST_CHECKS: Duration = Duration::from_millis(500);
/// No interval is shorter.
const SHORTEST: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests;
