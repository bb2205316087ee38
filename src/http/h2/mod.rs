//! Heads of HTTP/2 (RFC 9113 section 8): from header blocks and to header blocks.
//!
//! What HTTP/2 forbids is refused on the way in: nothing that would mean something else in HTTP/1 gets that far (wire
//! rules 18 and 19). A block is always read to its end, whatever is wrong with what it says, since the next one builds
//! on it.

pub mod frame;
mod lines;
mod request;
mod response;
mod trailers;
mod write;

#[cfg(test)]
mod tests;

use thiserror::Error;

use super::error::HeadError;
use super::hpack;
use super::limits::HeadLimits;

pub use request::{read_request, write_request};
pub use response::{read_response, write_response};
pub use trailers::{read_trailers, write_trailers};

/// Reads the header blocks of one direction of a connection, in their order and all of them: each may mean what was in
/// one before it. Our SETTINGS_HEADER_TABLE_SIZE is the default.
#[derive(Debug)]
pub struct Decoder {
    blocks: hpack::Decoder,
    /// The pieces of a cookie that came in several fields.
    cookie: Vec<u8>,
}

/// Writes the header blocks of one direction of a connection.
#[derive(Debug, Default)]
pub struct Encoder {
    blocks: hpack::Encoder,
}

/// Why a header block was refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BlockError {
    /// It cannot be decoded, and no block after it: a connection error, COMPRESSION_ERROR (RFC 9113 section 4.3).
    #[error("broken header compression")]
    Compression,
    /// It stands for more than four times what a head may have: a connection error, ENHANCE_YOUR_CALM.
    #[error("header list far beyond the limit")]
    Bomb,
    /// It is malformed in HTTP/2's own terms: a stream error, PROTOCOL_ERROR (RFC 9113 section 8.1.1).
    #[error("malformed head")]
    Malformed,
    /// The gateway does not take what it says, and answers that.
    #[error("{0}")]
    Refused(HeadError),
}

/// Reads a block of a stream that nobody wants any more.
pub fn skip_block(
    decoder: &mut Decoder,
    block: &[u8],
    limits: &HeadLimits,
) -> Result<(), BlockError> {
    decoder.read(block, limits, &mut Ignored)
}

impl Decoder {
    /// The decoder of a new connection.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            blocks: hpack::Decoder::new(),
            cookie: Vec::new(),
        }
    }

    fn read(
        &mut self,
        block: &[u8],
        limits: &HeadLimits,
        sink: &mut impl hpack::Sink,
    ) -> Result<(), BlockError> {
        read_block(&mut self.blocks, block, limits, sink)
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// The encoder of a new connection.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            blocks: hpack::Encoder::new(),
        }
    }
}

impl From<hpack::Broken> for BlockError {
    fn from(broken: hpack::Broken) -> Self {
        match broken {
            hpack::Broken::Compression => Self::Compression,
            hpack::Broken::Bomb => Self::Bomb,
        }
    }
}

/// A list may be this many times as large as a head before its connection ends for it.
const BOMB: usize = 4;

fn read_block(
    decoder: &mut hpack::Decoder,
    block: &[u8],
    limits: &HeadLimits,
    sink: &mut impl hpack::Sink,
) -> Result<(), BlockError> {
    decoder.read(block, limits.bytes.saturating_mul(BOMB), sink)?;
    Ok(())
}

struct Ignored;

impl hpack::Sink for Ignored {
    fn field(&mut self, _: &hpack::Seen<'_>) {}
}
