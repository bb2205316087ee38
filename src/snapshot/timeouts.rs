//! How long things may take at an upstream, and what a route says about it.

use std::time::Duration;

/// How long an endpoint may take.
#[derive(Clone, Debug)]
pub struct UpstreamTimeouts {
    /// For a new connection.
    pub connect: ConnectTimeouts,
    /// For a pooled connection without a request.
    pub idle: Duration,
    /// While a request is under way.
    pub exchange: ExchangeTimeouts,
}

/// How long a new connection to an endpoint may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectTimeouts {
    /// For TCP and TLS together.
    pub whole: Duration,
    /// For TLS alone; `None`: what is left of `whole`.
    pub tls: Option<Duration>,
}

/// How long an exchange waits for its endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeTimeouts {
    /// Until it takes more of the request.
    pub send: Duration,
    /// From the end of the request until the response head.
    pub response: Duration,
    /// Between two bytes of a body.
    pub read: Duration,
    /// In place of `read` for a stream: an event stream or a gRPC call.
    pub stream_idle: Duration,
    /// For a tunnel in which nothing moves in either direction.
    pub tunnel_idle: Duration,
}

/// What a route says about time; `None`: as the upstream does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// For the whole exchange; `None`: no limit.
    pub whole: Option<Duration>,
    /// Whether `whole` also holds for streams and tunnels.
    pub streams: bool,
    /// For a new connection, TLS included.
    pub connect: Option<Duration>,
    /// For its TLS alone.
    pub tls: Option<Duration>,
    /// Until the endpoint takes more of the request.
    pub send: Option<Duration>,
    /// Until the response head.
    pub response: Option<Duration>,
    /// Between two bytes of a body.
    pub read: Option<Duration>,
    /// Between two bytes of a stream.
    pub stream_idle: Option<Duration>,
    /// For a silent tunnel.
    pub tunnel_idle: Option<Duration>,
}

impl RouteTimeouts {
    /// The upstream's for a new connection, except where the route says otherwise.
    #[must_use]
    pub fn over_connect(&self, upstream: ConnectTimeouts) -> ConnectTimeouts {
        ConnectTimeouts {
            whole: self.connect.unwrap_or(upstream.whole),
            tls: self.tls.or(upstream.tls),
        }
    }

    /// The upstream's, except where the route says otherwise.
    #[must_use]
    pub fn over(&self, upstream: ExchangeTimeouts) -> ExchangeTimeouts {
        ExchangeTimeouts {
            send: self.send.unwrap_or(upstream.send),
            response: self.response.unwrap_or(upstream.response),
            read: self.read.unwrap_or(upstream.read),
            stream_idle: self.stream_idle.unwrap_or(upstream.stream_idle),
            tunnel_idle: self.tunnel_idle.unwrap_or(upstream.tunnel_idle),
        }
    }
}
