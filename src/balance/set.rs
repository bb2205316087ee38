//! Endpoints that are chosen among by one policy: a tier of an upstream, or the part of it that is in one zone.

use std::sync::Arc;

use super::census::{Census, Count};
use super::context::PickContext;
use super::cursor::Cursor;
use super::eligible::{Candidate, Eligible, Heed};
use super::endpoint::Endpoint;
use super::hash::Hash;
use super::least_connections::LeastConnections;
use super::p2c::{self, Sample};
use super::peak_ewma::PeakEwma;
use super::random::Random;
use super::round_robin::RoundRobin;
use super::settings::{Policy, Settings};
use crate::observe::PickPlace;

/// Some endpoints of a pool and the policy that chooses among them.
#[derive(Debug)]
pub(super) struct Set {
    candidates: Box<[Candidate]>,
    weight: u64,
    chooser: Chooser,
    census: Census,
    slow_start_ms: u64,
}

#[derive(Debug)]
enum Chooser {
    RoundRobin(RoundRobin),
    Random(Random),
    LeastConnections(LeastConnections),
    P2c(Sample),
    PeakEwma(PeakEwma),
    Hash(Hash),
}

/// What was chosen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice<'a> {
    /// The place in the pool.
    pub(super) index: usize,
    /// Where the set counts its exchanges, if it does.
    pub(super) counter: Option<&'a Arc<Cursor>>,
    /// Where it was chosen.
    pub(super) drawn: Drawn,
}

/// Where an endpoint was chosen, for those who count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drawn {
    /// The part of the upstream; `None` where there is but one, and for the endpoint of a session.
    pub place: Option<PickPlace>,
    /// Whether the subset that was wanted had nobody.
    pub fell_back: bool,
}

impl Choice<'_> {
    /// The same, chosen there.
    pub(super) const fn at(mut self, place: Option<PickPlace>) -> Self {
        self.drawn.place = place;
        self
    }
}

impl Set {
    /// A set of these endpoints, which come with their places in the pool.
    pub(super) fn new(
        settings: &Settings,
        endpoints: &[(usize, &Arc<Endpoint>)],
        cursor: Arc<Cursor>,
    ) -> Self {
        let candidates = endpoints.iter().map(|(index, endpoint)| Candidate {
            state: Arc::clone(&endpoint.state),
            index: *index,
            weight: endpoint.weight,
        });
        let weights: Vec<u32> = endpoints.iter().map(|(_, one)| one.weight).collect();
        Self {
            candidates: candidates.collect(),
            weight: weights.iter().copied().map(u64::from).sum(),
            chooser: match settings.policy {
                Policy::RoundRobin => Chooser::RoundRobin(RoundRobin::new(&weights, cursor)),
                Policy::Random => Chooser::Random(Random::new(&weights)),
                Policy::LeastConnections => {
                    Chooser::LeastConnections(LeastConnections::new(&weights))
                }
                Policy::P2c => Chooser::P2c(Sample::new(&weights, p2c::RIVALS)),
                Policy::PeakEwma => Chooser::PeakEwma(PeakEwma::new(&weights)),
                Policy::Hash => {
                    let identities: Vec<(u64, u32)> = endpoints
                        .iter()
                        .map(|(_, endpoint)| (endpoint.id().hash_key(), endpoint.weight))
                        .collect();
                    Chooser::Hash(Hash::new(&identities, settings.load_bound, cursor))
                }
            },
            census: Census::default(),
            slow_start_ms: u64::try_from(settings.slow_start.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The weight of all, healthy or not.
    pub(super) const fn weight(&self) -> u64 {
        self.weight
    }

    /// How many are healthy. `changes` says how often any of the pool has changed.
    pub(super) fn count(&self, changes: u64) -> Count {
        self.census.count(&self.candidates, changes)
    }

    /// Chooses someone who is available; `count` is the set's own.
    pub(super) fn choose(
        &self,
        context: &PickContext<'_>,
        health: Heed,
        count: Count,
    ) -> Option<Choice<'_>> {
        let eligible = self.eligible(context, health);
        let random = context.random;
        let place = match &self.chooser {
            Chooser::RoundRobin(policy) => policy.choose(&eligible, random),
            Chooser::Random(policy) => policy.choose(&eligible, random),
            Chooser::LeastConnections(policy) => policy.choose(&eligible, random),
            Chooser::P2c(policy) => policy.choose(&eligible, random),
            Chooser::PeakEwma(policy) => policy.choose(&eligible, random),
            Chooser::Hash(policy) => {
                let weight = match health {
                    Heed::Strict => count.healthy_weight,
                    Heed::Panic => count.weight,
                };
                policy.choose(&eligible, context.key.unwrap_or(random), weight)
            }
        };
        self.choice(place?)
    }

    /// Chooses someone who is set aside, for when nobody is available.
    pub(super) fn choose_set_aside(
        &self,
        context: &PickContext<'_>,
        health: Heed,
    ) -> Option<(u64, Choice<'_>)> {
        let place = self.eligible(context, health).failed_longest_ago()?;
        let failed_at = self.candidates.get(place)?.state.last_failure();
        Some((failed_at, self.choice(place)?))
    }

    fn eligible<'a>(&'a self, context: &PickContext<'a>, health: Heed) -> Eligible<'a> {
        Eligible::new(&self.candidates, context, self.slow_start_ms, health)
    }

    fn choice(&self, place: usize) -> Option<Choice<'_>> {
        let candidate = self.candidates.get(place)?;
        Some(Choice {
            index: candidate.index,
            drawn: Drawn::default(),
            counter: match &self.chooser {
                Chooser::Hash(policy) => policy.counter(),
                Chooser::RoundRobin(_)
                | Chooser::Random(_)
                | Chooser::LeastConnections(_)
                | Chooser::P2c(_)
                | Chooser::PeakEwma(_) => None,
            },
        })
    }
}
