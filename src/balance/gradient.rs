//! From latency to a limit: pure, so that it can be fed with any latency.
//!
//! An upstream that has enough to do, and no more, answers as fast as one that has little to do. From there on every
//! further exchange only makes all of them slower. The limit begins at its smallest, where the baseline is learned, and
//! doubles until answers take longer; then it grows as long as the latency stays near the baseline, and shrinks in
//! proportion when it does not. (After the gradient limit of Netflix' `concurrency-limits`, whose baseline is a long mean:
//! under a lasting overload that mean becomes the overload's, and the limit grows without end. Here the baseline follows
//! upward only where the latency cannot come from too many exchanges.)

use super::adaptive::Adaptive;

/// What is known of an upstream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Gradient {
    pub(super) limit: f64,
    /// The latency of the unhurried upstream in microseconds; 0 while it is not known.
    pub(super) baseline_us: f64,
    /// Whether the limit comes from its smallest and no slowness has been seen since.
    pub(super) explores: bool,
}

/// What was seen in one window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    pub(super) mean_us: f64,
    pub(super) most_in_flight: u32,
}

impl Gradient {
    /// Nothing is known yet.
    pub(super) fn new(settings: &Adaptive) -> Self {
        Self {
            limit: f64::from(settings.min),
            baseline_us: 0.0,
            explores: true,
        }
    }

    /// What is known after one more window.
    pub(super) fn after(self, window: Window, settings: &Adaptive) -> Self {
        let (min, max) = (f64::from(settings.min), f64::from(settings.max));
        let limit = self.limit.clamp(min, max);
        // When nobody was near the limit, the latency says nothing about it.
        let is_busy = f64::from(window.most_in_flight) * 2.0 >= limit;
        let mean_us = window.mean_us.max(1.0);
        let baseline_us = if self.baseline_us > 0.0 {
            let is_least = limit <= min;
            let rate = self.rate(mean_us, is_least, is_busy, settings);
            self.baseline_us + (mean_us - self.baseline_us) * rate
        } else {
            mean_us
        };
        let known = Self {
            limit,
            baseline_us,
            ..self
        };
        if is_busy {
            known.moved(mean_us, settings)
        } else {
            known
        }
    }

    /// The limit after a window in which it mattered.
    fn moved(self, mean_us: f64, settings: &Adaptive) -> Self {
        let (min, max) = (f64::from(settings.min), f64::from(settings.max));
        let gradient = settings.tolerance * self.baseline_us / mean_us;
        let is_least = self.limit <= min;
        let explores = gradient >= 1.0 && (is_least || self.explores);
        let limit = if is_least && !self.is_unhurried(mean_us, settings) {
            // First the baseline has to become what it is with so few exchanges.
            min
        } else if explores {
            self.limit * 2.0
        } else {
            let goal = self.limit * gradient.clamp(STEEPEST, 1.0) + self.limit.sqrt();
            self.limit + (goal - self.limit) * SMOOTHING
        };
        Self {
            limit: limit.clamp(min, max),
            explores,
            ..self
        }
    }

    /// How fast the baseline follows the latency.
    fn rate(self, mean_us: f64, is_least: bool, is_busy: bool, settings: &Adaptive) -> f64 {
        if mean_us < self.baseline_us {
            FALL
        } else if is_least {
            // It cannot be the exchanges: there are as few as there may be.
            RISE_AT_LEAST
        } else if !is_busy || self.is_unhurried(mean_us, settings) {
            RISE
        } else {
            0.0
        }
    }

    /// Whether the latency is clearly within what is taken for normal.
    fn is_unhurried(self, mean_us: f64, settings: &Adaptive) -> bool {
        mean_us <= self.baseline_us * f64::midpoint(1.0, settings.tolerance)
    }
}

/// How much of the way to its goal the limit makes with each window.
const SMOOTHING: f64 = 0.2;
/// However slow the answers, the goal is not less than half of the limit.
const STEEPEST: f64 = 0.5;
const FALL: f64 = 0.2;
const RISE: f64 = 0.01;
const RISE_AT_LEAST: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SETTINGS: Adaptive = Adaptive {
        min: 5,
        max: 2_000,
        tolerance: 1.5,
        window: Duration::from_millis(100),
    };

    /// A service that answers so many at a time, each within its time, and makes the others wait.
    #[derive(Clone, Copy)]
    struct Service {
        capacity: f64,
        latency_us: f64,
    }

    /// A run of windows, each with as many in flight as the limit allows and the clients want.
    struct Run {
        gradient: Gradient,
        lowest: f64,
        highest: f64,
        noise: u64,
    }

    impl Run {
        fn new() -> Self {
            Self {
                gradient: Gradient::new(&SETTINGS),
                lowest: f64::MAX,
                highest: 0.0,
                noise: 1,
            }
        }

        /// Notes the extremes from here on.
        fn watch(&mut self) {
            (self.lowest, self.highest) = (f64::MAX, 0.0);
        }

        fn windows(&mut self, count: usize, service: Service, demand: f64) {
            for _ in 0..count {
                let in_flight = self.gradient.limit.floor().min(demand);
                self.noise = self
                    .noise
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                // From 0.85 to 1.15.
                let noise = 0.85 + 0.3 * (self.noise >> 40) as f64 / f64::from(1 << 24);
                let window = Window {
                    mean_us: service.latency_us * (in_flight / service.capacity).max(1.0) * noise,
                    most_in_flight: in_flight as u32,
                };
                self.gradient = self.gradient.after(window, &SETTINGS);
                self.lowest = self.lowest.min(self.gradient.limit);
                self.highest = self.highest.max(self.gradient.limit);
            }
        }
    }

    const EVERYBODY: f64 = f64::MAX;

    #[test]
    fn it_finds_what_the_service_can_take_and_stays_there() {
        for capacity in [10.0, 60.0, 400.0] {
            let service = Service {
                capacity,
                latency_us: 20_000.0,
            };
            let mut run = Run::new();
            run.windows(1_500, service, EVERYBODY);
            run.watch();
            // An hour of overload does not make it believe that slow is normal.
            run.windows(36_000, service, EVERYBODY);
            assert!(
                run.lowest >= capacity * 0.9 && run.highest <= capacity * 2.2,
                "{capacity}: {} to {}",
                run.lowest,
                run.highest
            );
        }
    }

    #[test]
    fn it_follows_a_service_that_loses_capacity_and_gets_it_back() {
        let service = |capacity| Service {
            capacity,
            latency_us: 10_000.0,
        };
        let mut run = Run::new();
        run.windows(500, service(100.0), EVERYBODY);
        let before = run.gradient.limit;
        run.windows(50, service(25.0), EVERYBODY);
        let shrunk = run.gradient.limit;
        assert!(shrunk < before / 2.0, "{before} {shrunk}");
        run.windows(500, service(100.0), EVERYBODY);
        let recovered = run.gradient.limit;
        assert!((90.0..=220.0).contains(&recovered), "{recovered}");
    }

    #[test]
    fn it_comes_to_terms_with_a_service_that_has_become_slower_for_good() {
        let mut run = Run::new();
        let service = |latency_us| Service {
            capacity: 100.0,
            latency_us,
        };
        run.windows(500, service(10_000.0), EVERYBODY);
        run.windows(1_000, service(40_000.0), EVERYBODY);
        run.watch();
        run.windows(5_000, service(40_000.0), EVERYBODY);
        assert!(
            run.lowest >= 60.0 && run.highest <= 220.0,
            "{} {}",
            run.lowest,
            run.highest
        );
    }

    #[test]
    fn it_never_leaves_its_bounds() {
        let mut run = Run::new();
        let hopeless = Service {
            capacity: 0.01,
            latency_us: 1_000.0,
        };
        run.windows(2_000, hopeless, EVERYBODY);
        let endless = Service {
            capacity: 1e9,
            latency_us: 1_000.0,
        };
        run.windows(5_000, endless, EVERYBODY);
        assert!(run.lowest >= 5.0 && run.highest <= 2_000.0);
        assert!((run.gradient.limit - 2_000.0).abs() < 1.0);
    }

    #[test]
    fn it_is_quick_to_find_out_after_a_start() {
        let mut run = Run::new();
        let service = Service {
            capacity: 1_000.0,
            latency_us: 10_000.0,
        };
        run.windows(10, service, EVERYBODY);
        assert!(run.gradient.limit > 900.0, "{}", run.gradient.limit);
    }

    #[test]
    fn few_clients_say_nothing_about_the_limit() {
        let mut run = Run::new();
        let service = Service {
            capacity: 60.0,
            latency_us: 10_000.0,
        };
        run.windows(1_000, service, EVERYBODY);
        let before = run.gradient.limit;
        let slow = Service {
            latency_us: 30_000.0,
            ..service
        };
        run.windows(1_000, slow, 3.0);
        assert!((run.gradient.limit - before).abs() < f64::EPSILON);
        assert!(run.gradient.baseline_us > 25_000.0);
    }
}
