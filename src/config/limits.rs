//! `[upstream.NAME.limits]`: how much an upstream takes at the same time.

use std::num::NonZeroU32;

use super::{settings::settings, units::Timeout};

settings! {
    /// How much the upstream takes at the same time, over all workers. What is above waits, if there is a queue, or is
    /// answered with 503 and `Retry-After`. Tunnels (WebSocket) count as requests for as long as they are open.
    pub struct Limits = "[upstream.NAME.limits]" {
        /// Requests in flight at all endpoints together.
        requests: NonZeroU32 = optional, example 500;
        /// Requests in flight at one endpoint. One that has as many leaves requests to the others, backups too.
        endpoint_requests: NonZeroU32 = optional, example 100;
        /// Requests that wait while the upstream, or every endpoint that could serve them, has as many as it takes. They
        /// are served in the order in which they came. Needs `queue_timeout`. Without this key nobody waits.
        queue: NonZeroU32 = optional, example 200;
        /// The time that a request may wait.
        queue_timeout: Timeout = optional, example "2s";
    }
}
