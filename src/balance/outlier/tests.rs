//! Ejections of endpoints of a pool: when, for how long, and how many.

use std::num::NonZeroU32;
use std::time::UNIX_EPOCH;

use super::*;
use crate::balance::testing::{Upstream, pool, shares_by};
use crate::balance::{Policy, Settings};

const NOBODY: [usize; 0] = [];

fn settings() -> OutlierSettings {
    OutlierSettings {
        consecutive_failures: NonZeroU32::new(3),
        failure_share: Percent::new(50),
        latency: Some(300),
        minimum_requests: 10,
        failure_status: vec![(500, 599), (418, 418)],
        interval: Duration::from_secs(10),
        ejection_time: Duration::from_secs(30),
        max_ejection_time: Duration::from_secs(100),
        max_ejected: Percent::new(50).unwrap(),
    }
}

fn detector(settings: OutlierSettings) -> Detector {
    Detector::new(settings, Arc::default())
}

fn fail(detector: &Detector, pool: &Pool, index: usize, now_ms: u64, times: u32) {
    for _ in 0..times {
        detector.failed(&pool.endpoints()[index], pool, (0, now_ms));
    }
}

fn ejected(pool: &Pool) -> Vec<usize> {
    let endpoints = pool.endpoints().iter().enumerate();
    endpoints
        .filter(|(_, endpoint)| endpoint.state.is_ejected())
        .map(|(index, _)| index)
        .collect()
}

#[test]
fn failures_in_a_row_eject_at_once_and_a_success_in_between_does_not() {
    let (detector, pool) = (detector(settings()), pool(Policy::RoundRobin, &[1, 1, 1]));
    fail(&detector, &pool, 1, 0, 2);
    detector.succeeded(&pool.endpoints()[1]);
    fail(&detector, &pool, 1, 0, 2);
    assert_eq!(ejected(&pool), NOBODY);
    fail(&detector, &pool, 1, 500, 1);
    assert_eq!(ejected(&pool), [1]);
    let state = &pool.endpoints()[1].state;
    assert_eq!(state.ejection(), Some(Ejection::ConsecutiveFailures));
    assert_eq!(state.ejected_until(500), Some(30_500));
    assert_eq!(state.ejected_until(30_500), None);
}

#[test]
fn no_policy_picks_an_ejected_endpoint_before_its_time_is_over() {
    for policy in Policy::ALL {
        let (detector, pool) = (detector(settings()), pool(policy, &[1, 1, 1]));
        fail(&detector, &pool, 1, 0, 3);
        assert_eq!(shares_by(&pool, 60, |_| 29_999)[1], 0, "{policy:?}");
        assert!(shares_by(&pool, 60, |_| 30_000)[1] > 0, "{policy:?}");
    }
}

#[test]
fn when_nobody_else_can_have_a_request_an_ejected_endpoint_gets_it() {
    for policy in Policy::ALL {
        let (detector, pool) = (detector(settings()), pool(policy, &[1, 1]));
        fail(&detector, &pool, 1, 0, 3);
        assert_eq!(pool.pick(10, 0, &[0]).unwrap().index(), 1, "{policy:?}");
        pool.endpoints()[0]
            .state
            .set_health(false, "refused", UNIX_EPOCH);
        assert_eq!(pool.pick(10, 0, &[]).unwrap().index(), 1, "{policy:?}");
    }
}

#[test]
fn each_ejection_is_longer_and_good_intervals_make_it_shorter_again() {
    let (detector, pool) = (detector(settings()), pool(Policy::RoundRobin, &[1, 1]));
    let state = &pool.endpoints()[0].state;
    let mut now = 0;
    let eject = |now: &mut u64| {
        fail(&detector, &pool, 0, *now, 3);
        let until = state.ejected_until(*now).unwrap();
        let seconds = (until - *now) / 1_000;
        *now = until;
        state.end_ejection();
        seconds
    };
    let times = [(); 5].map(|()| eject(&mut now));
    assert_eq!(times, [30, 60, 90, 100, 100]);
    for _ in 0..3 {
        detector.evaluate(&pool, now);
    }
    assert_eq!(eject(&mut now), 90);
    for _ in 0..9 {
        detector.evaluate(&pool, now);
    }
    assert_eq!(eject(&mut now), 30);
}

#[test]
fn no_more_than_the_share_is_ejected_but_one_always_may_be_and_the_last_never() {
    for (endpoints, hundredths, expected) in [
        (4, 50, 2),
        (5, 50, 2),
        (10, 10, 1),
        (3, 10, 1),
        (3, 100, 2),
        (1, 100, 0),
    ] {
        let settings = OutlierSettings {
            max_ejected: Percent::new(hundredths).unwrap(),
            ..settings()
        };
        let (detector, pool) = (
            detector(settings),
            pool(Policy::RoundRobin, &vec![1; endpoints]),
        );
        for index in 0..endpoints {
            fail(&detector, &pool, index, 0, 6);
        }
        assert_eq!(ejected(&pool).len(), expected, "{endpoints} {hundredths}");
    }
}

#[test]
fn who_could_not_be_spared_is_ejected_when_another_is_back() {
    let (detector, pool) = (detector(settings()), pool(Policy::RoundRobin, &[1, 1]));
    fail(&detector, &pool, 0, 0, 3);
    fail(&detector, &pool, 1, 0, 3);
    assert_eq!(ejected(&pool), [0]);
    pool.endpoints()[0].state.end_ejection();
    fail(&detector, &pool, 1, 0, 2);
    assert_eq!(ejected(&pool), NOBODY);
    fail(&detector, &pool, 1, 0, 1);
    assert_eq!(ejected(&pool), [1]);
}

#[test]
fn the_last_one_in_use_stays_when_checks_or_operators_took_the_others() {
    let (detector, pool) = (detector(settings()), pool(Policy::RoundRobin, &[1, 1, 1]));
    pool.endpoints()[0]
        .state
        .set_health(false, "refused", UNIX_EPOCH);
    pool.endpoints()[1]
        .state
        .set_administration(crate::balance::Administration::Disabled);
    fail(&detector, &pool, 2, 0, 9);
    assert_eq!(ejected(&pool), NOBODY);
}

#[test]
fn shares_and_latencies_are_compared_at_intervals() {
    let (detector, pool) = (detector(settings()), pool(Policy::RoundRobin, &[1; 5]));
    let serve = |index: usize, failures: u32, milliseconds: u64| {
        let endpoint = &pool.endpoints()[index];
        for request in 0..20 {
            // No three in a row.
            if request % 2 == 0 && request / 2 < failures {
                detector.failed(endpoint, &pool, (0, 0));
            } else {
                detector.succeeded(endpoint);
                detector.answered(endpoint, Duration::from_millis(milliseconds));
            }
        }
    };
    for index in 0..5 {
        serve(
            index,
            if index == 3 { 10 } else { 1 },
            if index == 1 { 90 } else { 20 },
        );
    }
    assert_eq!(ejected(&pool), NOBODY);
    detector.evaluate(&pool, 0);
    assert_eq!(ejected(&pool), [1, 3]);
    let reason = |index: usize| pool.endpoints()[index].state.ejection();
    assert_eq!(reason(1), Some(Ejection::Latency));
    assert_eq!(reason(3), Some(Ejection::FailureShare));
    // What was looked at is not looked at again.
    for state in [1, 3].map(|index: usize| &pool.endpoints()[index].state) {
        state.end_ejection();
    }
    detector.evaluate(&pool, 0);
    assert_eq!(ejected(&pool), NOBODY);
}

#[test]
fn the_panic_threshold_counts_the_ejected_as_unhealthy() {
    let with = |hundredths| Settings {
        panic_threshold: Percent::new(hundredths).unwrap(),
        ..Policy::Random.into()
    };
    for (hundredths, panics) in [(50, false), (51, true)] {
        let (detector, pool) = (detector(settings()), pool(with(hundredths), &[1; 4]));
        // Counted before, too: what changes must be noticed.
        assert!(shares_by(&pool, 40, |_| 0).iter().all(|share| *share > 0));
        fail(&detector, &pool, 0, 0, 3);
        fail(&detector, &pool, 1, 0, 3);
        let shares = shares_by(&pool, 400, |_| 0);
        assert_eq!(shares[0] > 0, panics, "{hundredths} {shares:?}");
        for endpoint in pool.endpoints() {
            endpoint.state.end_ejection();
        }
        assert!(shares_by(&pool, 40, |_| 0).iter().all(|share| *share > 0));
    }
}

#[test]
fn who_comes_back_starts_slowly() {
    let settings_of_pool = Settings {
        slow_start: Duration::from_secs(10),
        ..Policy::Random.into()
    };
    let (detector, pool) = (detector(settings()), pool(settings_of_pool, &[1, 1]));
    fail(&detector, &pool, 0, 0, 3);
    assert_eq!(shares_by(&pool, 100, |_| 29_999)[0], 0);
    // The first look begins the slow start.
    let early = shares_by(&pool, 2_000, |_| 30_000)[0];
    let late = shares_by(&pool, 2_000, |_| 40_000)[0];
    assert!(early < 350 && late > 800, "{early} {late}");
}

#[test]
fn an_operator_who_enables_an_endpoint_ends_its_ejection() {
    let (detector, pool) = (detector(settings()), pool(Policy::RoundRobin, &[1, 1]));
    fail(&detector, &pool, 0, 0, 3);
    let state = &pool.endpoints()[0].state;
    state.set_administration(crate::balance::Administration::Enabled);
    assert!(!state.is_ejected());
}

#[test]
fn what_is_known_survives_a_new_pool_and_other_settings() {
    let upstream = Upstream::default();
    let old = upstream.pool(Policy::RoundRobin, &[1, 1, 1]);
    let before = detector(settings());
    fail(&before, &old, 0, 0, 3);
    fail(&before, &old, 1, 0, 2);
    let new = upstream.pool(Policy::RoundRobin, &[1, 1, 1, 1]);
    drop(old);
    assert_eq!(ejected(&new), [0]);
    let after = detector(OutlierSettings {
        ejection_time: Duration::from_secs(1),
        ..settings()
    });
    fail(&after, &new, 1, 0, 1);
    assert_eq!(ejected(&new), [0, 1]);
    assert_eq!(new.endpoints()[1].state.ejected_until(0), Some(1_000));
}

#[test]
fn statuses_that_fail_are_configured() {
    let detector = detector(settings());
    for (status, fails) in [
        (200, false),
        (499, false),
        (500, true),
        (599, true),
        (418, true),
    ] {
        assert_eq!(detector.is_failure(status), fails, "{status}");
    }
}

#[test]
fn what_is_new_is_told_once() {
    let (detector, pool) = (detector(settings()), pool(Policy::RoundRobin, &[1, 1]));
    let state = &pool.endpoints()[0].state;
    assert_eq!(state.ejection_news(), None);
    state.connect_failed(0);
    let refused = Some(Ejection::ConnectFailed);
    assert_eq!(state.ejection_news(), Some((None, refused)));
    assert_eq!(state.ejection_news(), None);
    fail(&detector, &pool, 0, 0, 3);
    let failed = Some(Ejection::ConsecutiveFailures);
    assert_eq!(state.ejection_news(), Some((refused, failed)));
    state.takes_connections();
    assert_eq!(state.ejection_news(), None);
    state.end_ejection();
    assert_eq!(state.ejection_news(), Some((failed, None)));
}
