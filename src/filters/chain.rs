//! The filters of one route, in order, and what they can decide.

use bytes::Bytes;

use super::{Context, Filter};
use crate::http::{Fields, RequestHead, ResponseHead};

/// The filters of a route, compiled once. In each phase they run in the order in which they are written; a phase that
/// none of them uses costs one branch.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    filters: Box<[Filter]>,
    acts_on_request: bool,
    acts_on_response: bool,
}

/// Whether an exchange goes on after a filter.
#[derive(Clone, Debug)]
pub enum Flow {
    /// To the next filter, and then to the upstream.
    Continue,
    /// With this answer and nothing else.
    Answer(Reply),
}

/// An answer that the gateway gives itself.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// 200 to 599.
    pub status: u16,
    /// The fields without those of body framing.
    pub fields: Fields,
    /// The whole body.
    pub body: Bytes,
    /// Why the gateway answered, for logs and metrics: a word of a closed set.
    pub reason: &'static str,
}

impl Chain {
    /// The chain of these filters.
    #[must_use]
    pub fn new(filters: Vec<Filter>) -> Self {
        Self {
            acts_on_request: filters.iter().any(Filter::acts_on_request),
            acts_on_response: filters.iter().any(Filter::acts_on_response),
            filters: filters.into(),
        }
    }

    /// The filters, in order.
    #[must_use]
    pub fn filters(&self) -> &[Filter] {
        &self.filters
    }

    /// Runs the request phase up to the first filter that answers.
    pub fn on_request(&self, head: &mut RequestHead, cx: &mut Context<'_>) -> Flow {
        if self.acts_on_request {
            for filter in &self.filters {
                if let Flow::Answer(reply) = filter.on_request(head, cx) {
                    return Flow::Answer(reply);
                }
            }
        }
        Flow::Continue
    }

    /// Runs the response phase. `request` is the head as it was sent upstream.
    pub fn on_response(
        &self,
        request: &RequestHead,
        head: &mut ResponseHead,
        cx: &mut Context<'_>,
    ) {
        if self.acts_on_response {
            for filter in &self.filters {
                filter.on_response(request, head, cx);
            }
        }
    }
}

impl Reply {
    /// An answer without fields and body.
    #[must_use]
    pub const fn empty(status: u16, reason: &'static str) -> Self {
        Self {
            status,
            fields: Fields::new(),
            body: Bytes::new(),
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::trial::Trial;
    use crate::filters::{request_headers, request_id, response_headers, rewrite};

    fn one(name: &str, value: &str) -> Vec<(String, String)> {
        vec![(name.into(), value.into())]
    }

    fn rewrite(path: &str) -> Filter {
        let settings = rewrite::Settings {
            path: Some(path.into()),
            ..Default::default()
        };
        Filter::Rewrite(settings.build().unwrap())
    }

    #[test]
    fn filters_run_in_order_in_both_phases() {
        let requests = request_headers::Settings {
            set: one("x-id", "${request_id}"),
            ..Default::default()
        };
        let responses = response_headers::Settings {
            set: one("x-echo", "${response_header.x-request-id}"),
            ..Default::default()
        };
        let chain = Chain::new(vec![
            Filter::RequestId(request_id::Settings::default().build().unwrap()),
            Filter::RequestHeaders(requests.build().unwrap()),
            Filter::ResponseHeaders(responses.build().unwrap()),
        ]);
        let mut trial = Trial::new("/", "");
        let (request, response, mut cx) = trial.parts();
        assert!(matches!(chain.on_request(request, &mut cx), Flow::Continue));
        chain.on_response(request, response, &mut cx);
        let id = trial.request_id.as_bytes();
        assert_eq!(trial.request.fields.first_named(b"x-id"), Some(id));
        assert_eq!(trial.response.fields.first_named(b"x-echo"), Some(id));
    }

    #[test]
    fn the_first_answer_ends_the_request_phase() {
        let chain = Chain::new(vec![rewrite("/{dot}{dot}"), rewrite("/never")]);
        let mut trial = Trial::new("/a.b", "");
        trial.capture("dot", 2..3);
        let (request, _, mut cx) = trial.parts();
        assert!(matches!(
            chain.on_request(request, &mut cx),
            Flow::Answer(_)
        ));
        assert_eq!(request.path, "/a.b");
    }

    #[test]
    fn a_chain_without_a_phase_leaves_the_head_alone() {
        let chain = Chain::new(vec![rewrite("/x")]);
        let mut trial = Trial::new("/", "");
        let (request, response, mut cx) = trial.parts();
        chain.on_response(request, response, &mut cx);
        assert!(response.fields.is_empty());
        assert_eq!(chain.filters()[0].kind(), "rewrite");
    }
}
