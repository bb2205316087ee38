//! `[[route]]`: what it matches, what it does, and whether a request can ever reach it.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Compiler, Upstreams, help_with,
    listener::{body_size, byte_rate},
    values,
};
use crate::{
    config::{self, Code, Map, Placed, place::Place, route::Share, suggest},
    filters::RouteShape,
    routing::{
        HostPattern, PathPattern, PatternError, RouteMatch, Router, ValueMatch, parse_method,
    },
    snapshot::{Action, Importance, Route, SplitTarget, Upstream},
};

/// The keys that say what a route does.
const ACTIONS: [&str; 4] = ["upstream", "split", "redirect", "respond"];

impl Compiler<'_> {
    /// What the routes match and what they do; an index means the same route in both.
    pub(super) fn routes(&mut self, upstreams: &Upstreams) -> (Vec<RouteMatch>, Vec<Arc<Route>>) {
        self.config
            .routes
            .iter()
            .filter_map(|route| {
                let matched = self.route_match(route);
                let made = self.route(route, &matched, upstreams)?;
                Some((matched, Arc::new(made)))
            })
            .unzip()
    }

    /// The router, and warnings about routes that it can never find.
    pub(super) fn router(&mut self, matches: Vec<RouteMatch>) -> Router {
        let router = Router::build(matches);
        if self.found.has_errors() {
            return router;
        }
        let routes = &self.config.routes;
        for shadowed in router.unreachable() {
            let (Some(hidden), Some(by)) = (routes.get(shadowed.route), routes.get(shadowed.by))
            else {
                continue;
            };
            let see = format!("{}: the route `{}`", self.found.locate(by.place), by.name);
            self.found
                .warning(
                    Code::UnreachableRoute,
                    hidden.name.place,
                    format!(
                        "no request reaches the route `{}`: `{}` takes all of them",
                        hidden.name, by.name
                    ),
                )
                .see(see)
                .help("make it more specific, or give it a higher `priority`");
        }
        router
    }

    fn route_match(&mut self, route: &config::Route) -> RouteMatch {
        let methods = route.methods.iter().filter_map(|method| {
            self.pattern(Code::BadMethod, method, "methods", parse_method(method))
        });
        let methods = methods.collect();
        let hosts = route.hosts.iter().filter_map(|host| {
            self.pattern(Code::BadHost, host, "hosts", HostPattern::parse(host))
        });
        let hosts = hosts.collect();
        RouteMatch {
            name: route.name.as_str().into(),
            hosts,
            path: self.path(route),
            methods,
            headers: self.conditions("headers", &route.headers, ValueMatch::header),
            query: self.conditions("query", &route.query, ValueMatch::query),
            clients: values(&route.clients),
            priority: route.priority.value,
        }
    }

    fn path(&mut self, route: &config::Route) -> PathPattern {
        let parsed = match (&route.path, &route.path_regex) {
            (None, None) => None,
            (Some(path), None) => {
                self.pattern(Code::BadPath, path, "path", PathPattern::parse(path))
            }
            (None, Some(regex)) => self.pattern(
                Code::BadPath,
                regex,
                "path_regex",
                PathPattern::parse_regex(regex),
            ),
            (Some(_), Some(regex)) => {
                self.found
                    .error(
                        Code::ConflictingKeys,
                        regex.place,
                        "a route has either `path` or `path_regex`",
                    )
                    .help("take one of them away");
                None
            }
        };
        parsed.unwrap_or_else(PathPattern::any)
    }

    fn conditions(
        &mut self,
        key: &str,
        written: &Map<String>,
        parse: impl Fn(&str, &str) -> Result<ValueMatch, PatternError>,
    ) -> Vec<ValueMatch> {
        let conditions = written.iter().filter_map(|(name, value)| {
            self.pattern(Code::BadPattern, value, key, parse(name, value))
        });
        conditions.collect()
    }

    pub(super) fn pattern<T>(
        &mut self,
        code: Code,
        value: &Placed<String>,
        key: &str,
        parsed: Result<T, PatternError>,
    ) -> Option<T> {
        match parsed {
            Ok(pattern) => Some(pattern),
            Err(PatternError {
                message,
                suggestion,
            }) => {
                let suggestion = suggestion.filter(|_| value.secret().is_none());
                help_with(self.refused(code, value, key, message), suggestion);
                None
            }
        }
    }

    fn route(
        &mut self,
        route: &Placed<config::Route>,
        matched: &RouteMatch,
        upstreams: &Upstreams,
    ) -> Option<Route> {
        let captures = matched.path.capture_names();
        let shape = RouteShape {
            captures,
            has_tail: matched.path.has_tail(),
            names_hosts: !matched.hosts.is_empty()
                && !matched
                    .hosts
                    .iter()
                    .any(|host| matches!(host, HostPattern::Any)),
        };
        let filters = self.chain(&route.filters, &shape);
        let retry = self.route_retry(route);
        let timeouts = self.route_timeouts(route);
        let subset = self.subset_of_route(route);
        let action = self.action(route, &shape, upstreams)?;
        Some(Route {
            name: route.name.as_str().into(),
            filters,
            action,
            timeouts,
            subset,
            retry,
            importance: match *route.importance {
                config::overload::Importance::Low => Importance::Low,
                config::overload::Importance::Normal => Importance::Normal,
                config::overload::Importance::High => Importance::High,
            },
            max_body: route.max_body_size.as_ref().map(|size| body_size(**size)),
            body_rate: route.min_body_rate.as_ref().map(|rate| byte_rate(**rate)),
            metrics: self.stores.metrics.route(route.name.as_str()),
        })
    }

    fn action(
        &mut self,
        route: &Placed<config::Route>,
        shape: &RouteShape<'_>,
        upstreams: &Upstreams,
    ) -> Option<Action> {
        self.check_number_of_actions(route);
        if let Some(name) = &route.upstream {
            return self.known_upstream(name, upstreams).map(Action::Forward);
        }
        if let Some(shares) = &route.split {
            return self.split(shares, upstreams).map(Action::Split);
        }
        if let Some(redirect) = &route.redirect {
            return self.redirect(redirect, shape).map(Action::Redirect);
        }
        let respond = route.respond.as_ref()?;
        self.respond(respond, shape).map(Action::Respond)
    }

    fn check_number_of_actions(&mut self, route: &Placed<config::Route>) {
        let actions: Vec<(&str, Place)> = [
            ("upstream", route.upstream.as_ref().map(|a| a.place)),
            ("split", route.split.as_ref().map(|a| a.place)),
            ("redirect", route.redirect.as_ref().map(|a| a.place)),
            ("respond", route.respond.as_ref().map(|a| a.place)),
        ]
        .into_iter()
        .filter_map(|(key, place)| Some((key, place?)))
        .collect();
        match actions.as_slice() {
            [] if ACTIONS.iter().all(|key| route.is_whole(key)) => {
                self.found
                    .error(
                        Code::NoAction,
                        route.place,
                        format!("the route `{}` does not say what to do", route.name),
                    )
                    .help(format!("add {}", suggest::either(ACTIONS)));
            }
            [] | [_] => {}
            [(first, at), others @ ..] => {
                let see = format!("{}: `{first}`", self.found.locate(*at));
                for (key, place) in others {
                    self.found
                        .error(
                            Code::ConflictingKeys,
                            *place,
                            format!(
                                "a route does one thing, and this one has `{first}` and `{key}`"
                            ),
                        )
                        .see(see.as_str())
                        .help("take one of them away");
                }
            }
        }
    }

    fn split(
        &mut self,
        shares: &Placed<Vec<Placed<Share>>>,
        upstreams: &Upstreams,
    ) -> Option<Vec<SplitTarget>> {
        if shares.is_empty() && !self.found.has_errors_in(shares.place) {
            self.found
                .error(Code::NoAction, shares.place, "this `split` has no entries")
                .help("for example: split = [{ upstream = \"orders\", weight = 95 }]");
        }
        let targets: Vec<Option<SplitTarget>> = shares
            .iter()
            .map(|share| {
                let subset = share.subset.as_ref();
                Some(SplitTarget {
                    upstream: self.known_upstream(&share.upstream, upstreams)?,
                    weight: share.weight.get(),
                    subset: subset.and_then(|subset| self.routed_subset(subset, &share.upstream)),
                })
            })
            .collect();
        targets.into_iter().collect()
    }

    fn known_upstream(
        &mut self,
        name: &Placed<String>,
        upstreams: &Upstreams,
    ) -> Option<Arc<Upstream>> {
        let found = upstreams.get(name.as_str()).map(Arc::clone);
        let config = self.config;
        let written = || config.upstreams.names().map(|known| known.as_str());
        // One that is written but wrong has been reported where it stands.
        if found.is_none() && !written().any(|known| known == name.as_str()) {
            self.found
                .error(
                    Code::UnknownUpstream,
                    name.place,
                    format!("there is no upstream `{name}`"),
                )
                .help(suggest::help(name, written()));
        }
        found
    }

    pub(super) fn warn_of_unused_upstreams(&mut self) {
        let routes = &self.config.routes;
        let named = routes.iter().flat_map(|route| {
            let shares = route.split.iter().flat_map(|split| split.iter());
            let shares = shares.map(|share| share.upstream.as_str());
            shares.chain(route.upstream.as_ref().map(|name| name.as_str()))
        });
        let used: BTreeSet<&str> = named.collect();
        for name in self.config.upstreams.names() {
            if !used.contains(name.as_str()) {
                self.found
                    .warning(
                        Code::UnusedUpstream,
                        name.place,
                        format!("no route leads to the upstream `{name}`"),
                    )
                    .help(format!(
                        "add a route with upstream = \"{name}\", or take it away"
                    ));
            }
        }
    }
}
