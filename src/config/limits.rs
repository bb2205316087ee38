//! `[upstream.NAME.limits]`: how much an upstream takes at the same time.

use std::num::NonZeroU32;

use super::{percent::Tolerance, settings::settings, units::Timeout};

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

settings! {
    /// A limit for the requests in flight at the upstream as a whole that is found out: it grows as long as answers come
    /// as fast as they do when there is little to do, and shrinks when they take longer. What is above waits in the queue
    /// of `limits`, or is answered with 503 and `Retry-After`. `limits.requests` stays the highest that it can be.
    pub struct Adaptive = "[upstream.NAME.adaptive]" {
        /// The smallest limit, and the one to begin with. It doubles with each window until answers take longer.
        min: NonZeroU32 = default(10);
        /// The largest limit.
        max: NonZeroU32 = default(1000);
        /// The latency that is taken for normal, in relation to that with little to do.
        tolerance: Tolerance = default("150%");
        /// The time between two changes of the limit. With fewer than ten answers it takes longer.
        window: Timeout = default("100ms");
    }
}
