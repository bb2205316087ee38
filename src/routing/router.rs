//! The router: all routes, in the order of rank, behind an index of hosts and paths.

use std::cmp::Ordering;

use super::captures::Captures;
use super::conditions;
use super::host::HostPattern;
use super::hosts::Hosts;
use super::rank::{self, Contender, Criterion};
use super::tree::{Nodes, Walk};
use super::{Request, RouteMatch};

/// All routes, ready to be searched. It is built once for each snapshot and never changes.
#[derive(Debug)]
pub struct Router {
    pub(super) routes: Vec<RouteMatch>,
    /// Each route once for each of its hosts, the best rank first. The place in this list is the ordinal.
    pub(super) entries: Vec<Entry>,
    pub(super) hosts: Hosts,
    pub(super) nodes: Nodes,
}

/// The route that won.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matched {
    /// Its place in the list that the router was built from.
    pub route: usize,
    /// What its path pattern captured.
    pub captures: Captures,
}

/// A route with one of its hosts.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) route: usize,
    pub(super) host: HostPattern,
}

impl Router {
    /// Builds the index. Names are unique; where they are not, which of two equal routes wins is left to the order.
    #[must_use]
    pub fn build(routes: Vec<RouteMatch>) -> Self {
        let mut entries: Vec<Entry> = Vec::with_capacity(routes.len());
        for (route, wanted) in routes.iter().enumerate() {
            let host = |host| Entry { route, host };
            if wanted.hosts.is_empty() {
                entries.push(host(HostPattern::Any));
            }
            entries.extend(wanted.hosts.iter().cloned().map(host));
        }
        let mut router = Self {
            routes,
            entries: Vec::new(),
            hosts: Hosts::default(),
            nodes: Nodes::default(),
        };
        entries.sort_by(|a, b| router.compare(a, b).0);
        for (ordinal, entry) in (0..).zip(&entries) {
            if let Some(route) = router.routes.get(entry.route) {
                let tree = router.hosts.tree_mut(&entry.host, &mut router.nodes);
                router.nodes.insert(tree, &route.path, ordinal);
            }
        }
        router.entries = entries;
        router
    }

    /// The route that wins for the request. Allocates nothing unless the winner is an expression with captures or has
    /// more than four captures.
    #[must_use]
    pub fn find<R: Request + ?Sized>(&self, request: &R) -> Option<Matched> {
        let entry = self.entries.get(self.winner(request)? as usize)?;
        let captures = self.routes.get(entry.route)?.path.captures(request.path());
        Some(Matched {
            route: entry.route,
            captures,
        })
    }

    /// The routes in the order in which they were given.
    #[must_use]
    pub fn routes(&self) -> &[RouteMatch] {
        &self.routes
    }

    /// The names of the captures of a route, in the order of `Captures::ranges`.
    #[must_use]
    pub fn capture_names(&self, route: usize) -> &[Box<str>] {
        self.routes
            .get(route)
            .map(|route| route.path.capture_names())
            .unwrap_or_default()
    }

    /// The ordinal of the entry that wins.
    pub(super) fn winner<R: Request + ?Sized>(&self, request: &R) -> Option<u32> {
        let mut walk = Walk::new(&self.nodes, |ordinal: u32| {
            self.entry(ordinal)
                .is_some_and(|(_, route)| conditions::unmet(route, request).is_none())
        });
        self.hosts
            .matching(request.host(), |tree| walk.tree(tree, request.path()));
        walk.best()
    }

    pub(super) fn entry(&self, ordinal: u32) -> Option<(&Entry, &RouteMatch)> {
        let entry = self.entries.get(ordinal as usize)?;
        Some((entry, self.routes.get(entry.route)?))
    }

    pub(super) fn compare(&self, a: &Entry, b: &Entry) -> (Ordering, Criterion) {
        match (self.contender(a), self.contender(b)) {
            (Some(a), Some(b)) => rank::compare(&a, &b),
            // An entry always names a route.
            _ => (Ordering::Equal, Criterion::Name),
        }
    }

    fn contender<'a>(&'a self, entry: &'a Entry) -> Option<Contender<'a>> {
        let route = self.routes.get(entry.route)?;
        Some(Contender {
            route,
            host: &entry.host,
        })
    }
}
