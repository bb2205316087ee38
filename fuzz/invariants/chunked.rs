//! A chunked body means the same in pieces as in one, every byte of it is accounted for, and what was read is written
//! as what reads the same.

use portcullis::http::h1::{
    CHUNK_END, Chunk, ChunkDecoder, ChunkLimits, write_chunk, write_chunk_head, write_last_chunk,
};
use portcullis::http::{Fields, HeadError};

use super::fields::assert_clean;

/// Small enough to be met by a few kilobytes.
const LIMITS: ChunkLimits = ChunkLimits {
    extensions: 64,
    trailers: 256,
    trailer_fields: 8,
};

/// A body that has ended, or what there is of it.
#[derive(Debug)]
pub struct Decoded {
    /// The data.
    pub body: Vec<u8>,
    /// Whether the end was there.
    pub ended: bool,
    /// The bytes that belong to the body.
    pub used: usize,
    /// What stood behind the data.
    pub trailers: Option<Fields>,
}

/// Holds for any bytes. The first one says how long the pieces are.
pub fn check(bytes: &[u8]) {
    let Some((step, input)) = bytes.split_first() else {
        return;
    };
    let whole = decode(input, LIMITS, input.len().max(1));
    for step in [1, usize::from(*step).max(2)] {
        assert_same(&whole, &decode(input, LIMITS, step));
    }
    let Ok(whole) = whole else {
        return;
    };
    assert!(whole.used <= input.len());
    if whole.ended {
        // What follows the body belongs to the next message.
        let alone = decode(&input[..whole.used], LIMITS, input.len());
        assert_same(&Ok(copy(&whole)), &alone);
        let cut = decode(&input[..whole.used - 1], LIMITS, input.len());
        assert!(
            matches!(cut, Ok(Decoded { ended: false, .. })),
            "it ends before its end"
        );
    } else {
        assert_eq!(whole.used, input.len());
    }
    if let Some(trailers) = &whole.trailers {
        assert_clean(trailers);
        assert!(!trailers.is_empty() && trailers.len() <= LIMITS.trailer_fields);
    }
    assert_written(&whole, usize::from(*step).max(1));
}

/// Decodes bytes that come in pieces of that size.
///
/// # Errors
/// The bytes are no chunked body.
pub fn decode(input: &[u8], limits: ChunkLimits, step: usize) -> Result<Decoded, HeadError> {
    let ends: Vec<usize> = (1..=input.len().div_ceil(step))
        .map(|piece| (piece * step).min(input.len()))
        .collect();
    decode_split(input, limits, &ends)
}

/// Decodes bytes that come in pieces that end there; the last piece ends with the input.
///
/// # Errors
/// The bytes are no chunked body.
pub fn decode_split(
    input: &[u8],
    limits: ChunkLimits,
    ends: &[usize],
) -> Result<Decoded, HeadError> {
    let mut decoder = ChunkDecoder::new(limits);
    let mut decoded = Decoded {
        body: Vec::new(),
        ended: false,
        used: 0,
        trailers: None,
    };
    for end in ends {
        while decoded.used < *end {
            let at = decoded.used;
            match decoder.decode(&input[at..*end])? {
                Chunk::More { used } => {
                    assert_eq!(at + used, *end, "what needs more has used all");
                    decoded.used = *end;
                }
                Chunk::Data { skip, len } => {
                    assert!(len > 0);
                    decoded
                        .body
                        .extend_from_slice(&input[at + skip..at + skip + len]);
                    decoded.used = at + skip + len;
                }
                Chunk::End { used } => {
                    assert!(decoder.is_done());
                    decoded.used = at + used;
                    decoded.ended = true;
                    decoded.trailers = decoder.take_trailers();
                    // The end is told again, and takes nothing of what follows.
                    assert_eq!(
                        decoder.decode(&input[decoded.used..]),
                        Ok(Chunk::End { used: 0 })
                    );
                    return Ok(decoded);
                }
            }
        }
    }
    assert!(!decoder.is_done());
    Ok(decoded)
}

/// Encoding and decoding changes nothing, in whatever pieces the data are written.
fn assert_written(decoded: &Decoded, step: usize) {
    let mut out = Vec::new();
    for (count, data) in decoded.body.chunks(step).enumerate() {
        if count % 2 == 0 {
            write_chunk(data, &mut out);
        } else {
            write_chunk_head(data.len(), &mut out);
            out.extend_from_slice(data);
            out.extend_from_slice(CHUNK_END);
        }
    }
    write_chunk(b"", &mut out);
    write_last_chunk(decoded.trailers.as_ref(), &mut out);
    let end = out.len();
    out.extend_from_slice(b"0\r\n\r\n");
    let again = decode(&out, ChunkLimits::default(), step).expect("our own encoding");
    assert!(again.ended);
    assert_eq!(again.used, end);
    assert_eq!(again.body, decoded.body);
    assert_eq!(pairs(&again), pairs(decoded));
}

/// The verdicts are the same; why bytes were refused is, too.
fn assert_same(one: &Result<Decoded, HeadError>, other: &Result<Decoded, HeadError>) {
    match (one, other) {
        (Ok(one), Ok(other)) => {
            assert_eq!((one.ended, one.used), (other.ended, other.used));
            assert_eq!(one.body, other.body);
            assert_eq!(pairs(one), pairs(other));
        }
        (Err(one), Err(other)) => assert_eq!(one, other),
        _ => panic!("{one:?} is not {other:?}"),
    }
}

fn pairs(decoded: &Decoded) -> Vec<(Vec<u8>, Vec<u8>)> {
    decoded
        .trailers
        .iter()
        .flat_map(Fields::iter)
        .map(|field| (field.name.to_vec(), field.value.to_vec()))
        .collect()
}

fn copy(decoded: &Decoded) -> Decoded {
    Decoded {
        body: decoded.body.clone(),
        trailers: decoded.trailers.clone(),
        ..*decoded
    }
}
