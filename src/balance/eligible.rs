//! Who may be chosen for one attempt: a set of endpoints without those that are unavailable or tried.
//!
//! Policies speak of places in the set. How healthy an endpoint must be, and which weight it has while it warms up, is
//! decided here, so that it is the same for all of them.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::context::PickContext;
use super::ramp::FULL;
use super::state::EndpointState;
use super::weights::{next_random, place, scale};

/// One endpoint as a set knows it: everything a pick reads, one step from the list.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) state: Arc<EndpointState>,
    /// The place in the pool.
    pub(super) index: usize,
    pub(super) weight: u32,
}

/// A set's endpoints as one pick sees them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Eligible<'a> {
    candidates: &'a [Candidate],
    tried: &'a [usize],
    now_ms: u64,
    /// Zero if weights are never ramped up.
    slow_start_ms: u64,
    /// What decides whether an endpoint that warms up gets this request.
    luck: u64,
    health: Heed,
    /// How many exchanges an endpoint takes at the same time.
    most: Option<NonZeroU32>,
}

/// What an endpoint's failed health checks mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heed {
    /// It is not used.
    Strict,
    /// Nothing: too many of the others have failed too.
    Panic,
}

impl<'a> Eligible<'a> {
    pub(super) fn new(
        candidates: &'a [Candidate],
        context: &PickContext<'a>,
        slow_start_ms: u64,
        health: Heed,
    ) -> Self {
        Self {
            candidates,
            tried: context.tried,
            now_ms: context.now_ms,
            slow_start_ms,
            // A key's luck stays: of the keys of an endpoint that warms up, more and more come, and none goes again.
            luck: next_random(context.key.unwrap_or(context.random)),
            health,
            most: context.endpoint_requests,
        }
    }

    pub(super) const fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Whether the endpoint in this place may be chosen. One that warms up may be so as often as its share says.
    pub(super) fn accepts(&self, place: usize) -> bool {
        self.candidates
            .get(place)
            .is_some_and(|candidate| self.is_free(candidate) && self.is_warm(candidate))
    }

    /// All that may be chosen, with their places and how busy they are.
    pub(super) fn loads(&self) -> impl Iterator<Item = (usize, Load)> {
        self.iter()
            .map(|(place, candidate)| (place, self.load_of(candidate)))
    }

    /// Someone else, whatever the weights, if it is found soon.
    pub(super) fn other_than(&self, taken: usize, random: &mut u64) -> Option<usize> {
        let all = u64::try_from(self.candidates.len()).unwrap_or(u64::MAX);
        let others = all.checked_sub(1).filter(|others| *others > 0)?;
        for _ in 0..LOOKS {
            *random = next_random(*random);
            let drawn = place(*random, others);
            let other = if drawn < taken { drawn } else { drawn + 1 };
            if self.accepts(other) {
                return Some(other);
            }
        }
        None
    }

    /// How busy the endpoint in this place is.
    pub(super) fn load(&self, place: usize) -> Option<(&'a Candidate, Load)> {
        let candidate = self.candidates.get(place)?;
        Some((candidate, self.load_of(candidate)))
    }

    /// One of them by chance, as likely as its weight says. Walks the set twice: for when quicker ways have failed.
    pub(super) fn by_weight(&self, random: u64) -> Option<usize> {
        let total = self.iter().map(|(_, candidate)| self.weight(candidate));
        let mut left = scale(random, total.sum());
        let mut last = None;
        for (place, candidate) in self.iter() {
            // Availability may change between the two walks; then the last one seen will do.
            last = Some(place);
            match left.checked_sub(self.weight(candidate)) {
                Some(rest) => left = rest,
                None => break,
            }
        }
        last
    }

    /// The one whose last connect failure is the oldest, among those that are merely set aside.
    pub(super) fn failed_longest_ago(&self) -> Option<usize> {
        self.candidates
            .iter()
            .enumerate()
            .filter(|(_, candidate)| self.is_possible(candidate))
            .min_by_key(|(_, candidate)| candidate.state.last_failure())
            .map(|(place, _)| place)
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &'a Candidate)> {
        self.candidates
            .iter()
            .enumerate()
            .filter(|(_, candidate)| self.is_free(candidate))
    }

    fn load_of(&self, candidate: &Candidate) -> Load {
        Load {
            in_flight: candidate.state.in_flight(),
            weight: self.weight(candidate),
        }
    }

    /// The weight as far as it has grown, in parts of [`FULL`].
    fn weight(&self, candidate: &Candidate) -> u64 {
        u64::from(candidate.weight) * self.share(candidate)
    }

    fn share(&self, candidate: &Candidate) -> u64 {
        if self.slow_start_ms == 0 {
            return FULL;
        }
        candidate.state.warmth(self.now_ms, self.slow_start_ms)
    }

    fn is_warm(&self, candidate: &Candidate) -> bool {
        let share = self.share(candidate);
        if share >= FULL {
            return true;
        }
        let own = u64::try_from(candidate.index).unwrap_or_default();
        scale(next_random(self.luck ^ own), FULL) < share
    }

    fn is_free(&self, candidate: &Candidate) -> bool {
        self.is_possible(candidate) && candidate.state.set_aside_until(self.now_ms).is_none()
    }

    fn is_possible(&self, candidate: &Candidate) -> bool {
        candidate.weight > 0
            && candidate.state.is_in_service()
            && (self.health == Heed::Panic || candidate.state.is_healthy())
            && !self.tried.contains(&candidate.index)
            && candidate.state.has_room(self.most)
    }
}

/// How busy an endpoint is: exchanges for its weight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) in_flight: u32,
    pub(super) weight: u64,
}

impl Load {
    /// Compares exchanges per weight, without a division.
    ///
    /// Two idle endpoints are equal, whatever their weights. Were it "had it one more", the lighter one would get nothing
    /// as long as there is little to do.
    pub(super) fn compare(self, other: Self) -> std::cmp::Ordering {
        if self.weight == other.weight {
            return self.in_flight.cmp(&other.in_flight);
        }
        let own = u128::from(self.in_flight) * u128::from(other.weight);
        own.cmp(&(u128::from(other.in_flight) * u128::from(self.weight)))
    }
}

/// With half of the set down, one look in 16 finds nobody.
const LOOKS: usize = 4;
