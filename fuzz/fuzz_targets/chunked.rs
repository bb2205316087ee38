//! A chunked body means the same in pieces as in one, and every byte is accounted for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis::http::HeadError;
use portcullis::http::h1::{Chunk, ChunkDecoder, ChunkLimits};

fuzz_target!(|bytes: &[u8]| {
    let Some((step, input)) = bytes.split_first() else {
        return;
    };
    let step = usize::from(*step).max(1);
    assert_eq!(decode(input, step), decode(input, input.len().max(1)));
});

/// What the body holds, whether it has ended, and how many bytes it took.
fn decode(input: &[u8], step: usize) -> Result<(Vec<u8>, bool, usize, String), HeadError> {
    let mut decoder = ChunkDecoder::new(ChunkLimits::default());
    let mut body = Vec::new();
    let mut at = 0;
    let mut end = 0;
    loop {
        end = (end + step).min(input.len());
        while at < end {
            match decoder.decode(&input[at..end])? {
                Chunk::More { used } => {
                    assert_eq!(at + used, end);
                    at = end;
                }
                Chunk::Data { skip, len } => {
                    assert!(len > 0);
                    body.extend_from_slice(&input[at + skip..at + skip + len]);
                    at += skip + len;
                }
                Chunk::End { used } => {
                    let trailers = format!("{:?}", decoder.take_trailers());
                    return Ok((body, true, at + used, trailers));
                }
            }
        }
        if end == input.len() {
            return Ok((body, false, at, String::new()));
        }
    }
}
