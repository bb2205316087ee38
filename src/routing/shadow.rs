//! Routes that no request can ever reach, because another one takes all of theirs.

use super::conditions;
use super::router::{Entry, Router};

/// A route that can never win, and the one that always wins in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shadowed {
    /// The route that is never reached.
    pub route: usize,
    /// The route that takes its requests.
    pub by: usize,
}

impl Router {
    /// The routes that one other route hides completely, in the order in which they were given. What only several
    /// routes together hide, or what only the meaning of two different expressions would show, is not found.
    #[must_use]
    pub fn unreachable(&self) -> Vec<Shadowed> {
        let mut own: Vec<Vec<u32>> = vec![Vec::new(); self.routes.len()];
        for (ordinal, entry) in (0..).zip(&self.entries) {
            if let Some(list) = own.get_mut(entry.route) {
                list.push(ordinal);
            }
        }
        own.iter()
            .enumerate()
            .filter_map(|(route, ordinals)| {
                let by = self.hiding(route, ordinals)?;
                Some(Shadowed { route, by })
            })
            .collect()
    }

    /// A route that covers all of the route's entries, each with an entry of better rank.
    fn hiding(&self, route: usize, ordinals: &[u32]) -> Option<usize> {
        let (first, rest) = ordinals.split_first()?;
        let mut candidates = self.covering(route, *first);
        for ordinal in rest {
            if candidates.is_empty() {
                return None;
            }
            let also = self.covering(route, *ordinal);
            candidates.retain(|candidate| also.contains(candidate));
        }
        candidates.first().copied()
    }

    /// The other routes that match whatever this entry matches, and outrank it.
    fn covering(&self, route: usize, ordinal: u32) -> Vec<usize> {
        let mut found = Vec::new();
        let Some((Entry { host, .. }, narrow)) = self.entry(ordinal) else {
            return found;
        };
        self.hosts.covering(host, |tree| {
            self.nodes.covering(tree, &narrow.path, &mut |ordinals| {
                let better = ordinals.iter().take_while(|other| **other < ordinal);
                for other in better.take(EXAMINED) {
                    if let Some((entry, wide)) = self.entry(*other)
                        && entry.route != route
                        && conditions::covers(wide, narrow)
                    {
                        found.push(entry.route);
                    }
                }
            });
        });
        found
    }
}

/// Routes of one host and path that differ in their conditions alone are compared with each other. Beyond this many a
/// warning may be missed, rather than a reload of a hundred thousand of them take minutes.
const EXAMINED: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::{HostPattern, PathPattern, RouteMatch, ValueMatch};

    fn route(name: &str, host: &str, path: &str) -> RouteMatch {
        RouteMatch {
            name: name.into(),
            hosts: host
                .split_whitespace()
                .map(|host| HostPattern::parse(host).unwrap())
                .collect(),
            path: PathPattern::parse(path).unwrap(),
            ..RouteMatch::default()
        }
    }

    fn urgent(route: RouteMatch) -> RouteMatch {
        RouteMatch {
            priority: 1,
            ..route
        }
    }

    fn hidden(routes: Vec<RouteMatch>) -> Vec<(usize, usize)> {
        let shadowed = Router::build(routes).unreachable();
        shadowed.iter().map(|s| (s.route, s.by)).collect()
    }

    #[test]
    fn of_two_equal_routes_the_later_name_is_never_reached() {
        let routes = vec![
            route("b", "x.example", "/a/{id}"),
            route("a", "x.example", "/a/{key}"),
        ];
        assert_eq!(hidden(routes), [(0, 1)]);
    }

    #[test]
    fn a_wider_route_hides_only_with_higher_priority() {
        assert_eq!(
            hidden(vec![
                urgent(route("wide", "", "/a/*")),
                route("exact", "x.example", "/a/b"),
                route("template", "", "/a/{id}"),
                route("slash", "", "/a/"),
                route("beside", "", "/b"),
            ]),
            [(1, 0), (2, 0), (3, 0)]
        );
        assert_eq!(
            hidden(vec![route("wide", "", "/a/*"), route("narrow", "", "/a/b")]),
            []
        );
    }

    #[test]
    fn every_host_of_the_hidden_route_must_be_covered() {
        let narrow = || route("narrow", "a.example b.test", "/a");
        assert_eq!(
            hidden(vec![urgent(route("one", "*.example", "/a")), narrow()]),
            []
        );
        assert_eq!(
            hidden(vec![
                urgent(route("two", "*.example b.test", "/a")),
                narrow()
            ]),
            [(1, 0)]
        );
    }

    #[test]
    fn conditions_that_ask_for_more_hide_nothing() {
        let with_header = |name: &str, value: &str| RouteMatch {
            headers: vec![ValueMatch::header("x", value).unwrap()],
            ..route(name, "", "/a")
        };
        assert_eq!(
            hidden(vec![
                urgent(with_header("wide", "v*")),
                with_header("covered", "v1"),
                with_header("other", "w"),
                route("plain", "", "/a"),
            ]),
            [(1, 0)]
        );
    }

    #[test]
    fn a_capture_does_not_cover_the_trailing_slash() {
        assert_eq!(
            hidden(vec![
                urgent(route("template", "", "/a/{id}")),
                route("slash", "", "/a/"),
            ]),
            []
        );
    }

    #[test]
    fn equal_expressions_hide_each_other() {
        let expression = |name: &str| RouteMatch {
            path: PathPattern::parse_regex("/a+").unwrap(),
            ..route(name, "", "/*")
        };
        assert_eq!(hidden(vec![expression("a"), expression("b")]), [(1, 0)]);
    }
}
