//! How strained the process is, and how much a route matters then.
//!
//! The one thing beside the snapshot that every exchange looks at: `control` measures and writes, workers read.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// How much a route matters when not everything can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Importance {
    /// Its requests are refused first.
    Low,
    /// Its requests are refused when that was not enough.
    Normal,
    /// Its requests are not refused for the sake of others.
    High,
}

/// How strained the process is, by what it does about it. Each step includes those before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strain {
    /// There is enough of everything.
    #[default]
    None,
    /// Connections are not kept for another request.
    Relief,
    /// Requests of low importance are refused.
    ShedLow,
    /// Those of normal importance are refused too.
    ShedNormal,
}

/// The strain of the process, shared by those who measure it and those who act on it.
#[derive(Debug)]
pub struct Pressure {
    /// What memory and descriptors come to.
    resources: AtomicU8,
    /// What the delay of each worker comes to.
    delays: Box<[AtomicU8]>,
    /// Delays from which on connections are not kept, and requests are refused; in microseconds.
    relieve_delay: AtomicU64,
    shed_delay: AtomicU64,
    /// The first descriptor that traffic leaves to the admin address, to log files and to reloads.
    reserved: AtomicU64,
}

impl Strain {
    /// The number of the step, from 0.
    #[must_use]
    pub const fn level(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Relief => 1,
            Self::ShedLow => 2,
            Self::ShedNormal => 3,
        }
    }

    /// The step of a number.
    #[must_use]
    pub const fn of_level(level: u8) -> Self {
        match level {
            0 => Self::None,
            1 => Self::Relief,
            2 => Self::ShedLow,
            _ => Self::ShedNormal,
        }
    }

    /// Whether requests of that importance are refused.
    #[must_use]
    pub fn sheds(self, importance: Importance) -> bool {
        match importance {
            Importance::Low => self >= Self::ShedLow,
            Importance::Normal => self >= Self::ShedNormal,
            Importance::High => false,
        }
    }

    /// Whether connections end after their exchange.
    #[must_use]
    pub fn ends_connections(self) -> bool {
        self >= Self::Relief
    }
}

impl Pressure {
    /// No strain, and no limits yet.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            resources: AtomicU8::new(0),
            delays: (0..workers).map(|_| AtomicU8::new(0)).collect(),
            relieve_delay: AtomicU64::new(u64::MAX),
            shed_delay: AtomicU64::new(u64::MAX),
            reserved: AtomicU64::new(u64::MAX),
        }
    }

    // Each number stands for itself, no other memory is read because of it: relaxed is enough.

    /// Says what memory and descriptors come to.
    pub fn set_resources(&self, strain: Strain) {
        self.resources.store(strain.level(), Ordering::Relaxed);
    }

    /// What memory and descriptors come to.
    #[must_use]
    pub fn resources(&self) -> Strain {
        Strain::of_level(self.resources.load(Ordering::Relaxed))
    }

    /// Says from which delays on something is done, in microseconds; `u64::MAX`: never.
    pub fn set_delays(&self, relieve: u64, shed: u64) {
        self.relieve_delay.store(relieve, Ordering::Relaxed);
        self.shed_delay.store(shed, Ordering::Relaxed);
    }

    /// Notes by how much a worker is behind, and says what that comes to.
    pub fn delayed(&self, worker: usize, micros: u64) -> Strain {
        let shed = self.shed_delay.load(Ordering::Relaxed);
        let strain = if micros >= shed.saturating_mul(2) {
            Strain::ShedNormal
        } else if micros >= shed {
            Strain::ShedLow
        } else if micros >= self.relieve_delay.load(Ordering::Relaxed) {
            Strain::Relief
        } else {
            Strain::None
        };
        if let Some(delay) = self.delays.get(worker) {
            delay.store(strain.level(), Ordering::Relaxed);
        }
        strain
    }

    /// What the delay of the most delayed worker comes to.
    #[must_use]
    pub fn delays(&self) -> Strain {
        let levels = self.delays.iter().map(|it| it.load(Ordering::Relaxed));
        Strain::of_level(levels.max().unwrap_or(0))
    }

    /// Says which descriptor is the first that traffic may not have.
    pub fn reserve_from(&self, descriptor: u64) {
        self.reserved.store(descriptor, Ordering::Relaxed);
    }

    /// Whether traffic may not have that descriptor. The kernel gives out the lowest number that is free, so one of the
    /// last numbers means that all others are in use.
    #[must_use]
    pub fn is_reserved(&self, descriptor: i32) -> bool {
        u64::try_from(descriptor).is_ok_and(|it| it >= self.reserved.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_comes_to_more_the_longer_it_is() {
        let pressure = Pressure::new(2);
        assert_eq!(pressure.delayed(0, 1_000_000_000), Strain::None);
        pressure.set_delays(100, 1_000);
        let steps = [99, 100, 999, 1_000, 1_999, 2_000].map(|it| pressure.delayed(1, it).level());
        assert_eq!(steps, [0, 1, 1, 2, 2, 3]);
        assert_eq!(pressure.delays(), Strain::ShedNormal);
    }

    #[test]
    fn what_matters_less_is_refused_first() {
        use Importance::{High, Low, Normal};
        let refused = |strain: Strain| [Low, Normal, High].map(|it| strain.sheds(it));
        assert_eq!(refused(Strain::Relief), [false; 3]);
        assert_eq!(refused(Strain::ShedLow), [true, false, false]);
        assert_eq!(refused(Strain::ShedNormal), [true, true, false]);
        for level in 0..4 {
            assert_eq!(Strain::of_level(level).level(), level);
        }
    }

    #[test]
    fn the_last_descriptors_are_not_for_traffic() {
        let pressure = Pressure::new(1);
        assert!(!pressure.is_reserved(i32::MAX));
        pressure.reserve_from(100);
        assert_eq!([99, 100].map(|it| pressure.is_reserved(it)), [false, true]);
    }
}
