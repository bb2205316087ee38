//! How large a head may be.

/// The number of fields that no configuration exceeds: it is the size of an array on the stack while parsing.
pub const MAX_FIELDS: usize = 128;

/// The limits of one message head. They hold while it is still arriving, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, from the first line to the empty line.
    pub bytes: usize,
    /// Number of fields; at most [`MAX_FIELDS`] counts.
    pub fields: usize,
    /// Bytes of the request target.
    pub target: usize,
}

impl HeadLimits {
    /// The number of fields that is really allowed.
    pub(super) fn allowed_fields(&self) -> usize {
        self.fields.min(MAX_FIELDS)
    }
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            bytes: 32 * 1024,
            fields: 100,
            target: 8 * 1024,
        }
    }
}
