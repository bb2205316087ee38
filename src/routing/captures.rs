//! What a path pattern captured: ranges into the path, never copies of it.

use std::ops::Range;

use smallvec::SmallVec;

/// The captures of one match, in the order of the pattern's capture names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    ranges: SmallVec<[Range<u32>; 4]>,
    tail: Option<u32>,
}

impl Captures {
    pub(super) fn push(&mut self, range: Range<usize>) {
        self.ranges.push(offset(range.start)..offset(range.end));
    }

    pub(super) fn set_tail(&mut self, start: usize) {
        self.tail = Some(offset(start));
    }

    /// The byte ranges of the captures in the matched path, in the order of `Router::capture_names`.
    #[must_use]
    pub fn ranges(&self) -> &[Range<u32>] {
        &self.ranges
    }

    /// Where the tail begins: what a trailing `/*` matched, with its leading slash, up to the path's end. It may be
    /// empty. `None` when the pattern has no `/*`.
    #[must_use]
    pub const fn tail(&self) -> Option<u32> {
        self.tail
    }
}

/// Paths are limited to far below 4 GiB before they get here.
fn offset(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}
