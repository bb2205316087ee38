//! The metrics of one route.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::cells::{Cell, Sharded};
use super::families;
use super::histogram::{LazyHistogram, Total, WAITING};
use super::labels::{ListenerId, RequestLabels, UpstreamId};
use super::page::Page;
use super::table::{Table, sums};
use super::words::Words;
use crate::observe::record::AccessRecord;

/// The metrics of one route, kept across reloads as long as a route of that name is configured.
#[derive(Debug)]
pub struct RouteMetrics {
    name: Box<str>,
    words: Arc<Words>,
    cells: Sharded<Cells>,
}

#[derive(Debug, Default)]
struct Cells {
    /// By [`RequestLabels`].
    requests: Table<Cell>,
    /// By listener.
    durations: Table<LazyHistogram>,
    /// Requests for whose labels the table had no room.
    uncounted: Cell,
}

/// The names behind the numbers that a route's series have as labels.
pub(super) struct Names<'a> {
    pub(super) listeners: HashMap<u64, &'a str>,
    pub(super) upstreams: HashMap<u64, &'a str>,
}

impl RouteMetrics {
    pub(super) fn new(name: &str, words: Arc<Words>, workers: usize) -> Self {
        Self {
            name: name.into(),
            words,
            cells: Sharded::new(workers),
        }
    }

    /// The route's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn record(
        &self,
        worker: usize,
        record: &AccessRecord<'_>,
        (listener, upstream): (ListenerId, UpstreamId),
    ) {
        let key = RequestLabels {
            listener,
            upstream,
            method: record.method_label,
            code: record.status,
            source: record.source,
            reason: self.words.id(record.reason),
        }
        .pack();
        self.cells.write(worker, |cells| {
            cells.requests.at(key).unwrap_or(&cells.uncounted).add(1);
            if let Some(histogram) = cells.durations.at(listener.0) {
                histogram
                    .get_or_init(Box::default)
                    .observe(&WAITING, record.timings.total);
            }
        });
    }

    /// Frees the places of series whose listener or upstream is gone.
    pub(super) fn forget(&self, names: &Names<'_>) {
        for cells in self.cells.written() {
            cells
                .requests
                .forget(|key| !names.know(&RequestLabels::unpack(key)));
            cells
                .durations
                .forget(|listener| !names.listeners.contains_key(&listener));
        }
    }
}

impl Names<'_> {
    fn know(&self, labels: &RequestLabels) -> bool {
        self.listeners.contains_key(&labels.listener.0)
            && (labels.upstream == UpstreamId::NONE
                || self.upstreams.contains_key(&labels.upstream.0))
    }
}

/// Writes the families that have a route's label.
pub(super) fn encode(routes: &[Arc<RouteMetrics>], names: &Names<'_>, page: &mut Page) {
    let mut series = page.family(&families::REQUESTS);
    let mut code_digits = itoa::Buffer::new();
    for route in routes {
        for (key, amount) in sums(&route.cells, |cells| &cells.requests) {
            let labels = RequestLabels::unpack(key);
            let Some(listener) = names.listeners.get(&labels.listener.0) else {
                continue;
            };
            let upstream = names.upstreams.get(&labels.upstream.0).copied();
            let values = [
                listener,
                route.name(),
                upstream.unwrap_or_default(),
                labels.method,
                code_digits.format(labels.code),
                labels.source.as_str(),
                route.words.word(labels.reason),
            ];
            series.number(&values, amount);
        }
    }
    drop(series);
    let mut series = page.family(&families::REQUEST_DURATION);
    for route in routes {
        for (listener, total) in route.durations() {
            if let Some(listener) = names.listeners.get(&listener) {
                series.histogram(&[listener, route.name()], &total, &WAITING);
            }
        }
    }
    drop(series);
    let mut series = page.family(&families::SERIES_OVERFLOW);
    for route in routes {
        let amount = route.cells.sum(|cells| &cells.uncounted);
        if amount > 0 {
            series.number(&[route.name()], amount);
        }
    }
}

impl RouteMetrics {
    fn durations(&self) -> BTreeMap<u64, Total> {
        let mut totals: BTreeMap<u64, Total> = BTreeMap::new();
        for cells in self.cells.written() {
            for (listener, histogram) in cells.durations.entries() {
                if let Some(histogram) = histogram.get() {
                    totals.entry(listener).or_default().add(histogram);
                }
            }
        }
        totals
    }
}
