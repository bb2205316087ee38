//! The router against a plain scan of all routes in the order of rank.

use std::cmp::Ordering;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::rank::{Contender, compare};
use super::{
    HostPattern, Matched, PathPattern, Request, RouteMatch, Router, ValueMatch, Verdict, conditions,
};

#[derive(Clone, Debug)]
struct Asked {
    host: String,
    path: String,
    method: &'static str,
    query: Option<String>,
    client: u8,
    headers: Vec<(&'static str, &'static str)>,
}

impl Request for Asked {
    fn host(&self) -> &str {
        &self.host
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn method(&self) -> &str {
        self.method
    }
    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
    fn client(&self) -> IpAddr {
        IpAddr::V6(Ipv4Addr::new(10, 0, 0, self.client).to_ipv6_mapped())
    }
    fn any_header(&self, name: &str, wanted: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.headers
            .iter()
            .any(|(known, value)| *known == name && wanted(value.as_bytes()))
    }
}

/// The best rank among all routes that match, found without any index.
fn scan(routes: &[RouteMatch], asked: &Asked) -> Option<usize> {
    let any = HostPattern::Any;
    let mut best: Option<(usize, Contender<'_>)> = None;
    for (index, route) in routes.iter().enumerate() {
        let hosts = if route.hosts.is_empty() {
            std::slice::from_ref(&any)
        } else {
            &route.hosts
        };
        for host in hosts {
            let contender = Contender { route, host };
            if host.matches(&asked.host)
                && route.path.matches(&asked.path)
                && conditions::unmet(route, asked).is_none()
                && best.is_none_or(|(_, best)| compare(&contender, &best).0 == Ordering::Less)
            {
                best = Some((index, contender));
            }
        }
    }
    best.map(|(index, _)| index)
}

fn hosts() -> impl Strategy<Value = Vec<HostPattern>> {
    let host = prop::sample::select(vec![
        "*",
        "a.test",
        "b.test",
        "x.a.test",
        "*.test",
        "*.a.test",
        "*.x.a.test",
    ]);
    prop::collection::vec(
        host.prop_map(|text| HostPattern::parse(text).unwrap()),
        0..3,
    )
}

fn paths() -> impl Strategy<Value = PathPattern> {
    let segment = prop::sample::select(vec!["a", "b", "c", "{}"]);
    let segments = prop::collection::vec(segment, 0..4);
    let end = prop::sample::select(vec!["", "/", "/*"]);
    let template = (segments, end).prop_map(|(segments, end)| {
        let mut text = String::new();
        for (index, segment) in segments.iter().enumerate() {
            text.push('/');
            text.push_str(&segment.replace("{}", &format!("{{c{index}}}")));
        }
        text.push_str(end);
        PathPattern::parse(if text.is_empty() { "/" } else { &text }).unwrap()
    });
    // Compiled once for all cases: this is what the tests would spend their time on.
    let expressions = ["/a.*", "/(a|b)/(?<x>c)?", ".*b", "/a/b"]
        .map(|text| PathPattern::parse_regex(text).unwrap());
    let expression = prop::sample::select(expressions.to_vec());
    prop_oneof![6 => template, 1 => expression]
}

fn conditions() -> impl Strategy<Value = RouteMatch> {
    let values = |read: fn(&str, &str) -> Result<ValueMatch, super::PatternError>| {
        let pairs = ["x", "y"].iter().flat_map(move |name| {
            let values = ["1", "1*", "*", "~[12]", "2"].iter();
            values.map(move |value| read(name, value).unwrap())
        });
        prop::collection::vec(prop::sample::select(pairs.collect::<Vec<_>>()), 0..2)
    };
    (
        prop::collection::vec(prop::sample::select(vec!["GET", "PUT"]), 0..2),
        values(ValueMatch::header),
        values(ValueMatch::query),
        prop::collection::vec(
            prop::sample::select(vec!["10.0.0.0/31", "10.0.0.2/32"]),
            0..2,
        ),
        prop::sample::select(vec![0, 0, 0, 0, 1, -1]),
    )
        .prop_map(|(methods, headers, query, clients, priority)| RouteMatch {
            methods: methods.into_iter().map(Box::from).collect(),
            headers,
            query,
            clients: clients.iter().map(|range| range.parse().unwrap()).collect(),
            priority,
            ..RouteMatch::default()
        })
}

fn routes() -> impl Strategy<Value = Vec<RouteMatch>> {
    let plain = Just(RouteMatch::default());
    let route = (
        hosts(),
        paths(),
        prop_oneof![2 => plain.boxed(), 3 => conditions().boxed()],
    );
    prop::collection::vec(route, 0..40).prop_map(|parts| {
        parts
            .into_iter()
            .enumerate()
            .map(|(index, (hosts, path, rest))| RouteMatch {
                name: format!("route-{index}").into(),
                hosts,
                path,
                ..rest
            })
            .collect()
    })
}

fn asked() -> impl Strategy<Value = Asked> {
    let host = prop::sample::select(vec![
        "",
        "a.test",
        "b.test",
        "x.a.test",
        "y.x.a.test",
        "test",
        "other",
    ]);
    let segments = prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "d", ""]), 0..5);
    let value = || prop::sample::select(vec!["1", "12", "2", "3"]);
    let name = || prop::sample::select(vec!["x", "y"]);
    let query = prop::collection::vec((name(), value()), 0..3);
    (
        host,
        segments,
        prop::sample::select(vec!["GET", "PUT", "POST"]),
        prop::option::of(query),
        0_u8..4,
        prop::collection::vec((name(), value()), 0..3),
    )
        .prop_map(|(host, segments, method, query, client, headers)| Asked {
            host: host.to_owned(),
            path: segments
                .iter()
                .map(|segment| format!("/{segment}"))
                .collect(),
            method,
            query: query.map(|pairs| {
                let pairs = pairs.iter().map(|(name, value)| format!("{name}={value}"));
                pairs.collect::<Vec<_>>().join("&")
            }),
            client,
            headers,
        })
}

fn name(routes: &[RouteMatch], index: Option<usize>) -> Option<&str> {
    index.map(|index| &*routes[index].name)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_index_answers_like_a_scan(routes in routes(), asked in asked()) {
        let router = Router::build(routes.clone());
        let expected = scan(&routes, &asked).map(|route| Matched {
            route,
            captures: routes[route].path.captures(&asked.path),
        });
        prop_assert_eq!(router.find(&asked), expected);
    }

    #[test]
    fn the_order_of_the_routes_does_not_matter(
        (routes, shuffled) in routes().prop_flat_map(|routes| (Just(routes.clone()), Just(routes).prop_shuffle())),
        asked in asked(),
    ) {
        let winner = Router::build(routes.clone()).find(&asked).map(|matched| matched.route);
        let again = Router::build(shuffled.clone()).find(&asked).map(|matched| matched.route);
        prop_assert_eq!(name(&routes, winner), name(&shuffled, again));
    }

    #[test]
    fn the_explanation_names_each_route_once_and_the_winner_first(routes in routes(), asked in asked()) {
        let router = Router::build(routes);
        let candidates = router.explain(&asked);
        let winner = router.find(&asked).map(|matched| matched.route);
        let won = candidates.iter().filter(|candidate| candidate.verdict == Verdict::Won);
        prop_assert_eq!(won.map(|candidate| candidate.route).collect::<Vec<_>>(), winner.into_iter().collect::<Vec<_>>());
        prop_assert!(winner.is_none() || candidates[0].verdict == Verdict::Won);
        let mut named: Vec<_> = candidates.iter().map(|candidate| candidate.route).collect();
        named.sort_unstable();
        prop_assert_eq!(named, (0..router.routes().len()).collect::<Vec<_>>());
    }

    #[test]
    fn a_route_called_unreachable_never_wins(routes in routes(), asked in asked()) {
        let router = Router::build(routes);
        if let Some(matched) = router.find(&asked) {
            prop_assert!(router.unreachable().iter().all(|shadowed| shadowed.route != matched.route));
        }
    }
}
