//! How endpoints were chosen: where in an upstream, for which subset, and what became of sticky sessions.

use std::sync::Arc;

use super::cells::Cell;
use super::families;
use super::page::Page;
use super::upstream::UpstreamMetrics;

/// Where an endpoint was chosen, in an upstream that has several tiers or a zone of its own beside others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PickPlace {
    /// In the first tier, which has no zones to tell apart.
    First,
    /// In the first tier, in the gateway's own zone.
    FirstOwnZone,
    /// In the first tier, outside of that zone.
    FirstOtherZone,
    /// In a later tier, which has no zones to tell apart.
    Later,
    /// In a later tier, in the gateway's own zone.
    LaterOwnZone,
    /// In a later tier, outside of that zone.
    LaterOtherZone,
}

/// What became of the session of a request that had an answer from an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionOutcome {
    /// It had none, and has one now.
    New,
    /// It is at the endpoint that its cookie says.
    Kept,
    /// It is at another endpoint from now on.
    Moved,
    /// Its endpoint was full and another one stood in, this time.
    Guest,
}

/// The counters of one worker for one upstream.
#[derive(Debug, Default)]
pub(super) struct Choices {
    first: Cell,
    first_own_zone: Cell,
    first_other_zone: Cell,
    later: Cell,
    later_own_zone: Cell,
    later_other_zone: Cell,
    fallbacks: Cell,
    new: Cell,
    kept: Cell,
    moved: Cell,
    guest: Cell,
}

impl Choices {
    pub(super) const fn place(&self, place: PickPlace) -> &Cell {
        match place {
            PickPlace::First => &self.first,
            PickPlace::FirstOwnZone => &self.first_own_zone,
            PickPlace::FirstOtherZone => &self.first_other_zone,
            PickPlace::Later => &self.later,
            PickPlace::LaterOwnZone => &self.later_own_zone,
            PickPlace::LaterOtherZone => &self.later_other_zone,
        }
    }

    pub(super) const fn fallbacks(&self) -> &Cell {
        &self.fallbacks
    }

    pub(super) const fn session(&self, outcome: SessionOutcome) -> &Cell {
        match outcome {
            SessionOutcome::New => &self.new,
            SessionOutcome::Kept => &self.kept,
            SessionOutcome::Moved => &self.moved,
            SessionOutcome::Guest => &self.guest,
        }
    }
}

impl PickPlace {
    const ALL: [Self; 6] = [
        Self::First,
        Self::FirstOwnZone,
        Self::FirstOtherZone,
        Self::Later,
        Self::LaterOwnZone,
        Self::LaterOtherZone,
    ];

    const fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::First => ("first", ""),
            Self::FirstOwnZone => ("first", "own"),
            Self::FirstOtherZone => ("first", "other"),
            Self::Later => ("later", ""),
            Self::LaterOwnZone => ("later", "own"),
            Self::LaterOtherZone => ("later", "other"),
        }
    }
}

impl SessionOutcome {
    const ALL: [Self; 4] = [Self::New, Self::Kept, Self::Moved, Self::Guest];

    const fn label(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Kept => "kept",
            Self::Moved => "moved",
            Self::Guest => "guest",
        }
    }
}

/// Writes the families; what has never happened has no series.
pub(super) fn encode(upstreams: &[Arc<UpstreamMetrics>], page: &mut Page) {
    let mut series = page.family(&families::UPSTREAM_PICKS);
    for upstream in upstreams {
        for place in PickPlace::ALL {
            let picks = upstream.choices(|choices| choices.place(place));
            if picks > 0 {
                let (tier, zone) = place.labels();
                series.number(&[upstream.name(), tier, zone], picks);
            }
        }
    }
    drop(series);
    let mut series = page.family(&families::SUBSET_FALLBACKS);
    for upstream in upstreams {
        let fallbacks = upstream.choices(Choices::fallbacks);
        if fallbacks > 0 {
            series.number(&[upstream.name()], fallbacks);
        }
    }
    drop(series);
    let mut series = page.family(&families::STICKY_REQUESTS);
    for upstream in upstreams {
        for outcome in SessionOutcome::ALL {
            let requests = upstream.choices(|choices| choices.session(outcome));
            if requests > 0 {
                series.number(&[upstream.name(), outcome.label()], requests);
            }
        }
    }
}
