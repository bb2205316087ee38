//! `[upstream.NAME]`: endpoints, protocols, TLS, health checks.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;

use super::{Compiler, Upstreams, balance::balance};
use crate::{
    balance::{Pool, Settings, UpstreamLoad},
    config::{self, Code, Placed, upstream::Health},
    http::parse_authority,
    snapshot::{HealthPlan, Upstream, UpstreamTimeouts},
};

impl Compiler<'_> {
    pub(super) fn upstreams(&mut self) -> Upstreams {
        self.config
            .upstreams
            .iter()
            .filter_map(|(name, upstream)| {
                let made = self.upstream(name, upstream)?;
                Some((name.as_str().into(), Arc::new(made)))
            })
            .collect()
    }

    fn upstream(
        &mut self,
        name: &Placed<String>,
        upstream: &Placed<config::Upstream>,
    ) -> Option<Upstream> {
        let configured = self.endpoints(name, upstream);
        let health = upstream.health.as_ref().map(|health| self.health(health));
        let transport = Arc::new(self.transport(upstream)?);
        let metrics = self.stores.metrics.upstream(name);
        let load: Weak<UpstreamLoad> = Arc::downgrade(&self.stores.endpoints.load(name));
        metrics.watch(load);
        let balance = Settings {
            limits: self.limits(name, upstream),
            ..balance(upstream)
        };
        let hash = self.hash(upstream);
        let cursor = self.stores.endpoints.cursor(name);
        let made = Upstream {
            name: name.as_str().into(),
            pool: ArcSwap::from_pointee(Pool::build(&balance, Vec::new(), &cursor)),
            balance,
            hash,
            configured,
            sources: ArcSwap::default(),
            transport,
            timeouts: UpstreamTimeouts {
                connect: upstream.connect_timeout.get(),
                response: upstream.response_timeout.get(),
                idle: upstream.idle_timeout.get(),
                tunnel_idle: upstream.tunnel_idle_timeout.get(),
            },
            max_idle: upstream.max_idle.get(),
            health,
            metrics,
        };
        // Endpoints that have to be found join when their sources speak.
        made.fill(&self.stores.endpoints, |_| &[]);
        Some(made)
    }

    fn health(&mut self, health: &Placed<Health>) -> HealthPlan {
        if !health.path.starts_with('/') {
            self.refused(
                Code::BadPath,
                &health.path,
                "path",
                format_args!("\"{}\" does not begin with `/`", health.path),
            )
            .help(format!("write \"/{}\"", health.path));
        }
        if let Some(host) = &health.host
            && parse_authority(host.as_bytes(), &mut String::new()).is_err()
        {
            let reason = format!("\"{host}\" is not a host");
            self.refused(Code::BadHost, host, "host", reason)
                .help("for example: host = \"users.internal\"");
        }
        HealthPlan {
            path: health.path.as_str().into(),
            host: health.host.as_ref().map(|host| host.as_str().into()),
            interval: health.interval.get(),
            timeout: health.timeout.get(),
            unhealthy_after: health.unhealthy_after.get(),
            healthy_after: health.healthy_after.get(),
            expected_status: health
                .expected_status
                .iter()
                .map(|range| (range.first, range.last))
                .collect(),
        }
    }
}
