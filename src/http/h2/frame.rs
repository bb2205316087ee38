//! Frames on the wire: their heads, what stands in the fixed ones, and how they are written (RFC 9113 sections 4 and 6).

/// What a client sends before its first frame (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The length of a frame's head.
pub const HEAD: usize = 9;
/// The longest payload that anybody must take, and the longest that we do.
pub const MOST_PAYLOAD: usize = 16_384;
/// The windows that a connection and its streams begin with.
pub const FIRST_WINDOW: u32 = 65_535;
/// The largest window there is.
pub const LARGEST_WINDOW: u32 = 0x7fff_ffff;

/// The kinds of frames (RFC 9113 section 6).
pub mod kind {
    #![expect(missing_docs, reason = "each constant is the frame it spells")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// The flags of frames.
pub mod flag {
    #![expect(missing_docs, reason = "each constant is the flag it spells")]
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 32;
}

/// The parameters of SETTINGS (RFC 9113 section 6.5.2).
pub mod setting {
    #![expect(missing_docs, reason = "each constant is the parameter it spells")]
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
}

/// The error codes (RFC 9113 section 7).
pub mod code {
    #![expect(missing_docs, reason = "each constant is the code it spells")]
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const INTERNAL_ERROR: u32 = 2;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const STREAM_CLOSED: u32 = 5;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHead {
    /// The length of the payload.
    pub length: usize,
    /// What it is.
    pub kind: u8,
    /// What of its kind.
    pub flags: u8,
    /// The stream it is about; 0: the connection.
    pub stream: u32,
}

impl FrameHead {
    /// The head at the front of `bytes`, once there are enough of them.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes.first_chunk::<HEAD>()?;
        Some(Self {
            length: u32::from_be_bytes([0, l0, l1, l2]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
        })
    }

    /// Whether a flag is set.
    #[must_use]
    pub const fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The head as bytes. Lengths are ours, and far below the 24 bits that they have.
    #[must_use]
    pub fn bytes(self) -> [u8; HEAD] {
        let [_, l0, l1, l2] = u32::try_from(self.length).unwrap_or_default().to_be_bytes();
        let [s0, s1, s2, s3] = self.stream.to_be_bytes();
        [l0, l1, l2, self.kind, self.flags, s0, s1, s2, s3]
    }
}

/// Appends a whole frame.
pub fn write_frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    let head = FrameHead {
        length: payload.len(),
        kind,
        flags,
        stream,
    };
    out.extend_from_slice(&head.bytes());
    out.extend_from_slice(payload);
}

/// Appends a field block: HEADERS, and CONTINUATION where it is longer than the other end takes (RFC 9113 section 6.10).
/// `write` appends the block itself; when it fails, nothing is appended.
pub fn write_block<E>(
    stream: u32,
    ends: bool,
    most: usize,
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    if let Err(error) = write(out) {
        out.truncate(start);
        return Err(error);
    }
    let length = out.len().saturating_sub(start + HEAD);
    let end_stream = if ends { flag::END_STREAM } else { 0 };
    let is_whole = length <= most;
    let first = FrameHead {
        length: length.min(most),
        kind: kind::HEADERS,
        flags: end_stream | if is_whole { flag::END_HEADERS } else { 0 },
        stream,
    };
    let rest = (!is_whole).then(|| out.split_off((start + HEAD + most).min(out.len())));
    if let Some(place) = out.get_mut(start..start + HEAD) {
        place.copy_from_slice(&first.bytes());
    }
    let rest = rest.unwrap_or_default();
    let mut pieces = rest.chunks(most.max(1)).peekable();
    while let Some(piece) = pieces.next() {
        let is_last = pieces.peek().is_none();
        let flags = if is_last { flag::END_HEADERS } else { 0 };
        write_frame(kind::CONTINUATION, flags, stream, piece, out);
    }
    Ok(())
}

/// The four bytes at a place of a payload as a number; 0 where it is too short.
#[must_use]
pub fn number(payload: &[u8], at: usize) -> u32 {
    let four = payload.get(at..).and_then(<[u8]>::first_chunk);
    four.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// The parameters of a SETTINGS frame, in order.
pub fn settings(payload: &[u8]) -> impl Iterator<Item = (u16, u32)> {
    payload.chunks_exact(6).map(|one| {
        let name = one.first_chunk().map_or(0, |two| u16::from_be_bytes(*two));
        (name, number(one, 2))
    })
}

/// Appends a SETTINGS frame.
pub fn write_settings(parameters: &[(u16, u32)], out: &mut Vec<u8>) {
    let head = FrameHead {
        length: 6 * parameters.len(),
        kind: kind::SETTINGS,
        flags: 0,
        stream: 0,
    };
    out.extend_from_slice(&head.bytes());
    for (name, value) in parameters {
        out.extend_from_slice(&name.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
}

/// The payload of a frame that may be padded, without the padding and its length (RFC 9113 section 6.1); `None` when
/// the padding is longer than the payload.
#[must_use]
pub fn without_padding(head: FrameHead, payload: &[u8]) -> Option<&[u8]> {
    if !head.has(flag::PADDED) {
        return Some(payload);
    }
    let (padding, rest) = payload.split_first()?;
    let length = rest.len().checked_sub(usize::from(*padding))?;
    rest.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(kind: u8, flags: u8, length: usize) -> FrameHead {
        FrameHead {
            length,
            kind,
            flags,
            stream: 5,
        }
    }

    #[test]
    fn a_head_is_read_as_it_was_written() {
        let head = FrameHead {
            length: 0x01_02_03,
            kind: 9,
            flags: 0x2d,
            stream: LARGEST_WINDOW,
        };
        assert_eq!(FrameHead::read(&head.bytes()), Some(head));
        assert_eq!(FrameHead::read(&head.bytes()[..8]), None);
        // The first bit of a stream's number has no meaning.
        let mut bytes = head.bytes();
        bytes[5] |= 0x80;
        assert_eq!(FrameHead::read(&bytes), Some(head));
    }

    #[test]
    fn a_long_block_goes_on_in_continuations() {
        for (length, kinds) in [
            (0, &[(kind::HEADERS, 5)][..]),
            (10, &[(kind::HEADERS, 5)]),
            (11, &[(kind::HEADERS, 1), (kind::CONTINUATION, 4)]),
            (
                25,
                &[
                    (kind::HEADERS, 1),
                    (kind::CONTINUATION, 0),
                    (kind::CONTINUATION, 4),
                ],
            ),
        ] {
            let block: Vec<u8> = (0..length).collect();
            let mut out = vec![7];
            let written = write_block(3, true, 10, &mut out, |out| {
                out.extend_from_slice(&block);
                Ok::<(), ()>(())
            });
            assert_eq!(written, Ok(()));
            let (mut rest, mut seen, mut joined) = (&out[1..], Vec::new(), Vec::new());
            while let Some(head) = FrameHead::read(rest) {
                assert_eq!(head.stream, 3);
                seen.push((head.kind, head.flags));
                joined.extend_from_slice(&rest[HEAD..HEAD + head.length]);
                rest = &rest[HEAD + head.length..];
            }
            assert_eq!((seen.as_slice(), joined), (kinds, block), "{length}");
        }
    }

    #[test]
    fn a_block_that_cannot_be_written_leaves_nothing() {
        let mut out = vec![7];
        let written = write_block(3, true, 10, &mut out, |out| {
            out.push(1);
            Err("no")
        });
        assert_eq!((written, out), (Err("no"), vec![7]));
    }

    #[test]
    fn padding_is_taken_off() {
        let padded = head(kind::DATA, flag::PADDED, 0);
        assert_eq!(without_padding(head(0, 0, 3), &[1, 2]), Some(&[1, 2][..]));
        assert_eq!(without_padding(padded, &[2, 8, 9, 0, 0]), Some(&[8, 9][..]));
        assert_eq!(without_padding(padded, &[2, 0, 0]), Some(&[][..]));
        assert_eq!(without_padding(padded, &[3, 0, 0]), None);
        assert_eq!(without_padding(padded, &[]), None);
    }

    #[test]
    fn settings_are_read_as_they_were_written() {
        let parameters = [(setting::ENABLE_PUSH, 0), (setting::MAX_FRAME_SIZE, 70_000)];
        let mut out = Vec::new();
        write_settings(&parameters, &mut out);
        assert_eq!(
            FrameHead::read(&out),
            Some(FrameHead {
                stream: 0,
                ..head(4, 0, 12)
            })
        );
        assert_eq!(settings(&out[HEAD..]).collect::<Vec<_>>(), parameters);
    }
}
