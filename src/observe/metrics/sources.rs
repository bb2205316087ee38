//! The metrics of the sources that an upstream's endpoints come from.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::families;
use super::page::Page;
use super::upstream::UpstreamMetrics;

/// What only the one who follows a source knows of it; asked at each scrape.
pub trait SourceFigures: Send + Sync + std::fmt::Debug {
    /// How many good answers it gave.
    fn answers(&self) -> u64;
    /// How many times it failed.
    fn failures(&self) -> u64;
    /// How many endpoints the last good answer has.
    fn endpoints(&self) -> usize;
    /// How long ago that was; `None` before the first one.
    fn age(&self) -> Option<Duration>;
}

/// A source under the name that it has in one upstream.
#[derive(Clone, Debug)]
pub struct NamedSource {
    /// What kind of source it is, from a closed set.
    pub kind: &'static str,
    /// What is looked for there, from the configuration.
    pub name: Box<str>,
    /// Who knows its figures.
    pub figures: Weak<dyn SourceFigures>,
}

/// The sources of one upstream. Replaced when a configuration is put into effect, read by scrapes.
#[derive(Debug, Default)]
pub(super) struct Sources(Mutex<Vec<NamedSource>>);

impl Sources {
    pub(super) fn replace(&self, sources: Vec<NamedSource>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = sources;
    }

    fn named(&self) -> Vec<NamedSource> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Writes the families that have a source's labels.
pub(super) fn encode(upstreams: &[Arc<UpstreamMetrics>], page: &mut Page) {
    let sources: Vec<_> = upstreams
        .iter()
        .flat_map(|upstream| {
            let named = upstream.sources.named().into_iter();
            named.map(move |source| (upstream.name(), source))
        })
        .filter_map(|(upstream, source)| {
            let figures = source.figures.upgrade()?;
            Some((
                [
                    upstream.to_owned(),
                    source.kind.to_owned(),
                    source.name.into(),
                ],
                figures,
            ))
        })
        .collect();
    let mut series = page.family(&families::DISCOVERY_ANSWERS);
    for ([upstream, kind, name], figures) in &sources {
        series.number(&[upstream, kind, name, "success"], figures.answers());
        series.number(&[upstream, kind, name, "failure"], figures.failures());
    }
    drop(series);
    let mut series = page.family(&families::DISCOVERY_ENDPOINTS);
    for ([upstream, kind, name], figures) in &sources {
        let endpoints = u64::try_from(figures.endpoints()).unwrap_or(u64::MAX);
        series.number(&[upstream, kind, name], endpoints);
    }
    drop(series);
    let mut series = page.family(&families::DISCOVERY_AGE);
    for ([upstream, kind, name], figures) in &sources {
        if let Some(age) = figures.age() {
            series.number(&[upstream, kind, name], age.as_secs());
        }
    }
}
