//! `[upstream.NAME]`: endpoints, protocols, TLS, health checks.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;

use super::{Compiler, Upstreams};
use crate::{
    balance::{Pool, Settings, UpstreamLoad},
    config::{self, Placed},
    snapshot::Upstream,
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
        let transport = Arc::new(self.transport(upstream)?);
        let health = self.health(upstream, &transport);
        let outlier = self.outlier(name, upstream);
        let metrics = self.stores.metrics.upstream(name);
        let load: Weak<UpstreamLoad> = Arc::downgrade(&self.stores.endpoints.load(name));
        metrics.watch(load);
        let (subsets, subset_choice) = self.subsets(name, upstream).unzip();
        let sticky = self.sticky(name, upstream);
        let balance = Settings {
            subsets,
            sticky: sticky.as_ref().map(|sticky| Arc::clone(&sticky.key)),
            limits: self.limits(name, upstream),
            breaker: self.breaker(name, upstream),
            ..self.balance(upstream)
        };
        let hash = self.hash(upstream);
        let timeouts = self.upstream_timeouts(upstream);
        let (retry, retry_budget) = self.upstream_retry(upstream);
        let cursor = self.stores.endpoints.cursor(name);
        let made = Upstream {
            name: name.as_str().into(),
            pool: ArcSwap::from_pointee(Pool::build(&balance, Vec::new(), &cursor)),
            balance,
            hash,
            subset_choice,
            sticky,
            configured,
            sources: ArcSwap::default(),
            transport,
            timeouts,
            retry,
            retry_budget,
            retries: self.stores.endpoints.retries(name),
            max_idle: upstream.max_idle.get(),
            health,
            outlier,
            metrics,
        };
        // Endpoints that have to be found join when their sources speak.
        let pool = made.build_pool(&self.stores.endpoints, |_| &[]);
        made.pool.store(Arc::new(pool));
        Some(made)
    }
}
