//! When a breaker opens, what it lets through then, and how it closes.

use super::*;

fn breaker() -> Breaker {
    Breaker {
        upstream: "test".into(),
        failure_share: Percent::new(50).unwrap(),
        window: Duration::from_secs(10),
        minimum_requests: 4,
        consecutive_failures: None,
        open_for: Duration::from_secs(5),
        longest: Duration::from_secs(15),
        trials: 2,
        failure_status: vec![(500, 599)],
        load: Arc::default(),
    }
}

/// One attempt that succeeds or fails at once.
fn attempt(breaker: &Arc<Breaker>, fails: bool, now_ms: u64) {
    breaker.admit(now_ms).unwrap().judge(fails, now_ms);
}

fn phase(breaker: &Breaker, now_ms: u64) -> BreakerPhase {
    breaker.phase(now_ms).unwrap().0
}

/// A breaker that has opened at that time.
fn opened(settings: Breaker, now_ms: u64) -> Arc<Breaker> {
    let breaker = Arc::new(settings);
    for _ in 0..4 {
        attempt(&breaker, true, now_ms);
    }
    assert_eq!(phase(&breaker, now_ms), BreakerPhase::Open);
    breaker
}

#[test]
fn it_opens_when_the_share_of_failures_is_reached() {
    let breaker = Arc::new(breaker());
    assert_eq!(breaker.phase(0), None, "nothing has been seen");
    for fails in [false, false, false, true, true] {
        attempt(&breaker, fails, 0);
        assert_eq!(phase(&breaker, 0), BreakerPhase::Closed);
    }
    attempt(&breaker, true, 0);
    assert_eq!(breaker.phase(1_000), Some((BreakerPhase::Open, 4_000)));
    assert_eq!(breaker.admit(1_000).unwrap_err(), 4_000);
}

#[test]
fn few_requests_say_nothing() {
    let breaker = Arc::new(breaker());
    for _ in 0..3 {
        attempt(&breaker, true, 0);
    }
    assert_eq!(phase(&breaker, 0), BreakerPhase::Closed);
}

#[test]
fn what_is_older_than_the_window_says_nothing() {
    let breaker = Arc::new(breaker());
    for second in 0..40 {
        attempt(&breaker, true, second * 3_400);
    }
    assert_eq!(phase(&breaker, 136_000), BreakerPhase::Closed);
}

#[test]
fn so_many_failures_in_a_row_open_it_too() {
    let breaker = Arc::new(Breaker {
        consecutive_failures: Some(3),
        minimum_requests: 1_000,
        ..breaker()
    });
    for fails in [true, true, false, true, true] {
        attempt(&breaker, fails, 0);
    }
    assert_eq!(phase(&breaker, 0), BreakerPhase::Closed);
    attempt(&breaker, true, 0);
    assert_eq!(phase(&breaker, 0), BreakerPhase::Open);
}

#[test]
fn after_its_time_so_many_trials_are_let_through() {
    let breaker = opened(breaker(), 0);
    assert_eq!(breaker.admit(4_999).unwrap_err(), 1);
    let trials = [breaker.admit(5_000).unwrap(), breaker.admit(5_000).unwrap()];
    assert_eq!(phase(&breaker, 5_000), BreakerPhase::HalfOpen);
    assert_eq!(breaker.admit(5_000).unwrap_err(), TRIALS_TAKE_MS);
    trials[0].judge(false, 5_100);
    assert_eq!(phase(&breaker, 5_100), BreakerPhase::HalfOpen);
    assert!(breaker.admit(5_100).is_err());
    trials[1].judge(false, 5_200);
    assert_eq!(phase(&breaker, 5_200), BreakerPhase::Closed);
    // The failures from before are forgotten.
    attempt(&breaker, true, 5_200);
    assert_eq!(phase(&breaker, 5_200), BreakerPhase::Closed);
}

#[test]
fn a_trial_that_fails_opens_it_again_for_longer() {
    let breaker = opened(breaker(), 0);
    let mut now = 5_000;
    for expected in [10_000, 15_000, 15_000] {
        attempt(&breaker, true, now);
        assert_eq!(breaker.phase(now), Some((BreakerPhase::Open, expected)));
        now += expected;
    }
    for _ in 0..2 {
        attempt(&breaker, false, now);
    }
    assert_eq!(phase(&breaker, now), BreakerPhase::Closed);
    for _ in 0..4 {
        attempt(&breaker, true, now);
    }
    assert_eq!(breaker.phase(now), Some((BreakerPhase::Open, 5_000)));
}

#[test]
fn a_trial_of_which_nothing_is_known_makes_room_for_another() {
    let breaker = opened(breaker(), 0);
    for _ in 0..10 {
        let first = breaker.admit(5_000).unwrap();
        let second = breaker.admit(5_000).unwrap();
        assert!(breaker.admit(5_000).is_err());
        drop((first, second));
    }
    assert_eq!(phase(&breaker, 5_000), BreakerPhase::HalfOpen);
}

#[test]
fn what_began_before_a_transition_says_nothing_after_it() {
    let settings = Arc::new(breaker());
    let early: Vec<_> = (0..8).map(|_| settings.admit(0).unwrap()).collect();
    for pass in &early[..4] {
        pass.judge(true, 0);
    }
    assert_eq!(settings.phase(0), Some((BreakerPhase::Open, 5_000)));
    early[4].judge(true, 3_000);
    assert_eq!(settings.phase(3_000), Some((BreakerPhase::Open, 2_000)));
    let _trial = settings.admit(5_000).unwrap();
    early[5].judge(false, 5_000);
    early[6].judge(true, 5_000);
    drop(early);
    assert_eq!(phase(&settings, 5_000), BreakerPhase::HalfOpen);
    let _second = settings.admit(5_000).unwrap();
    assert!(settings.admit(5_000).is_err());
}

#[test]
fn a_trial_that_begins_well_and_breaks_off_has_failed() {
    let breaker = opened(breaker(), 0);
    let trial = breaker.admit(5_000).unwrap();
    trial.judge(false, 5_000);
    trial.judge(true, 5_001);
    assert_eq!(phase(&breaker, 5_001), BreakerPhase::Open);
}

#[test]
fn another_snapshot_goes_on_where_the_one_before_was() {
    let old = opened(breaker(), 0);
    let new = Arc::new(Breaker {
        trials: 1,
        load: Arc::clone(&old.load),
        ..breaker()
    });
    assert!(new.admit(1_000).is_err());
    attempt(&new, false, 5_000);
    assert_eq!(phase(&old, 5_000), BreakerPhase::Closed);
}

#[test]
fn transitions_are_counted_once() {
    let breaker = opened(breaker(), 0);
    attempt(&breaker, false, 5_000);
    attempt(&breaker, false, 5_000);
    let counts = breaker.load.breaker().transitions().map(|(_, count)| count);
    assert_eq!(counts, [1, 1, 1]);
}

#[test]
fn threads_make_each_transition_once_and_let_no_more_trials_through() {
    for _ in 0..50 {
        let breaker = opened(breaker(), 0);
        let let_through = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        if let Ok(pass) = breaker.admit(5_000) {
                            let_through.fetch_add(1, Ordering::Relaxed);
                            // Neither success nor failure, and not given back.
                            std::mem::forget(pass);
                        }
                    }
                });
            }
        });
        assert_eq!(let_through.into_inner(), 2);
        let counts = breaker.load.breaker().transitions().map(|(_, count)| count);
        assert_eq!(counts, [1, 1, 0]);
    }
}

#[test]
fn a_phase_fits_into_its_word() {
    for kind in [
        Kind::Unused,
        Kind::Closed,
        Kind::Open { until_ms: REST },
        Kind::HalfOpen {
            begun: u16::MAX,
            succeeded: 7,
        },
    ] {
        let phase = Phase {
            generation: GENERATIONS,
            kind,
        };
        assert_eq!(Phase::unpack(phase.pack()), phase);
        assert_eq!(phase.to(kind).generation, 0);
    }
}
