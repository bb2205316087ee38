//! What an operator has said of an endpoint.

use std::sync::atomic::{AtomicU8, Ordering};

/// What an operator has said of an endpoint by the admin address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Administration {
    /// It is used.
    #[default]
    Enabled,
    /// It finishes what it has and gets nothing new. It is still checked.
    Draining,
    /// It is out of use: it gets nothing new and is not checked. What was known of it holds again when it is enabled.
    Disabled,
}

impl Administration {
    /// All states, in the order the documentation has them.
    pub const ALL: [Self; 3] = [Self::Enabled, Self::Draining, Self::Disabled];

    /// The word the admin address has for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Draining => "draining",
            Self::Disabled => "disabled",
        }
    }

    /// The state of that word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// The state, read with every pick.
#[derive(Debug, Default)]
pub(super) struct AdministrationCell(AtomicU8);

impl AdministrationCell {
    pub(super) fn read(&self) -> Administration {
        match self.0.load(Ordering::Relaxed) {
            DRAINING => Administration::Draining,
            DISABLED => Administration::Disabled,
            _ => Administration::Enabled,
        }
    }

    /// Changes the state and returns the one before.
    pub(super) fn replace(&self, state: Administration) -> Administration {
        let before = self.read();
        let byte = match state {
            Administration::Enabled => ENABLED,
            Administration::Draining => DRAINING,
            Administration::Disabled => DISABLED,
        };
        self.0.store(byte, Ordering::Relaxed);
        before
    }
}

const ENABLED: u8 = 0;
const DRAINING: u8 = 1;
const DISABLED: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_word_and_is_kept() {
        let cell = AdministrationCell::default();
        let mut before = Administration::Enabled;
        for state in Administration::ALL {
            assert_eq!(Administration::of(state.as_str()), Some(state));
            assert_eq!(cell.replace(state), before);
            assert_eq!(cell.read(), state);
            before = state;
        }
        assert_eq!(Administration::of("off"), None);
    }
}
