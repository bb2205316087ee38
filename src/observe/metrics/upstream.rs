//! The metrics of one upstream and of its endpoints.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::cells::{Cell, Sharded};
use super::choices::{self, Choices, PickPlace, SessionOutcome};
use super::families;
use super::histogram::{Histogram, LazyHistogram, Total, WAITING};
use super::labels::UpstreamId;
use super::page::Page;
use super::sources::{NamedSource, Sources};
use super::table::{Table, count, sums};
use super::words::Words;
use crate::observe::record::{AccessRecord, Source};

/// The metrics of one upstream, kept across reloads as long as an upstream of that name is configured.
#[derive(Debug)]
pub struct UpstreamMetrics {
    name: Box<str>,
    pub(super) id: UpstreamId,
    words: Arc<Words>,
    workers: usize,
    cells: Sharded<Cells>,
    /// Written when a snapshot is compiled or discovery finds an endpoint, read by scrapes; never by a request.
    endpoints: Mutex<BTreeMap<Box<str>, Arc<EndpointMetrics>>>,
    pub(super) sources: Sources,
    /// Written when a snapshot is compiled, read by scrapes.
    watched: Mutex<Option<Weak<dyn UpstreamFigures>>>,
}

/// The metrics of all endpoints that have one name in one upstream: a host name may stand for several addresses.
#[derive(Debug)]
pub struct EndpointMetrics {
    name: Box<str>,
    words: Arc<Words>,
    cells: Sharded<EndpointCells>,
    watched: Mutex<Vec<Weak<dyn EndpointFigures>>>,
}

/// What only the one who balances knows of an endpoint; asked at each scrape.
pub trait EndpointFigures: Send + Sync + std::fmt::Debug {
    /// How many exchanges hold the endpoint at this moment.
    fn in_flight(&self) -> u64;
    /// How many connections to it are open.
    fn connections(&self) -> u64;
    /// Whether the endpoint passes its checks, takes connections and is not ejected.
    fn is_up(&self) -> bool;
    /// Whether the endpoint is ejected for how it serves.
    fn is_ejected(&self) -> bool;
}

/// What only the one who balances knows of an upstream; asked at each scrape.
pub trait UpstreamFigures: Send + Sync + std::fmt::Debug {
    /// How many exchanges wait for a place.
    fn waiting(&self) -> u64;
    /// How many exchanges are allowed as long as answers take as long as they do; `None` if nobody finds that out.
    fn concurrency_limit(&self) -> Option<u64>;
    /// What the circuit breaker does; `None` without one.
    fn breaker(&self) -> Option<BreakerFigures>;
}

/// What a circuit breaker does and has done.
#[derive(Clone, Copy, Debug)]
pub struct BreakerFigures {
    /// 0 closed, 1 half open, 2 open.
    pub state: u64,
    /// The phases, each with how often the breaker has come into it.
    pub transitions: [(&'static str, u64); 3],
}

#[derive(Debug, Default)]
struct Cells {
    first_byte: Histogram,
    queue: LazyHistogram,
    retries: Table<Cell>,
    retries_denied: Table<Cell>,
    retried_well: Cell,
    retried_in_vain: Cell,
    choices: Choices,
}

#[derive(Debug, Default)]
struct EndpointCells {
    opened: Cell,
    reused: Cell,
    received: Cell,
    sent: Cell,
    failed: Table<Cell>,
    ejections: Table<Cell>,
    returns: Table<Cell>,
    checks_passed: Cell,
    checks_failed: Cell,
}

impl UpstreamMetrics {
    pub(super) fn new(name: &str, id: UpstreamId, words: Arc<Words>, workers: usize) -> Self {
        Self {
            name: name.into(),
            id,
            words,
            workers,
            cells: Sharded::new(workers),
            endpoints: Mutex::default(),
            sources: Sources::default(),
            watched: Mutex::default(),
        }
    }

    /// The upstream's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The metrics of the endpoint of that name; the same ones for the same name. The name comes from the configuration.
    #[must_use]
    pub fn endpoint(&self, name: &str) -> Arc<EndpointMetrics> {
        let mut endpoints = self.lock_endpoints();
        if let Some(known) = endpoints.get(name) {
            return Arc::clone(known);
        }
        let endpoint = Arc::new(EndpointMetrics {
            name: name.into(),
            words: Arc::clone(&self.words),
            cells: Sharded::new(self.workers),
            watched: Mutex::default(),
        });
        endpoints.insert(name.into(), Arc::clone(&endpoint));
        endpoint
    }

    /// Asks these sources from now on, and no others, for their figures.
    pub fn set_sources(&self, sources: Vec<NamedSource>) {
        self.sources.replace(sources);
    }

    /// Counts an attempt that was made again, and why.
    pub fn retried(&self, worker: usize, reason: &'static str) {
        let key = self.words.id(reason) + 1;
        self.cells.write(worker, |cells| count(&cells.retries, key));
    }

    /// Counts a failure that allowed another attempt and got none, and what stood against it.
    pub fn retry_denied(&self, worker: usize, reason: &'static str) {
        let key = self.words.id(reason) + 1;
        self.cells
            .write(worker, |cells| count(&cells.retries_denied, key));
    }

    /// Counts an exchange that waited for a place, served or not.
    pub fn waited(&self, worker: usize, time: Duration) {
        self.cells.write(worker, |cells| {
            cells
                .queue
                .get_or_init(Box::default)
                .observe(&WAITING, time);
        });
    }

    /// Counts an endpoint that was chosen, by where that was.
    pub fn picked(&self, worker: usize, place: PickPlace) {
        self.cells
            .write(worker, |cells| cells.choices.place(place).add(1));
    }

    /// Counts an endpoint that was chosen in place of a subset's.
    pub fn fell_back(&self, worker: usize) {
        self.cells
            .write(worker, |cells| cells.choices.fallbacks().add(1));
    }

    /// Counts an answer by what became of its session.
    pub fn session(&self, worker: usize, outcome: SessionOutcome) {
        self.cells
            .write(worker, |cells| cells.choices.session(outcome).add(1));
    }

    /// The sum of one of these counters.
    pub(super) fn choices(&self, part: impl Fn(&Choices) -> &Cell) -> u64 {
        self.cells.sum(|cells| part(&cells.choices))
    }

    /// Asks `figures` from now on, as long as it lives.
    pub fn watch(&self, figures: Weak<dyn UpstreamFigures>) {
        *self.lock_watched() = Some(figures);
    }

    fn figures(&self) -> Option<Arc<dyn UpstreamFigures>> {
        self.lock_watched().as_ref().and_then(Weak::upgrade)
    }

    fn lock_watched(&self) -> std::sync::MutexGuard<'_, Option<Weak<dyn UpstreamFigures>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record(&self, worker: usize, record: &AccessRecord<'_>) {
        if record.attempts > 1 {
            let is_well = record.source == Source::Upstream
                && record.status < 500
                && record.reason.is_empty()
                && record.grpc_status.unwrap_or(0) == 0;
            self.cells.write(worker, |cells| {
                if is_well {
                    cells.retried_well.add(1);
                } else {
                    cells.retried_in_vain.add(1);
                }
            });
        }
        if let Some(first_byte) = record.timings.upstream_first_byte {
            self.cells.write(worker, |cells| {
                cells.first_byte.observe(&WAITING, first_byte);
            });
        }
    }

    /// Drops the endpoints that nobody refers to any more.
    pub(super) fn retain_used(&self) {
        self.lock_endpoints()
            .retain(|_, endpoint| Arc::strong_count(endpoint) > 1);
    }

    fn lock_endpoints(
        &self,
    ) -> std::sync::MutexGuard<'_, BTreeMap<Box<str>, Arc<EndpointMetrics>>> {
        self.endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl EndpointMetrics {
    /// The endpoint's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts a connection opened to the endpoint.
    pub fn connection_opened(&self, worker: usize) {
        self.cells.write(worker, |cells| cells.opened.add(1));
    }

    /// Counts an idle connection taken for another request, or a stream on a connection that was open.
    pub fn connection_reused(&self, worker: usize) {
        self.cells.write(worker, |cells| cells.reused.add(1));
    }

    /// Counts a connection that could not be opened, and why.
    pub fn connect_failed(&self, worker: usize, reason: &'static str) {
        let key = self.words.id(reason) + 1;
        self.cells.write(worker, |cells| count(&cells.failed, key));
    }

    /// Counts an ejection, and why. Threads that are no workers give a number that no worker has.
    pub fn ejected(&self, worker: usize, reason: &'static str) {
        let key = self.words.id(reason) + 1;
        self.cells
            .write(worker, |cells| count(&cells.ejections, key));
    }

    /// Counts an endpoint's coming back, and why it had been gone. For threads that are no workers.
    pub fn returned(&self, reason: &'static str) {
        let key = self.words.id(reason) + 1;
        self.cells
            .write(usize::MAX, |cells| count(&cells.returns, key));
    }

    /// Counts an active check that the endpoint passed. For threads that are no workers.
    pub fn check_passed(&self) {
        self.cells
            .write(usize::MAX, |cells| cells.checks_passed.add(1));
    }

    /// Counts an active check that the endpoint failed. For threads that are no workers.
    pub fn check_failed(&self) {
        self.cells
            .write(usize::MAX, |cells| cells.checks_failed.add(1));
    }

    /// Counts bytes of bodies to and from the endpoint; every attempt counts its own.
    pub fn transferred(&self, worker: usize, received: u64, sent: u64) {
        self.cells.write(worker, |cells| {
            cells.received.add(received);
            cells.sent.add(sent);
        });
    }

    /// Asks `figures` from now on, as long as it lives, for what is in flight and whether the endpoint is up.
    pub fn watch(&self, figures: Weak<dyn EndpointFigures>) {
        let mut watched = self.lock_watched();
        watched.retain(|known| known.strong_count() > 0 && !known.ptr_eq(&figures));
        watched.push(figures);
    }

    /// What is in flight in sum, whether any of the addresses is up, and how many are ejected.
    fn figures(&self) -> (u64, bool, u64) {
        self.lock_watched().iter().filter_map(Weak::upgrade).fold(
            (0, false, 0),
            |(in_flight, up, ejected), figures| {
                (
                    in_flight + figures.in_flight(),
                    up || figures.is_up(),
                    ejected + u64::from(figures.is_ejected()),
                )
            },
        )
    }

    /// The open connections in sum.
    fn connections(&self) -> u64 {
        let watched = self.lock_watched();
        let figures = watched.iter().filter_map(Weak::upgrade);
        figures.map(|figures| figures.connections()).sum()
    }

    fn lock_watched(&self) -> std::sync::MutexGuard<'_, Vec<Weak<dyn EndpointFigures>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes the families that have an upstream's or an endpoint's label.
pub(super) fn encode(upstreams: &[Arc<UpstreamMetrics>], page: &mut Page) {
    let mut series = page.family(&families::UPSTREAM_FIRST_BYTE);
    for upstream in upstreams {
        let mut total = Total::default();
        for cells in upstream.cells.written() {
            total.add(&cells.first_byte);
        }
        series.histogram(&[upstream.name()], &total, &WAITING);
    }
    drop(series);
    choices::encode(upstreams, page);
    encode_retries(upstreams, page);
    encode_limits(upstreams, page);
    let endpoints: Vec<_> = upstreams
        .iter()
        .flat_map(|upstream| {
            let endpoints: Vec<_> = upstream.lock_endpoints().values().cloned().collect();
            endpoints
                .into_iter()
                .map(move |endpoint| (upstream.name(), endpoint))
        })
        .collect();
    encode_endpoints(&endpoints, page);
}

fn encode_retries(upstreams: &[Arc<UpstreamMetrics>], page: &mut Page) {
    let mut by_reason = |family, table: fn(&Cells) -> &Table<Cell>| {
        let mut series = page.family(family);
        for upstream in upstreams {
            for (key, amount) in sums(&upstream.cells, table) {
                series.number(&[upstream.name(), upstream.words.word(key - 1)], amount);
            }
        }
    };
    by_reason(&families::RETRIES, |cells| &cells.retries);
    by_reason(&families::RETRIES_DENIED, |cells| &cells.retries_denied);
    let mut series = page.family(&families::RETRIED_REQUESTS);
    for upstream in upstreams {
        let well = upstream.cells.sum(|cells| &cells.retried_well);
        let in_vain = upstream.cells.sum(|cells| &cells.retried_in_vain);
        if well + in_vain > 0 {
            series.number(&[upstream.name(), "success"], well);
            series.number(&[upstream.name(), "failure"], in_vain);
        }
    }
}

fn encode_limits(upstreams: &[Arc<UpstreamMetrics>], page: &mut Page) {
    let mut series = page.family(&families::UPSTREAM_QUEUE);
    for upstream in upstreams {
        let mut total = Total::default();
        let mut any = false;
        for queue in upstream
            .cells
            .written()
            .filter_map(|cells| cells.queue.get())
        {
            total.add(queue);
            any = true;
        }
        if any {
            series.histogram(&[upstream.name()], &total, &WAITING);
        }
    }
    drop(series);
    let watched: Vec<_> = upstreams
        .iter()
        .filter_map(|upstream| Some((upstream.name(), upstream.figures()?)))
        .collect();
    let mut series = page.family(&families::UPSTREAM_WAITING);
    for (name, figures) in &watched {
        series.number(&[name], figures.waiting());
    }
    drop(series);
    let mut series = page.family(&families::CONCURRENCY_LIMIT);
    for (name, figures) in &watched {
        if let Some(limit) = figures.concurrency_limit() {
            series.number(&[name], limit);
        }
    }
    drop(series);
    let breakers: Vec<_> = watched
        .iter()
        .filter_map(|(name, figures)| Some((*name, figures.breaker()?)))
        .collect();
    let mut series = page.family(&families::BREAKER_STATE);
    for (name, breaker) in &breakers {
        series.number(&[name], breaker.state);
    }
    drop(series);
    let mut series = page.family(&families::BREAKER_TRANSITIONS);
    for (name, breaker) in &breakers {
        for (to, count) in breaker.transitions {
            series.number(&[name, to], count);
        }
    }
}

fn encode_endpoints(endpoints: &[(&str, Arc<EndpointMetrics>)], page: &mut Page) {
    let mut numbers = |family, part: fn(&EndpointCells) -> &Cell| {
        let mut series = page.family(family);
        for (upstream, endpoint) in endpoints {
            series.number(&[upstream, endpoint.name()], endpoint.cells.sum(part));
        }
    };
    numbers(&families::UPSTREAM_CONNECTIONS, |cells| &cells.opened);
    numbers(&families::UPSTREAM_CONNECTIONS_REUSED, |cells| {
        &cells.reused
    });
    numbers(&families::UPSTREAM_RECEIVED_BYTES, |cells| &cells.received);
    numbers(&families::UPSTREAM_SENT_BYTES, |cells| &cells.sent);
    let mut reasons = |family, part: fn(&EndpointCells) -> &Table<Cell>| {
        let mut series = page.family(family);
        for (upstream, endpoint) in endpoints {
            for (key, amount) in sums(&endpoint.cells, part) {
                let reason = endpoint.words.word(key - 1);
                series.number(&[upstream, endpoint.name(), reason], amount);
            }
        }
    };
    reasons(&families::UPSTREAM_CONNECT_FAILURES, |cells| &cells.failed);
    reasons(&families::ENDPOINT_EJECTIONS, |cells| &cells.ejections);
    reasons(&families::ENDPOINT_RETURNS, |cells| &cells.returns);
    let mut series = page.family(&families::HEALTH_CHECKS);
    for (upstream, endpoint) in endpoints {
        let passed = endpoint.cells.sum(|cells| &cells.checks_passed);
        let failed = endpoint.cells.sum(|cells| &cells.checks_failed);
        // An endpoint that nobody checks has no series.
        if passed + failed > 0 {
            series.number(&[upstream, endpoint.name(), "passed"], passed);
            series.number(&[upstream, endpoint.name(), "failed"], failed);
        }
    }
    drop(series);
    let figures: Vec<_> = endpoints
        .iter()
        .map(|(upstream, endpoint)| ([*upstream, endpoint.name()], endpoint.figures()))
        .collect();
    let mut series = page.family(&families::UPSTREAM_CONNECTIONS_OPEN);
    for (upstream, endpoint) in endpoints {
        series.number(&[upstream, endpoint.name()], endpoint.connections());
    }
    drop(series);
    let mut series = page.family(&families::UPSTREAM_IN_FLIGHT);
    for (labels, (in_flight, _, _)) in &figures {
        series.number(labels, *in_flight);
    }
    drop(series);
    let mut series = page.family(&families::ENDPOINT_UP);
    for (labels, (_, up, _)) in &figures {
        series.number(labels, u64::from(*up));
    }
    drop(series);
    let mut series = page.family(&families::ENDPOINT_EJECTED);
    for (labels, (_, _, ejected)) in &figures {
        series.number(labels, *ejected);
    }
}
