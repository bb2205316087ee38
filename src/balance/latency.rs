//! How long an endpoint takes to answer, decayed by time.

use std::f32::consts::LN_2;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A latency that jumps up with each slow answer and comes down slowly (peak EWMA).
///
/// One word, so that value and time belong together: the upper half has microseconds as the bits of an `f32`, the lower
/// one has when that was noted, in milliseconds. Written with each answer, by any worker; of two that write at once one
/// is lost, which an average can bear.
#[derive(Debug, Default)]
pub(super) struct Latency(AtomicU64);

impl Latency {
    /// Notes an answer.
    pub(super) fn note(&self, sample: Duration, now_ms: u64) {
        let sample = (sample.as_nanos() as f32 / 1e3).max(SHORTEST);
        let word = self.0.load(Ordering::Relaxed);
        let value = match decayed(word, now_ms) {
            Some((current, kept)) if sample < current => {
                // The older the value, the less of it is kept. An hour of answers counts as much as its last seconds.
                let before = value(word);
                before * kept + sample * (1.0 - kept)
            }
            Some(_) | None => sample,
        };
        let word = (u64::from(value.to_bits()) << 32) | (now_ms & MILLISECONDS);
        self.0.store(word, Ordering::Relaxed);
    }

    /// Microseconds as of now; `None` if no answer has come for so long that nothing can be said.
    pub(super) fn at(&self, now_ms: u64) -> Option<f32> {
        decayed(self.0.load(Ordering::Relaxed), now_ms).map(|(value, _)| value)
    }
}

/// The value as of now and what is left of it as a fraction; `None` if that is too little to be of use.
fn decayed(word: u64, now_ms: u64) -> Option<(f32, f32)> {
    if word == 0 {
        return None;
    }
    // The clock's lower half comes round after 49 days, which no value outlives.
    let age = (now_ms & MILLISECONDS).wrapping_sub(word & MILLISECONDS) & MILLISECONDS;
    // Another worker's clock may have been read a little later than ours: what it noted is of now.
    let age = if age > MILLISECONDS / 2 { 0 } else { age };
    let halvings = age / HALF_LIFE_MS;
    if halvings >= FORGOTTEN_AFTER {
        return None;
    }
    // Between two halvings a parabola is as good as the exponential: it has its ends and its first slope in common.
    let rest = fraction(age % HALF_LIFE_MS, HALF_LIFE_MS);
    let kept = (1.0 - rest * (LN_2 - rest * (LN_2 - 0.5))) * fraction(1, 1 << halvings);
    Some(((value(word) * kept).max(SHORTEST), kept))
}

fn value(word: u64) -> f32 {
    f32::from_bits(u32::try_from(word >> 32).unwrap_or_default())
}

/// Both numbers are small here: `f32` has them nearly exactly.
fn fraction(part: u64, whole: u64) -> f32 {
    part as f32 / whole as f32
}

/// A microsecond: below it nothing is told apart.
const SHORTEST: f32 = 1.0;
const MILLISECONDS: u64 = u32::MAX as u64;
/// After this time without an answer a latency counts half.
const HALF_LIFE_MS: u64 = 5_000;
/// An endpoint without an answer for these half-lives (20 s) counts as never measured, so that it is asked again.
const FORGOTTEN_AFTER: u64 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_worker_noted_a_moment_later_is_known_now() {
        let latency = Latency::default();
        latency.note(Duration::from_millis(80), 1_001);
        assert_eq!(latency.at(1_000), Some(80_000.0));
        // And it is not forgotten for a quick answer that was timed a moment before.
        latency.note(Duration::from_millis(1), 1_000);
        assert!(latency.at(1_001) > Some(79_000.0));
    }

    fn after(samples: &[(u64, u64)]) -> Latency {
        let latency = Latency::default();
        for (milliseconds, now_ms) in samples {
            latency.note(Duration::from_millis(*milliseconds), *now_ms);
        }
        latency
    }

    fn milliseconds(latency: &Latency, now_ms: u64) -> f32 {
        latency.at(now_ms).unwrap() / 1e3
    }

    #[test]
    fn nothing_is_known_before_the_first_answer() {
        assert_eq!(after(&[]).at(0), None);
        assert_eq!(milliseconds(&after(&[(10, 0)]), 0), 10.0);
    }

    #[test]
    fn one_slow_answer_counts_at_once() {
        let latency = after(&[(10, 100), (10, 200), (500, 300)]);
        assert_eq!(milliseconds(&latency, 300), 500.0);
    }

    #[test]
    fn quick_answers_bring_it_down_slowly() {
        let latency = after(&[(500, 0)]);
        for now_ms in 1..=5_000 {
            latency.note(Duration::from_millis(10), now_ms);
        }
        let now = milliseconds(&latency, 5_000);
        // Half of the way in one half-life.
        assert!((245.0..265.0).contains(&now), "{now}");
        for now_ms in 5_001..=60_000 {
            latency.note(Duration::from_millis(10), now_ms);
        }
        let now = milliseconds(&latency, 60_000);
        assert!((10.0..10.3).contains(&now), "{now}");
    }

    #[test]
    fn silence_halves_it_and_ends_in_ignorance() {
        let latency = after(&[(80, 1_000)]);
        assert_eq!(milliseconds(&latency, 6_000), 40.0);
        assert!((28.0..28.5).contains(&milliseconds(&latency, 8_500)));
        assert_eq!(milliseconds(&latency, 16_000), 10.0);
        assert_eq!(latency.at(21_000), None);
    }

    #[test]
    fn the_clock_may_come_round() {
        let end = u64::from(u32::MAX);
        let latency = after(&[(80, end - 999)]);
        assert_eq!(milliseconds(&latency, end + 4_001), 40.0);
    }
}
