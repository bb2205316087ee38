//! Why a route won and why each other one did not, in words for the command line.

use std::fmt::Display;

use super::conditions::{self, Unmet};
use super::query;
use super::rank::Criterion;
use super::router::{Entry, Router};
use super::{Request, RouteMatch, ValueMatch};

/// One route as a candidate for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its place in the list that the router was built from.
    pub route: usize,
    /// How far it came.
    pub verdict: Verdict,
    /// The same in words: `path "/v2/users" does not match /v1/users/*`.
    pub reason: String,
}

/// How far a route came for a request. Later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is for other hosts.
    Host,
    /// It is for other paths.
    Path,
    /// It is for other methods.
    Method,
    /// It is for other clients.
    Client,
    /// The request lacks a header field.
    Header,
    /// The request lacks a query parameter.
    Query,
    /// It matches, and another one stands above it.
    Outranked,
    /// It takes the request.
    Won,
}

impl Router {
    /// Every route with what became of it: the winner first, then those that came furthest, then by rank.
    #[must_use]
    pub fn explain<R: Request + ?Sized>(&self, request: &R) -> Vec<Candidate> {
        let winner = self.winner(request);
        let mut seen = vec![false; self.routes.len()];
        let mut candidates = Vec::with_capacity(self.routes.len());
        let (matching, others): (Vec<u32>, Vec<u32>) = (0..)
            .zip(&self.entries)
            .map(|(ordinal, _)| ordinal)
            .partition(|ordinal| {
                self.entry(*ordinal)
                    .is_some_and(|(entry, _)| entry.host.matches(request.host()))
            });
        // A route counts with the best of its hosts, so those that match are looked at before the others.
        for ordinal in matching.into_iter().chain(others) {
            let Some((entry, _)) = self.entry(ordinal) else {
                continue;
            };
            let Some(seen) = seen.get_mut(entry.route).filter(|seen| !**seen) else {
                continue;
            };
            *seen = true;
            let (verdict, reason) = self.judge(ordinal, winner, request);
            candidates.push(Candidate {
                route: entry.route,
                verdict,
                reason,
            });
        }
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.verdict));
        candidates
    }

    fn judge<R: Request + ?Sized>(
        &self,
        ordinal: u32,
        winner: Option<u32>,
        request: &R,
    ) -> (Verdict, String) {
        let Some((entry, route)) = self.entry(ordinal) else {
            return (Verdict::Host, String::new());
        };
        if !entry.host.matches(request.host()) {
            let reason = format!("host {:?} is not {}", request.host(), list(&route.hosts));
            return (Verdict::Host, reason);
        }
        if !route.path.matches(request.path()) {
            let reason = format!("path {:?} does not match {}", request.path(), route.path);
            return (Verdict::Path, reason);
        }
        if let Some(unmet) = conditions::unmet(route, request) {
            return refused(unmet, route, request);
        }
        match winner.and_then(|winner| self.entry(winner)) {
            Some((best, other)) if best.route != entry.route => {
                let criterion = self.compare(best, entry).1;
                let reason = format!(
                    "outranked by {}: {}",
                    other.name,
                    advantage(criterion, (best, other), (entry, route))
                );
                (Verdict::Outranked, reason)
            }
            _ => (Verdict::Won, "wins".to_owned()),
        }
    }
}

fn refused<R: Request + ?Sized>(
    unmet: Unmet<'_>,
    route: &RouteMatch,
    request: &R,
) -> (Verdict, String) {
    match unmet {
        Unmet::Method => (
            Verdict::Method,
            format!(
                "method {} is not {}",
                request.method(),
                list(&route.methods)
            ),
        ),
        Unmet::Client => (
            Verdict::Client,
            format!(
                "client {} is not in {}",
                request.client().to_canonical(),
                list(&route.clients)
            ),
        ),
        Unmet::Header(wanted) => {
            let present = request.any_header(&wanted.name, &mut |_| true);
            (Verdict::Header, lacking("header", wanted, present))
        }
        Unmet::Query(wanted) => {
            let present = request
                .query()
                .is_some_and(|text| query::values(text, &wanted.name).next().is_some());
            (Verdict::Query, lacking("query parameter", wanted, present))
        }
    }
}

fn lacking(what: &str, wanted: &ValueMatch, present: bool) -> String {
    let ValueMatch { name, value } = wanted;
    if present {
        format!("{what} {name} does not match {value}")
    } else {
        format!("{what} {name} is absent")
    }
}

fn advantage(
    criterion: Criterion,
    (best, winner): (&Entry, &RouteMatch),
    (entry, loser): (&Entry, &RouteMatch),
) -> String {
    match criterion {
        Criterion::Priority => format!("{criterion} ({} > {})", winner.priority, loser.priority),
        Criterion::Host => format!("{criterion} ({} before {})", best.host, entry.host),
        Criterion::Path => format!("{criterion} ({} before {})", winner.path, loser.path),
        Criterion::Conditions | Criterion::ExactValues | Criterion::Name => criterion.to_string(),
    }
}

/// `a`, `a or b`, `a, b or c`.
fn list<T: Display>(items: &[T]) -> String {
    let mut out = String::new();
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push_str(if index + 1 == items.len() {
                " or "
            } else {
                ", "
            });
        }
        out.push_str(&item.to_string());
    }
    out
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::routing::{HostPattern, PathPattern};

    struct Asked;

    impl Request for Asked {
        fn host(&self) -> &str {
            "api.test"
        }
        fn path(&self) -> &str {
            "/v1/users/7"
        }
        fn method(&self) -> &str {
            "GET"
        }
        fn query(&self) -> Option<&str> {
            Some("page=2")
        }
        fn client(&self) -> IpAddr {
            IpAddr::from([10, 1, 0, 1]).to_canonical()
        }
        fn any_header(&self, name: &str, wanted: &mut dyn FnMut(&[u8]) -> bool) -> bool {
            name == "x-tier" && wanted(b"silver")
        }
    }

    fn route(name: &str, host: &str, path: &str) -> RouteMatch {
        RouteMatch {
            name: name.into(),
            hosts: vec![HostPattern::parse(host).unwrap()],
            path: PathPattern::parse(path).unwrap(),
            ..RouteMatch::default()
        }
    }

    fn header(value: &str) -> Vec<ValueMatch> {
        vec![ValueMatch::header("x-tier", value).unwrap()]
    }

    #[test]
    fn each_route_says_why_it_won_or_lost() {
        let base = |name: &str| route(name, "api.test", "/v1/users/*");
        let routes = vec![
            RouteMatch {
                hosts: ["a.test", "b.test", "*.c.test"]
                    .map(|host| HostPattern::parse(host).unwrap())
                    .to_vec(),
                ..base("hosts")
            },
            route("path", "api.test", "/v2/*"),
            RouteMatch {
                methods: vec!["POST".into(), "PUT".into()],
                ..base("method")
            },
            RouteMatch {
                clients: vec!["10.2.0.0/16".parse().unwrap()],
                ..base("client")
            },
            RouteMatch {
                headers: header("gold"),
                ..base("header")
            },
            RouteMatch {
                headers: vec![ValueMatch::header("x-beta", "*").unwrap()],
                ..base("absent")
            },
            RouteMatch {
                query: vec![ValueMatch::query("page", "~[34]").unwrap()],
                ..base("query")
            },
            route("wide-host", "*", "/v1/users/7"),
            base("wide-path"),
            route("winner", "api.test", "/v1/users/{id}"),
            route("zwilling", "api.test", "/v1/users/{key}"),
        ];
        let router = Router::build(routes);
        let told: Vec<_> = router
            .explain(&Asked)
            .into_iter()
            .map(|candidate| {
                let name = router.routes()[candidate.route].name.to_string();
                (name, candidate.reason)
            })
            .collect();
        let expected = [
            ("winner", "wins"),
            (
                "zwilling",
                "outranked by winner: equally specific, and its name comes first",
            ),
            (
                "wide-path",
                "outranked by winner: more specific path (/v1/users/{id} before /v1/users/*)",
            ),
            (
                "wide-host",
                "outranked by winner: more specific host (api.test before *)",
            ),
            ("query", "query parameter page does not match ~[34]"),
            ("header", "header x-tier does not match \"gold\""),
            ("absent", "header x-beta is absent"),
            ("client", "client 10.1.0.1 is not in 10.2.0.0/16"),
            ("method", "method GET is not POST or PUT"),
            ("path", "path \"/v1/users/7\" does not match /v2/*"),
            (
                "hosts",
                "host \"api.test\" is not a.test, b.test or *.c.test",
            ),
        ];
        assert_eq!(
            told,
            expected.map(|(name, reason)| (name.to_owned(), reason.to_owned()))
        );
    }

    #[test]
    fn without_a_winner_the_nearest_come_first() {
        let mut near = route("near", "api.test", "/*");
        near.headers = header("gold");
        let router = Router::build(vec![route("far", "other.test", "/*"), near]);
        let verdicts: Vec<_> = router
            .explain(&Asked)
            .iter()
            .map(|candidate| candidate.verdict)
            .collect();
        assert_eq!(verdicts, [Verdict::Header, Verdict::Host]);
    }
}
