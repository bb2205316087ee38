//! An answer that another attempt may make good, kept in case it does not.

use std::task::{Context, Poll};

use bytes::Bytes;

use super::body::{Fill, Source};
use crate::http::{BodyLength, ResponseHead};

/// A whole answer of an endpoint.
#[derive(Debug)]
pub(crate) struct SpareAnswer {
    pub(crate) head: ResponseHead,
    pub(crate) length: BodyLength,
    pub(crate) body: Bytes,
}

impl SpareAnswer {
    /// The answer, if the rest of it is here already and is not too long: nobody waits for a body that is not wanted.
    /// Without the rest, its connection is of no use either.
    pub(crate) fn take(
        head: &mut ResponseHead,
        length: BodyLength,
        source: &mut impl Source,
        cx: &mut Context<'_>,
    ) -> Option<Box<Self>> {
        let mut body = Vec::new();
        while let Poll::Ready(filled) = source.poll_fill(cx) {
            match filled {
                Ok(Fill::Data) => {
                    let piece = source.chunk();
                    if body.len() + piece.len() > LONGEST {
                        return None;
                    }
                    body.extend_from_slice(piece);
                    let count = piece.len();
                    source.consume(count);
                }
                Ok(Fill::End) => {
                    drop(source.trailers());
                    return Some(Box::new(Self {
                        head: std::mem::take(head),
                        length: match length {
                            BodyLength::Empty => BodyLength::Empty,
                            BodyLength::Exact(_) | BodyLength::Chunked | BodyLength::UntilClose => {
                                BodyLength::Exact(body.len() as u64)
                            }
                        },
                        body: body.into(),
                    }));
                }
                Err(_) => return None,
            }
        }
        None
    }
}

/// What an answer that says what went wrong may have as its body.
const LONGEST: usize = 16 * 1024;
