//! `retry`: when a request goes out again, at an upstream or at a route.

use std::{num::NonZeroU16, time::Duration};

use super::{
    percent::Percent,
    place::Placed,
    settings::{choices, settings},
    units::{Size, Timeout},
    upstream::StatusRange,
};

settings! {
    /// When an attempt that failed is followed by another. It may stand at an upstream and at a route; that of a route
    /// then holds in place of that of its upstream, as a whole, but for the `budget`, which only the upstream has.
    ///
    /// Without this table and whatever it says: a request goes to another endpoint when no connection came about, or
    /// when the endpoint refused it unseen (HTTP/2). One that may reach an endpoint twice is also sent again when a
    /// connection that was kept open turns out to be closed. Endpoints that were not tried come first.
    pub struct Retry = "[upstream.NAME.retry] and [route.retry]" {
        /// How many attempts one request may have, the first included. `1`: it is never sent again.
        attempts: NonZeroU16 = default(3);
        /// The failures that are followed by another attempt.
        on: Vec<Placed<Condition>> = default([]), example ["reset", "timeout"];
        /// The statuses that count as failures: numbers from 400, or `"4xx"` and `"5xx"`. What the last attempt brings
        /// is passed on, and so is every answer after which no attempt may follow.
        status: Vec<Placed<StatusRange>> = default([]), example [502, 503, 504];
        /// The gRPC statuses that count as failures, in answers that consist of nothing else (Trailers-Only). One in
        /// trailers behind a head is passed on, for the client has had the head by then; gRPC's own clients do not
        /// repeat such a call either. They hold for gRPC calls alone and whatever `methods` says: the service itself
        /// tells that it failed.
        grpc: Vec<Placed<GrpcCode>> = default([]), example ["unavailable", "resource_exhausted"];
        /// The methods of requests that may reach an endpoint twice. Without this key: GET, HEAD, PUT, DELETE, OPTIONS.
        /// With POST in it, the endpoints have to see for themselves that nothing is done twice.
        methods: Vec<Placed<String>> = optional, example ["GET", "HEAD", "POST"];
        /// The time for one attempt, from its beginning, connecting included, to the head of the response. While the
        /// client is still sending its body, it does not run. Without this key, the timeouts of the upstream hold.
        per_try_timeout: Timeout = optional, example "2s";
        /// The longest pause before the second attempt; it doubles with each further one. The pause itself is random,
        /// from nothing to this. There is none before another endpoint is tried because the first one took no
        /// connection or refused the request.
        backoff: Duration = default("25ms");
        /// The longest pause of all.
        max_backoff: Duration = default("250ms");
        /// The longest `Retry-After` of an endpoint that is waited for. An answer that asks for more is passed on.
        max_retry_after: Duration = default("1s");
        /// How much of a request's body is kept to be sent again. A longer one is sent once. It is kept only where it
        /// could be needed.
        buffer: Size = default("64KiB");
        /// What bounds the attempts beyond the first. Only an upstream has it.
        budget: Budget = optional, example { share = "10%", floor = 3 };
    }
}

settings! {
    /// What bounds the attempts beyond the first of all requests to an upstream, so that retries never become a storm.
    /// What is above it is not sent again, and counted in `portcullis_retries_denied_total`.
    pub struct Budget = "[upstream.NAME.retry.budget]" {
        /// Their share of the requests of the last ten seconds.
        share: Percent = default("20%");
        /// So many are allowed in each second, whatever the share says.
        floor: u16 = default(10);
    }
}

choices! {
    /// A failure that may be followed by another attempt.
    pub enum Condition {
        /// No connection came about. Holds in any case, for every method.
        Connect = "connect",
        /// The endpoint refused the request unseen, as HTTP/2 knows it. Holds in any case, for every method.
        Refused = "refused",
        /// The endpoint closed or reset before the head of its response was complete.
        Reset = "reset",
        /// The endpoint took too long, by `per_try_timeout` or a timeout of the upstream.
        Timeout = "timeout",
        /// The head of the response cannot be understood.
        Malformed = "malformed",
    }
}

choices! {
    /// A gRPC status other than OK.
    pub enum GrpcCode {
        /// 1.
        Cancelled = "cancelled",
        /// 2.
        Unknown = "unknown",
        /// 3.
        InvalidArgument = "invalid_argument",
        /// 4.
        DeadlineExceeded = "deadline_exceeded",
        /// 5.
        NotFound = "not_found",
        /// 6.
        AlreadyExists = "already_exists",
        /// 7.
        PermissionDenied = "permission_denied",
        /// 8.
        ResourceExhausted = "resource_exhausted",
        /// 9.
        FailedPrecondition = "failed_precondition",
        /// 10.
        Aborted = "aborted",
        /// 11.
        OutOfRange = "out_of_range",
        /// 12.
        Unimplemented = "unimplemented",
        /// 13.
        Internal = "internal",
        /// 14.
        Unavailable = "unavailable",
        /// 15.
        DataLoss = "data_loss",
        /// 16.
        Unauthenticated = "unauthenticated",
    }
}

impl GrpcCode {
    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Cancelled => 1,
            Self::Unknown => 2,
            Self::InvalidArgument => 3,
            Self::DeadlineExceeded => 4,
            Self::NotFound => 5,
            Self::AlreadyExists => 6,
            Self::PermissionDenied => 7,
            Self::ResourceExhausted => 8,
            Self::FailedPrecondition => 9,
            Self::Aborted => 10,
            Self::OutOfRange => 11,
            Self::Unimplemented => 12,
            Self::Internal => 13,
            Self::Unavailable => 14,
            Self::DataLoss => 15,
            Self::Unauthenticated => 16,
        }
    }
}
