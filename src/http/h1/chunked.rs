//! Chunked bodies, both ways (RFC 9112 section 7.1): a strict incremental decoder and the writers.

use crate::http::error::HeadError;
use crate::http::fields::{Fields, Known};
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
            let name = field.name.as_bytes();
            trailers.push_parsed(Known::of(name), name, field.value);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Decoded = (Vec<u8>, Option<Vec<(String, String)>>, usize);

    fn decoded_with(
        limits: ChunkLimits,
        input: &[u8],
        ends: &[usize],
    ) -> Result<Option<Decoded>, HeadError> {
        let mut decoder = ChunkDecoder::new(limits);
        let mut body = Vec::new();
        let mut at = 0;
        for end in ends {
            loop {
                match decoder.decode(&input[at..*end])? {
                    Chunk::More { used } => {
                        assert_eq!(at + used, *end, "what needs more has used all");
                        at = *end;
                        break;
                    }
                    Chunk::Data { skip, len } => {
                        assert!(len > 0);
                        body.extend_from_slice(&input[at + skip..at + skip + len]);
                        at += skip + len;
                    }
                    Chunk::End { used } => {
                        assert!(decoder.is_done());
                        let trailers = decoder.take_trailers().map(|fields| {
                            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                            fields
                                .iter()
                                .map(|f| (text(f.name), text(f.value)))
                                .collect()
                        });
                        return Ok(Some((body, trailers, at + used)));
                    }
                }
            }
        }
        assert!(!decoder.is_done());
        Ok(None)
    }

    /// The body, its trailers and the bytes used: as a whole, and the same byte by byte.
    fn decoded(input: impl AsRef<[u8]>) -> Result<Option<Decoded>, HeadError> {
        let input = input.as_ref();
        let whole = decoded_with(ChunkLimits::default(), input, &[input.len()]);
        let steps: Vec<_> = (1..=input.len()).collect();
        let pieces = decoded_with(ChunkLimits::default(), input, &steps);
        assert_eq!(whole, pieces);
        whole
    }

    #[test]
    fn chunks_become_a_body() {
        let input = "5\r\nhello\r\n00c;a=b;c\r\n world, all\n\r\n0\r\n\r\nnext";
        let (body, trailers, used) = decoded(input).unwrap().unwrap();
        assert_eq!(body, b"hello world, all\n");
        assert_eq!(trailers, None);
        assert_eq!(&input[used..], "next");
        assert_eq!(decoded("0\r\n\r\n"), Ok(Some((Vec::new(), None, 5))));
        assert_eq!(decoded("00000000000000aA\r\n"), Ok(None));
    }

    #[test]
    fn the_end_is_told_again() {
        let mut decoder = ChunkDecoder::new(ChunkLimits::default());
        assert_eq!(decoder.decode(b"0\r\n\r\n"), Ok(Chunk::End { used: 5 }));
        assert_eq!(decoder.decode(b"GET"), Ok(Chunk::End { used: 0 }));
        assert_eq!(decoder.decode(b""), Ok(Chunk::End { used: 0 }));
    }

    #[test]
    fn case_006_odd_chunk_sizes_are_refused() {
        for size in [
            "",
            "0x1",
            "1junk",
            " 1",
            "1 ",
            "1\t",
            "-0",
            "+1",
            "-1",
            "g",
            "1_0",
            "1,",
            "00000000000000001",
            "\u{0}1",
            "1\u{0}",
            "٣",
            "1.",
            "1 1",
            "\n1",
        ] {
            let result = decoded(format!("{size}\r\na\r\n0\r\n\r\n"));
            assert_eq!(result, Err(HeadError::BadChunk), "{size:?}");
        }
        assert_eq!(decoded("ffffffffffffffff\r\na"), Ok(None));
    }

    #[test]
    fn case_007_lines_end_in_crlf_alone() {
        for text in [
            "1\na\r\n0\r\n\r\n",
            "1\r\na\n0\r\n\r\n",
            "1\ra\r\n0\r\n\r\n",
            "1\r\r\na\r\n0\r\n\r\n",
            "1;a\nb\r\na\r\n0\r\n\r\n",
            "1;a\rb\r\na\r\n0\r\n\r\n",
            "1;a=\"\r\n\"\r\na\r\n0\r\n\r\n",
            "1;a=\"\n\"\r\na\r\n0\r\n\r\n",
            "1;a=\"x\r\na\r\n0\r\n\r\n",
            "1;a=\"\\\r\n\"\r\na\r\n0\r\n\r\n",
            "1;a=\"\0\"\r\na\r\n0\r\n\r\n",
            "0\n\r\n",
            "0\r\n\rX",
        ] {
            assert_eq!(decoded(text), Err(HeadError::BadChunk), "{text:?}");
        }
        assert_eq!(decoded("0\r\n\n"), Err(HeadError::BadTrailer));
    }

    #[test]
    fn extensions_have_a_grammar() {
        for extension in [
            ";a",
            ";a=b",
            ";a=\"b\"",
            ";a=\"b;\\\"c\t\u{e9}\"",
            " ; a = b ; c",
            ";a;b;c=d",
            "\t;a",
            ";a=\"\"",
            ";a =\"x\" ;b",
        ] {
            let result = decoded(format!("1{extension}\r\nx\r\n0{extension}\r\n\r\n"));
            assert_eq!(result.unwrap().unwrap().0, b"x", "{extension:?}");
        }
        for extension in [
            ";",
            ";;",
            ";=b",
            ";a=",
            ";a=b c",
            ";a b",
            ";a=b=c",
            ";a=\"b\"c",
            ";a;",
            ";a ",
            " a",
            ";a=\"b\" c",
            ";\"a\"",
            ";a=\u{e9}",
            ";(",
        ] {
            let result = decoded(format!("1{extension}\r\nx\r\n0\r\n\r\n"));
            assert_eq!(result, Err(HeadError::BadChunk), "{extension:?}");
        }
    }

    #[test]
    fn extensions_are_limited_over_the_whole_body() {
        let limits = ChunkLimits {
            extensions: 4,
            ..ChunkLimits::default()
        };
        let decode = |text: &str| decoded_with(limits, text.as_bytes(), &[text.len()]);
        assert!(decode("1;a\r\nx\r\n1;b\r\nx\r\n0\r\n\r\n").is_ok());
        assert_eq!(
            decode("1;a\r\nx\r\n1;bc\r\n"),
            Err(HeadError::ChunkExtensionsTooLarge)
        );
        assert_eq!(decode("1;abcd"), Err(HeadError::ChunkExtensionsTooLarge));
    }

    #[test]
    fn case_008_trailers_pass_and_forbidden_ones_do_not() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let text = "1\r\nx\r\n0\r\nX-Sum: 1\r\nHost: evil\r\ncontent-length: 5\r\nAuthorization: x\r\ngrpc-status:  0 \r\n\r\nrest";
        let (body, trailers, used) = decoded(text).unwrap().unwrap();
        assert_eq!(body, b"x");
        assert_eq!(
            trailers,
            Some(vec![pair("X-Sum", "1"), pair("grpc-status", "0")])
        );
        assert_eq!(&text[used..], "rest");
        let none_left = decoded("0\r\nHost: a\r\n\r\n").unwrap().unwrap();
        assert_eq!(none_left.1, None);
    }

    #[test]
    fn case_008_malformed_trailers_are_refused() {
        for line in [
            "X",
            "X : y",
            ": y",
            " X: y",
            "X: a\0",
            "X: a\rb",
            "X: a\nY: b",
            "X: a\r\n b",
            "é: y",
            "X: y\n",
        ] {
            let result = decoded(format!("0\r\n{line}\r\n\r\n"));
            assert_eq!(result, Err(HeadError::BadTrailer), "{line:?}");
        }
    }

    #[test]
    fn trailers_are_limited() {
        let limits = ChunkLimits {
            trailers: 16,
            trailer_fields: 2,
            ..ChunkLimits::default()
        };
        let decode = |text: &str| decoded_with(limits, text.as_bytes(), &[text.len()]);
        assert!(decode("0\r\na: b\r\nc: d\r\n\r\n").is_ok());
        assert_eq!(
            decode("0\r\na:b\r\na:b\r\na:b\r\n\r\n"),
            Err(HeadError::TrailersTooLarge)
        );
        assert_eq!(
            decode("0\r\nx: 45678901234567"),
            Err(HeadError::TrailersTooLarge)
        );
    }

    #[test]
    fn case_009_data_end_in_crlf() {
        for text in [
            "1\r\nab\r\n",
            "1\r\na0\r\n\r\n",
            "1\r\na\r0",
            "2\r\nab\n0\r\n\r\n",
            "1\r\na\n",
        ] {
            assert_eq!(decoded(text), Err(HeadError::BadChunk), "{text:?}");
        }
    }

    #[test]
    fn chunks_are_written_byte_for_byte() {
        let mut out = Vec::new();
        write_chunk(b"hello", &mut out);
        write_chunk(b"", &mut out);
        write_chunk(&[b'x'; 16], &mut out);
        let mut trailers = Fields::new();
        trailers.push(b"X-Sum", b"a\r\nb");
        trailers.push(b"Content-Length", b"3");
        write_last_chunk(Some(&trailers), &mut out);
        assert_eq!(
            out,
            b"5\r\nhello\r\n10\r\nxxxxxxxxxxxxxxxx\r\n0\r\nX-Sum: a  b\r\n\r\n"
        );

        for (len, head) in [
            (1, "1\r\n"),
            (15, "f\r\n"),
            (16, "10\r\n"),
            (0xabcdef, "abcdef\r\n"),
            (0, ""),
        ] {
            let mut out = Vec::new();
            write_chunk_head(len, &mut out);
            assert_eq!(out, head.as_bytes());
        }
        let mut out = Vec::new();
        write_chunk_head(usize::MAX, &mut out);
        assert_eq!(out, format!("{:x}\r\n", usize::MAX).as_bytes());
        let mut out = Vec::new();
        write_last_chunk(None, &mut out);
        assert_eq!(out, b"0\r\n\r\n");
    }

    proptest! {
        #[test]
        fn a_written_body_reads_the_same_in_any_pieces(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..8),
            trailers in proptest::collection::vec(("x-[a-z]{1,5}", "[!-~]{0,5}"), 0..3),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..10),
        ) {
            let mut input = Vec::new();
            for chunk in &chunks {
                write_chunk(chunk, &mut input);
            }
            let mut fields = Fields::new();
            for (name, value) in &trailers {
                fields.push(name.as_bytes(), value.as_bytes());
            }
            write_last_chunk(Some(&fields), &mut input);
            let size = input.len();
            input.extend_from_slice(b"GET / HTTP/1.1\r\n");
            let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(input.len())).collect();
            ends.push(input.len());
            ends.sort_unstable();
            let wanted = (chunks.concat(), Some(trailers).filter(|list| !list.is_empty()), size);
            prop_assert_eq!(decoded_with(ChunkLimits::default(), &input, &ends), Ok(Some(wanted)));
        }

        #[test]
        fn any_bytes_mean_the_same_in_any_pieces(
            input in "([0-3]|;|a|=|\"|\r\n|\r|\n| |x: y){0,24}",
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            prop_assume!(!input.is_empty());
            let input = input.as_bytes();
            let mut ends: Vec<_> = cuts.iter().map(|cut| cut.index(input.len())).collect();
            ends.push(input.len());
            ends.sort_unstable();
            let whole = decoded_with(ChunkLimits::default(), input, &[input.len()]);
            prop_assert_eq!(decoded_with(ChunkLimits::default(), input, &ends), whole);
        }
    }
}
