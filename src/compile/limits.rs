//! `[upstream.NAME.limits]`: how much an upstream takes at the same time.

use std::sync::Arc;

use super::Compiler;
use crate::{
    balance::{Limits, QueueSettings},
    config::{self, Code, Placed},
};

impl Compiler<'_> {
    /// What limits the upstream of that name; `None` if nothing does.
    pub(super) fn limits(
        &mut self,
        name: &str,
        upstream: &config::Upstream,
    ) -> Option<Arc<Limits>> {
        let written = upstream.limits.as_ref()?;
        let queue = self.queue(written);
        let limited = written.requests.is_some() || written.endpoint_requests.is_some();
        if !limited && written.broken.is_empty() {
            self.found
                .error(
                    Code::MissingKey,
                    written.place,
                    "`limits` limits nothing: it has neither `requests` nor `endpoint_requests`",
                )
                .help("for example: limits = { endpoint_requests = 100 }");
        }
        Some(Arc::new(Limits {
            requests: written.requests.as_ref().map(|limit| limit.value),
            endpoint_requests: written.endpoint_requests.as_ref().map(|limit| limit.value),
            queue,
            load: self.stores.endpoints.load(name),
        }))
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
