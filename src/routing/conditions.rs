//! The conditions of a route besides host and path: method, client, headers, query.

use super::query;
use super::{Request, RouteMatch, ValueMatch};

/// The condition that a request does not meet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Unmet<'a> {
    Method,
    Client,
    Header(&'a ValueMatch),
    Query(&'a ValueMatch),
}

/// The first condition of the route that the request does not meet.
pub(super) fn unmet<'a, R: Request + ?Sized>(
    route: &'a RouteMatch,
    request: &R,
) -> Option<Unmet<'a>> {
    let method = request.method();
    if !route.methods.is_empty() && !route.methods.iter().any(|known| **known == *method) {
        return Some(Unmet::Method);
    }
    if !route.clients.is_empty() {
        // An IPv4 client of a dual-stack socket arrives as `::ffff:192.0.2.1`.
        let client = request.client().to_canonical();
        if !route.clients.iter().any(|range| range.contains(&client)) {
            return Some(Unmet::Client);
        }
    }
    let lacks_header = |wanted: &&ValueMatch| {
        !request.any_header(&wanted.name, &mut |value| wanted.value.matches(value))
    };
    if let Some(header) = route.headers.iter().find(lacks_header) {
        return Some(Unmet::Header(header));
    }
    let lacks_parameter = |wanted: &&ValueMatch| {
        !request
            .query()
            .is_some_and(|text| query::has_match(text, wanted))
    };
    route.query.iter().find(lacks_parameter).map(Unmet::Query)
}

/// Whether every request that meets the conditions of `narrow` also meets those of `wide`.
pub(super) fn covers(wide: &RouteMatch, narrow: &RouteMatch) -> bool {
    let methods = wide.methods.is_empty()
        || (!narrow.methods.is_empty() && narrow.methods.iter().all(|m| wide.methods.contains(m)));
    let clients = wide.clients.is_empty()
        || (!narrow.clients.is_empty()
            && narrow
                .clients
                .iter()
                .all(|range| wide.clients.iter().any(|known| known.contains(range))));
    methods
        && clients
        && implied(&wide.headers, &narrow.headers)
        && implied(&wide.query, &narrow.query)
}

/// Whether each of `wide` is met as soon as some one of `narrow` is.
fn implied(wide: &[ValueMatch], narrow: &[ValueMatch]) -> bool {
    wide.iter().all(|general| {
        narrow
            .iter()
            .any(|special| special.name == general.name && general.value.covers(&special.value))
    })
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    struct Asked {
        client: &'static str,
        tiers: &'static [&'static str],
        query: Option<&'static str>,
    }

    impl Request for Asked {
        fn host(&self) -> &str {
            ""
        }
        fn path(&self) -> &str {
            "/"
        }
        fn method(&self) -> &str {
            "GET"
        }
        fn query(&self) -> Option<&str> {
            self.query
        }
        fn client(&self) -> IpAddr {
            self.client.parse().unwrap()
        }
        fn any_header(&self, name: &str, wanted: &mut dyn FnMut(&[u8]) -> bool) -> bool {
            name == "x-tier" && self.tiers.iter().any(|tier| wanted(tier.as_bytes()))
        }
    }

    const ASKED: Asked = Asked {
        client: "::ffff:10.0.0.7",
        tiers: &["silver", "gold"],
        query: Some("a=1&a=2"),
    };

    fn header(value: &str) -> RouteMatch {
        RouteMatch {
            headers: vec![ValueMatch::header("X-Tier", value).unwrap()],
            ..RouteMatch::default()
        }
    }

    fn clients(ranges: &[&str]) -> RouteMatch {
        RouteMatch {
            clients: ranges.iter().map(|range| range.parse().unwrap()).collect(),
            ..RouteMatch::default()
        }
    }

    fn methods(methods: &[&str]) -> RouteMatch {
        RouteMatch {
            methods: methods.iter().map(|method| Box::from(*method)).collect(),
            ..RouteMatch::default()
        }
    }

    #[test]
    fn case_043_one_of_several_values_is_enough() {
        assert!(unmet(&header("gold"), &ASKED).is_none());
        assert!(unmet(&header("silver"), &ASKED).is_none());
        assert!(matches!(
            unmet(&header("silver, gold"), &ASKED),
            Some(Unmet::Header(_))
        ));
        let mut both = header("gold");
        both.headers.extend(header("silver").headers);
        assert!(unmet(&both, &ASKED).is_none(), "every condition is met");
        both.headers.extend(header("bronze").headers);
        assert!(unmet(&both, &ASKED).is_some());
    }

    #[test]
    fn a_mapped_address_is_the_address_it_maps() {
        assert!(unmet(&clients(&["fe80::/10", "10.0.0.0/24"]), &ASKED).is_none());
        assert!(matches!(
            unmet(&clients(&["10.0.1.0/24"]), &ASKED),
            Some(Unmet::Client)
        ));
    }

    #[test]
    fn methods_are_compared_in_their_case() {
        assert!(unmet(&methods(&["PUT", "GET"]), &ASKED).is_none());
        assert!(matches!(
            unmet(&methods(&["get"]), &ASKED),
            Some(Unmet::Method)
        ));
    }

    #[test]
    fn a_parameter_is_met_by_one_of_its_pairs() {
        let parameter = |value: &str| RouteMatch {
            query: vec![ValueMatch::query("a", value).unwrap()],
            ..RouteMatch::default()
        };
        assert!(unmet(&parameter("2"), &ASKED).is_none());
        assert!(matches!(
            unmet(&parameter("3"), &ASKED),
            Some(Unmet::Query(_))
        ));
        let none = Asked {
            query: None,
            ..ASKED
        };
        assert!(unmet(&parameter("*"), &none).is_some());
    }

    #[test]
    fn covering_follows_the_sets_of_requests() {
        let any = RouteMatch::default();
        assert!(covers(&any, &header("gold")) && !covers(&header("gold"), &any));
        assert!(covers(&header("g*"), &header("gold")) && !covers(&header("gold"), &header("g*")));
        assert!(covers(&methods(&["GET", "PUT"]), &methods(&["PUT"])));
        assert!(!covers(&methods(&["GET"]), &methods(&["GET", "PUT"])));
        assert!(!covers(&methods(&["GET"]), &any));
        let wide = clients(&["10.0.0.0/8"]);
        assert!(covers(&wide, &clients(&["10.1.0.0/16", "10.2.0.0/16"])));
        assert!(!covers(&wide, &clients(&["10.1.0.0/16", "11.0.0.0/8"])));
        assert!(!covers(&wide, &any));
    }
}
