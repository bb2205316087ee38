//! Which of two routes that both match a request wins.
//!
//! The order is total and does not look at the order of the configuration file. The first of these that tells two
//! routes apart decides:
//!
//! 1. **priority**: the higher one. It is 0 where a route does not set it, and it stands above everything else: a route
//!    for any host with priority 1 beats a route for this very host without one.
//! 2. **host**: an exact name, then the wildcard with more labels, then any host. A route with several hosts counts with
//!    the one that matched best.
//! 3. **path**: an exact path; then a template that ends where the path ends (`/a/{id}`), the one with more literal
//!    segments first; then patterns with a tail (`/a/*`, `/a/{id}/*`), the one with more segments first, then the one
//!    with more literal ones; then regular expressions; then any path. Between two templates with as many literal
//!    segments the one whose first difference is literal wins: `/a/{x}` before `/{x}/b`.
//! 4. **conditions**: the one with more of them, where all methods together, all client ranges together, each header
//!    and each query parameter count one; then the one with more headers and parameters that name an exact value.
//! 5. **name**: the one that comes first in the alphabet. Names are unique, so this ends every tie.

use std::cmp::{Ordering, Reverse};
use std::fmt;

use super::host::HostPattern;
use super::path::{Kind, PathPattern};
use super::segment::Segment;
use super::{RouteMatch, ValueMatch};

/// A route together with the one of its hosts that matched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Contender<'a> {
    pub(super) route: &'a RouteMatch,
    pub(super) host: &'a HostPattern,
}

/// What decided between two routes that both match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Criterion {
    /// The explicit priority.
    Priority,
    /// How specific the host is.
    Host,
    /// How specific the path is.
    Path,
    /// How many conditions there are besides host and path.
    Conditions,
    /// How many of the conditions name an exact value.
    ExactValues,
    /// The order of the names.
    Name,
}

/// Compares two contenders: `Less` is the winner, as it comes first in a sorted list.
pub(super) fn compare(a: &Contender<'_>, b: &Contender<'_>) -> (Ordering, Criterion) {
    STEPS
        .iter()
        .map(|(criterion, step)| (step(a, b), *criterion))
        .find(|(ordering, _)| ordering.is_ne())
        .unwrap_or((Ordering::Equal, Criterion::Name))
}

impl fmt::Display for Criterion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Priority => "higher priority",
            Self::Host => "more specific host",
            Self::Path => "more specific path",
            Self::Conditions => "more conditions",
            Self::ExactValues => "more conditions with an exact value",
            Self::Name => "equally specific, and its name comes first",
        })
    }
}

#[expect(
    clippy::type_complexity,
    reason = "it is a table of the steps in the module's documentation, read in one place"
)]
const STEPS: [(Criterion, fn(&Contender<'_>, &Contender<'_>) -> Ordering); 7] = [
    (Criterion::Priority, |a, b| {
        b.route.priority.cmp(&a.route.priority)
    }),
    (Criterion::Host, |a, b| {
        b.host.specificity().cmp(&a.host.specificity())
    }),
    (Criterion::Path, |a, b| {
        compare_paths(&a.route.path, &b.route.path)
    }),
    (Criterion::Conditions, |a, b| {
        conditions(b.route).cmp(&conditions(a.route))
    }),
    (Criterion::ExactValues, |a, b| {
        exact_values(b.route).cmp(&exact_values(a.route))
    }),
    (Criterion::Name, |a, b| a.route.name.cmp(&b.route.name)),
    // Two hosts of one route, or two routes that share a name: only the order of a list depends on it.
    (Criterion::Name, |a, b| {
        a.host.to_string().cmp(&b.host.to_string())
    }),
];

fn compare_paths(a: &PathPattern, b: &PathPattern) -> Ordering {
    path_class(a)
        .cmp(&path_class(b))
        .then_with(|| match (&a.kind, &b.kind) {
            (Kind::Segments { segments: a, .. }, Kind::Segments { segments: b, .. }) => {
                a.iter().map(is_capture).cmp(b.iter().map(is_capture))
            }
            _ => Ordering::Equal,
        })
}

/// The class of a path pattern, then what orders it within: lower wins.
fn path_class(path: &PathPattern) -> (u8, Reverse<usize>, Reverse<usize>) {
    match &path.kind {
        Kind::Segments { segments, open } => {
            let literals = segments
                .iter()
                .filter(|segment| !is_capture(segment))
                .count();
            let class = match (open, literals == segments.len()) {
                (false, true) => return (0, Reverse(0), Reverse(0)),
                (false, false) => return (1, Reverse(0), Reverse(literals)),
                (true, _) => 2,
            };
            (class, Reverse(segments.len()), Reverse(literals))
        }
        Kind::Regex { .. } => (3, Reverse(0), Reverse(0)),
        Kind::Any => (4, Reverse(0), Reverse(0)),
    }
}

fn is_capture(segment: &Segment) -> bool {
    *segment == Segment::Capture
}

fn conditions(route: &RouteMatch) -> usize {
    usize::from(!route.methods.is_empty())
        + usize::from(!route.clients.is_empty())
        + route.headers.len()
        + route.query.len()
}

fn exact_values(route: &RouteMatch) -> usize {
    let exact = |wanted: &&ValueMatch| wanted.value.is_exact();
    route
        .headers
        .iter()
        .chain(&route.query)
        .filter(exact)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the order in which they win for the requests that they share.
    const PATHS: [&str; 9] = [
        "/a/b",
        "/a/{x}",
        "/{x}/b",
        "/{x}/{y}",
        "/a/b/*",
        "/a/{x}/*",
        "/{x}/{y}/*",
        "/a/*",
        "/{x}/*",
    ];

    fn route(path: PathPattern) -> RouteMatch {
        RouteMatch {
            name: "r".into(),
            path,
            ..RouteMatch::default()
        }
    }

    fn winner(a: &RouteMatch, b: &RouteMatch) -> (Ordering, Criterion) {
        let host = &HostPattern::Any;
        compare(&Contender { route: a, host }, &Contender { route: b, host })
    }

    #[test]
    fn paths_are_ordered_from_specific_to_general() {
        let mut paths: Vec<_> = PATHS
            .iter()
            .map(|text| PathPattern::parse(text).unwrap())
            .collect();
        paths.push(PathPattern::parse_regex("/a.*").unwrap());
        paths.push(PathPattern::any());
        for (index, specific) in paths.iter().enumerate() {
            for general in paths.iter().skip(index + 1) {
                let decision = winner(&route(specific.clone()), &route(general.clone()));
                assert_eq!(
                    decision,
                    (Ordering::Less, Criterion::Path),
                    "{specific} before {general}"
                );
            }
        }
    }

    #[test]
    fn priority_stands_above_the_host() {
        let urgent = RouteMatch {
            priority: 1,
            ..RouteMatch::default()
        };
        let exact = RouteMatch::default();
        let decision = compare(
            &Contender {
                route: &exact,
                host: &HostPattern::parse("a.example").unwrap(),
            },
            &Contender {
                route: &urgent,
                host: &HostPattern::Any,
            },
        );
        assert_eq!(decision, (Ordering::Greater, Criterion::Priority));
    }

    #[test]
    fn conditions_count_before_exact_values_before_names() {
        let header = |value| ValueMatch::header("x", value).unwrap();
        let two = RouteMatch {
            headers: vec![header("*"), header("a*")],
            ..RouteMatch::default()
        };
        let exact = RouteMatch {
            headers: vec![header("a")],
            ..RouteMatch::default()
        };
        let present = RouteMatch {
            headers: vec![header("*")],
            ..RouteMatch::default()
        };
        let named = RouteMatch {
            name: "z".into(),
            ..present.clone()
        };
        assert_eq!(
            winner(&two, &exact),
            (Ordering::Less, Criterion::Conditions)
        );
        assert_eq!(
            winner(&exact, &present),
            (Ordering::Less, Criterion::ExactValues)
        );
        assert_eq!(winner(&present, &named), (Ordering::Less, Criterion::Name));
    }
}
