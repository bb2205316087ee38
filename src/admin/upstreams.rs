//! The upstreams of a snapshot with the state of their endpoints, as JSON.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::status::time;
use crate::{
    balance::{Breaker, BreakerPhase, Endpoint, EndpointState, Limits, Metadata},
    snapshot::{Protocol, Snapshot, Upstream},
};

/// All upstreams; `now_ms` is the time on the gateway's clock.
pub(super) fn upstreams(snapshot: &Snapshot, now_ms: u64) -> Value {
    let upstreams: Map<String, Value> = snapshot
        .upstreams
        .iter()
        .map(|each| (each.name.to_string(), upstream(each, now_ms)))
        .collect();
    json!({ "generation": snapshot.generation, "upstreams": upstreams })
}

fn upstream(upstream: &Upstream, now_ms: u64) -> Value {
    let pool = upstream.pool.load();
    let endpoints: Vec<Value> = pool
        .endpoints()
        .iter()
        .enumerate()
        .map(|(index, each)| {
            let metadata = pool.metadata(index).cloned().unwrap_or_default();
            endpoint(each, &metadata, now_ms)
        })
        .collect();
    let unresolved: Vec<String> = upstream
        .configured
        .iter()
        .map(ToString::to_string)
        .filter(|name| pool.endpoints().iter().all(|each| *each.name != **name))
        .collect();
    json!({
        "balance": upstream.balance.policy.as_str(),
        "protocol": match upstream.transport.protocol {
            Protocol::Http1 => "http/1.1",
            Protocol::Http2 => "h2",
        },
        "tls": upstream.transport.tls.is_some(),
        "checked": upstream.health.is_some(),
        "limits": upstream.balance.limits.as_deref().map(limits),
        "breaker": upstream.balance.breaker.as_deref().map(|each| breaker(each, now_ms)),
        "endpoints": endpoints,
        "unresolved": unresolved,
    })
}

fn limits(limits: &Limits) -> Value {
    json!({
        "requests": limits.requests,
        "endpoint_requests": limits.endpoint_requests,
        "adaptive": limits.found().map(|(limit, baseline)| json!({
            "limit": limit,
            "baseline_ms": baseline.map(|baseline| baseline.as_secs_f64() * 1e3),
        })),
        "queue": limits.queue.map(|queue| queue.places),
        "in_flight": limits.load.in_flight(),
        "waiting": limits.load.queue().waiting(),
    })
}

fn breaker(breaker: &Breaker, now_ms: u64) -> Value {
    let (phase, open_for_ms) = breaker.phase(now_ms).unwrap_or((BreakerPhase::Closed, 0));
    json!({
        "state": phase.as_str(),
        "open_for_ms": open_for_ms,
    })
}

fn endpoint(endpoint: &Endpoint, metadata: &Metadata, now_ms: u64) -> Value {
    let state = &endpoint.state;
    let health = state.health();
    let set_aside = state.set_aside_until(now_ms);
    json!({
        "name": endpoint.name,
        "address": endpoint.address,
        "weight": endpoint.weight,
        "tier": metadata.tier,
        "zone": metadata.zone,
        "labels": metadata.labels.iter().cloned().collect::<BTreeMap<_, _>>(),
        "state": word(state, set_aside),
        "in_flight": state.in_flight(),
        "requests": state.requests(),
        "latency_ms": state.latency(now_ms).map(|latency| latency.as_secs_f64() * 1e3),
        "connect_failures": state.failures(),
        "connect_failures_in_a_row": state.failed_in_a_row(),
        "set_aside_for_ms": set_aside.map(|until| until.saturating_sub(now_ms)),
        "health": {
            "reason": health.reason,
            "since": health.since.map(time),
        },
    })
}

/// `draining` and `disabled`: an operator said so. `up`: it gets requests. `unhealthy`: a check says no. `set_aside`: it took no connection and rests for a while.
fn word(state: &EndpointState, set_aside: Option<u64>) -> &'static str {
    if !state.is_in_service() {
        state.administration().as_str()
    } else if !state.is_healthy() {
        "unhealthy"
    } else if set_aside.is_some() {
        "set_aside"
    } else {
        "up"
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::SystemTime};

    use super::*;
    use crate::{
        compile::{Stores, compile},
        config,
    };

    const CONFIG: &str = r#"
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        [[route]]
        name = "all"
        upstream = "users"
        [upstream.users]
        endpoints = ["127.0.0.1:9001", "[::1]:9002", { address = "users.internal:9003", weight = 3 }]
    "#;

    #[test]
    fn endpoints_are_shown_with_what_keeps_them_from_requests() {
        let loaded = config::parse_str("a.toml", CONFIG, Path::new(""));
        let compiled = compile(&loaded, &Stores::to_check(), 1, SystemTime::now());
        let snapshot = compiled.snapshot.unwrap();
        let pool = snapshot.upstreams[0].pool.load_full();

        let held = pool.pick(0, 0, &[]).unwrap();
        let shown = upstreams(&snapshot, 0);
        assert_eq!(shown["generation"], 1);
        let upstream = &shown["upstreams"]["users"];
        assert_eq!(upstream["balance"], "round_robin");
        assert_eq!(upstream["unresolved"], json!(["users.internal:9003"]));
        let endpoint = &upstream["endpoints"][held.index()];
        assert_eq!(endpoint["state"], "up");
        assert_eq!(endpoint["in_flight"], 1);
        assert_eq!(endpoint["requests"], 1);
        assert_eq!(endpoint["set_aside_for_ms"], Value::Null);

        held.connect_failed(100);
        let shown = upstreams(&snapshot, 200);
        let endpoint = &shown["upstreams"]["users"]["endpoints"][held.index()];
        assert_eq!(endpoint["state"], "set_aside");
        assert_eq!(endpoint["connect_failures"], 1);
        assert!(endpoint["set_aside_for_ms"].as_u64().unwrap() > 0);

        held.endpoint()
            .state
            .set_health(false, "status 503", SystemTime::UNIX_EPOCH);
        let shown = upstreams(&snapshot, 200);
        let endpoint = &shown["upstreams"]["users"]["endpoints"][held.index()];
        assert_eq!(endpoint["state"], "unhealthy");
        assert_eq!(
            endpoint["health"],
            json!({ "reason": "status 503", "since": "1970-01-01T00:00:00.000Z" })
        );
    }
}
