//! Trailers in HTTP/2 (RFC 9113 section 8.1).

use super::super::error::HeadError;
use super::super::fields::{Field, Fields};
use super::super::grammar::trim;
use super::super::hpack::{NameKind, Seen, Sink, ValueKind};
use super::super::limits::HeadLimits;
use super::super::trailers::is_allowed;
use super::lines::Lines;
use super::write::write_fields;
use super::{BlockError, Decoder, Encoder};

/// Reads the header block of trailers, without the fields that must not stand there; `None` when there is no other.
///
/// Trailers beyond the limits of a head are [`HeadError::TrailersTooLarge`].
pub fn read_trailers(
    decoder: &mut Decoder,
    block: &[u8],
    limits: &HeadLimits,
) -> Result<Option<Fields>, BlockError> {
    let mut reader = Reader {
        fields: Fields::new(),
        lines: Lines::new(limits),
    };
    decoder.read(block, limits, &mut reader)?;
    reader.lines.verdict().map_err(|error| match error {
        BlockError::Refused(HeadError::HeadTooLarge | HeadError::TooManyFields) => {
            BlockError::Refused(HeadError::TrailersTooLarge)
        }
        BlockError::Refused(HeadError::BadFieldValue) => BlockError::Refused(HeadError::BadTrailer),
        other => other,
    })?;
    Ok(Some(reader.fields).filter(|fields| !fields.is_empty()))
}

/// Appends the header block of trailers, without the fields that must not stand there.
pub fn write_trailers(encoder: &mut Encoder, fields: &Fields, out: &mut Vec<u8>) {
    out.reserve(1 + fields.written_size());
    encoder.blocks.begin(out);
    write_fields(fields, out, |field| is_allowed(*field));
}

/// Takes the fields of trailers.
struct Reader<'a> {
    fields: Fields,
    lines: Lines<'a>,
}

impl Sink for Reader<'_> {
    fn field(&mut self, seen: &Seen<'_>) {
        match seen.name_kind {
            NameKind::Field(_) => self.read_field(seen),
            // The head is long gone, so what is no token is left out and spoils nothing.
            NameKind::NoToken => {}
            NameKind::Authority
            | NameKind::Method
            | NameKind::Path
            | NameKind::Protocol
            | NameKind::Scheme
            | NameKind::Status
            | NameKind::Malformed => self.lines.malformed(),
        }
    }
}

impl Reader<'_> {
    fn read_field(&mut self, seen: &Seen<'_>) {
        let seen = match seen.value_kind {
            ValueKind::Padded => Seen {
                value_kind: ValueKind::Good,
                value: trim(seen.value),
                ..*seen
            },
            _ => *seen,
        };
        let Some(known) = self.lines.admit(&seen) else {
            return;
        };
        let (name, value) = (seen.name, seen.value);
        if is_allowed(Field { known, name, value }) {
            self.lines.keep(known, &seen, &mut self.fields);
        }
    }
}
