//! The text of /metrics, read back, and what a test waits for in it.

use std::collections::BTreeMap;

use super::{DEADLINE, Gateway};

/// Every sample of one scrape.
pub(crate) struct Samples {
    samples: Vec<Sample>,
    types: BTreeMap<String, String>,
    helps: BTreeMap<String, String>,
    text: String,
}

#[derive(Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// An answer reaches its client before it is counted, and a connection's end before that: so tests do not look at
/// figures once, they wait for them.
impl Gateway {
    /// Waits until the sum of the samples of `name` with these labels is `wanted`, and returns the scrape that says so.
    pub(crate) async fn metric(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        wanted: impl Fn(f64) -> bool,
    ) -> Samples {
        let mut last = None;
        let wait = async {
            loop {
                let samples = self.metrics().await;
                if wanted(samples.sum(name, labels)) {
                    return samples;
                }
                last = Some(samples);
            }
        };
        match tokio::time::timeout(DEADLINE, wait).await {
            Ok(samples) => samples,
            Err(_) => panic!(
                "{name} {labels:?} is not what it should be within {DEADLINE:?}:\n{}",
                last.map_or_else(String::new, |samples| samples.lines(name))
            ),
        }
    }

    /// Waits until the sum is this number. What must not become more is asked for when nothing more can come.
    pub(crate) async fn metric_is(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        number: usize,
    ) -> Samples {
        self.metric(name, labels, |sum| (sum - number as f64).abs() < 0.1)
            .await
    }

    /// Waits until the sum is at least this number.
    pub(crate) async fn metric_reaches(
        &self,
        name: &str,
        labels: &[(&str, &str)],
        number: usize,
    ) -> Samples {
        self.metric(name, labels, |sum| sum >= number as f64).await
    }
}

impl Samples {
    pub(crate) fn parse(text: &str) -> Self {
        let mut all = Self {
            samples: Vec::new(),
            types: BTreeMap::new(),
            helps: BTreeMap::new(),
            text: text.to_owned(),
        };
        let pairs = regex::Regex::new(r#"([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)""#)
            .expect("a pattern");
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').expect("a TYPE line");
                all.types.insert(name.to_owned(), kind.to_owned());
            } else if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
                all.helps.insert(name.to_owned(), help.to_owned());
            } else if !line.starts_with('#') && !line.is_empty() {
                all.samples.push(Sample::parse(line, &pairs));
            }
        }
        all
    }

    /// The sum of the samples of `name` that carry these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.samples
            .iter()
            .filter(|sample| sample.name == name && sample.has(labels))
            .map(|sample| sample.value)
            .sum()
    }

    /// Whether there is a sample of `name` with these labels.
    pub(crate) fn has(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.samples
            .iter()
            .any(|sample| sample.name == name && sample.has(labels))
    }

    /// The values that `label` takes in `name`.
    pub(crate) fn values(&self, name: &str, label: &str) -> Vec<&str> {
        let mut values: Vec<&str> = self
            .samples
            .iter()
            .filter(|sample| sample.name == name)
            .filter_map(|sample| sample.labels.get(label).map(String::as_str))
            .collect();
        values.sort_unstable();
        values.dedup();
        values
    }

    /// The families, each with its type and help text.
    pub(crate) fn families(&self) -> impl Iterator<Item = (&str, &str, Option<&str>)> {
        self.types.iter().map(|(name, kind)| {
            (
                name.as_str(),
                kind.as_str(),
                self.helps.get(name).map(String::as_str),
            )
        })
    }

    /// The names of all samples, without the suffixes of histograms.
    pub(crate) fn sample_families(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .samples
            .iter()
            .map(|sample| {
                ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|suffix| {
                        let family = sample.name.strip_suffix(suffix)?;
                        (self.types.get(family).map(String::as_str) == Some("histogram"))
                            .then_some(family)
                    })
                    .unwrap_or(&sample.name)
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The lines of one family.
    fn lines(&self, name: &str) -> String {
        let lines = self.text.lines().filter(|line| line.starts_with(name));
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Sample {
    /// Reads `name{label="value",…} value`.
    fn parse(line: &str, pairs: &regex::Regex) -> Self {
        let (head, value) = line.rsplit_once(' ').expect("a sample");
        let value = match value {
            "+Inf" => f64::INFINITY,
            other => other.parse().expect("a number"),
        };
        let Some((name, labels)) = head.split_once('{') else {
            return Self {
                name: head.to_owned(),
                labels: BTreeMap::new(),
                value,
            };
        };
        let labels = pairs
            .captures_iter(labels)
            .map(|pair| (pair[1].to_owned(), pair[2].to_owned()))
            .collect();
        Self {
            name: name.to_owned(),
            labels,
            value,
        }
    }

    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels
            .iter()
            .all(|(name, value)| self.labels.get(*name).is_some_and(|own| own == value))
    }
}
