//! How long requests took, exactly, and what is told of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// One request: when it was due, how long it took from then on, and how it ended.
struct Sample {
    due: Duration,
    took: Duration,
    failure: Option<String>,
}

/// All requests of a run that count.
pub(crate) struct Samples {
    start: Instant,
    samples: Vec<Sample>,
}

impl Samples {
    /// Requests that are due from `start` on count; those before warm everything up.
    pub(crate) fn since(start: Instant) -> Self {
        Self {
            start,
            samples: Vec::new(),
        }
    }

    /// Notes a request that has just ended.
    pub(crate) fn ended(&mut self, due: Instant, failure: Option<String>) {
        if let Some(since_start) = due.checked_duration_since(self.start) {
            self.samples.push(Sample {
                due: since_start,
                took: due.elapsed(),
                failure,
            });
        }
    }

    /// Figures of all that were answered, and counts of all that were not.
    pub(crate) fn told(&self) -> Value {
        let mut told = figures(&self.samples.iter().collect::<Vec<_>>());
        let mut failures = BTreeMap::<&str, u64>::new();
        for failure in self
            .samples
            .iter()
            .filter_map(|sample| sample.failure.as_deref())
        {
            *failures.entry(failure).or_default() += 1;
        }
        insert(&mut told, "failures", json!(failures));
        told
    }

    /// The same for each piece of that length.
    pub(crate) fn slices(&self, length: Duration) -> Value {
        let mut slices = BTreeMap::<u128, Vec<&Sample>>::new();
        for sample in &self.samples {
            let slice = sample.due.as_micros() / length.as_micros().max(1);
            slices.entry(slice).or_default().push(sample);
        }
        slices
            .into_iter()
            .map(|(slice, samples)| {
                let mut told = figures(&samples);
                let at = u32::try_from(slice).unwrap_or(u32::MAX) * length;
                insert(&mut told, "at_ms", json!(milliseconds(at)));
                told
            })
            .collect()
    }
}

fn figures(samples: &[&Sample]) -> Value {
    let answered = samples.iter().filter(|sample| sample.failure.is_none());
    let mut took: Vec<_> = answered.map(|sample| sample.took).collect();
    took.sort_unstable();
    let percentile = |share: f64| {
        let rank = (took.len() as f64 * share).ceil() as usize;
        took.get(rank.saturating_sub(1)).copied().map(milliseconds)
    };
    json!({
        "answered": took.len(),
        "failed": samples.len() - took.len(),
        "p50_ms": percentile(0.5),
        "p90_ms": percentile(0.9),
        "p99_ms": percentile(0.99),
        "p999_ms": percentile(0.999),
        "max_ms": percentile(1.0),
    })
}

fn insert(told: &mut Value, key: &str, value: Value) {
    if let Some(fields) = told.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1e3
}
