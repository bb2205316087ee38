//! The page that Prometheus scrapes, written family by family.

use prometheus::TextEncoder;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use super::families::{Family, Kind};
use super::histogram::{Bounds, Total};

/// The text of one scrape, in the exposition format 0.0.4.
#[derive(Debug, Default)]
pub(super) struct Page {
    text: String,
    encoder: TextEncoder,
}

/// The series of one family; they are on the page when this is dropped.
#[derive(Debug)]
pub(super) struct Series<'a> {
    page: &'a mut Page,
    family: &'a Family,
    metrics: Vec<Metric>,
    begun: bool,
}

impl Page {
    pub(super) fn family<'a>(&'a mut self, family: &'a Family) -> Series<'a> {
        Series {
            page: self,
            family,
            metrics: Vec::new(),
            begun: false,
        }
    }

    /// Writes families that the `prometheus` crate collected itself.
    pub(super) fn append(&mut self, families: &[MetricFamily]) {
        let before = self.text.len();
        if self.encoder.encode_utf8(families, &mut self.text).is_err() {
            // The encoder refuses only a family without series; half a family would spoil the whole page.
            self.text.truncate(before);
        }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

impl Series<'_> {
    /// Adds a counter or a gauge with these label values, in the order of the family's labels.
    pub(super) fn number(&mut self, values: &[&str], number: u64) {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a float is what the exposition format has"
        )]
        let number = number as f64;
        let mut metric = self.metric(values);
        if self.family.kind == Kind::Counter {
            let mut counter = Counter::default();
            counter.set_value(number);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(number);
            metric.set_gauge(gauge);
        }
        self.push(metric);
    }

    /// Adds a histogram with these label values.
    pub(super) fn histogram(&mut self, values: &[&str], total: &Total, bounds: &Bounds) {
        let mut metric = self.metric(values);
        metric.set_histogram(total.encode(bounds));
        self.push(metric);
    }

    fn metric(&self, values: &[&str]) -> Metric {
        let labels = self.family.labels.iter().zip(values);
        Metric::from_label(
            labels
                .map(|(name, value)| {
                    let mut pair = LabelPair::default();
                    pair.set_name((*name).to_owned());
                    pair.set_value((*value).to_owned());
                    pair
                })
                .collect(),
        )
    }

    fn push(&mut self, metric: Metric) {
        self.metrics.push(metric);
        if self.metrics.len() >= BATCH {
            self.write();
        }
    }

    /// Writes in batches: a gateway with many routes has series by the hundred thousand, and each takes a kilobyte
    /// until it is text.
    fn write(&mut self) {
        if self.metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(self.family.name.to_owned());
        family.set_help(self.family.help.to_owned());
        family.set_field_type(match self.family.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
            Kind::Histogram => MetricType::HISTOGRAM,
        });
        family.set_metric(std::mem::take(&mut self.metrics));
        let start = self.page.text.len();
        self.page.append(&[family]);
        if self.begun {
            self.drop_heading(start);
        }
        self.begun = true;
    }

    /// Takes away the two lines of HELP and TYPE, which may stand only once.
    fn drop_heading(&mut self, start: usize) {
        let added = self.page.text.get(start..).unwrap_or_default();
        let heading: usize = added
            .split_inclusive('\n')
            .take_while(|line| line.starts_with('#'))
            .map(str::len)
            .sum();
        self.page
            .text
            .replace_range(start..start.saturating_add(heading), "");
    }
}

impl Drop for Series<'_> {
    fn drop(&mut self) {
        self.write();
    }
}

const BATCH: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::families;

    #[test]
    fn a_family_of_many_batches_has_one_heading() {
        let mut page = Page::default();
        let mut series = page.family(&families::CONNECTIONS);
        for number in 0..1_500 {
            series.number(&[&format!("listener {number}")], number);
        }
        drop(series);
        let text = page.into_text();
        assert_eq!(text.matches("# HELP").count(), 1);
        assert_eq!(
            text.matches("# TYPE portcullis_connections_total counter\n")
                .count(),
            1
        );
        assert_eq!(text.lines().count(), 1_502);
        assert!(text.ends_with("portcullis_connections_total{listener=\"listener 1499\"} 1499\n"));
    }

    #[test]
    fn a_family_without_series_is_left_out() {
        let mut page = Page::default();
        drop(page.family(&families::CONNECTIONS));
        page.append(&[MetricFamily::default()]);
        assert_eq!(page.into_text(), "");
    }
}
