//! Overload: measures what the process is short of, and says so to the workers.

mod judge;
mod usage;

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval},
};

use super::Status;
use crate::{
    config::{Config, overload::Overload},
    observe::{Metrics, metrics::Shortage},
    snapshot::{Pressure, Strain},
};
use judge::{Steady, Watermarks};
use usage::Usage;

/// How often the process looks at itself.
const BEAT: Duration = Duration::from_millis(250);

/// Looks at the process from time to time.
#[derive(Debug)]
pub struct OverloadWatch {
    pressure: Arc<Pressure>,
    metrics: Arc<Metrics>,
    usage: Usage,
    memory: Steady,
    descriptors: Steady,
    /// What was last told to the operator.
    told: Strain,
}

impl OverloadWatch {
    /// Has a first look, so that workers begin with the truth.
    #[must_use]
    pub fn new(pressure: Arc<Pressure>, metrics: Arc<Metrics>, config: &Config) -> Self {
        let mut watch = Self {
            pressure,
            metrics,
            usage: Usage::new(),
            memory: Steady::default(),
            descriptors: Steady::default(),
            told: Strain::None,
        };
        watch.look(&config.server.overload);
        watch
    }

    /// Looks again and again, by the settings of the configuration that serves.
    pub async fn run(mut self, following: watch::Receiver<Arc<Status>>) {
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            let config = Arc::clone(&following.borrow().config);
            self.look(&config.server.overload);
        }
    }

    fn look(&mut self, settings: &Overload) {
        let reading = self
            .usage
            .read(settings.max_memory.as_ref().map(|it| it.bytes() as u64));
        let marks = Watermarks {
            relieve: settings.relieve_at.limit().map(|it| it.hundredths().into()),
            shed: settings.shed_at.limit().map(|it| it.hundredths().into()),
        };
        let memory = self.memory.now(marks.strain(reading.memory));
        let descriptors = self.descriptors.now(marks.strain(reading.descriptors));
        self.pressure.set_resources(memory.max(descriptors));
        self.pressure.reserve_from(reading.reserve_from());
        let micros = |limit: Option<Duration>| {
            limit.map_or(u64::MAX, |it| {
                u64::try_from(it.as_micros()).unwrap_or(u64::MAX)
            })
        };
        self.pressure.set_delays(
            micros(settings.relieve_delay.limit().map(|it| it.get())),
            micros(settings.shed_delay.limit().map(|it| it.get())),
        );
        let delay = self.pressure.delays();
        let gateway = self.metrics.gateway();
        gateway.set_shortage(Shortage::Memory, memory.level());
        gateway.set_shortage(Shortage::Descriptors, descriptors.level());
        gateway.set_shortage(Shortage::Delay, delay.level());
        gateway.set_memory_limit(reading.memory_limit);
        self.tell(memory, descriptors, delay);
    }

    fn tell(&mut self, memory: Strain, descriptors: Strain, delay: Strain) {
        let now = memory.max(descriptors).max(delay);
        if now > self.told {
            tracing::warn!(
                memory = memory.level(),
                descriptors = descriptors.level(),
                delay = delay.level(),
                "overloaded: level 1 ends connections, 2 refuses requests of low importance, 3 of normal importance"
            );
        } else if now == Strain::None && self.told > now {
            tracing::info!("not overloaded any more");
        }
        self.told = now;
    }
}
