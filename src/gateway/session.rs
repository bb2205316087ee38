//! The session that a request belongs to: read from its cookie, written into the response when it is at another endpoint.

use std::{sync::Arc, time::UNIX_EPOCH};

use super::Exchange;
use crate::{
    balance::{StickyCookie, StickyId},
    http::{Fields, RequestHead, ResponseHead, cookies},
    observe::SessionOutcome,
    snapshot::{SplitTarget, StickyPlan, Upstream},
};

/// The session that a request belongs to.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// What the request's cookie says.
    cookie: Option<StickyCookie>,
    /// The endpoint of the last attempt.
    served_by: Option<StickyId>,
}

impl Session {
    /// The endpoint that the session is at.
    pub(super) fn at(&self) -> Option<StickyId> {
        self.cookie.map(|cookie| cookie.id)
    }

    /// What became of it with the last attempt; `None` without sticky sessions.
    pub(super) fn outcome(&self) -> Option<SessionOutcome> {
        match (self.at(), self.served_by) {
            (None, None) => None,
            (None, Some(_)) => Some(SessionOutcome::New),
            (Some(_), None) => Some(SessionOutcome::Guest),
            (Some(at), Some(served_by)) if at == served_by => Some(SessionOutcome::Kept),
            (Some(_), Some(_)) => Some(SessionOutcome::Moved),
        }
    }

    /// Notes the endpoint of an attempt.
    pub(super) fn serve(&mut self, by: Option<StickyId>) {
        self.served_by = by;
    }

    /// Where the session is now, if its cookie does not say so or will be too old soon.
    fn news(&self, ttl: Option<u64>, now: u64) -> Option<StickyId> {
        let at = self.served_by?;
        let is_right = self.cookie.is_some_and(|cookie| {
            let is_fresh = match (ttl, cookie.expires) {
                (None, _) => true,
                (Some(ttl), Some(expires)) => expires.saturating_sub(now) >= ttl / 2,
                (Some(_), None) => false,
            };
            cookie.id == at && is_fresh
        });
        (!is_right).then_some(at)
    }
}

impl Exchange {
    /// Reads the session at an upstream from the request's cookie.
    pub(super) fn find_session(&mut self, head: &RequestHead, upstream: &Upstream) {
        if let Some(plan) = &upstream.sticky {
            self.session.cookie = read(plan, &head.fields, self.unix_now());
        }
    }

    /// The share of a split that the request's session is at, if its endpoint may still serve.
    pub(super) fn share_of_session<'t>(
        &mut self,
        head: &RequestHead,
        targets: &'t [SplitTarget],
    ) -> Option<&'t SplitTarget> {
        let mut seen: Option<&Arc<Upstream>> = None;
        let now = self.unix_now();
        targets.iter().find(|target| {
            let Some(plan) = &target.upstream.sticky else {
                return false;
            };
            // Shares of one upstream stand side by side: its cookie is looked at once.
            if seen.is_none_or(|seen| !Arc::ptr_eq(seen, &target.upstream)) {
                seen = Some(&target.upstream);
                self.session.cookie = read(plan, &head.fields, now);
            }
            let pool = target.upstream.pool.load();
            self.session
                .at()
                .is_some_and(|id| pool.has_session(id, target.subset.as_deref()))
        })
    }

    /// Sets the cookie of the session, if it has to be set.
    pub(super) fn keep_session(&mut self, response: &mut ResponseHead) {
        let Some(upstream) = self.upstream() else {
            return;
        };
        let Some(plan) = &upstream.sticky else {
            return;
        };
        let now = self.unix_now();
        let Some(at) = self.session.news(plan.ttl, now) else {
            return;
        };
        let is_secure = plan.secure.unwrap_or(self.origin.scheme == "https");
        let line = &mut self.workspace;
        line.clear();
        line.extend_from_slice(plan.cookie.as_bytes());
        line.push(b'=');
        let expires = plan.ttl.map(|ttl| now.saturating_add(ttl));
        plan.key.write(at, expires, line);
        line.extend_from_slice(plan.attributes.as_bytes());
        if let Some(ttl) = plan.ttl {
            line.extend_from_slice(b"; Max-Age=");
            line.extend_from_slice(itoa::Buffer::new().format(ttl).as_bytes());
        }
        if is_secure {
            line.extend_from_slice(b"; Secure");
        }
        response.fields.push(b"set-cookie", line);
    }

    /// Seconds of Unix time.
    fn unix_now(&self) -> u64 {
        let now = self.started_at + self.started.elapsed();
        now.duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    }
}

/// The first cookie that this upstream has signed. A client has seldom two of the name, so few are looked at.
fn read(plan: &StickyPlan, fields: &Fields, now: u64) -> Option<StickyCookie> {
    cookies(fields, plan.cookie.as_bytes())
        .take(MOST_COOKIES)
        .find_map(|value| plan.key.read(value, now))
}

/// Signatures cost time, and a client could send thousands.
const MOST_COOKIES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{EndpointId, StickyKey};

    fn id(last: u8) -> StickyId {
        let key = StickyKey::new(b"0123456789abcdef", "users");
        key.id(&EndpointId::at(([10, 0, 0, last], 80).into()))
    }

    fn session(expires: Option<u64>, served_by: u8) -> Session {
        Session {
            cookie: Some(StickyCookie { id: id(1), expires }),
            served_by: Some(id(served_by)),
        }
    }

    #[test]
    fn what_became_of_a_session_is_told() {
        assert_eq!(session(None, 1).outcome(), Some(SessionOutcome::Kept));
        assert_eq!(session(None, 2).outcome(), Some(SessionOutcome::Moved));
        let mut guest = session(None, 2);
        guest.serve(None);
        assert_eq!(guest.outcome(), Some(SessionOutcome::Guest));
        let mut new = Session::default();
        assert_eq!(new.outcome(), None);
        new.serve(Some(id(1)));
        assert_eq!(new.outcome(), Some(SessionOutcome::New));
    }

    #[test]
    fn a_cookie_that_is_right_is_not_set_again() {
        assert_eq!(session(None, 1).news(None, 1_000), None);
        assert_eq!(session(Some(1_100), 1).news(Some(100), 1_000), None);
        assert_eq!(session(Some(1_050), 1).news(Some(100), 1_000), None);
    }

    #[test]
    fn a_cookie_is_set_for_another_endpoint_or_when_half_of_its_time_is_over() {
        assert_eq!(session(None, 2).news(None, 1_000), Some(id(2)));
        assert_eq!(session(Some(1_049), 1).news(Some(100), 1_000), Some(id(1)));
        // It was set before sessions had an end.
        assert_eq!(session(None, 1).news(Some(100), 1_000), Some(id(1)));
        let new = Session {
            cookie: None,
            served_by: Some(id(1)),
        };
        assert_eq!(new.news(None, 1_000), Some(id(1)));
        assert_eq!(Session::default().news(None, 1_000), None);
    }
}
