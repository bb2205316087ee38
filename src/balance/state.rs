//! What is remembered of an endpoint while it is configured, across reloads.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::administration::{Administration, AdministrationCell};
use super::budget::RetryCounts;
use super::changes::{Changes, Watchers};
use super::connections::{Bells, OpenCount};
use super::cursor::Cursor;
use super::identity::EndpointId;
use super::latency::Latency;
use super::load::UpstreamLoad;
use super::outlier::{Ejection, Tally};
use super::ramp::Ramp;
use crate::observe::metrics::EndpointFigures;

/// What is remembered of one endpoint of one upstream.
///
/// Workers change the counts with every lease, the latency with every answer, and set the endpoint aside when it takes no
/// connection. Health probes write `health`, operators `administration`; both tell the pools that the endpoint is in. All is
/// read by whoever picks and by the admin address. It is dropped when no snapshot has the endpoint any more.
///
/// Who looks for outliers keeps a tally and ejects, which is a hint, too, and expires.
///
/// Setting aside is a hint and expires by itself; a failed health check is a fact and stays until a check succeeds.
#[derive(Debug)]
#[repr(align(128))] // Endpoints next to each other in memory are written by different workers.
pub struct EndpointState {
    /// How many leases are held, in the lower bits, and above them how many have been given: one write for both.
    leases: AtomicU64,
    failed_in_a_row: AtomicU32,
    /// Milliseconds on the gateway's clock; 0 when not set aside.
    set_aside_until: AtomicU64,
    /// The same; 0 when not ejected. One that has passed stays until the control plane has noticed.
    ejected_until: AtomicU64,
    last_failure: AtomicU64,
    unhealthy: AtomicBool,
    administration: AdministrationCell,
    ramp: Ramp,
    latency: Latency,
    failures: AtomicU64,
    tally: Box<Tally>,
    seldom: Box<Seldom>,
}

/// What no pick reads.
#[derive(Debug)]
struct Seldom {
    health: Mutex<Health>,
    watchers: Watchers,
}

/// What the active health checks found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether the endpoint may be used.
    pub healthy: bool,
    /// What the last check found, for people: `unchecked`, `status 503`, `refused`.
    pub reason: Box<str>,
    /// When `healthy` last changed; `None` before the first check.
    pub since: Option<SystemTime>,
}

impl EndpointState {
    /// How many exchanges hold the endpoint, over all workers.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        held(self.leases.load(Ordering::Relaxed))
    }

    /// How many leases have been given.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.leases.load(Ordering::Relaxed) >> HELD_BITS
    }

    /// How many times the endpoint took no connection.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// How many times in a row the endpoint was set aside; 0 once it takes a connection.
    #[must_use]
    pub fn failed_in_a_row(&self) -> u32 {
        self.failed_in_a_row.load(Ordering::Relaxed)
    }

    /// Until when the endpoint is set aside, in milliseconds on the gateway's clock; `None` if it is not.
    #[must_use]
    pub fn set_aside_until(&self, now_ms: u64) -> Option<u64> {
        Some(self.set_aside_until.load(Ordering::Relaxed)).filter(|until| now_ms < *until)
    }

    /// Whether the endpoint is ejected for how it serves. Once its time is over, that holds until it has been noticed.
    #[must_use]
    pub fn is_ejected(&self) -> bool {
        self.ejected_until.load(Ordering::Relaxed) != 0
    }

    /// Until when the endpoint is ejected, in milliseconds on the gateway's clock; `None` if it is not.
    #[must_use]
    pub fn ejected_until(&self, now_ms: u64) -> Option<u64> {
        Some(self.ejected_until.load(Ordering::Relaxed)).filter(|until| now_ms < *until)
    }

    /// Why the endpoint is ejected; `None` if it is not.
    #[must_use]
    pub fn ejection(&self) -> Option<Ejection> {
        self.is_ejected().then(|| self.tally.reason())?
    }

    /// Why the endpoint was out of use when this was asked last, and why it is now, by what became of requests. `None`:
    /// that is the same. For one who asks from time to time and tells the others.
    #[must_use]
    pub fn ejection_news(&self) -> Option<(Option<Ejection>, Option<Ejection>)> {
        let refused = || (self.failed_in_a_row() > 0).then_some(Ejection::ConnectFailed);
        let (before, now) = (self.tally.told(), self.ejection().or_else(refused));
        if before == now {
            return None;
        }
        self.tally.tell(now);
        // Whoever ejected may not have been able to tell the pools.
        self.seldom.watchers.tell();
        Some((before, now))
    }

    /// Takes the endpoint into use again, whatever is left of its ejection.
    pub fn end_ejection(&self) {
        if self.ejected_until.swap(0, Ordering::Relaxed) != 0 {
            self.seldom.watchers.tell();
        }
    }

    /// Whether the active health checks allow to use the endpoint.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        !self.unhealthy.load(Ordering::Relaxed)
    }

    /// What the health checks found.
    #[must_use]
    pub fn health(&self) -> Health {
        self.lock_health().clone()
    }

    /// Notes what a health check found. `since` moves only when the verdict changes. An endpoint that recovers starts
    /// slowly, in pools that have that.
    pub fn set_health(&self, healthy: bool, reason: &str, now: SystemTime) {
        let mut health = self.lock_health();
        let is_first = health.since.is_none();
        let has_changed = health.healthy != healthy;
        if is_first || has_changed {
            health.since = Some(now);
        }
        if *health.reason != *reason {
            health.reason = reason.into();
        }
        health.healthy = healthy;
        if has_changed {
            if healthy && !is_first {
                self.ramp.cool();
            }
            self.unhealthy.store(!healthy, Ordering::Relaxed);
            self.seldom.watchers.tell();
        }
    }

    /// Takes the endpoint out of use until its first check.
    pub fn expect_check(&self) {
        let mut health = self.lock_health();
        *health = Health {
            healthy: false,
            ..Health::unchecked()
        };
        self.unhealthy.store(true, Ordering::Relaxed);
        self.seldom.watchers.tell();
    }

    /// Forgets what health checks found, for an upstream that is no longer checked.
    pub fn forget_health(&self) {
        let mut health = self.lock_health();
        *health = Health::unchecked();
        self.unhealthy.store(false, Ordering::Relaxed);
        self.seldom.watchers.tell();
    }

    /// What an operator has said of the endpoint.
    #[must_use]
    pub fn administration(&self) -> Administration {
        self.administration.read()
    }

    /// Puts the endpoint into use or takes it out. One that is put into use again starts slowly, in pools that have that.
    /// One that is enabled is not ejected any more, either.
    pub fn set_administration(&self, state: Administration) {
        if state == Administration::Enabled {
            self.end_ejection();
        }
        let before = self.administration.replace(state);
        if before == state {
            return;
        }
        if state == Administration::Enabled {
            self.ramp.cool();
        }
        self.seldom.watchers.tell();
    }

    /// Whether no operator has taken the endpoint out of use.
    #[must_use]
    pub fn is_in_service(&self) -> bool {
        self.administration.read() == Administration::Enabled
    }

    /// The time to the first byte as [`super::Policy::PeakEwma`] sees it; `None` if the endpoint has not answered lately.
    #[must_use]
    pub fn latency(&self, now_ms: u64) -> Option<Duration> {
        let microseconds = self.latency.at(now_ms)?;
        Some(Duration::from_micros(microseconds as u64))
    }

    /// The same in microseconds.
    pub(super) fn latency_us(&self, now_ms: u64) -> Option<f32> {
        self.latency.at(now_ms)
    }

    /// Whether the endpoint is in service, healthy, not set aside and not ejected.
    pub(super) fn is_available(&self, now_ms: u64) -> bool {
        self.is_in_service()
            && self.is_healthy()
            && self.set_aside_until(now_ms).is_none()
            && self.ejected_until(now_ms).is_none()
    }

    /// The share of its weight that the endpoint has by now, of [`super::ramp::FULL`].
    pub(super) fn warmth(&self, now_ms: u64, window_ms: u64) -> u64 {
        self.ramp.share(now_ms, window_ms)
    }

    /// Whether no pick has considered the endpoint since it joined or came back.
    pub(super) fn is_cold(&self) -> bool {
        self.ramp.is_cold()
    }

    /// Gives the endpoint its whole weight at once.
    pub(super) fn warm(&self) {
        self.ramp.warm();
    }

    /// Has the pool told of every change of health or administration.
    pub(super) fn watch(&self, changes: &Arc<Changes>) {
        self.seldom.watchers.add(changes);
    }

    /// When the endpoint last took no connection.
    pub(super) fn last_failure(&self) -> u64 {
        self.last_failure.load(Ordering::Relaxed)
    }

    pub(super) fn taken(&self) {
        self.leases.fetch_add(ONE_MORE, Ordering::Relaxed);
    }

    /// The same, unless there are `most` in flight.
    pub(super) fn taken_below(&self, most: NonZeroU32) -> bool {
        let below =
            |leases: u64| (held(leases) < most.get()).then(|| leases.wrapping_add(ONE_MORE));
        self.leases
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, below)
            .is_ok()
    }

    /// Whether fewer than `most` are in flight.
    pub(super) fn has_room(&self, most: Option<NonZeroU32>) -> bool {
        most.is_none_or(|most| self.in_flight() < most.get())
    }

    /// The open connections to the endpoint.
    pub(super) fn connections(&self) -> &OpenCount {
        self.seldom.watchers.connections()
    }

    /// How the workers that have connections to the upstream are told that one is scarce.
    #[must_use]
    pub fn bells(&self) -> &Bells {
        self.upstream().bells()
    }

    /// The upstream as a whole.
    pub(super) fn upstream(&self) -> &UpstreamLoad {
        self.seldom.watchers.upstream()
    }

    /// Comes before the calls of [`UpstreamLoad::given_back`], for which the order has to be a sequentially consistent one.
    pub(super) fn given_back(&self) {
        self.leases.fetch_sub(1, Ordering::SeqCst);
    }

    /// Sets the endpoint aside for 1 s, and twice as long each time in a row, up to 30 s.
    pub(super) fn connect_failed(&self, now_ms: u64) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.last_failure.store(now_ms, Ordering::Relaxed);
        let until = self.set_aside_until.load(Ordering::Relaxed);
        if now_ms < until {
            // A hundred attempts that fail together are one failure; only one after the pause makes the next one longer.
            return;
        }
        let row = self.failed_in_a_row.load(Ordering::Relaxed);
        let pause = (FIRST_PAUSE_MS << row.min(DOUBLINGS)).min(LONGEST_PAUSE_MS);
        let won = self.set_aside_until.compare_exchange(
            until,
            now_ms.saturating_add(pause),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if won.is_ok() {
            self.failed_in_a_row
                .store(row.saturating_add(1), Ordering::Relaxed);
        }
    }

    /// Ends the setting aside: the endpoint took a connection. It starts slowly, in pools that have that.
    pub fn takes_connections(&self) {
        // Read first: the usual case must not write to a line that all workers read.
        if self.set_aside_until.load(Ordering::Relaxed) != 0 {
            self.ramp.cool();
            self.failed_in_a_row.store(0, Ordering::Relaxed);
            self.set_aside_until.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Ejects the endpoint. When it is back, it starts slowly, in pools that have that.
    pub(super) fn eject(&self, reason: Ejection, now_ms: u64, until_ms: u64) {
        self.tally.begin_anew(reason);
        self.last_failure.store(now_ms, Ordering::Relaxed);
        self.ramp.cool();
        self.ejected_until.store(until_ms.max(1), Ordering::Relaxed);
        self.seldom.watchers.try_tell();
    }

    pub(super) fn answered(&self, first_byte: Duration, now_ms: u64) {
        self.latency.note(first_byte, now_ms);
    }

    fn lock_health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.seldom
            .health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for EndpointState {
    fn default() -> Self {
        Self::new(&Arc::default())
    }
}

impl EndpointState {
    /// An endpoint of which nothing is known: healthy until a check says otherwise.
    fn new(upstream: &Arc<UpstreamLoad>) -> Self {
        Self {
            leases: AtomicU64::new(0),
            failed_in_a_row: AtomicU32::new(0),
            set_aside_until: AtomicU64::new(0),
            ejected_until: AtomicU64::new(0),
            last_failure: AtomicU64::new(0),
            unhealthy: AtomicBool::new(false),
            administration: AdministrationCell::default(),
            ramp: Ramp::default(),
            latency: Latency::default(),
            failures: AtomicU64::new(0),
            tally: Box::default(),
            seldom: Box::new(Seldom {
                health: Mutex::new(Health::unchecked()),
                watchers: Watchers::new(Arc::clone(upstream)),
            }),
        }
    }
}

impl EndpointFigures for EndpointState {
    fn in_flight(&self) -> u64 {
        u64::from(self.in_flight())
    }

    fn connections(&self) -> u64 {
        u64::from(self.connections().get())
    }

    /// A scrape has no gateway clock, so an endpoint that was set aside counts as down until it takes a connection.
    fn is_up(&self) -> bool {
        self.is_healthy() && !self.is_ejected() && self.failed_in_a_row() == 0
    }

    fn is_ejected(&self) -> bool {
        Self::is_ejected(self)
    }
}

impl Health {
    fn unchecked() -> Self {
        Self {
            healthy: true,
            reason: "unchecked".into(),
            since: None,
        }
    }
}

/// The states of all endpoints of a gateway, by upstream and identity. Used when snapshots are compiled, never by a request.
#[derive(Debug, Default)]
pub struct EndpointStates {
    upstreams: Mutex<HashMap<Box<str>, UpstreamState>>,
}

#[derive(Debug, Default)]
struct UpstreamState {
    cursor: Arc<Cursor>,
    retries: Arc<RetryCounts>,
    load: Arc<UpstreamLoad>,
    /// Held by who ejects one of the endpoints.
    turn: Arc<Mutex<()>>,
    endpoints: HashMap<EndpointId, Arc<EndpointState>>,
}

impl EndpointStates {
    /// The state of this endpoint of the upstream of that name; the same one for the same pair.
    #[must_use]
    pub fn endpoint(&self, upstream: &str, endpoint: EndpointId) -> Arc<EndpointState> {
        self.with(upstream, |state| {
            let UpstreamState {
                endpoints, load, ..
            } = state;
            let known = endpoints.entry(endpoint);
            Arc::clone(known.or_insert_with(|| Arc::new(EndpointState::new(load))))
        })
    }

    /// What the upstream of that name has in flight as a whole; the same one for the same name.
    #[must_use]
    pub fn load(&self, upstream: &str) -> Arc<UpstreamLoad> {
        self.with(upstream, |state| Arc::clone(&state.load))
    }

    /// Where the picks of the upstream of that name have got to; the same one for the same name.
    #[must_use]
    pub fn cursor(&self, upstream: &str) -> Arc<Cursor> {
        self.with(upstream, |state| Arc::clone(&state.cursor))
    }

    /// What those who eject endpoints of the upstream of that name take turns by; the same one for the same name.
    #[must_use]
    pub fn turn(&self, upstream: &str) -> Arc<Mutex<()>> {
        self.with(upstream, |state| Arc::clone(&state.turn))
    }

    /// What the upstream of that name has been asked and granted lately; the same one for the same name.
    #[must_use]
    pub fn retries(&self, upstream: &str) -> Arc<RetryCounts> {
        self.with(upstream, |state| Arc::clone(&state.retries))
    }

    /// Drops what no snapshot refers to any more.
    pub fn retain_used(&self) {
        self.lock().retain(|_, upstream| {
            upstream
                .endpoints
                .retain(|_, state| Arc::strong_count(state) > 1);
            !upstream.endpoints.is_empty()
                || Arc::strong_count(&upstream.cursor) > 1
                || Arc::strong_count(&upstream.load) > 1
        });
    }

    fn with<R>(&self, upstream: &str, find: impl FnOnce(&mut UpstreamState) -> R) -> R {
        let mut upstreams = self.lock();
        if let Some(known) = upstreams.get_mut(upstream) {
            return find(known);
        }
        find(upstreams.entry(upstream.into()).or_default())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, UpstreamState>> {
        self.upstreams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many of the leases are held now. There are fewer than 2^24 by far: each takes memory.
fn held(leases: u64) -> u32 {
    u32::try_from(leases & ((1 << HELD_BITS) - 1)).unwrap_or(u32::MAX)
}

const HELD_BITS: u32 = 24;
/// One more that is given, and held.
const ONE_MORE: u64 = (1 << HELD_BITS) + 1;
const FIRST_PAUSE_MS: u64 = 1_000;
const LONGEST_PAUSE_MS: u64 = 30_000;
/// After these the pause is the longest one.
const DOUBLINGS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn each_failure_after_a_pause_doubles_the_next_pause_up_to_thirty_seconds() {
        let state = EndpointState::default();
        let mut now = 5_000;
        let mut pauses = Vec::new();
        for _ in 0..8 {
            state.connect_failed(now);
            let until = state.set_aside_until(now).unwrap();
            pauses.push(until - now);
            now = until;
        }
        let expected = [1, 2, 4, 8, 16, 30, 30, 30].map(|seconds| seconds * 1_000);
        assert_eq!(pauses, expected);
    }

    #[test]
    fn a_long_row_of_failures_keeps_the_longest_pause() {
        let state = EndpointState::default();
        for row in 1..200 {
            let now = row * 60_000;
            state.connect_failed(now);
            assert!(state.set_aside_until(now).unwrap() <= now + 30_000);
        }
        assert_eq!(
            state.set_aside_until(199 * 60_000),
            Some(199 * 60_000 + 30_000)
        );
    }

    #[test]
    fn failures_during_a_pause_do_not_prolong_it() {
        let state = EndpointState::default();
        state.connect_failed(100);
        state.connect_failed(100);
        state.connect_failed(900);
        assert_eq!(state.set_aside_until(900), Some(1_100));
        assert!(!state.is_available(1_099));
        assert!(state.is_available(1_100));
        assert_eq!(state.failed_in_a_row(), 1);
        assert_eq!(state.failures(), 3);
        assert_eq!(state.last_failure(), 900);
    }

    #[test]
    fn a_connection_taken_ends_the_pause_and_the_row() {
        let state = EndpointState::default();
        state.connect_failed(0);
        assert!(!state.is_up());
        state.connect_failed(1_000);
        state.takes_connections();
        assert!(state.is_available(1_001));
        assert!(state.is_up());
        state.connect_failed(2_000);
        assert_eq!(state.set_aside_until(2_000), Some(3_000));
    }

    #[test]
    fn the_time_of_a_verdict_is_that_of_its_first_check() {
        let state = EndpointState::default();
        assert_eq!(state.health(), Health::unchecked());
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        state.set_health(true, "status 200", at(1));
        state.set_health(false, "status 503", at(2));
        state.set_health(false, "refused", at(3));
        assert!(!state.is_available(0));
        let expected = Health {
            healthy: false,
            reason: "refused".into(),
            since: Some(at(2)),
        };
        assert_eq!(state.health(), expected);
        state.forget_health();
        assert!(state.is_available(0));
    }

    #[test]
    fn who_is_taken_out_of_service_is_not_available() {
        let state = EndpointState::default();
        for administration in [Administration::Draining, Administration::Disabled] {
            state.set_administration(administration);
            assert_eq!(state.administration(), administration);
            assert!(!state.is_available(0));
        }
        state.set_administration(Administration::Enabled);
        assert!(state.is_available(0));
    }

    #[test]
    fn who_comes_back_starts_slowly_and_who_only_stays_does_not() {
        type Change = fn(&EndpointState);
        let cases: [(&str, bool, Change); 7] = [
            ("first check", false, |state| {
                state.set_health(true, "", UNIX_EPOCH);
            }),
            ("down", false, |state| {
                state.set_health(false, "", UNIX_EPOCH)
            }),
            ("up", true, |state| state.set_health(true, "", UNIX_EPOCH)),
            ("drained", false, |state| {
                state.set_administration(Administration::Draining);
            }),
            ("enabled", true, |state| {
                state.set_administration(Administration::Enabled);
            }),
            ("enabled again", false, |state| {
                state.set_administration(Administration::Enabled);
            }),
            ("reachable", true, |state| {
                state.connect_failed(0);
                state.takes_connections();
            }),
        ];
        let state = EndpointState::default();
        for (change, starts_slowly, make) in cases {
            state.warm();
            make(&state);
            assert_eq!(state.is_cold(), starts_slowly, "{change}");
        }
    }

    #[test]
    fn leases_are_counted_as_held_and_as_given() {
        let state = EndpointState::default();
        let two = NonZeroU32::new(2).unwrap();
        assert!(state.taken_below(two));
        state.taken();
        assert!(!state.taken_below(two));
        assert_eq!((state.in_flight(), state.requests()), (2, 2));
        state.given_back();
        assert!(state.taken_below(two));
        assert_eq!((state.in_flight(), state.requests()), (2, 3));
        state.given_back();
        state.given_back();
        assert_eq!((state.in_flight(), state.requests()), (0, 3));
    }

    #[test]
    fn two_cache_lines_hold_what_is_remembered() {
        assert!(size_of::<EndpointState>() <= 128);
    }

    #[test]
    fn state_is_one_per_upstream_and_endpoint_as_long_as_someone_holds_it() {
        let states = EndpointStates::default();
        let at = |text: &str| EndpointId::at(text.parse().unwrap());
        let (one, two) = (|| at("127.0.0.1:1"), || at("127.0.0.1:2"));
        let held = states.endpoint("a", one());
        assert!(Arc::ptr_eq(&held, &states.endpoint("a", one())));
        assert!(!Arc::ptr_eq(&held, &states.endpoint("b", one())));
        let dropped = Arc::downgrade(&states.endpoint("a", two()));
        states.retain_used();
        assert!(dropped.upgrade().is_none());
        assert!(Arc::ptr_eq(&held, &states.endpoint("a", one())));
    }
}
