//! How an upstream chooses among its endpoints, as compiled.

use std::sync::Arc;
use std::time::Duration;

use super::breaker::Breaker;
use super::limits::Limits;
use super::sticky::StickyKey;

/// The order of choice within one set of endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// In turn, as often as the weights say, evenly spread.
    #[default]
    RoundRobin,
    /// By chance, as often as the weights say.
    Random,
    /// The one with the fewest exchanges for its weight.
    LeastConnections,
    /// The less busy of two random ones.
    P2c,
    /// The one of two random ones that will probably answer first, by latency and exchanges in flight.
    PeakEwma,
    /// Always the same one for the same key, as long as it is there.
    Hash,
}

impl Policy {
    /// All policies, in the order the documentation has them.
    pub const ALL: [Self; 6] = [
        Self::RoundRobin,
        Self::Random,
        Self::LeastConnections,
        Self::P2c,
        Self::PeakEwma,
        Self::Hash,
    ];

    /// The word the configuration has for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::LeastConnections => "least_connections",
            Self::P2c => "p2c",
            Self::PeakEwma => "peak_ewma",
            Self::Hash => "hash",
        }
    }

    /// The policy of that word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.as_str() == word)
    }
}

/// Everything that decides which endpoint a pool picks.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The order of choice within one set of endpoints.
    pub policy: Policy,
    /// How far an endpoint may be above the mean before [`Policy::Hash`] gives its keys to others.
    pub load_bound: LoadBound,
    /// When a smaller share of a tier's endpoints is healthy, all of them are used; 0 % means never.
    pub panic_threshold: Percent,
    /// How long the weight of an endpoint that joined or recovered takes to grow to its full size; zero means not at all.
    pub slow_start: Duration,
    /// Which endpoints are near; `None` if all are alike.
    pub zone: Option<ZoneSettings>,
    /// How a request can be kept to a part of the endpoints; `None` if it cannot.
    pub subsets: Option<SubsetSettings>,
    /// What names endpoints in the cookies of sticky sessions; `None` if there are no such sessions.
    pub sticky: Option<Arc<StickyKey>>,
    /// How much the upstream takes at the same time; `None`: anything, and nobody counts.
    pub limits: Option<Arc<Limits>>,
    /// When it is left alone because it fails; `None`: never.
    pub breaker: Option<Arc<Breaker>>,
}

impl From<Policy> for Settings {
    fn from(policy: Policy) -> Self {
        Self {
            policy,
            ..Self::default()
        }
    }
}

/// How endpoints of the gateway's own zone are preferred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZoneSettings {
    /// The gateway's own zone.
    pub own: Box<str>,
    /// When a smaller share of the own zone's weight is healthy, some requests go to other zones: so many that each
    /// endpoint of the own zone gets at most what it would get at this share.
    pub spill_below: Percent,
}

/// Subsets of an upstream's endpoints: one for each value of a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubsetSettings {
    /// The label's name.
    pub label: Box<str>,
    /// Who serves a request whose subset has no endpoint available.
    pub fallback: SubsetFallback,
}

/// Who serves a request whose subset has no endpoint available.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SubsetFallback {
    /// Nobody.
    #[default]
    Refuse,
    /// Any endpoint of the upstream.
    Any,
    /// The subset of this value, and nobody if that has none available either.
    Subset(Box<str>),
}

/// A whole number of hundredths, from 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(u8);

impl Percent {
    /// So many hundredths; `None` above 100.
    #[must_use]
    pub const fn new(hundredths: u8) -> Option<Self> {
        if hundredths <= 100 {
            Some(Self(hundredths))
        } else {
            None
        }
    }

    /// The hundredths.
    #[must_use]
    pub const fn hundredths(self) -> u8 {
        self.0
    }

    /// Whether `part` is a smaller share of `whole` than this.
    pub(super) fn exceeds(self, part: u64, whole: u64) -> bool {
        u128::from(part) * 100 < u128::from(whole) * u128::from(self.0)
    }
}

/// How many exchanges in flight an endpoint may have, in relation to the mean (consistent hashing with bounded loads).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadBound(Option<u32>);

impl LoadBound {
    /// A key stays at its endpoint however busy that is.
    pub const NONE: Self = Self(None);

    /// So many hundredths of the mean; `None` at 100 and below, where nobody could be above the mean.
    #[must_use]
    pub const fn new(hundredths: u32) -> Option<Self> {
        if hundredths > 100 {
            Some(Self(Some(hundredths)))
        } else {
            None
        }
    }

    /// The hundredths of the mean; `None` without a bound.
    #[must_use]
    pub const fn hundredths(self) -> Option<u32> {
        self.0
    }
}

impl Default for LoadBound {
    /// A quarter above the mean.
    fn default() -> Self {
        Self(Some(125))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_policies() {
        for policy in Policy::ALL {
            assert_eq!(Policy::of(policy.as_str()), Some(policy));
        }
        assert_eq!(Policy::of("roundrobin"), None);
    }

    #[test]
    fn impossible_shares_cannot_be_made() {
        assert_eq!(Percent::new(101), None);
        assert_eq!(LoadBound::new(100), None);
        assert_eq!(LoadBound::default(), LoadBound::new(125).unwrap());
    }

    #[test]
    fn a_share_is_compared_exactly() {
        let half = Percent::new(50).unwrap();
        assert!(half.exceeds(1, 3));
        assert!(!half.exceeds(1, 2));
        assert!(!Percent::default().exceeds(0, 5));
        assert!(!half.exceeds(u64::MAX, u64::MAX));
    }
}
