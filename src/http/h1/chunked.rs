//! Chunked bodies, both ways (RFC 9112 section 7.1): a strict incremental decoder and the writers.

use crate::http::error::HeadError;
use crate::http::fields::Fields;
use crate::http::grammar::is_token_byte;
use crate::http::limits::MAX_FIELDS;
use crate::http::trailers::is_allowed;

use super::write::write_field;

/// The limits of what comes in a chunked body beside the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkLimits {
    /// Bytes of chunk extensions, summed over the whole body.
    pub extensions: usize,
    /// Bytes of all trailer lines together.
    pub trailers: usize,
    /// Number of trailer fields; at most [`MAX_FIELDS`] counts.
    pub trailer_fields: usize,
}

/// A decoder for one chunked body.
///
/// It keeps no data: it says where the data lie in the input. Only trailer lines are gathered.
#[derive(Debug)]
pub struct ChunkDecoder {
    limits: ChunkLimits,
    state: State,
    extensions: usize,
    lines: Vec<u8>,
    trailers: Option<Fields>,
}

/// What the decoder found at the start of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// All of the input was framing: it is used up, and more is needed.
    More {
        /// The length of the input.
        used: usize,
    },
    /// Data. Framing and data count as used: the next call begins behind both.
    Data {
        /// Bytes of framing before the data.
        skip: usize,
        /// Bytes of data; never 0.
        len: usize,
    },
    /// The body has ended, with its trailers. What follows in the input is the next message.
    End {
        /// Bytes of framing up to the end.
        used: usize,
    },
}

impl ChunkDecoder {
    /// A decoder that expects the first chunk.
    #[must_use]
    pub const fn new(limits: ChunkLimits) -> Self {
        Self {
            limits,
            state: State::SizeStart,
            extensions: 0,
            lines: Vec::new(),
            trailers: None,
        }
    }

    /// Looks at the input up to the next data, the end of the body or the end of the input.
    ///
    /// After an error, and after the end, the decoder is spent: the end is told again with nothing used.
    pub fn decode(&mut self, input: &[u8]) -> Result<Chunk, HeadError> {
        let mut used = 0;
        while let Some(rest) = input.get(used..).filter(|rest| !rest.is_empty()) {
            match self.state {
                State::Data { left } => {
                    let len = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.state = match left.saturating_sub(len as u64) {
                        0 => State::DataCr,
                        left => State::Data { left },
                    };
                    return Ok(Chunk::Data { skip: used, len });
                }
                State::TrailerLine => used += self.gather_line(rest)?,
                State::End => return Ok(Chunk::End { used }),
                _ => {
                    let byte = rest.first().copied().unwrap_or_default();
                    self.state = self.step(byte)?;
                    used += 1;
                }
            }
        }
        if self.state == State::End {
            return Ok(Chunk::End { used });
        }
        Ok(Chunk::More { used })
    }

    /// Whether the end of the body has been seen.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::End
    }

    /// The trailers that came, once, after the end of the body. Fields that must not stand there are gone.
    pub const fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    /// One byte of framing, outside of data and trailer lines.
    fn step(&mut self, byte: u8) -> Result<State, HeadError> {
        let next = match (self.state, byte) {
            (State::SizeStart, byte) => State::Size {
                digits: 1,
                size: hex(byte)?,
            },
            (State::Size { size, .. }, b'\r') => State::SizeLf { size },
            (State::Size { size, .. }, b';' | b' ' | b'\t') => self.extension(
                size,
                match byte {
                    b';' => Extension::NameStart,
                    _ => Extension::BeforeSemicolon,
                },
            )?,
            // Sixteen digits always fit into 64 bits.
            (State::Size { digits, size }, byte) if digits < 16 => State::Size {
                digits: digits + 1,
                size: (size << 4) | hex(byte)?,
            },
            (State::Extension { size, at }, b'\r') if at.may_end() => State::SizeLf { size },
            (State::Extension { size, at }, byte) => self.extension(size, at.step(byte)?)?,
            (State::SizeLf { size: 0 }, b'\n') => State::TrailerStart,
            (State::SizeLf { size }, b'\n') => State::Data { left: size },
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::SizeStart,
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::TrailerStart, b'\n') => return Err(HeadError::BadTrailer),
            (State::TrailerStart, byte) => {
                self.lines.push(byte);
                State::TrailerLine
            }
            (State::EndLf, b'\n') => {
                self.read_trailers()?;
                State::End
            }
            _ => return Err(HeadError::BadChunk),
        };
        Ok(next)
    }

    /// Counts a byte of an extension.
    const fn extension(&mut self, size: u64, at: Extension) -> Result<State, HeadError> {
        self.extensions += 1;
        if self.extensions > self.limits.extensions {
            return Err(HeadError::ChunkExtensionsTooLarge);
        }
        Ok(State::Extension { size, at })
    }

    /// Gathers a trailer line, or the part of it that is there.
    fn gather_line(&mut self, rest: &[u8]) -> Result<usize, HeadError> {
        let end = memchr::memchr(b'\n', rest).map(|feed| feed + 1);
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        if self.lines.len() + line.len() > self.limits.trailers {
            return Err(HeadError::TrailersTooLarge);
        }
        self.lines.extend_from_slice(line);
        if end.is_some() {
            if !self.lines.ends_with(b"\r\n") {
                return Err(HeadError::BadTrailer);
            }
            self.state = State::TrailerStart;
        }
        Ok(line.len())
    }

    /// Reads the gathered lines, when there are any, by the grammar of a head.
    fn read_trailers(&mut self) -> Result<(), HeadError> {
        if self.lines.is_empty() {
            return Ok(());
        }
        self.lines.extend_from_slice(b"\r\n");
        let mut slots = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let slots = slots
            .get_mut(..self.limits.trailer_fields.min(MAX_FIELDS))
            .unwrap_or_default();
        let parsed = match httparse::parse_headers(&self.lines, slots) {
            Ok(httparse::Status::Complete((used, parsed))) if used == self.lines.len() => parsed,
            Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TrailersTooLarge),
            _ => return Err(HeadError::BadTrailer),
        };
        let mut trailers = Fields::new();
        for field in parsed {
            trailers.push_parsed(field.name.as_bytes(), field.value);
        }
        trailers.remove_where(|field| !is_allowed(field));
        self.lines = Vec::new();
        if !trailers.is_empty() {
            self.trailers = Some(trailers);
        }
        Ok(())
    }
}

impl Default for ChunkLimits {
    fn default() -> Self {
        Self {
            extensions: 4 * 1024,
            trailers: 8 * 1024,
            trailer_fields: 64,
        }
    }
}

/// Appends one whole chunk; nothing for no data, since an empty chunk would end the body.
pub fn write_chunk(data: &[u8], out: &mut Vec<u8>) {
    if data.is_empty() {
        return;
    }
    out.reserve(data.len() + 20);
    write_chunk_head(data.len(), out);
    out.extend_from_slice(data);
    out.extend_from_slice(CHUNK_END);
}

/// Appends the line before `len` bytes of data, for a caller that sends the data from where they are and then
/// [`CHUNK_END`]. `len` is not 0: an empty chunk would end the body, so nothing is written for it.
pub fn write_chunk_head(len: usize, out: &mut Vec<u8>) {
    let nibbles = len.checked_ilog2().map_or(0, |bits| bits / 4 + 1);
    for nibble in (0..nibbles).rev() {
        let digit = (len >> (4 * nibble)) & 15;
        out.extend(char::from_digit(digit as u32, 16).map(|digit| digit as u8));
    }
    if len > 0 {
        out.extend_from_slice(b"\r\n");
    }
}

/// What stands behind the data of each chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Appends the end of a chunked body, with those trailers that may stand there.
pub fn write_last_chunk(trailers: Option<&Fields>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for (field, origin) in trailers.into_iter().flat_map(Fields::iter_with_origin) {
        if is_allowed(field) {
            write_field(field, origin, out);
        }
    }
    out.extend_from_slice(b"\r\n");
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    SizeStart,
    Size { digits: u8, size: u64 },
    Extension { size: u64, at: Extension },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    TrailerStart,
    TrailerLine,
    EndLf,
    End,
}

/// Where in `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )` the decoder is. Extensions are dropped,
/// but read by their grammar: what a laxer reader takes for a line end must not hide in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    BeforeSemicolon,
    NameStart,
    Name,
    AfterName,
    ValueStart,
    Value,
    Quoted,
    QuotedPair,
    AfterQuoted,
}

impl Extension {
    fn step(self, byte: u8) -> Result<Self, HeadError> {
        let space = matches!(byte, b' ' | b'\t');
        let next = match (self, byte) {
            (
                Self::BeforeSemicolon
                | Self::Name
                | Self::AfterName
                | Self::Value
                | Self::AfterQuoted,
                b';',
            ) => Self::NameStart,
            (Self::BeforeSemicolon | Self::NameStart | Self::AfterName | Self::ValueStart, _)
                if space =>
            {
                self
            }
            (Self::Name, _) if space => Self::AfterName,
            (Self::Value | Self::AfterQuoted, _) if space => Self::BeforeSemicolon,
            (Self::NameStart | Self::Name, byte) if is_token_byte(byte) => Self::Name,
            (Self::Name | Self::AfterName, b'=') => Self::ValueStart,
            (Self::ValueStart, b'"') => Self::Quoted,
            (Self::ValueStart | Self::Value, byte) if is_token_byte(byte) => Self::Value,
            (Self::Quoted, b'"') => Self::AfterQuoted,
            (Self::Quoted, b'\\') => Self::QuotedPair,
            (Self::Quoted | Self::QuotedPair, b'\t' | b' '..=b'~' | 0x80..) => Self::Quoted,
            _ => return Err(HeadError::BadChunk),
        };
        Ok(next)
    }

    /// Whether the line may end here: not after white space alone, nor inside anything.
    const fn may_end(self) -> bool {
        matches!(self, Self::Name | Self::Value | Self::AfterQuoted)
    }
}

fn hex(byte: u8) -> Result<u64, HeadError> {
    char::from(byte)
        .to_digit(16)
        .map(u64::from)
        .ok_or(HeadError::BadChunk)
}
