//! Metrics: cells that workers write without a lock, and the page that Prometheus scrapes.
//!
//! Handles are found when a configuration is compiled and kept in the snapshot; a request adds to a few cells that its
//! worker alone writes. Label values come from the configuration and from closed sets, never from a client.

mod cells;
mod choices;
mod families;
mod gateway;
mod histogram;
mod labels;
mod listener;
mod page;
mod registry;
mod route;
mod sources;
mod table;
mod upstream;
mod words;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;

pub use choices::{PickPlace, SessionOutcome};
pub use gateway::{AccessLogMetrics, Certificate, GatewayMetrics, OpenTunnel, Shortage};
pub use listener::{ListenerMetrics, OpenConnection, Resumed};
pub use route::RouteMetrics;
pub use sources::{NamedSource, SourceFigures};
pub use upstream::{
    BreakerFigures, EndpointFigures, EndpointMetrics, UpstreamFigures, UpstreamMetrics,
};

use super::record::AccessRecord;
use labels::{ListenerId, UpstreamId};
use page::Page;
use registry::Registry;
use words::Words;

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The worker number of a thread that is no worker; its counts take a lock.
pub const NO_WORKER: usize = usize::MAX;

/// All metrics of one gateway.
///
/// Each worker writes its own cells under its own number, from 0 to the count given here; two threads that use one
/// number would lose counts. Other threads use [`NO_WORKER`]. Whoever scrapes sums the cells. Series live as long as
/// someone holds their handle, so they survive a reload that keeps the name and end with the last snapshot that has it.
#[derive(Debug)]
pub struct Metrics {
    workers: usize,
    words: Arc<Words>,
    gateway: GatewayMetrics,
    unrouted: Arc<RouteMetrics>,
    /// Locked when handles are looked up and when someone scrapes; never by a request.
    registry: Mutex<Registry>,
    process: ProcessCollector,
}

/// The parts of the world that an exchange touched.
#[derive(Clone, Copy, Debug)]
pub struct Touched<'a> {
    /// The listener it came in by.
    pub listener: &'a ListenerMetrics,
    /// The route, if one was found.
    pub route: Option<&'a RouteMetrics>,
    /// The upstream, if the route led to one.
    pub upstream: Option<&'a UpstreamMetrics>,
}

impl Metrics {
    /// Metrics for a gateway with that many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        let words = Arc::new(Words::default());
        Self {
            workers,
            gateway: GatewayMetrics::new(workers),
            unrouted: Arc::new(RouteMetrics::new("", Arc::clone(&words), workers)),
            words,
            registry: Mutex::default(),
            process: ProcessCollector::for_self(),
        }
    }

    /// The metrics of the listener of that name; the same ones for the same name.
    #[must_use]
    pub fn listener(&self, name: &str) -> Arc<ListenerMetrics> {
        let mut registry = self.lock();
        if let Some(known) = registry.listeners.get(name) {
            return Arc::clone(known);
        }
        let id = ListenerId(registry.listener_ids.take());
        let words = Arc::clone(&self.words);
        let listener = Arc::new(ListenerMetrics::new(name, id, words, self.workers));
        registry
            .listeners
            .insert(name.into(), Arc::clone(&listener));
        listener
    }

    /// The metrics of the route of that name; the same ones for the same name.
    #[must_use]
    pub fn route(&self, name: &str) -> Arc<RouteMetrics> {
        if name.is_empty() {
            return Arc::clone(&self.unrouted);
        }
        let mut registry = self.lock();
        if let Some(known) = registry.routes.get(name) {
            return Arc::clone(known);
        }
        let words = Arc::clone(&self.words);
        let route = Arc::new(RouteMetrics::new(name, words, self.workers));
        registry.routes.insert(name.into(), Arc::clone(&route));
        route
    }

    /// The metrics of the upstream of that name; the same ones for the same name.
    #[must_use]
    pub fn upstream(&self, name: &str) -> Arc<UpstreamMetrics> {
        let mut registry = self.lock();
        if let Some(known) = registry.upstreams.get(name) {
            return Arc::clone(known);
        }
        let id = UpstreamId(registry.upstream_ids.take());
        let words = Arc::clone(&self.words);
        let upstream = Arc::new(UpstreamMetrics::new(name, id, words, self.workers));
        registry
            .upstreams
            .insert(name.into(), Arc::clone(&upstream));
        upstream
    }

    /// The figures of the gateway as a whole.
    #[must_use]
    pub const fn gateway(&self) -> &GatewayMetrics {
        &self.gateway
    }

    /// Counts a finished exchange. Costs tens of nanoseconds and no allocation once these labels have been seen.
    pub fn record(&self, worker: usize, record: &AccessRecord<'_>, touched: Touched<'_>) {
        let Touched {
            listener,
            route,
            upstream,
        } = touched;
        let upstream_id = upstream.map_or(UpstreamId::NONE, |upstream| upstream.id);
        route
            .unwrap_or(&self.unrouted)
            .record(worker, record, (listener.id, upstream_id));
        listener.record(worker, record);
        if let Some(upstream) = upstream {
            upstream.record(worker, record);
        }
    }

    /// Drops the series whose handle nobody else holds: what is no longer configured and no longer in use. Every
    /// scrape does this at its end, so that the last counts of a series are seen once.
    pub fn retain_used(&self) {
        self.lock().retain_used(&self.unrouted);
    }

    /// The page for Prometheus, of the type [`CONTENT_TYPE`].
    #[must_use]
    pub fn encode(&self) -> String {
        let mut page = Page::default();
        let mut registry = self.lock();
        let listeners: Vec<_> = registry.listeners.values().cloned().collect();
        let upstreams: Vec<_> = registry.upstreams.values().cloned().collect();
        let routes: Vec<_> = [&self.unrouted]
            .into_iter()
            .chain(registry.routes.values())
            .cloned()
            .collect();
        // The lock is held to the end, so that numbers keep their names while the page is written.
        route::encode(&routes, &registry.names(), &mut page);
        listener::encode(&listeners, &mut page);
        upstream::encode(&upstreams, &mut page);
        sources::encode(&upstreams, &mut page);
        // What nobody holds any more has been shown with its last counts; from the next page on it is gone.
        drop((listeners, routes, upstreams));
        registry.retain_used(&self.unrouted);
        drop(registry);
        self.gateway.encode(&mut page);
        page.append(&self.process.collect());
        page.into_text()
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
