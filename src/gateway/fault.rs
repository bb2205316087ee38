//! What can go wrong with one exchange: each fault knows its status, its word, whose it is and whether another try is safe.

use super::Violation;
use crate::http::HeadError;

/// Why an exchange did not end as the client wished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client's message is outside the grammar or the limits.
    Request(HeadError),
    /// The client broke HTTP/2 itself, and has been told so.
    Http2(Violation),
    /// CONNECT or TRACE, which no route takes.
    MethodNotAllowed,
    /// The host is not the one that the client's certificate was asked for.
    Misdirected,
    /// No route wins.
    NoRoute,
    /// The client took too long over its head.
    HeadTimeout,
    /// The client took too long over its body.
    BodyTimeout,
    /// The client's body came in more slowly than it must.
    BodyTooSlow,
    /// The client went away.
    ClientGone,
    /// The client does not read what it asked for.
    ClientStalled,
    /// The client reads what it asked for more slowly than it must.
    ClientTooSlow,
    /// The upstream has no endpoint that may be used.
    NoEndpoint,
    /// The subset that the request wants has no endpoint that may be used.
    NoSubset,
    /// The upstream, or each of its endpoints, has as much as it takes, and nobody may wait.
    UpstreamOverloaded,
    /// As much is in flight as the latency of the upstream's answers allows, and nobody may wait.
    AdaptiveLimit,
    /// The same as one of these, and as many wait as may.
    QueueFull,
    /// No place came free in the time that may be waited for one.
    QueueTimeout,
    /// The upstream's circuit breaker is open; it lets the next request through after so many seconds.
    BreakerOpen(u32),
    /// No connection to an endpoint came about.
    ConnectFailed,
    /// Connecting took too long.
    ConnectTimeout,
    /// The endpoint's certificate or protocol is not what was asked for.
    UpstreamTls,
    /// The endpoint closed before its response was complete.
    UpstreamClosed,
    /// The endpoint refused the stream without looking at it.
    UpstreamRefused,
    /// The endpoint's message is outside the grammar or the limits.
    UpstreamMalformed(HeadError),
    /// The endpoint sent what nobody asked for: an upgrade, 1xx responses without end, or frames of HTTP/2 where they may
    /// not be.
    UpstreamProtocol,
    /// The endpoint's answer has a status that the retry conditions name.
    UpstreamStatus(u16),
    /// The endpoint's answer has a gRPC status that the retry conditions name.
    UpstreamGrpcStatus,
    /// The endpoint took too long.
    UpstreamTimeout,
    /// The route's time for the whole exchange is over.
    RouteTimeout,
    /// The deadline that a gRPC client set has passed.
    DeadlineExceeded,
    /// The `grpc-timeout` of a gRPC client cannot be understood.
    BadGrpcTimeout,
    /// As many requests are being served as may be.
    RequestsFull,
    /// The process is short of something, and the route does not matter enough.
    Overloaded,
    /// There is no descriptor left for a connection to an endpoint.
    NoDescriptors,
    /// The process ends and did not wait any longer.
    Drained,
    /// The gateway itself failed.
    Internal,
}

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The client.
    Client,
    /// The upstream.
    Upstream,
    /// The gateway.
    Gateway,
}

impl Fault {
    /// What the client is told, when it can still be told.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Request(error) => error.status(),
            Self::Http2(violation) => violation.status(),
            Self::BadGrpcTimeout => 400,
            Self::MethodNotAllowed => 405,
            Self::Misdirected => 421,
            Self::NoRoute => 404,
            Self::HeadTimeout | Self::BodyTimeout | Self::BodyTooSlow => 408,
            // Nobody is told: the figure nginx uses in logs.
            Self::ClientGone | Self::ClientStalled | Self::ClientTooSlow => 499,
            Self::NoEndpoint
            | Self::NoSubset
            | Self::UpstreamOverloaded
            | Self::AdaptiveLimit
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::UpstreamGrpcStatus
            | Self::RequestsFull
            | Self::Overloaded
            | Self::NoDescriptors
            | Self::BreakerOpen(_)
            | Self::Drained => 503,
            Self::ConnectFailed
            | Self::UpstreamTls
            | Self::UpstreamClosed
            | Self::UpstreamRefused
            | Self::UpstreamMalformed(_)
            | Self::UpstreamProtocol => 502,
            // What it was worth another attempt for, if its words are lost.
            Self::UpstreamStatus(status) => status,
            Self::ConnectTimeout
            | Self::UpstreamTimeout
            | Self::RouteTimeout
            | Self::DeadlineExceeded => 504,
            Self::Internal => 500,
        }
    }

    /// The word for logs and metrics, from a closed set.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Request(error) => error.reason(),
            Self::Http2(violation) => violation.reason(),
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Misdirected => "misdirected",
            Self::NoRoute => "no_route",
            Self::HeadTimeout => "head_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::BodyTooSlow => "body_too_slow",
            Self::ClientGone => "client_gone",
            Self::ClientStalled => "client_stalled",
            Self::ClientTooSlow => "client_too_slow",
            Self::NoEndpoint => "no_endpoint",
            Self::NoSubset => "no_subset",
            Self::UpstreamOverloaded => "upstream_overloaded",
            Self::AdaptiveLimit => "adaptive_limit",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::BreakerOpen(_) => "breaker_open",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::UpstreamTls => "upstream_tls",
            Self::UpstreamClosed => "upstream_closed",
            Self::UpstreamRefused => "upstream_refused",
            Self::UpstreamMalformed(_) => "upstream_malformed",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::UpstreamStatus(_) => "upstream_status",
            Self::UpstreamGrpcStatus => "upstream_grpc_status",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::RouteTimeout => "route_timeout",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::BadGrpcTimeout => "bad_grpc_timeout",
            Self::RequestsFull => "requests_full",
            Self::Overloaded => "overloaded",
            Self::NoDescriptors => "no_descriptors",
            Self::Drained => "drained",
            Self::Internal => "internal",
        }
    }

    /// Whether it means that an upstream brought no answer, so that an earlier one is better than none.
    #[must_use]
    pub const fn brings_no_answer(self) -> bool {
        matches!(self.blame(), Blame::Upstream)
            && !matches!(self, Self::RouteTimeout | Self::DeadlineExceeded)
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(self) -> Blame {
        match self {
            Self::Request(_)
            | Self::Http2(_)
            | Self::BadGrpcTimeout
            | Self::MethodNotAllowed
            | Self::Misdirected
            | Self::NoRoute
            | Self::HeadTimeout
            | Self::BodyTimeout
            | Self::BodyTooSlow
            | Self::ClientGone
            | Self::ClientStalled
            | Self::ClientTooSlow => Blame::Client,
            Self::NoEndpoint
            | Self::NoSubset
            | Self::UpstreamOverloaded
            | Self::AdaptiveLimit
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::BreakerOpen(_)
            | Self::ConnectFailed
            | Self::ConnectTimeout
            | Self::UpstreamTls
            | Self::UpstreamClosed
            | Self::UpstreamRefused
            | Self::UpstreamMalformed(_)
            | Self::UpstreamProtocol
            | Self::UpstreamStatus(_)
            | Self::UpstreamGrpcStatus
            | Self::UpstreamTimeout
            | Self::RouteTimeout
            | Self::DeadlineExceeded => Blame::Upstream,
            Self::RequestsFull
            | Self::Overloaded
            | Self::NoDescriptors
            | Self::Drained
            | Self::Internal => Blame::Gateway,
        }
    }
}
