//! `[upstream.NAME.breaker]`: when an upstream that fails is left alone.

use std::num::{NonZeroU16, NonZeroU32};

use super::{
    percent::Percent, place::Placed, settings::settings, units::Timeout, upstream::StatusRange,
};

settings! {
    /// A circuit breaker for the upstream as a whole: when too many requests fail, the next ones are answered with 503
    /// and `Retry-After` without being sent. After a time a few are let through, and decide whether it closes.
    ///
    /// Failures are connections that fail, answers that break off, break the protocol or do not come in time, the
    /// statuses of `failure_status`, and gRPC statuses that mean the same.
    pub struct Breaker = "[upstream.NAME.breaker]" {
        /// The share of failures among the requests of `window` from which on it opens.
        failure_share: Percent = default("50%");
        /// How far back failures count.
        window: Timeout = default("10s");
        /// With fewer requests in `window` the share does not count.
        minimum_requests: NonZeroU32 = default(20);
        /// So many failures in a row open it, whatever the share.
        consecutive_failures: NonZeroU32 = optional, example 10;
        /// The statuses of responses that count as failures: numbers, or whole classes such as `"5xx"`.
        failure_status: Vec<Placed<StatusRange>> = default(["5xx"]), example [500, 502, 503, 504];
        /// The time that it is open; twice as long each time that it opens again without having been closed.
        open_for: Timeout = default("5s");
        /// The longest that it is open. Without this key: 1m, or `open_for` if that is longer.
        max_open_for: Timeout = optional, example "1m";
        /// The requests that are let through then. It closes when all of them succeed, and opens when one fails.
        trials: NonZeroU16 = default(3);
    }
}
