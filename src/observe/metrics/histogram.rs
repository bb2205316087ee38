//! Histograms of durations with fixed bounds.

use std::sync::OnceLock;
use std::time::Duration;

use super::cells::Cell;

/// The upper bounds of a histogram's buckets in nanoseconds, ascending; one more bucket takes what lies above.
pub(super) type Bounds = [u64; BOUNDS];

/// The bounds for whole requests and for waiting: 0.5 ms to 60 s.
pub(super) const WAITING: Bounds = [
    500 * MICRO,
    MILLI,
    2_500 * MICRO,
    5 * MILLI,
    10 * MILLI,
    25 * MILLI,
    50 * MILLI,
    100 * MILLI,
    250 * MILLI,
    500 * MILLI,
    SECOND,
    2_500 * MILLI,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    60 * SECOND,
];

/// The bounds for the gateway's own time: 10 µs to 1 s.
pub(super) const OVERHEAD: Bounds = [
    10 * MICRO,
    25 * MICRO,
    50 * MICRO,
    100 * MICRO,
    250 * MICRO,
    500 * MICRO,
    MILLI,
    2_500 * MICRO,
    5 * MILLI,
    10 * MILLI,
    25 * MILLI,
    50 * MILLI,
    100 * MILLI,
    250 * MILLI,
    500 * MILLI,
    SECOND,
];

/// One writer's part of a histogram.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [Cell; BOUNDS + 1],
    sum_nanos: Cell,
}

/// A histogram that takes memory when it is first written.
pub(super) type LazyHistogram = OnceLock<Box<Histogram>>;

impl Histogram {
    /// Counts one duration; every call for one histogram names the same bounds.
    pub(super) fn observe(&self, bounds: &Bounds, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let place = bounds.partition_point(|bound| *bound < nanos);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.add(1);
        }
        self.sum_nanos.add(nanos);
    }

    pub(super) fn reset(&self) {
        self.buckets.iter().for_each(Cell::reset);
        self.sum_nanos.reset();
    }
}

/// The sum of all writers' parts of one histogram.
#[derive(Clone, Debug, Default)]
pub(super) struct Total {
    buckets: [u64; BOUNDS + 1],
    sum_nanos: u64,
}

impl Total {
    pub(super) fn add(&mut self, part: &Histogram) {
        for (total, cell) in self.buckets.iter_mut().zip(&part.buckets) {
            *total = total.wrapping_add(cell.get());
        }
        self.sum_nanos = self.sum_nanos.wrapping_add(part.sum_nanos.get());
    }

    /// As Prometheus wants it: cumulative counts, bounds and sum in seconds.
    pub(super) fn encode(&self, bounds: &Bounds) -> prometheus::proto::Histogram {
        let mut encoded = prometheus::proto::Histogram::default();
        let mut count = 0;
        let mut buckets = Vec::with_capacity(BOUNDS);
        for (bound, amount) in bounds.iter().zip(&self.buckets) {
            count += amount;
            let mut bucket = prometheus::proto::Bucket::default();
            bucket.set_upper_bound(seconds(*bound));
            bucket.set_cumulative_count(count);
            buckets.push(bucket);
        }
        encoded.set_bucket(buckets);
        // Counted from the buckets and not apart, so that the highest bucket and the count never disagree.
        encoded.set_sample_count(count + self.buckets.last().copied().unwrap_or_default());
        encoded.set_sample_sum(seconds(self.sum_nanos));
        encoded
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a float is what the exposition format has"
)]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

const BOUNDS: usize = 16;
const MICRO: u64 = 1_000;
const MILLI: u64 = 1_000 * MICRO;
const SECOND: u64 = 1_000 * MILLI;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_ascend() {
        assert!(WAITING.is_sorted());
        assert!(OVERHEAD.is_sorted());
    }

    #[test]
    fn a_value_on_a_bound_belongs_to_it_and_the_longest_to_infinity() {
        let histogram = Histogram::default();
        histogram.observe(&WAITING, Duration::from_micros(500));
        histogram.observe(&WAITING, Duration::from_nanos(500_001));
        histogram.observe(&WAITING, Duration::from_secs(61));
        let mut total = Total::default();
        total.add(&histogram);
        let encoded = total.encode(&WAITING);
        let counts: Vec<_> = encoded
            .get_bucket()
            .iter()
            .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
            .collect();
        assert_eq!(counts[..2], [(0.0005, 1), (0.001, 2)]);
        assert_eq!(counts.last(), Some(&(60.0, 2)));
        assert_eq!(encoded.get_sample_count(), 3);
        assert!((encoded.get_sample_sum() - 61.001_000_001).abs() < 1e-9);
    }
}
