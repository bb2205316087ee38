//! `[upstream.NAME.limits]`: how much an upstream takes at the same time.

use std::sync::Arc;

use super::Compiler;
use crate::{
    balance::{Adaptive, Limits, QueueSettings},
    config::{self, Code, Placed},
};

impl Compiler<'_> {
    /// What limits the upstream of that name; `None` if nothing does.
    pub(super) fn limits(
        &mut self,
        name: &str,
        upstream: &config::Upstream,
    ) -> Option<Arc<Limits>> {
        let adaptive = upstream.adaptive.as_ref();
        let adaptive = adaptive.map(|written| self.adaptive(written));
        let written = upstream.limits.as_ref();
        if written.is_none() && adaptive.is_none() {
            return None;
        }
        let mut limits = Limits {
            requests: None,
            endpoint_requests: None,
            adaptive,
            queue: None,
            load: self.stores.endpoints.load(name),
        };
        if let Some(written) = written {
            limits.requests = written.requests.as_ref().map(|limit| limit.value);
            limits.endpoint_requests = written.endpoint_requests.as_ref().map(|limit| limit.value);
            limits.queue = self.queue(written);
            // With an adaptive limit a queue alone makes sense.
            let is_queue = upstream.adaptive.is_some() && written.queue.is_some();
            let is_limit = limits.requests.is_some() || limits.endpoint_requests.is_some();
            if !is_limit && !is_queue && written.broken.is_empty() && upstream.is_whole("adaptive")
            {
                self.found
                    .error(
                        Code::MissingKey,
                        written.place,
                        "`limits` limits nothing: it has neither `requests` nor `endpoint_requests`",
                    )
                    .help("for example: limits = { endpoint_requests = 100 }");
            }
        }
        Some(Arc::new(limits))
    }

    fn adaptive(&mut self, written: &Placed<config::Adaptive>) -> Adaptive {
        let (min, max) = (&written.min, &written.max);
        if min.value > max.value && written.is_whole("min") && written.is_whole("max") {
            self.found
                .error(
                    Code::ConflictingKeys,
                    min.place,
                    format!("`min` ({}) is more than `max` ({})", min.value, max.value),
                )
                .help("the limit is found between the two");
        }
        Adaptive {
            min: min.get(),
            max: max.get().max(min.get()),
            tolerance: f64::from(written.tolerance.hundredths()) / 100.0,
            window: written.window.get(),
        }
    }

    fn queue(&mut self, written: &Placed<config::Limits>) -> Option<QueueSettings> {
        match (&written.queue, &written.queue_timeout) {
            (Some(places), Some(timeout)) => Some(QueueSettings {
                places: places.value,
                timeout: timeout.get(),
            }),
            (Some(queue), None) if written.is_whole("queue_timeout") => {
                self.found
                    .error(
                        Code::MissingKey,
                        queue.place,
                        "a queue without a deadline: `queue` needs the key `queue_timeout`",
                    )
                    .help("for example: queue_timeout = \"2s\"");
                None
            }
            (None, Some(timeout)) if written.is_whole("queue") => {
                self.found
                    .error(
                        Code::ConflictingKeys,
                        timeout.place,
                        "`queue_timeout` is only used with `queue`",
                    )
                    .help("for example: queue = 200");
                None
            }
            (_, _) => None,
        }
    }
}
