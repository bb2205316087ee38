//! The labels of `requests_total`, packed into one number and back.

use super::words::{WORD_BITS, WordId};
use crate::observe::record::Source;

/// What tells one series of a route's requests from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestLabels {
    pub(super) listener: ListenerId,
    pub(super) upstream: UpstreamId,
    pub(super) method: &'static str,
    pub(super) code: u16,
    pub(super) source: Source,
    pub(super) reason: WordId,
}

/// The number of a listener, 1 and up; given to another listener only when no series mentions it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListenerId(pub(super) u64);

/// The number of an upstream, 1 and up, or 0 for none; given again like a listener's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct UpstreamId(pub(super) u64);

impl RequestLabels {
    /// The key of these labels; never 0, because methods count from 1.
    pub(super) fn pack(&self) -> u64 {
        let source = match self.source {
            Source::Gateway => 0,
            Source::Upstream => 1,
        };
        let mut key = Packer(0);
        key.push(self.upstream.0, UpstreamId::BITS);
        key.push(self.listener.0, ListenerId::BITS);
        key.push(self.reason, WORD_BITS);
        key.push(source, SOURCE_BITS);
        key.push(u64::from(self.code), CODE_BITS);
        key.push(method_number(self.method), METHOD_BITS);
        key.0
    }

    /// The labels of a key.
    pub(super) fn unpack(key: u64) -> Self {
        let mut key = Packer(key);
        let method = method_of(key.pop(METHOD_BITS));
        let code = u16::try_from(key.pop(CODE_BITS)).unwrap_or_default();
        let source = match key.pop(SOURCE_BITS) {
            0 => Source::Gateway,
            _ => Source::Upstream,
        };
        let reason = key.pop(WORD_BITS);
        let listener = ListenerId(key.pop(ListenerId::BITS));
        let upstream = UpstreamId(key.pop(UpstreamId::BITS));
        Self {
            listener,
            upstream,
            method,
            code,
            source,
            reason,
        }
    }
}

impl ListenerId {
    pub(super) const BITS: u32 = 18;
}

impl UpstreamId {
    pub(super) const BITS: u32 = 22;
    pub(super) const NONE: Self = Self(0);
}

/// Numbers side by side in one, the last one pushed lowest.
struct Packer(u64);

impl Packer {
    /// A number too large for its place becomes the largest that fits: it stays within its own bits.
    fn push(&mut self, number: u64, bits: u32) {
        self.0 = (self.0 << bits) | number.min((1 << bits) - 1);
    }

    fn pop(&mut self, bits: u32) -> u64 {
        let number = self.0 & ((1 << bits) - 1);
        self.0 >>= bits;
        number
    }
}

fn method_number(method: &str) -> u64 {
    match method {
        "GET" => 1,
        "HEAD" => 2,
        "POST" => 3,
        "PUT" => 4,
        "DELETE" => 5,
        "CONNECT" => 6,
        "OPTIONS" => 7,
        "TRACE" => 8,
        "PATCH" => 9,
        "" => 10,
        _ => 11,
    }
}

fn method_of(number: u64) -> &'static str {
    match number {
        1 => "GET",
        2 => "HEAD",
        3 => "POST",
        4 => "PUT",
        5 => "DELETE",
        6 => "CONNECT",
        7 => "OPTIONS",
        8 => "TRACE",
        9 => "PATCH",
        10 => "",
        _ => "OTHER",
    }
}

const METHOD_BITS: u32 = 4;
const CODE_BITS: u32 = 10;
const SOURCE_BITS: u32 = 1;

const _: () = assert!(
    METHOD_BITS + CODE_BITS + SOURCE_BITS + WORD_BITS + ListenerId::BITS + UpstreamId::BITS
        == u64::BITS
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_survive_packing() {
        for method in [
            "", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
            "OTHER",
        ] {
            let labels = RequestLabels {
                listener: ListenerId((1 << 18) - 1),
                upstream: UpstreamId((1 << 22) - 2),
                method,
                code: 999,
                source: Source::Upstream,
                reason: 510,
            };
            assert_eq!(RequestLabels::unpack(labels.pack()), labels);
        }
    }

    #[test]
    fn nothing_at_all_has_a_key_too() {
        let labels = RequestLabels {
            listener: ListenerId(0),
            upstream: UpstreamId::NONE,
            method: "",
            code: 0,
            source: Source::Gateway,
            reason: 0,
        };
        assert_ne!(labels.pack(), 0);
        assert_eq!(RequestLabels::unpack(labels.pack()), labels);
    }

    #[test]
    fn a_method_outside_the_set_is_other() {
        assert_eq!(method_of(method_number("BREW")), "OTHER");
    }
}
