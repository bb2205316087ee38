//! A route as the data plane sees it.

use std::sync::Arc;

use crate::{
    filters::{Chain, redirect::Redirect, respond::Respond},
    observe::RouteMetrics,
};

use super::{Importance, RetryPlan, RouteTimeouts, Upstream};

/// What happens to the requests that a route wins.
#[derive(Debug)]
pub struct Route {
    /// The name in logs and metrics.
    pub name: Box<str>,
    /// The filters, in order.
    pub filters: Chain,
    /// The end of the chain.
    pub action: Action,
    /// The subset of the upstream that requests are kept to, with [`Action::Forward`].
    pub subset: Option<Box<str>>,
    /// How much it matters when not everything can be served.
    pub importance: Importance,
    /// How long the exchange and its parts may take.
    pub timeouts: RouteTimeouts,
    /// When an attempt is followed by another; `None`: as the upstream says.
    pub retry: Option<RetryPlan>,
    /// The size of a request body in bytes, `u64::MAX` for any; `None`: that of the listener.
    pub max_body: Option<u64>,
    /// Bytes per second at which a request body must come in, 0 for any; `None`: that of the listener.
    pub body_rate: Option<u64>,
    /// Where this route's figures go.
    pub metrics: Arc<RouteMetrics>,
}

/// The end of a route's chain.
#[derive(Debug)]
pub enum Action {
    /// Forward to one upstream.
    Forward(Arc<Upstream>),
    /// Forward to one of several upstreams, by weight.
    Split(Vec<SplitTarget>),
    /// Send the client elsewhere.
    Redirect(Redirect),
    /// Answer with a fixed response.
    Respond(Respond),
}

/// One share of a split.
#[derive(Debug)]
pub struct SplitTarget {
    /// Where the share goes.
    pub upstream: Arc<Upstream>,
    /// The share in relation to the sum of all.
    pub weight: u32,
    /// The subset of the upstream that the share is kept to.
    pub subset: Option<Box<str>>,
}
