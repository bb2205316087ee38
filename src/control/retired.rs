//! Worlds that were replaced: who drops the last hold on one drops thousands of routes, and that is not to be a worker
//! between two requests.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

use crate::snapshot::Snapshot;

/// The snapshots that an exchange or a worker may still hold, and when to look at them again.
#[derive(Debug)]
pub(super) struct Retired {
    snapshots: Vec<Arc<Snapshot>>,
    pause: Duration,
    due: Instant,
}

impl Default for Retired {
    fn default() -> Self {
        Self {
            snapshots: Vec::new(),
            pause: LONGEST,
            due: Instant::now() + LONGEST,
        }
    }
}

impl Retired {
    /// Takes in the one that was replaced just now.
    pub(super) fn add(&mut self, snapshot: Arc<Snapshot>) {
        self.drop_unused();
        // One that nobody holds has nobody to disturb.
        if Arc::strong_count(&snapshot) > 1 {
            self.snapshots.push(snapshot);
        }
        self.pause = SHORTEST;
        self.due = Instant::now() + self.pause;
    }

    /// Waits until it is time to look.
    pub(super) async fn due(&self) {
        sleep_until(self.due).await;
    }

    /// Drops what nobody else holds any more.
    pub(super) fn look(&mut self) {
        self.drop_unused();
        self.pause = if self.snapshots.is_empty() {
            LONGEST
        } else {
            (self.pause * 2).min(LONGEST)
        };
        self.due = Instant::now() + self.pause;
    }

    fn drop_unused(&mut self) {
        let is_unused = |snapshot: &mut Arc<Snapshot>| Arc::strong_count(snapshot) == 1;
        let unused: Vec<_> = self.snapshots.extract_if(.., is_unused).collect();
        if !unused.is_empty() {
            // Nobody waits for it.
            drop(tokio::task::spawn_blocking(move || drop(unused)));
        }
    }
}

/// Workers with requests take a new world within milliseconds.
const SHORTEST: Duration = Duration::from_millis(100);
/// How often what nobody refers to any more is looked for: a worker without requests keeps the world it has, and an
/// exchange may last for hours.
const LONGEST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::testing;

    fn world() -> Arc<Snapshot> {
        let text = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:8080\"\n\n\
                    [[route]]\nname = \"all\"\nrespond = {}\n";
        Arc::new(testing::snapshot(text, &testing::stores()))
    }

    #[tokio::test]
    async fn the_last_hold_on_a_world_is_not_its_holders() {
        let world = world();
        let gone = Arc::downgrade(&world);
        let mut retired = Retired::default();
        let held = Arc::clone(&world);
        retired.add(world);
        retired.look();
        drop(held);
        assert!(gone.strong_count() == 1, "it was dropped where it was held");
        retired.look();
        let dropped = async {
            while gone.strong_count() > 0 {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), dropped).await;
        assert!(waited.is_ok(), "it was kept");
    }

    #[tokio::test]
    async fn a_world_that_nobody_holds_is_gone_at_once() {
        let world = world();
        let gone = Arc::downgrade(&world);
        Retired::default().add(world);
        assert_eq!(gone.strong_count(), 0);
    }
}
