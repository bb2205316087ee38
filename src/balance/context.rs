//! What a pick depends on beside the pool.

use std::num::NonZeroU32;

use super::sticky::StickyId;

/// What one pick depends on beside the pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct PickContext<'a> {
    /// Milliseconds on the gateway's clock.
    pub now_ms: u64,
    /// A random number from the whole range.
    pub random: u64,
    /// What [`super::Policy::Hash`] goes by, from [`super::key_hash`]; without a key chance decides. The others ignore it.
    pub key: Option<u64>,
    /// The indices of this exchange's earlier leases.
    pub tried: &'a [usize],
    /// The value of the subset label that the request wants; ignored by a pool without subsets.
    pub subset: Option<&'a str>,
    /// The endpoint that the session is at.
    pub sticky: Option<StickyId>,
    /// How many exchanges an endpoint takes at the same time; the pool knows it.
    pub endpoint_requests: Option<NonZeroU32>,
}

impl<'a> PickContext<'a> {
    /// A pick by anyone, for any endpoint that was not tried.
    #[must_use]
    pub const fn new(now_ms: u64, random: u64, tried: &'a [usize]) -> Self {
        Self {
            now_ms,
            random,
            key: None,
            tried,
            subset: None,
            sticky: None,
            endpoint_requests: None,
        }
    }
}
