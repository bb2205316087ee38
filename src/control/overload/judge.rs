//! What a usage comes to: pure.

use crate::snapshot::Strain;

/// Shares of a resource, in hundredths, from which on something is done; `None`: never.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watermarks {
    pub(super) relieve: Option<u64>,
    pub(super) shed: Option<u64>,
}

/// How much of a resource is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) used: u64,
    pub(super) of: u64,
}

/// A strain that rises at once and falls slowly, a step at a time: what a relief has freed is soon in use again.
#[derive(Debug, Default)]
pub(super) struct Steady {
    strain: Strain,
    lower: u32,
}

/// How many looks in a row must find less.
const PATIENCE: u32 = 4;

impl Watermarks {
    pub(super) fn strain(self, share: Share) -> Strain {
        let reaches = |twice: u64| {
            // In halves of hundredths, so that the way to the whole can be halved.
            u128::from(share.used) * 200 >= u128::from(share.of) * u128::from(twice)
        };
        match (self.relieve, self.shed) {
            (_, Some(shed)) if reaches(shed + 100) => Strain::ShedNormal,
            (_, Some(shed)) if reaches(shed * 2) => Strain::ShedLow,
            (Some(relieve), _) if reaches(relieve * 2) => Strain::Relief,
            _ => Strain::None,
        }
    }
}

impl Steady {
    /// What a new finding makes of it.
    pub(super) fn now(&mut self, found: Strain) -> Strain {
        if found >= self.strain {
            self.strain = found;
            self.lower = 0;
        } else {
            self.lower += 1;
            if self.lower == PATIENCE {
                self.strain = Strain::of_level(self.strain.level().saturating_sub(1));
                self.lower = 0;
            }
        }
        self.strain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_measured_by_the_marks() {
        let marks = Watermarks {
            relieve: Some(80),
            shed: Some(90),
        };
        let level = |used| marks.strain(Share { used, of: 1_000 }).level();
        assert_eq!(
            [799, 800, 899, 900, 949, 950, 2_000].map(level),
            [0, 1, 1, 2, 2, 3, 3]
        );
        let never = Watermarks {
            relieve: None,
            shed: None,
        };
        let all = Share { used: 1, of: 1 };
        assert_eq!(never.strain(all), Strain::None);
        let unlimited = Share {
            used: u64::MAX / 2,
            of: u64::MAX,
        };
        assert_eq!(marks.strain(unlimited), Strain::None);
    }

    #[test]
    fn strain_rises_at_once_and_falls_step_by_step() {
        let mut steady = Steady::default();
        assert_eq!(steady.now(Strain::ShedNormal), Strain::ShedNormal);
        let levels: Vec<_> = (0..12).map(|_| steady.now(Strain::None).level()).collect();
        assert_eq!(levels, [3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0]);
        steady.now(Strain::Relief);
        steady.now(Strain::None);
        assert_eq!(steady.now(Strain::ShedLow), Strain::ShedLow);
    }
}
