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
