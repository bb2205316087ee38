//! The HTTP/1 codec without I/O: bytes to heads, heads to bytes, and chunks both ways.

mod chunked;
mod request;
mod response;
mod scan;
mod write;

pub use chunked::{
    CHUNK_END, Chunk, ChunkDecoder, ChunkLimits, write_chunk, write_chunk_head, write_last_chunk,
};
pub use request::{parse_request, read_method};
pub use response::parse_response;
pub use scan::HeadScan;
pub use write::{ConnectionHeader, Framing, write_request_head, write_response_head};

use super::error::HeadError;

/// What was wrong with a head that `httparse` refused. Only refused heads pay for the closer look.
///
/// `lines` begins after the first line.
#[cold]
fn field_fault(error: httparse::Error, lines: &[u8]) -> HeadError {
    match error {
        httparse::Error::HeaderName | httparse::Error::NewLine => {
            let folded = lines
                .split(|byte| *byte == b'\n')
                .any(|line| matches!(line.first(), Some(b' ' | b'\t')));
            if folded {
                HeadError::ObsoleteFolding
            } else {
                HeadError::BadFieldName
            }
        }
        httparse::Error::TooManyHeaders => HeadError::TooManyFields,
        httparse::Error::HeaderValue
        | httparse::Error::Status
        | httparse::Error::Token
        | httparse::Error::Version => HeadError::BadFieldValue,
    }
}
