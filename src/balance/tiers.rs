//! The order in which the parts of an upstream are used: tiers, zones within a tier, and what happens when too few
//! endpoints are healthy.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::census::Count;
use super::context::PickContext;
use super::cursor::{Cursor, Part};
use super::eligible::Heed;
use super::endpoint::Endpoint;
use super::metadata::Metadata;
use super::set::{Choice, Set};
use super::settings::{Percent, Settings};
use super::weights::{next_random, scale};
use crate::observe::PickPlace;

/// The endpoints of an upstream, or of one subset of it, by tier.
#[derive(Debug)]
pub(super) struct Tiers {
    tiers: Box<[Tier]>,
    panic_threshold: Percent,
}

/// Endpoints that stand in for each other.
#[derive(Debug)]
struct Tier {
    /// Those in the gateway's own zone, if there are others too.
    near: Option<Set>,
    rest: Set,
    spill_below: Percent,
    /// How choices from `near` and from `rest` are counted.
    places: [Option<PickPlace>; 2],
}

/// One endpoint of a pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed<'a> {
    /// The place in the pool.
    pub(super) index: usize,
    pub(super) endpoint: &'a Arc<Endpoint>,
    pub(super) metadata: &'a Metadata,
}

impl Tiers {
    /// The tiers of these endpoints. `subset` names the part of the upstream that they are; `cursor` is the upstream's.
    pub(super) fn new<'a>(
        settings: &Settings,
        endpoints: impl Iterator<Item = Placed<'a>>,
        subset: Option<&str>,
        cursor: &Arc<Cursor>,
    ) -> Self {
        let mut levels: BTreeMap<u8, Vec<Placed<'a>>> = BTreeMap::new();
        for placed in endpoints {
            levels.entry(placed.metadata.tier).or_default().push(placed);
        }
        let is_only = levels.len() <= 1;
        let tiers = (0..).zip(levels.into_values()).map(|(tier, endpoints)| {
            let part = Part {
                subset: subset.map(Into::into),
                tier,
                is_near: false,
            };
            Tier::new(settings, &endpoints, &part, cursor).counted(is_only, tier == 0)
        });
        Self {
            tiers: tiers.collect(),
            panic_threshold: settings.panic_threshold,
        }
    }

    /// Chooses an endpoint; `changes` says how often any of the pool has changed.
    ///
    /// The first tier that has someone available serves, unhealthy ones included when too few of it are healthy. If all
    /// that are healthy are set aside, the one that failed longest ago is tried. If nobody is healthy, anyone is, unless
    /// the panic threshold is zero.
    pub(super) fn choose(&self, context: &PickContext<'_>, changes: u64) -> Option<Choice<'_>> {
        self.choose_available(context, changes).or_else(|| {
            // One that is full is worth waiting for, more than a guess at one that failed.
            let unlimited = PickContext {
                endpoint_requests: None,
                ..*context
            };
            let is_full = context.endpoint_requests.is_some()
                && self.choose_available(&unlimited, changes).is_some();
            if is_full {
                return None;
            }
            self.choose_last_resort(context, changes)
        })
    }

    fn choose_last_resort(&self, context: &PickContext<'_>, changes: u64) -> Option<Choice<'_>> {
        self.choose_set_aside(context, Heed::Strict).or_else(|| {
            if self.panic_threshold == Percent::default() {
                return None;
            }
            self.tiers
                .iter()
                .find_map(|tier| tier.choose(context, Heed::Panic, tier.count(changes)))
                .or_else(|| self.choose_set_aside(context, Heed::Panic))
        })
    }

    fn choose_available(&self, context: &PickContext<'_>, changes: u64) -> Option<Choice<'_>> {
        self.tiers.iter().find_map(|tier| {
            let counts = tier.count(changes);
            let (healthy, endpoints) = counts.healthy();
            if healthy == 0 {
                return None;
            }
            let health = if self.panic_threshold.exceeds(healthy, endpoints) {
                Heed::Panic
            } else {
                Heed::Strict
            };
            tier.choose(context, health, counts)
        })
    }

    fn choose_set_aside(&self, context: &PickContext<'_>, health: Heed) -> Option<Choice<'_>> {
        self.tiers
            .iter()
            .find_map(|tier| tier.choose_set_aside(context, health))
    }
}

impl Tier {
    fn new(
        settings: &Settings,
        endpoints: &[Placed<'_>],
        part: &Part,
        cursor: &Arc<Cursor>,
    ) -> Self {
        let own = settings.zone.as_ref().map(|zone| &zone.own);
        let (near, rest): (Vec<_>, Vec<_>) = endpoints
            .iter()
            .partition(|placed| own.is_some() && placed.metadata.zone.as_ref() == own);
        let set = |endpoints: &[&Placed<'_>], is_near| {
            let endpoints: Vec<_> = endpoints
                .iter()
                .map(|placed| (placed.index, placed.endpoint))
                .collect();
            let part = Part {
                is_near,
                ..part.clone()
            };
            Set::new(settings, &endpoints, cursor.of(&part))
        };
        let (near, rest) = match (near.as_slice(), rest.as_slice()) {
            ([], all) | (all, []) => (None, set(all, false)),
            (near, rest) => (Some(set(near, true)), set(rest, false)),
        };
        Self {
            near,
            rest,
            spill_below: settings
                .zone
                .as_ref()
                .map_or_else(Percent::default, |zone| zone.spill_below),
            places: [None; 2],
        }
    }

    /// The same tier, which knows how its choices are counted.
    const fn counted(mut self, is_only: bool, is_first: bool) -> Self {
        self.places = match (&self.near, is_first) {
            (Some(_), true) => [
                Some(PickPlace::FirstOwnZone),
                Some(PickPlace::FirstOtherZone),
            ],
            (Some(_), false) => [
                Some(PickPlace::LaterOwnZone),
                Some(PickPlace::LaterOtherZone),
            ],
            // A pool that is all of a piece has nothing to tell.
            (None, _) if is_only => [None; 2],
            (None, true) => [None, Some(PickPlace::First)],
            (None, false) => [None, Some(PickPlace::Later)],
        };
        self
    }

    fn count(&self, changes: u64) -> Counts {
        Counts {
            near: self.near.as_ref().map(|near| near.count(changes)),
            rest: self.rest.count(changes),
        }
    }

    fn choose(
        &self,
        context: &PickContext<'_>,
        health: Heed,
        counts: Counts,
    ) -> Option<Choice<'_>> {
        let [near_place, rest_place] = self.places;
        let rest = || {
            let choice = self.rest.choose(context, health, counts.rest)?;
            Some(choice.at(rest_place))
        };
        let (Some(near), Some(count)) = (&self.near, counts.near) else {
            return rest();
        };
        let near_one = || Some(near.choose(context, health, count)?.at(near_place));
        if self.stays_near(context, health, (near.weight(), count)) {
            near_one().or_else(rest)
        } else {
            rest().or_else(near_one)
        }
    }

    /// Whether the request is for the own zone. A key stays near as long as there is room for it.
    fn stays_near(
        &self,
        context: &PickContext<'_>,
        health: Heed,
        (near, count): (u64, Count),
    ) -> bool {
        let luck = next_random(!context.key.unwrap_or(context.random));
        if health == Heed::Panic {
            // All are used, and nobody knows where those are that work.
            return scale(luck, near.saturating_add(self.rest.weight())) < near;
        }
        if !self.spill_below.exceeds(count.healthy_weight, near) {
            return true;
        }
        let needed = near.saturating_mul(u64::from(self.spill_below.hundredths()));
        scale(luck, needed) < count.healthy_weight.saturating_mul(100)
    }

    fn choose_set_aside(&self, context: &PickContext<'_>, health: Heed) -> Option<Choice<'_>> {
        let [near_place, rest_place] = self.places;
        let near = self.near.as_ref();
        let near = near.and_then(|near| near.choose_set_aside(context, health));
        let near = near.map(|(failed_at, choice)| (failed_at, choice.at(near_place)));
        let rest = self.rest.choose_set_aside(context, health);
        let rest = rest.map(|(failed_at, choice)| (failed_at, choice.at(rest_place)));
        near.into_iter()
            .chain(rest)
            .min_by_key(|(failed_at, _)| *failed_at)
            .map(|(_, choice)| choice)
    }
}

/// The counts of a tier's sets.
#[derive(Clone, Copy, Debug)]
struct Counts {
    near: Option<Count>,
    rest: Count,
}

impl Counts {
    /// How many are healthy, and of how many.
    fn healthy(&self) -> (u64, u64) {
        let near = self.near.unwrap_or_default();
        (
            near.healthy + self.rest.healthy,
            near.endpoints + self.rest.endpoints,
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::balance::testing::{Upstream, in_tier, in_zone, shares_by};
    use crate::balance::{Administration, Percent, PickContext, Policy, Settings, ZoneSettings};
    use std::time::UNIX_EPOCH;

    fn percent(hundredths: u8) -> Percent {
        Percent::new(hundredths).unwrap()
    }

    fn panicking_below(hundredths: u8) -> Settings {
        Settings {
            panic_threshold: percent(hundredths),
            ..Policy::Random.into()
        }
    }

    fn zoned(policy: Policy) -> Settings {
        Settings {
            zone: Some(ZoneSettings {
                own: "here".into(),
                spill_below: percent(70),
            }),
            ..policy.into()
        }
    }

    #[test]
    fn backups_serve_only_when_nobody_before_them_is_available() {
        for policy in Policy::ALL {
            // Tiers may come in any order and with gaps.
            let pool = Upstream::default().build(policy, [in_tier(9), in_tier(3), in_tier(3)]);
            let states: Vec<_> = pool.endpoints().iter().map(|one| &one.state).collect();
            assert_eq!(shares_by(&pool, 1_000, |_| 0)[0], 0, "{policy:?}");
            states[1].connect_failed(0);
            assert_eq!(shares_by(&pool, 100, |_| 0), [0, 0, 100], "{policy:?}");
            states[2].set_health(false, "", UNIX_EPOCH);
            assert_eq!(shares_by(&pool, 100, |_| 0), [100, 0, 0], "{policy:?}");
            // The pause of one of the first tier is over.
            assert_eq!(shares_by(&pool, 100, |_| 1_000), [0, 100, 0], "{policy:?}");
        }
    }

    #[test]
    fn a_tier_that_has_been_tried_is_followed_by_the_next() {
        let pool = Upstream::default().build(Policy::P2c, [in_tier(0), in_tier(1)]);
        let first = pool.pick(0, 0, &[]).unwrap().index();
        assert_eq!(first, 0);
        assert_eq!(pool.pick(0, 0, &[first]).unwrap().index(), 1);
        assert!(pool.pick(0, 0, &[0, 1]).is_none());
    }

    #[test]
    fn one_that_is_set_aside_in_any_tier_is_better_than_nobody() {
        let pool = Upstream::default().build(Policy::Random, [in_tier(0), in_tier(1)]);
        for endpoint in pool.endpoints() {
            endpoint.state.connect_failed(5);
        }
        assert_eq!(pool.pick(6, 0, &[]).unwrap().index(), 0);
        assert_eq!(pool.pick(6, 0, &[0]).unwrap().index(), 1);
    }

    #[test]
    fn when_too_few_are_healthy_all_are_used() {
        let upstream = Upstream::default();
        let pool = upstream.pool(panicking_below(50), &[1; 4]);
        for (down, expected) in [
            (0, [2_500; 4]),
            (1, [0, 3_333, 3_333, 3_333]),
            (2, [0, 0, 5_000, 5_000]),
            (3, [2_500; 4]),
            (4, [2_500; 4]),
        ] {
            if let Some(last) = usize::checked_sub(down, 1) {
                pool.endpoints()[last]
                    .state
                    .set_health(false, "", UNIX_EPOCH);
            }
            let shares = shares_by(&pool, 10_000, |_| 0);
            for (share, expected) in shares.iter().zip(expected) {
                assert!(share.abs_diff(expected) < 250, "{down} down: {shares:?}");
            }
        }
    }

    #[test]
    fn healthy_backups_are_better_than_a_tier_without_a_healthy_one() {
        let pool = Upstream::default().build(panicking_below(50), [in_tier(0), in_tier(1)]);
        pool.endpoints()[0].state.set_health(false, "", UNIX_EPOCH);
        assert_eq!(shares_by(&pool, 100, |_| 0), [0, 100]);
        pool.endpoints()[1].state.set_health(false, "", UNIX_EPOCH);
        assert_eq!(shares_by(&pool, 100, |_| 0), [100, 0]);
    }

    #[test]
    fn nobody_panics_over_what_an_operator_took_away() {
        let upstream = Upstream::default();
        let pool = upstream.pool(panicking_below(50), &[1; 4]);
        for endpoint in &pool.endpoints()[..3] {
            endpoint.state.set_administration(Administration::Draining);
        }
        assert_eq!(shares_by(&pool, 100, |_| 0), [0, 0, 0, 100]);
        pool.endpoints()[3].state.set_health(false, "", UNIX_EPOCH);
        // Even in panic those that drain get nothing.
        assert_eq!(shares_by(&pool, 100, |_| 0), [0, 0, 0, 100]);
    }

    #[test]
    fn the_own_zone_serves_as_long_as_enough_of_it_is_healthy() {
        for policy in Policy::ALL {
            let zones = ["here", "there", "here", "there", "here", "here"];
            let pool = Upstream::default().build(zoned(policy), zones.map(in_zone));
            let near =
                |shares: &[usize]| -> usize { [0, 2, 4, 5].iter().map(|i| shares[*i]).sum() };
            let down = |index: usize| {
                pool.endpoints()[index]
                    .state
                    .set_health(false, "", UNIX_EPOCH);
            };
            assert_eq!(near(&shares_by(&pool, 1_000, |_| 0)), 1_000, "{policy:?}");
            down(0);
            // 75 % are more than 70 %.
            assert_eq!(near(&shares_by(&pool, 1_000, |_| 0)), 1_000, "{policy:?}");
            down(2);
            // 50 % of 70 %: each of those that are left gets what it would get of four at 70 %.
            let shares = shares_by(&pool, 10_000, |_| 0);
            assert!(near(&shares).abs_diff(7_143) < 300, "{policy:?} {shares:?}");
            down(4);
            down(5);
            assert_eq!(near(&shares_by(&pool, 1_000, |_| 0)), 0, "{policy:?}");
        }
    }

    #[test]
    fn a_zone_that_is_set_aside_is_left() {
        let pool =
            Upstream::default().build(zoned(Policy::RoundRobin), ["here", "there"].map(in_zone));
        pool.endpoints()[0].state.connect_failed(0);
        assert_eq!(pool.pick(1, 0, &[]).unwrap().index(), 1);
        pool.endpoints()[1].state.connect_failed(1);
        assert_eq!(pool.pick(2, 0, &[]).unwrap().index(), 0);
    }

    #[test]
    fn zones_do_not_matter_in_a_panic() {
        let settings = Settings {
            panic_threshold: percent(80),
            ..zoned(Policy::Random)
        };
        let zones = ["here", "there", "there", "there"];
        let pool = Upstream::default().build(settings, zones.map(in_zone));
        pool.endpoints()[0].state.set_health(false, "", UNIX_EPOCH);
        let shares = shares_by(&pool, 10_000, |_| 0);
        assert!(
            shares.iter().all(|share| share.abs_diff(2_500) < 250),
            "{shares:?}"
        );
    }

    #[test]
    fn a_key_that_spills_over_does_so_every_time() {
        let zones = ["here", "here", "there"];
        let pool = Upstream::default().build(zoned(Policy::Hash), zones.map(in_zone));
        pool.endpoints()[0].state.set_health(false, "", UNIX_EPOCH);
        let mut spilled = 0;
        for key in 0..1_000_u64 {
            let at = |random| {
                let context = PickContext {
                    key: Some(crate::balance::key_hash(&key.to_le_bytes())),
                    ..PickContext::new(0, random, &[])
                };
                pool.pick_for(&context).unwrap().index()
            };
            assert_eq!(at(0), at(u64::MAX / 3));
            spilled += usize::from(at(0) == 2);
        }
        assert!(spilled.abs_diff(286) < 80, "{spilled}");
    }
}
