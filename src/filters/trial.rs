//! An exchange for the tests of filters.

use std::ops::Range;

use super::{CaptureView, Context, Original, TlsFacts};
use crate::http::{RequestHead, ResponseHead};

/// Everything that a [`Context`] borrows, with plausible values.
pub(super) struct Trial {
    pub(super) request: RequestHead,
    pub(super) response: ResponseHead,
    pub(super) tls: Option<TlsFacts<'static>>,
    pub(super) peer_is_trusted: bool,
    pub(super) request_id: String,
    pub(super) original: Original,
    pub(super) tail: Option<u32>,
    names: Vec<Box<str>>,
    ranges: Vec<Range<u32>>,
    scratch: Vec<u8>,
    random: Box<dyn FnMut() -> u64>,
}

impl Trial {
    /// A GET of that path; an empty query is none.
    pub(super) fn new(path: &str, query: &str) -> Self {
        let request = RequestHead {
            host: "api.test".into(),
            port: Some(8443),
            path: path.into(),
            query: (!query.is_empty()).then(|| query.into()),
            ..RequestHead::default()
        };
        let response = ResponseHead {
            status: 200,
            ..ResponseHead::default()
        };
        let mut counter = 0;
        Self {
            request,
            response,
            tls: None,
            peer_is_trusted: false,
            request_id: String::new(),
            original: Original::default(),
            tail: None,
            names: Vec::new(),
            ranges: Vec::new(),
            scratch: Vec::new(),
            random: Box::new(move || {
                counter += 1;
                counter
            }),
        }
    }

    pub(super) fn capture(&mut self, name: &str, range: Range<u32>) {
        self.names.push(name.into());
        self.ranges.push(range);
    }

    pub(super) fn parts(&mut self) -> (&mut RequestHead, &mut ResponseHead, Context<'_>) {
        let cx = Context {
            client: ([192, 0, 2, 7], 4711).into(),
            peer_is_trusted: self.peer_is_trusted,
            scheme: "https",
            listener: "web",
            route: "users",
            upstream: "pool",
            tls: self.tls,
            captures: CaptureView {
                names: &self.names,
                ranges: &self.ranges,
                tail: self.tail,
            },
            original: &mut self.original,
            request_id: &mut self.request_id,
            now_ms: 1_700_000_000_000,
            random: &mut *self.random,
            scratch: &mut self.scratch,
        };
        (&mut self.request, &mut self.response, cx)
    }
}
