//! Active checks: asks each endpoint from time to time and says who gets requests.
//!
//! Each endpoint of an upstream with a health plan has one task. A task outlives reloads and new pools as long as what
//! it does stays the same; what it found is kept with the endpoint, so that a task that has to be replaced goes on from
//! there.

mod grpc;
mod http1;
mod http2;
mod pace;
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
    balance::{Administration, Endpoint, EndpointId, EndpointState, Pool},
    observe::EndpointMetrics,
    snapshot::{CheckTls, HealthPlan, Snapshot, Upstream},
};
use probe::Probe;
use streak::Streak;

/// The checks of all upstreams. Belongs to the controller.
#[derive(Debug, Default)]
pub struct HealthChecks {
    running: HashMap<Checked, Running>,
}

/// What is checked: one endpoint of one upstream, as its state is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Checked {
    upstream: Box<str>,
    endpoint: EndpointId,
}

#[derive(Debug)]
struct Running {
    plan: HealthPlan,
    transport: u64,
    _task: Task,
}

impl HealthChecks {
    /// Checks exactly the endpoints that the pools of this snapshot have now, each as its upstream plans it.
    pub fn follow(&mut self, snapshot: &Snapshot) {
        let mut wanted = HashSet::new();
        let mut new = Vec::new();
        for upstream in &snapshot.upstreams {
            for endpoint in upstream.pool.load().endpoints() {
                let Some(plan) = &upstream.health else {
                    // What an earlier plan found must not outlive it.
                    if !endpoint.state.is_healthy() {
                        endpoint.state.forget_health();
                    }
                    continue;
                };
                let checked = Checked {
                    upstream: upstream.name.clone(),
                    endpoint: endpoint.id(),
                };
                if wanted.insert(checked.clone()) && !self.is_checked_so(&checked, upstream, plan) {
                    new.push((checked, upstream, plan, Arc::clone(endpoint)));
                }
            }
        }
        self.running.retain(|checked, _| wanted.contains(checked));
        let others = new.len();
        for (checked, upstream, plan, endpoint) in new {
            let running = begin(upstream, plan, &endpoint, others);
            self.running.insert(checked, running);
        }
    }

    fn is_checked_so(&self, checked: &Checked, upstream: &Upstream, plan: &HealthPlan) -> bool {
        self.running.get(checked).is_some_and(|running| {
            running.plan == *plan && running.transport == upstream.transport.identity
        })
    }
}

/// Takes the requests from the endpoints of a pool that nobody has seen yet, where the plan wants it so. Comes before
/// the pool is used.
pub fn expect(upstream: &Upstream, pool: &Pool) {
    let plan = upstream.health.as_ref();
    if plan.is_none_or(|plan| plan.initially_healthy) {
        return;
    }
    for endpoint in pool.endpoints() {
        // What serves already serves on until a check fails, whatever is new in the configuration.
        if endpoint.state.health().since.is_none() && endpoint.state.requests() == 0 {
            endpoint.state.expect_check();
        }
    }
}

fn begin(upstream: &Upstream, plan: &HealthPlan, endpoint: &Endpoint, others: usize) -> Running {
    let check = Check {
        upstream: upstream.name.clone(),
        name: endpoint.name.clone(),
        address: endpoint.address,
        probe: probe(upstream, plan, endpoint),
        plan: plan.clone(),
        state: Arc::clone(&endpoint.state),
        metrics: Arc::clone(&endpoint.metrics),
    };
    Running {
        plan: plan.clone(),
        transport: upstream.transport.identity,
        _task: Task::start(check.run(others)),
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
    metrics: Arc<EndpointMetrics>,
}

impl Check {
    async fn run(self, others: usize) {
        let health = self.state.health();
        let mut streak = if health.since.is_none() && !health.healthy {
            Streak::unchecked()
        } else {
            Streak::new(health.healthy)
        };
        let interval = self.plan.interval;
        let mut next = Instant::now() + pace::first_wait(interval, others, fastrand::u64(..));
        let mut is_first = true;
        loop {
            sleep_until(next).await;
            let began = Instant::now();
            if self.state.administration() == Administration::Disabled {
                next = began + interval.min(LOOK);
                continue;
            }
            let found = match &self.probe {
                Ok(probe) => probe.run().await.map_err(|fault| fault.to_string()),
                Err(reason) => Err(reason.clone()),
            };
            self.note(&mut streak, &found);
            let interval = if streak.healthy() {
                interval
            } else {
                self.plan.unhealthy_interval
            };
            next = began
                + if std::mem::take(&mut is_first) {
                    pace::second_wait(interval, fastrand::u64(..))
                } else {
                    pace::wait(interval, self.plan.jitter, fastrand::u64(..))
                };
        }
    }

    fn note(&self, streak: &mut Streak, found: &Result<(), String>) {
        let was_assumed = streak.is_assumed();
        let changed = streak.note(
            found.is_ok(),
            self.plan.unhealthy_after,
            self.plan.healthy_after,
        );
        let reason = found.as_ref().map_or_else(String::as_str, |()| "passed");
        self.state
            .set_health(streak.healthy(), reason, SystemTime::now());
        match found {
            Ok(()) => {
                self.metrics.check_passed();
                if self.plan.port.is_none() {
                    // It took a connection where requests go, so there is nothing left to set it aside for.
                    self.state.takes_connections();
                }
            }
            Err(_) => self.metrics.check_failed(),
        }
        if !changed && !was_assumed {
            return;
        }
        let Self { upstream, name, .. } = self;
        let address = self.address;
        if streak.healthy() {
            let message = if was_assumed {
                "endpoint is healthy"
            } else {
                "endpoint is healthy again"
            };
            tracing::info!(%upstream, endpoint = %name, %address, "{message}");
        } else {
            tracing::warn!(%upstream, endpoint = %name, %address, reason, "endpoint is unhealthy and gets no requests");
        }
    }
}

fn probe(upstream: &Upstream, plan: &HealthPlan, endpoint: &Endpoint) -> Result<Probe, String> {
    let tls = match &plan.tls {
        CheckTls::AsRequests => upstream.transport.tls.as_ref(),
        CheckTls::Off => None,
        CheckTls::Own(transport) => transport.tls.as_ref(),
    };
    let tls = match tls {
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
    let port = plan.port.unwrap_or_else(|| endpoint.address.port());
    let address = SocketAddr::new(endpoint.address.ip(), port);
    let host = endpoint.authority(port);
    let protocol = plan.question.protocol(upstream.transport.protocol);
    let question = (plan.question.clone(), plan.timeout);
    Ok(Probe::new((address, &host), protocol, tls, question))
}

fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).ok()
}

/// How soon a check begins anew after the endpoint is enabled again.
const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
