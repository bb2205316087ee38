//! `[upstream.NAME.breaker]`: when an upstream that fails is left alone.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use super::Compiler;
use crate::{
    balance::{Breaker, Percent},
    config::{self, Code, Placed},
};

/// For how long a breaker is open at most, unless the configuration says otherwise.
const LONGEST: Duration = Duration::from_secs(60);

impl Compiler<'_> {
    /// The breaker of the upstream of that name, if it has one.
    pub(super) fn breaker(
        &mut self,
        name: &str,
        upstream: &config::Upstream,
    ) -> Option<Arc<Breaker>> {
        let written = upstream.breaker.as_ref()?;
        self.check_breaker(written);
        let open_for = written.open_for.get();
        let longest = written.max_open_for.as_ref().map(|time| time.get());
        Some(Arc::new(Breaker {
            upstream: name.into(),
            failure_share: Percent::new(written.failure_share.hundredths()).unwrap_or_default(),
            window: written.window.get(),
            minimum_requests: written.minimum_requests.get(),
            consecutive_failures: written
                .consecutive_failures
                .as_ref()
                .map(|failures| NonZeroU32::get(failures.value)),
            open_for,
            longest: longest.unwrap_or(LONGEST).max(open_for),
            trials: written.trials.get(),
            failure_status: written
                .failure_status
                .iter()
                .map(|range| (range.first, range.last))
                .collect(),
            load: self.stores.endpoints.load(name),
        }))
    }

    fn check_breaker(&mut self, written: &Placed<config::Breaker>) {
        if written.failure_share.hundredths() == 0 {
            self.found
                .error(
                    Code::OutOfRange,
                    written.failure_share.place,
                    "`failure_share` cannot be 0%: it would open without a failure",
                )
                .help("to open at the first failure, write: consecutive_failures = 1");
        }
        if let Some(longest) = &written.max_open_for
            && longest.get() < written.open_for.get()
            && written.is_whole("open_for")
        {
            self.found
                .error(
                    Code::ConflictingKeys,
                    longest.place,
                    format!(
                        "`max_open_for` ({}) is shorter than `open_for` ({})",
                        longest.value, written.open_for.value
                    ),
                )
                .help("it is the longest that `open_for` grows to");
        }
    }
}
