//! How long a connection may live: clients that came together must not come again together.

use std::time::{Duration, Instant};

use super::worker::Worker;
use crate::gateway::Connection;

/// When a connection that begins now has reached its age; `None`: never.
pub(crate) fn end_of_life(worker: &Worker, connection: &Connection) -> Option<Instant> {
    let age = connection.listener.deadlines.connection?;
    Instant::now().checked_add(varied(age, worker.random()))
}

/// The same time, a tenth shorter to a tenth longer.
fn varied(age: Duration, random: u64) -> Duration {
    let percent = 90 + u32::try_from(random % 21).unwrap_or(0);
    age.saturating_mul(percent) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_varies_by_a_tenth() {
        let hour = Duration::from_secs(3600);
        let ages = (0..21).map(|random| varied(hour, random).as_secs());
        assert_eq!(ages.clone().min(), Some(3240));
        assert_eq!(ages.max(), Some(3960));
    }
}
