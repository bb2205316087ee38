//! The timeouts of upstreams and routes.

use std::time::Duration;

use super::Compiler;
use crate::{
    config::{self, Code, Placed, units::Timeout},
    snapshot::{ConnectTimeouts, ExchangeTimeouts, RouteTimeouts, UpstreamTimeouts},
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
            connect: ConnectTimeouts {
                whole: upstream.connect_timeout.get(),
                tls: duration(upstream.tls_timeout.as_ref()),
            },
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
        self.tls_timeout_of_route(route);
        RouteTimeouts {
            whole: duration(route.timeout.as_ref()),
            streams: route.timeout_streams.value,
            connect: duration(route.connect_timeout.as_ref()),
            tls: duration(route.tls_timeout.as_ref()),
            send: duration(route.send_timeout.as_ref()),
            response: duration(route.response_timeout.as_ref()),
            read: duration(route.read_timeout.as_ref()),
            stream_idle: duration(route.stream_idle_timeout.as_ref()),
            tunnel_idle: duration(route.tunnel_idle_timeout.as_ref()),
        }
    }

    /// A time for handshakes that there are none of is a mistake.
    fn tls_timeout_of_route(&mut self, route: &config::Route) {
        let Some(written) = &route.tls_timeout else {
            return;
        };
        let shares = route.split.iter().flat_map(|split| split.iter());
        let names = shares.map(|share| &share.upstream);
        let mut upstreams = names
            .chain(&route.upstream)
            .map(|name| self.config.upstreams.get(name));
        // A name that is unknown has been reported.
        let has_tls = |upstream: Option<&Placed<config::Upstream>>| {
            upstream.is_none_or(|upstream| upstream.tls.is_some() || !upstream.is_whole("tls"))
        };
        if !upstreams.any(has_tls) {
            self.found
                .error(
                    Code::ConflictingKeys,
                    written.place,
                    "`tls_timeout` is only used with an upstream that has `tls`",
                )
                .help("add `tls = {}` to the upstream, or take `tls_timeout` away");
        }
    }
}

fn duration(written: Option<&Placed<Timeout>>) -> Option<Duration> {
    written.map(|timeout| timeout.get())
}
