//! The timeouts of upstreams and routes.

use std::time::Duration;

use super::Compiler;
use crate::{
    config::{self, Code, Placed, units::Timeout},
    snapshot::{ExchangeTimeouts, RouteTimeouts, UpstreamTimeouts},
};

impl Compiler<'_> {
    /// How long an upstream's endpoints may take.
    pub(super) fn upstream_timeouts(&mut self, upstream: &config::Upstream) -> UpstreamTimeouts {
        if let Some(tls) = &upstream.tls_timeout
            && upstream.tls.is_none()
            && upstream.is_whole("tls")
        {
            self.found
                .error(
                    Code::ConflictingKeys,
                    tls.place,
                    "`tls_timeout` is only used with `tls`",
                )
                .help("add `tls = {}`, or take `tls_timeout` away");
        }
        let response = upstream.response_timeout.get();
        UpstreamTimeouts {
            connect: upstream.connect_timeout.get(),
            tls: duration(upstream.tls_timeout.as_ref()),
            idle: upstream.idle_timeout.get(),
            exchange: ExchangeTimeouts {
                send: duration(upstream.send_timeout.as_ref()).unwrap_or(response),
                response,
                read: duration(upstream.read_timeout.as_ref()).unwrap_or(response),
                stream_idle: upstream.stream_idle_timeout.get(),
                tunnel_idle: upstream.tunnel_idle_timeout.get(),
            },
        }
    }

    /// What a route says about time.
    pub(super) fn route_timeouts(&mut self, route: &config::Route) -> RouteTimeouts {
        if route.timeout_streams.value && route.timeout.is_none() && route.is_whole("timeout") {
            self.found
                .error(
                    Code::MissingKey,
                    route.timeout_streams.place,
                    "`timeout_streams` needs the key `timeout`",
                )
                .help("for example: timeout = \"15s\"");
        }
        RouteTimeouts {
            whole: duration(route.timeout.as_ref()),
            streams: route.timeout_streams.value,
            send: duration(route.send_timeout.as_ref()),
            response: duration(route.response_timeout.as_ref()),
            read: duration(route.read_timeout.as_ref()),
            stream_idle: duration(route.stream_idle_timeout.as_ref()),
            tunnel_idle: duration(route.tunnel_idle_timeout.as_ref()),
        }
    }
}

fn duration(written: Option<&Placed<Timeout>>) -> Option<Duration> {
    written.map(|timeout| timeout.get())
}
