//! Responses in HTTP/2 (RFC 9113 section 8.3.2).

use super::super::error::HeadError;
use super::super::fields::Known;
use super::super::head::{ResponseHead, Version};
use super::super::hpack::{self, NameKind, Seen, Sink};
use super::super::limits::HeadLimits;
use super::lines::Lines;
use super::write::write_fields;
use super::{BlockError, Decoder, Encoder};

/// HTTP/2 has no such response (RFC 9113 section 8.6).
const SWITCHING_PROTOCOLS: u16 = 101;

/// Fills `head` from the header block of a response. What was in `head` before is forgotten, its memory used again.
///
/// The limits are those of a head in HTTP/1. After an error `head` means nothing.
pub fn read_response(
    decoder: &mut Decoder,
    block: &[u8],
    head: &mut ResponseHead,
    limits: &HeadLimits,
) -> Result<(), BlockError> {
    head.clear();
    head.version = Version::Http2;
    let mut reader = Reader {
        head,
        lines: Lines::new(limits),
        has_status: false,
    };
    decoder.read(block, limits, &mut reader)?;
    reader.finish()
}

/// Appends the header block of a response for a client, without its reason and the fields that HTTP/2 does not know.
///
/// [`HeadError::BadStatusLine`] for a status outside 100 to 999 and for 101, which HTTP/2 does not have; `out` is as it
/// was then.
pub fn write_response(
    encoder: &mut Encoder,
    head: &ResponseHead,
    out: &mut Vec<u8>,
) -> Result<(), HeadError> {
    if !(100..=999).contains(&head.status) || head.status == SWITCHING_PROTOCOLS {
        return Err(HeadError::BadStatusLine);
    }
    out.reserve(16 + head.fields.written_size());
    encoder.blocks.begin(out);
    let indexed = match head.status {
        200 => Some(0),
        204 => Some(1),
        206 => Some(2),
        304 => Some(3),
        400 => Some(4),
        404 => Some(5),
        500 => Some(6),
        _ => None,
    };
    match indexed {
        Some(place) => hpack::write_indexed(hpack::STATUS + place, out),
        None => {
            let mut digits = itoa::Buffer::new();
            let status = digits.format(head.status);
            hpack::write_named(hpack::STATUS, status.as_bytes(), out);
        }
    }
    write_fields(&head.fields, out, |field| field.known != Known::Te);
    Ok(())
}

/// Takes the fields of a response.
struct Reader<'a> {
    head: &'a mut ResponseHead,
    lines: Lines<'a>,
    has_status: bool,
}

impl Sink for Reader<'_> {
    fn field(&mut self, seen: &Seen<'_>) {
        match seen.name_kind {
            NameKind::Field(_) | NameKind::NoToken => {
                if let Some(known) = self.lines.admit(seen) {
                    self.lines.keep(known, seen, &mut self.head.fields);
                }
            }
            NameKind::Status => {
                if self.lines.admit_pseudo(seen, &mut self.has_status) {
                    match status_of(seen.value) {
                        Some(status) => self.head.status = status,
                        None => self.lines.malformed(),
                    }
                }
            }
            NameKind::Authority
            | NameKind::Method
            | NameKind::Path
            | NameKind::Protocol
            | NameKind::Scheme
            | NameKind::Malformed => self.lines.malformed(),
        }
    }
}

impl Reader<'_> {
    fn finish(mut self) -> Result<(), BlockError> {
        if !self.has_status {
            self.lines.malformed();
        }
        if self.head.status == SWITCHING_PROTOCOLS {
            self.lines.refuse(HeadError::BadStatusLine);
        }
        self.lines.verdict()
    }
}

/// Three digits, the first of which is no zero.
fn status_of(value: &[u8]) -> Option<u16> {
    let [b'1'..=b'9', _, _] = value else {
        return None;
    };
    value.iter().try_fold(0, |status, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        Some(status * 10 + u16::try_from(digit).ok()?)
    })
}
