//! The endpoints of one upstream, and how one of them is picked.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use super::breaker::Breaker;
use super::changes::Changes;
use super::context::PickContext;
use super::cursor::Cursor;
use super::endpoint::Endpoint;
use super::lease::Lease;
use super::limits::{Limits, Refusal};
use super::metadata::{Member, Metadata};
use super::set::{Choice, Drawn};
use super::settings::{Percent, Policy, Settings, SubsetFallback, SubsetSettings};
use super::sticky::{StickyId, StickyKey};
use super::tiers::{Placed, Tiers};
use crate::observe::metrics::EndpointFigures;

/// The endpoints of one upstream, frozen with its snapshot, and the policy that chooses among them.
#[derive(Debug)]
pub struct Pool {
    endpoints: Box<[Arc<Endpoint>]>,
    metadata: Box<[Metadata]>,
    whole: Tiers,
    subsets: Option<Subsets>,
    sticky: Sticky,
    panics: bool,
    limits: Option<Arc<Limits>>,
    breaker: Option<Arc<Breaker>>,
    changes: Arc<Changes>,
}

/// The tiers of each subset.
#[derive(Debug)]
struct Subsets {
    settings: SubsetSettings,
    by_value: HashMap<Box<str>, Tiers>,
}

/// The endpoints as cookies name them; empty without sticky sessions.
#[derive(Debug, Default)]
struct Sticky {
    ids: Box<[StickyId]>,
    by_id: HashMap<StickyId, usize>,
}

impl Pool {
    /// A pool of one tier that has no settings but its policy; else as [`Pool::build`].
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "callers hand over the share of the cursor that they were given"
    )]
    pub fn new(policy: Policy, endpoints: Vec<Endpoint>, cursor: Arc<Cursor>) -> Self {
        let members = endpoints.into_iter().map(Member::from).collect();
        Self::build(&policy.into(), members, &cursor)
    }

    /// A pool of these endpoints. The cursor is the upstream's, from [`super::EndpointStates`], so that a new pool goes on
    /// where the old one is. From here on the endpoints' metrics ask their states for what is in flight and what is up.
    #[must_use]
    pub fn build(settings: &Settings, members: Vec<Member>, cursor: &Arc<Cursor>) -> Self {
        let (endpoints, metadata): (Vec<_>, Vec<_>) = members
            .into_iter()
            .map(|member| (Arc::new(member.endpoint), member.metadata))
            .unzip();
        let changes = Arc::new(Changes::default());
        for endpoint in &endpoints {
            let figures: Weak<dyn EndpointFigures> = Arc::downgrade(&endpoint.state) as _;
            endpoint.metrics.watch(figures);
            endpoint.state.watch(&changes);
        }
        // Where nobody is warm, slowness would serve no one: it is the gateway that starts, not an endpoint.
        if settings.slow_start.is_zero() || endpoints.iter().all(|one| one.state.is_cold()) {
            for endpoint in &endpoints {
                endpoint.state.warm();
            }
        }
        let placed = |(index, (endpoint, metadata))| Placed {
            index,
            endpoint,
            metadata,
        };
        let all = || endpoints.iter().zip(&metadata).enumerate().map(placed);
        Self {
            whole: Tiers::new(settings, all(), None, cursor),
            subsets: settings.subsets.as_ref().map(|subsets| {
                let by_value = values(&subsets.label, &metadata).map(|value| {
                    let wanted =
                        all().filter(|placed| placed.metadata.label(&subsets.label) == Some(value));
                    (
                        value.into(),
                        Tiers::new(settings, wanted, Some(value), cursor),
                    )
                });
                Subsets {
                    settings: subsets.clone(),
                    by_value: by_value.collect(),
                }
            }),
            sticky: settings
                .sticky
                .as_ref()
                .map_or_else(Sticky::default, |key| Sticky::new(key, &endpoints)),
            panics: settings.panic_threshold > Percent::default(),
            limits: settings.limits.as_ref().map(Arc::clone),
            breaker: settings.breaker.as_ref().map(Arc::clone),
            endpoints: endpoints.into(),
            metadata: metadata.into(),
            changes,
        }
    }

    /// The endpoints, in the order of the configuration.
    #[must_use]
    pub fn endpoints(&self) -> &[Arc<Endpoint>] {
        &self.endpoints
    }

    /// Where the endpoint with that index stands.
    #[must_use]
    pub fn metadata(&self, index: usize) -> Option<&Metadata> {
        self.metadata.get(index)
    }

    /// What cookies call the endpoint with that index; `None` without sticky sessions.
    #[must_use]
    pub fn sticky_id(&self, index: usize) -> Option<StickyId> {
        self.sticky.ids.get(index).copied()
    }

    /// Whether the endpoint of a session is here, in that subset, and neither unhealthy nor out of service.
    #[must_use]
    pub fn has_session(&self, id: StickyId, subset: Option<&str>) -> bool {
        let index = self.sticky.by_id.get(&id);
        index.is_some_and(|index| {
            let state = self.endpoints.get(*index).map(|endpoint| &endpoint.state);
            state.is_some_and(|state| state.is_in_service() && state.is_healthy())
                && subset.is_none_or(|value| self.is_in(*index, value))
        })
    }

    /// Whether the endpoint of the session would serve the request, if it had room.
    #[must_use]
    pub fn keeps_session(&self, context: &PickContext<'_>) -> bool {
        let subset = context.subset.filter(|_| self.subsets.is_some());
        self.stuck(context)
            .is_some_and(|own| subset.is_none_or(|value| self.is_in(own.index, value)))
    }

    /// Whether any endpoint could be picked: not all are unhealthy, out of service or without weight.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.endpoints.iter().any(|endpoint| {
            endpoint.weight > 0
                && endpoint.state.is_in_service()
                && (self.panics || endpoint.state.is_healthy())
        })
    }

    /// Chooses an endpoint for a request that has no wishes; else as [`Pool::pick_for`].
    #[must_use]
    pub fn pick(&self, now_ms: u64, random: u64, tried: &[usize]) -> Option<Lease> {
        self.pick_for(&PickContext::new(now_ms, random, tried))
    }

    /// As [`Pool::lease`], for those who need not know why there is none.
    #[must_use]
    pub fn pick_for(&self, context: &PickContext<'_>) -> Option<Lease> {
        self.lease(context).ok()
    }

    /// Chooses an endpoint that is in service, healthy, not set aside and not tried.
    ///
    /// A session's own endpoint comes first; whether it was given up shows when the lease's index has another
    /// [`Pool::sticky_id`]. If all that remain are set aside or ejected, the one that failed longest ago is chosen: that is a
    /// hint, and a guess is better than a sure failure. An endpoint that fails its health checks is chosen only below the
    /// panic threshold, one that an operator took out of service never. One that has as much as it takes leaves its
    /// requests to the others.
    ///
    /// # Errors
    /// There is no such endpoint, or those that there are take no more, or the upstream is left alone.
    pub fn lease(&self, context: &PickContext<'_>) -> Result<Lease, Refusal> {
        let Some(breaker) = &self.breaker else {
            return self.lease_unbroken(context);
        };
        let pass = breaker.admit(context.now_ms);
        let pass = pass.map_err(Refusal::BreakerOpen)?;
        Ok(self.lease_unbroken(context)?.passed(Some(pass)))
    }

    fn lease_unbroken(&self, context: &PickContext<'_>) -> Result<Lease, Refusal> {
        if let Some(limits) = &self.limits {
            return self.lease_within(limits, context);
        }
        let (endpoint, choice) = self.chosen(context).ok_or(Refusal::NoEndpoint)?;
        Ok(Lease::take(endpoint, choice))
    }

    /// Whether some endpoint takes one more, whoever asks.
    #[must_use]
    pub fn has_room(&self, now_ms: u64) -> bool {
        self.limits.as_ref().is_none_or(|limits| {
            let free = |one: &Arc<Endpoint>| {
                let state = &one.state;
                one.weight > 0
                    && state.is_available(now_ms)
                    && state.has_room(limits.endpoint_requests)
            };
            limits.has_room() && self.endpoints.iter().any(free)
        })
    }

    fn lease_within(
        &self,
        limits: &Arc<Limits>,
        context: &PickContext<'_>,
    ) -> Result<Lease, Refusal> {
        let limited = PickContext {
            endpoint_requests: limits.endpoint_requests,
            ..*context
        };
        for _ in 0..RACES {
            if !limits.has_room() {
                break;
            }
            let Some((endpoint, choice)) = self.chosen(&limited) else {
                break;
            };
            // Another worker may have been quicker.
            if let Some(lease) = Lease::take_within(limits, endpoint, choice) {
                return Ok(lease);
            }
        }
        match self.chosen(context) {
            Some(_) => Err(limits.refusal()),
            None => Err(Refusal::NoEndpoint),
        }
    }

    fn chosen(&self, context: &PickContext<'_>) -> Option<(&Arc<Endpoint>, Choice<'_>)> {
        let choice = self.choose(context, self.changes.count())?;
        Some((self.endpoints.get(choice.index)?, choice))
    }

    fn choose(&self, context: &PickContext<'_>, changes: u64) -> Option<Choice<'_>> {
        let own = self.stuck(context);
        let any = || own.or_else(|| self.whole.choose(context, changes));
        let (Some(subsets), Some(value)) = (&self.subsets, context.subset) else {
            return any();
        };
        let of = |value: &str| {
            own.filter(|own| self.is_in(own.index, value))
                .or_else(|| subsets.by_value.get(value)?.choose(context, changes))
        };
        of(value).or_else(|| {
            let mut choice = match &subsets.settings.fallback {
                SubsetFallback::Refuse => None,
                SubsetFallback::Any => any(),
                SubsetFallback::Subset(other) => of(other),
            }?;
            choice.drawn.fell_back = true;
            Some(choice)
        })
    }

    /// Whether the endpoint with that index is in the subset of that value.
    fn is_in(&self, index: usize, value: &str) -> bool {
        let label = self.subsets.as_ref().map(|subsets| &subsets.settings.label);
        self.metadata(index)
            .zip(label)
            .is_some_and(|(own, label)| own.label(label) == Some(value))
    }

    /// The session's own endpoint, if it can serve.
    fn stuck(&self, context: &PickContext<'_>) -> Option<Choice<'_>> {
        let index = *self.sticky.by_id.get(&context.sticky?)?;
        let endpoint = self.endpoints.get(index)?;
        let can_serve = endpoint.weight > 0
            && endpoint.state.is_available(context.now_ms)
            && endpoint.state.has_room(context.endpoint_requests)
            && !context.tried.contains(&index);
        can_serve.then_some(Choice {
            index,
            counter: None,
            drawn: Drawn::default(),
        })
    }
}

impl Sticky {
    fn new(key: &StickyKey, endpoints: &[Arc<Endpoint>]) -> Self {
        let ids: Box<[_]> = endpoints.iter().map(|one| key.id(&one.id())).collect();
        Self {
            by_id: ids.iter().copied().zip(0..).collect(),
            ids,
        }
    }
}

/// How often a pick begins anew because others took the last places. Each time somebody got one.
const RACES: usize = 8;

/// The values that a label has, each once.
fn values<'a>(label: &str, metadata: &'a [Metadata]) -> impl Iterator<Item = &'a str> {
    let values: std::collections::BTreeSet<&str> = metadata
        .iter()
        .filter_map(|metadata| metadata.label(label))
        .collect();
    values.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::Administration;
    use crate::balance::testing::{Simulation, Upstream, labelled, pool, shares, shares_by};
    use crate::observe::Metrics;
    use std::time::Duration;
    use std::time::UNIX_EPOCH;

    #[test]
    fn a_lease_counts_until_it_is_dropped() {
        for policy in Policy::ALL {
            let pool = pool(policy, &[1]);
            let state = &pool.endpoints()[0].state;
            let first = pool.pick(0, 0, &[]).unwrap();
            let second = pool.pick(0, 0, &[]).unwrap();
            assert_eq!(state.in_flight(), 2);
            drop(first);
            drop(second);
            assert_eq!(state.in_flight(), 0);
            assert_eq!(state.requests(), 2);
        }
    }

    #[test]
    fn no_policy_picks_what_is_tried_unhealthy_set_aside_or_without_weight() {
        for policy in Policy::ALL {
            let pool = pool(policy, &[1, 1, 1, 0, 1]);
            pool.endpoints()[1]
                .state
                .set_health(false, "status 503", UNIX_EPOCH);
            pool.endpoints()[2].state.connect_failed(0);
            for random in 0..50_u64 {
                let random = random.wrapping_mul(0x9E37_79B9_7F4A_7C15);
                assert_eq!(
                    pool.pick(10, random, &[0]).unwrap().index(),
                    4,
                    "{policy:?}"
                );
            }
        }
    }

    #[test]
    fn if_all_are_set_aside_the_one_that_failed_longest_ago_is_tried() {
        for policy in Policy::ALL {
            let pool = pool(policy, &[1, 1, 1]);
            for (index, at) in [(0, 30), (1, 10), (2, 20)] {
                pool.endpoints()[index].state.connect_failed(at);
            }
            let mut tried = Vec::new();
            while let Some(lease) = pool.pick(40, 7, &tried) {
                tried.push(lease.index());
            }
            assert_eq!(tried, [1, 2, 0], "{policy:?}");
        }
    }

    #[test]
    fn an_unhealthy_endpoint_is_not_even_a_last_resort() {
        for policy in Policy::ALL {
            let pool = pool(policy, &[1, 0]);
            assert!(pool.is_usable());
            pool.endpoints()[0]
                .state
                .set_health(false, "refused", UNIX_EPOCH);
            assert!(pool.pick(0, 0, &[]).is_none(), "{policy:?}");
            assert!(!pool.is_usable());
        }
    }

    #[test]
    fn scrapes_show_what_is_in_flight_and_what_is_up() {
        let metrics = Metrics::new(1);
        let upstream = metrics.upstream("users");
        let upstream = Upstream::counted_in(upstream);
        let pool = upstream.pool(Policy::RoundRobin, &[1, 1]);
        let held = pool.pick(0, 0, &[]).unwrap();
        pool.pick(0, 0, &[]).unwrap().connect_failed(0);
        let page = metrics.encode();
        for (name, endpoint, value) in [
            ("upstream_requests_in_flight", "127.0.0.1:9000", 1),
            ("upstream_requests_in_flight", "127.0.0.1:9001", 0),
            ("endpoint_up", "127.0.0.1:9000", 1),
            ("endpoint_up", "127.0.0.1:9001", 0),
        ] {
            let labels = format!(r#"{{upstream="users",endpoint="{endpoint}"}}"#);
            let sample = format!("portcullis_{name}{labels} {value}\n");
            assert!(page.contains(&sample), "{sample} in {page}");
        }
        drop(held);
    }

    #[test]
    fn an_empty_pool_has_nothing_to_pick() {
        for policy in Policy::ALL {
            assert!(pool(policy, &[]).pick(0, 0, &[]).is_none());
        }
    }

    #[test]
    fn shares_of_an_idle_pool_follow_the_weights() {
        for policy in Policy::ALL {
            for weights in [[1, 2, 5], [3, 3, 2]] {
                let pool = pool(policy, &weights);
                // All have answered, or nobody would be known to be no quicker than the others.
                for (index, tried) in [[1, 2], [0, 2], [0, 1]].iter().enumerate() {
                    let lease = pool.pick(0, 0, tried).unwrap();
                    assert_eq!(lease.index(), index);
                    lease.answered(Duration::from_millis(5), 0);
                }
                let shares = shares(&pool, 80_000);
                for (share, weight) in shares.iter().zip(weights) {
                    let expected = 10_000 * usize::try_from(weight).unwrap();
                    assert!(share.abs_diff(expected) < 800, "{policy:?} {shares:?}");
                }
            }
        }
    }

    #[test]
    fn shares_of_a_busy_pool_follow_the_weights() {
        for policy in Policy::ALL {
            let pool = pool(policy, &[1, 2, 5]);
            // On average 80 requests are in flight.
            let outcome = Simulation::default().run(&pool, &[40; 3], 500, 80_000);
            for (share, weight) in outcome.shares.iter().zip([1, 2, 5]) {
                let expected = 10_000 * weight;
                assert!(
                    share.abs_diff(expected) < expected / 10,
                    "{policy:?} {:?}",
                    outcome.shares
                );
            }
        }
    }

    #[test]
    fn what_is_remembered_survives_a_new_pool() {
        for policy in Policy::ALL {
            let upstream = Upstream::default();
            let old = upstream.pool(policy, &[1, 1, 1, 1]);
            old.pick(0, 0, &[1, 2, 3])
                .unwrap()
                .answered(Duration::from_millis(30), 0);
            let held = old.pick(0, 0, &[1, 2, 3]).unwrap();
            old.endpoints()[1]
                .state
                .set_administration(Administration::Draining);
            old.endpoints()[2].state.connect_failed(0);
            old.endpoints()[3]
                .state
                .set_health(false, "refused", UNIX_EPOCH);
            drop(old);
            let new = upstream.pool(policy, &[1, 1, 1, 1]);
            let state = &new.endpoints()[0].state;
            assert_eq!(state.in_flight(), 1);
            assert_eq!(state.latency(0), Some(Duration::from_millis(30)));
            assert_eq!(shares_by(&new, 50, |_| 10), [50, 0, 0, 0], "{policy:?}");
            drop(held);
            assert_eq!(state.in_flight(), 0);
        }
    }

    #[test]
    fn an_endpoint_that_drains_keeps_what_it_has_and_gets_nothing_new() {
        for policy in Policy::ALL {
            let pool = pool(policy, &[1, 1]);
            let held = pool.pick(0, 0, &[1]).unwrap();
            let state = &pool.endpoints()[0].state;
            state.set_administration(Administration::Draining);
            assert_eq!(shares(&pool, 100), [0, 100], "{policy:?}");
            assert_eq!(state.in_flight(), 1);
            drop(held);
            assert_eq!(state.in_flight(), 0);
            state.set_administration(Administration::Disabled);
            assert_eq!(shares(&pool, 100), [0, 100], "{policy:?}");
            assert!(pool.pick(0, 0, &[1]).is_none());
            state.set_administration(Administration::Enabled);
            assert!(shares(&pool, 100)[0] > 0, "{policy:?}");
        }
    }

    #[test]
    fn who_joins_a_running_pool_gets_its_share_slowly() {
        for policy in Policy::ALL {
            let upstream = Upstream::default();
            let settings = Settings {
                slow_start: Duration::from_secs(10),
                ..policy.into()
            };
            let old = upstream.pool(settings.clone(), &[1]);
            assert_eq!(shares(&old, 10), [10]);
            let new = upstream.pool(settings, &[1, 1]);
            let answer = |now_ms| {
                for other in [0, 1] {
                    let lease = new.pick(now_ms, 0, &[other]).unwrap();
                    lease.answered(Duration::from_millis(5), now_ms);
                }
            };
            let mut before = 0;
            for (now_ms, expected) in [(0, 909), (2_500, 2_000), (5_000, 3_333), (10_000, 5_000)] {
                answer(now_ms);
                let share = shares_by(&new, 10_000, |_| now_ms)[1];
                assert!(share > before, "{policy:?}");
                // Where a turn is refused the next one is somebody's too, so the share is a little below the weights'.
                assert!(
                    share <= expected + 300 && share * 2 > expected,
                    "{policy:?} at {now_ms}: {share} for {expected}"
                );
                before = share;
            }
        }
    }

    #[test]
    fn a_gateway_that_starts_does_not_start_slowly() {
        let settings = Settings {
            slow_start: Duration::from_secs(10),
            ..Policy::RoundRobin.into()
        };
        let pool = pool(settings, &[1, 1, 1]);
        let picks: Vec<_> = (0..6)
            .map(|random| pool.pick(0, random << 60, &[]).unwrap().index())
            .collect();
        assert_eq!(picks, [0, 1, 2, 0, 1, 2]);
    }

    fn by_version(fallback: SubsetFallback) -> Settings {
        Settings {
            subsets: Some(SubsetSettings {
                label: "version".into(),
                fallback,
            }),
            ..Policy::RoundRobin.into()
        }
    }

    fn wanting<'a>(subset: &'a str, tried: &'a [usize]) -> PickContext<'a> {
        PickContext {
            subset: Some(subset),
            ..PickContext::new(0, 0, tried)
        }
    }

    #[test]
    fn a_subset_has_its_own_turns() {
        let members = ["1", "2", "1", "2", "1", "2"].map(|version| labelled("version", version));
        let pool = Upstream::default().build(by_version(SubsetFallback::Refuse), members);
        // Were the turns those of the whole pool, every other would be lost.
        let picks: Vec<_> = ["1", "2", "1", "2", "1", "2"]
            .iter()
            .map(|version| pool.pick_for(&wanting(version, &[])).unwrap().index())
            .collect();
        assert_eq!(picks, [0, 1, 2, 3, 4, 5]);
        assert_eq!(shares(&pool, 60), [10; 6]);
    }

    #[test]
    fn who_serves_instead_of_a_subset_is_a_setting() {
        let members = || ["1", "2"].map(|version| labelled("version", version));
        for (fallback, expected) in [
            (SubsetFallback::Refuse, None),
            (SubsetFallback::Any, Some(0)),
            (SubsetFallback::Subset("1".into()), Some(0)),
            (SubsetFallback::Subset("3".into()), None),
        ] {
            let pool = Upstream::default().build(by_version(fallback.clone()), members());
            let picked = |version| Some(pool.pick_for(&wanting(version, &[]))?.index());
            assert_eq!(picked("2"), Some(1));
            assert_eq!(picked("none").is_some(), expected.is_some(), "{fallback:?}");
            pool.endpoints()[1].state.set_health(false, "", UNIX_EPOCH);
            assert_eq!(picked("2"), expected, "{fallback:?}");
        }
    }

    fn sticky() -> Settings {
        Settings {
            sticky: Some(Arc::new(StickyKey::new(b"secret", "test"))),
            ..Policy::Random.into()
        }
    }

    #[test]
    fn a_session_stays_as_long_as_its_endpoint_can_serve() {
        let upstream = Upstream::default();
        let pool = upstream.pool(sticky(), &[1, 1, 1]);
        let id = pool.sticky_id(1);
        let at = |pool: &Pool, now_ms, tried: &[usize]| {
            let context = PickContext {
                sticky: id,
                ..PickContext::new(now_ms, 0, tried)
            };
            pool.pick_for(&context).unwrap().index()
        };
        for _ in 0..20 {
            assert_eq!(at(&pool, 0, &[]), 1);
        }
        assert_ne!(at(&pool, 0, &[1]), 1);
        let state = &pool.endpoints()[1].state;
        state.set_administration(Administration::Draining);
        assert_ne!(at(&pool, 0, &[]), 1);
        state.set_administration(Administration::Enabled);
        state.set_health(false, "", UNIX_EPOCH);
        assert_ne!(at(&pool, 0, &[]), 1);
        state.set_health(true, "", UNIX_EPOCH);
        state.connect_failed(0);
        assert_ne!(at(&pool, 10, &[]), 1);
        state.takes_connections();
        // The next pool knows the session too, and one without the endpoint gives it up.
        assert_eq!(at(&upstream.pool(sticky(), &[1, 1, 1, 1]), 0, &[]), 1);
        assert_eq!(at(&upstream.pool(sticky(), &[1]), 0, &[]), 0);
    }

    #[test]
    fn without_sticky_sessions_nobody_has_a_name() {
        assert_eq!(pool(Policy::Random, &[1]).sticky_id(0), None);
    }

    #[test]
    fn a_session_stays_at_whoever_serves_instead_of_its_subset() {
        for fallback in [SubsetFallback::Any, SubsetFallback::Subset("2".into())] {
            let settings = Settings {
                sticky: sticky().sticky,
                ..by_version(fallback)
            };
            let members = ["1", "2", "2"].map(|version| labelled("version", version));
            let pool = Upstream::default().build(settings, members);
            pool.endpoints()[0].state.set_health(false, "", UNIX_EPOCH);
            let context = PickContext {
                sticky: pool.sticky_id(2),
                ..wanting("1", &[])
            };
            for _ in 0..10 {
                assert_eq!(pool.pick_for(&context).unwrap().index(), 2);
            }
        }
    }

    #[test]
    fn a_session_does_not_leave_its_subset() {
        let settings = Settings {
            sticky: sticky().sticky,
            ..by_version(SubsetFallback::Refuse)
        };
        let members = ["1", "2"].map(|version| labelled("version", version));
        let pool = Upstream::default().build(settings, members);
        for (version, expected) in [("1", 0), ("2", 1)] {
            let context = PickContext {
                sticky: pool.sticky_id(1),
                ..wanting(version, &[])
            };
            assert_eq!(pool.pick_for(&context).unwrap().index(), expected);
        }
    }
}
