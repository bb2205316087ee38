//! A body that may have so many bytes: what goes beyond is never taken from its source.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::{
    body::{Fill, Source},
    conduit::Conduit,
};
use crate::{
    gateway::Fault,
    http::{Fields, HeadError},
};

/// A source that fails once it has more than so many bytes.
pub(crate) struct Bounded<'a, S> {
    source: &'a mut S,
    left: u64,
}

impl<'a, S> Bounded<'a, S> {
    /// At most `limit` bytes may come in all, `u64::MAX` for any number; so many have come.
    pub(crate) const fn new(source: &'a mut S, limit: u64, come: u64) -> Self {
        let left = match limit {
            u64::MAX => u64::MAX,
            limit => limit.saturating_sub(come),
        };
        Self { source, left }
    }
}

impl<S: Source> Source for Bounded<'_, S> {
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<Fill, Fault>> {
        let filled = self.source.poll_fill(cx);
        if matches!(filled, Poll::Ready(Ok(Fill::Data)))
            && self.source.chunk().len() as u64 > self.left
        {
            return Poll::Ready(Err(Fault::Request(HeadError::BodyTooLarge)));
        }
        filled
    }

    fn chunk(&self) -> &[u8] {
        self.source.chunk()
    }

    fn consume(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes as u64);
        self.source.consume(bytes);
    }

    fn take(&mut self, most: usize) -> Bytes {
        let taken = self.source.take(most);
        self.left = self.left.saturating_sub(taken.len() as u64);
        taken
    }

    fn ends_after(&self, bytes: usize) -> bool {
        self.source.ends_after(bytes)
    }

    fn trailers(&mut self) -> Option<Fields> {
        self.source.trailers()
    }

    fn raw_rest(&self) -> Option<u64> {
        self.source.raw_rest().filter(|rest| *rest <= self.left)
    }

    fn poll_pour(
        &mut self,
        cx: &mut Context<'_>,
        conduit: &mut Conduit,
    ) -> Poll<Result<(), Fault>> {
        self.source.poll_pour(cx, conduit)
    }
}
