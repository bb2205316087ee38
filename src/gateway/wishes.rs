//! What a request wishes of the choice of its endpoint: decided once, the same for all attempts.

use smallvec::SmallVec;

use super::Exchange;
use crate::{
    balance::{PickContext, key_hash},
    http::RequestHead,
    snapshot::{Route, SubsetChoice, Upstream},
};

/// What a request wishes of the choice of its endpoint.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// What the upstream's hash goes by.
    key: Option<u64>,
    /// The value of the upstream's label; empty if any endpoint will do.
    subset: SmallVec<[u8; 16]>,
}

impl Wishes {
    /// A pick that knows of them.
    pub(super) fn context<'a>(&'a self, pick: PickContext<'a>) -> PickContext<'a> {
        PickContext {
            key: self.key,
            subset: self.subset(),
            ..pick
        }
    }

    /// The subset that the request wants.
    pub(super) fn subset(&self) -> Option<&str> {
        let text = std::str::from_utf8(&self.subset).ok()?;
        (!text.is_empty()).then_some(text)
    }

    /// Notes the wanted subset.
    pub(super) fn route_to(&mut self, subset: Option<&str>) {
        self.subset = subset.unwrap_or_default().as_bytes().into();
    }

    fn choose_subset(&mut self, choice: &SubsetChoice, head: &RequestHead) {
        if !self.subset.is_empty() {
            return;
        }
        let named = choice.header.as_ref().and_then(|header| {
            let value = head.fields.first_named(header.as_bytes())?;
            // Bytes that are no text are the name of a subset that nobody is in.
            let value = std::str::from_utf8(value).unwrap_or("\u{FFFD}");
            (!value.is_empty()).then_some(value)
        });
        self.route_to(named.or(choice.default.as_deref()));
    }
}

impl Exchange {
    /// Notes what the request wishes, as it is after the route's filters.
    pub(super) fn wish(
        &mut self,
        head: &RequestHead,
        route: &Route,
        random: &mut dyn FnMut() -> u64,
    ) {
        let Some(upstream) = self.upstream() else {
            return;
        };
        self.wishes.key = self.hash(head, route, &upstream, random);
        if let Some(choice) = &upstream.subset_choice {
            self.wishes.choose_subset(choice, head);
        }
    }

    /// What the upstream's hash goes by; `None` without a hash, or if it comes out empty.
    fn hash(
        &mut self,
        head: &RequestHead,
        route: &Route,
        upstream: &Upstream,
        random: &mut dyn FnMut() -> u64,
    ) -> Option<u64> {
        let template = upstream.hash.as_ref()?;
        let mut text = std::mem::take(&mut self.workspace);
        text.clear();
        template.render(head, None, &self.context(route, random), &mut text);
        let key = (!text.is_empty()).then(|| key_hash(&text));
        self.workspace = text;
        key
    }
}
