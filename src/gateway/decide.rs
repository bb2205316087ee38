//! From a request head to a verdict: the path that every request takes, step by step.

use std::{net::IpAddr, sync::Arc};

use super::{Exchange, Fault, forwarded, reply_of};
use crate::{
    filters::{Flow, Reply},
    http::{
        BodyLength, Known, Method, RequestHead, accepts_trailers, expects_continue,
        strip_hop_by_hop, upgrade_token,
    },
    routing::{self, Candidate},
    snapshot::{Action, Route, SplitTarget},
};

/// What happens to a request.
#[derive(Debug)]
pub enum Verdict {
    /// The gateway answers itself.
    Answer(Reply),
    /// An endpoint of [`Exchange::upstream`] answers.
    Forward,
}

impl Exchange {
    /// Decides what happens to the request, and turns its head into the one that goes on.
    ///
    /// What is for this connection alone is removed, and what the gateway asserts is written, before anything is matched:
    /// every rule is decided on exactly the bytes that are sent.
    pub fn decide(
        &mut self,
        head: &mut RequestHead,
        length: BodyLength,
        random: &mut dyn FnMut() -> u64,
    ) -> Verdict {
        self.length = length;
        if self.place.is_none() {
            return self.refuse(Fault::RequestsFull);
        }
        let found = self.prepare(head).and_then(|()| self.find_route(head));
        match found.and_then(|()| self.settle_terms(head)) {
            Ok(()) => {}
            Err(fault) => return self.refuse(fault),
        }
        match self.filter(head, random) {
            Flow::Continue => {}
            Flow::Answer(answer) => return Verdict::Answer(answer),
        }
        self.act(head, random)
    }

    /// Every route as a candidate for the request, and who is calling; for those who explain what
    /// [`decide`](Self::decide) would do.
    pub fn candidates(
        &mut self,
        head: &mut RequestHead,
        length: BodyLength,
    ) -> Result<(Vec<Candidate>, IpAddr), Fault> {
        self.length = length;
        self.prepare(head)?;
        let client = self.origin.client;
        let request = Request { head, client };
        Ok((self.snapshot.router.explain(&request), client))
    }

    /// Notes a fault and makes it the answer.
    pub fn refuse(&mut self, fault: Fault) -> Verdict {
        self.failed(fault);
        Verdict::Answer(reply_of(fault))
    }

    fn prepare(&mut self, head: &mut RequestHead) -> Result<(), Fault> {
        if matches!(head.method, Method::Connect | Method::Trace) {
            return Err(Fault::MethodNotAllowed);
        }
        self.agree_with_tls(head)?;
        if !expects_continue(head).map_err(Fault::Request)? {
            // In HTTP/1.0 the expectation has no meaning; upstream, in HTTP/1.1, it would get one.
            head.fields.remove(Known::Expect);
        }
        if let Some(token) = upgrade_token(head.version, &head.fields)
            && self.length == BodyLength::Empty
        {
            self.upgrade = token.into();
        }
        self.note_call(head)?;
        let trailers = accepts_trailers(&head.fields);
        strip_hop_by_hop(&mut head.fields).map_err(Fault::Request)?;
        if trailers {
            head.fields.push(b"te", b"trailers");
        }
        self.origin = forwarded::assert_origin(head, &self.connection, &self.snapshot);
        Ok(())
    }

    /// Where a client certificate lets people in, nobody gets past it under another host's name (RFC 9110 section 15.5.20).
    fn agree_with_tls(&self, head: &RequestHead) -> Result<(), Fault> {
        let Some(session) = &self.connection.tls else {
            return Ok(());
        };
        let agreed = session.sni.is_empty() || session.sni.eq_ignore_ascii_case(&head.host);
        if self.connection.listener.client_certificates && !agreed {
            return Err(Fault::Misdirected);
        }
        Ok(())
    }

    fn find_route(&mut self, head: &RequestHead) -> Result<(), Fault> {
        let request = Request {
            head,
            client: self.origin.client,
        };
        let matched = self.snapshot.router.find(&request).ok_or(Fault::NoRoute)?;
        let route = self
            .snapshot
            .routes
            .get(matched.route)
            .ok_or(Fault::NoRoute)?;
        let is_shed = self.strain.sheds(route.importance);
        self.route = Some(Arc::clone(route));
        self.route_index = matched.route;
        self.captures = matched.captures;
        if is_shed {
            return Err(Fault::Overloaded);
        }
        Ok(())
    }

    fn filter(&mut self, head: &mut RequestHead, random: &mut dyn FnMut() -> u64) -> Flow {
        let Some(route) = self.route.as_ref().map(Arc::clone) else {
            return Flow::Continue;
        };
        self.choose_upstream(head, &route, random);
        let mut cx = self.context(&route, random);
        route.filters.on_request(head, &mut cx)
    }

    fn choose_upstream(
        &mut self,
        head: &RequestHead,
        route: &Route,
        random: &mut dyn FnMut() -> u64,
    ) {
        let (upstream, subset) = match &route.action {
            Action::Forward(upstream) => {
                self.find_session(head, upstream);
                (upstream, &route.subset)
            }
            Action::Split(targets) => {
                let target = self.share_of_session(head, targets);
                match target.or_else(|| share(targets, random())) {
                    Some(target) => (&target.upstream, &target.subset),
                    None => return,
                }
            }
            Action::Redirect(_) | Action::Respond(_) => return,
        };
        self.upstream = Some(Arc::clone(upstream));
        self.wishes.route_to(subset.as_deref());
    }

    fn act(&mut self, head: &RequestHead, random: &mut dyn FnMut() -> u64) -> Verdict {
        let Some(route) = self.route.as_ref().map(Arc::clone) else {
            return self.refuse(Fault::NoRoute);
        };
        match &route.action {
            Action::Redirect(redirect) => {
                Verdict::Answer(redirect.answer(head, &self.context(&route, random)))
            }
            Action::Respond(respond) => {
                Verdict::Answer(respond.answer(head, &self.context(&route, random)))
            }
            Action::Forward(_) | Action::Split(_) => {
                self.wish(head, &route, random);
                Verdict::Forward
            }
        }
    }
}

/// The target whose share of the whole the number falls into.
fn share(targets: &[SplitTarget], random: u64) -> Option<&SplitTarget> {
    let whole: u64 = targets.iter().map(|target| u64::from(target.weight)).sum();
    let mut rest = random.checked_rem(whole)?;
    targets.iter().find(|target| {
        let weight = u64::from(target.weight);
        let here = rest < weight;
        rest = rest.saturating_sub(weight);
        here
    })
}

/// What routes are matched against.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// The head, prepared.
    pub head: &'a RequestHead,
    /// Who is calling.
    pub client: IpAddr,
}

impl routing::Request for Request<'_> {
    fn host(&self) -> &str {
        &self.head.host
    }

    fn path(&self) -> &str {
        &self.head.path
    }

    fn method(&self) -> &str {
        self.head.method.as_str()
    }

    fn query(&self) -> Option<&str> {
        self.head.query.as_deref()
    }

    fn client(&self) -> IpAddr {
        self.client
    }

    fn any_header(&self, name: &str, wanted: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.head.fields.all_named(name.as_bytes()).any(wanted)
    }
}
