//! The frames that pass over an HTTP/2 connection, told from its bytes (RFC 9113 section 4.1). Payloads are skipped,
//! nothing is copied but a few bytes of what is of interest.

/// The length of a frame's header.
const HEADER: usize = 9;
/// As much of a payload as any of the kept ones needs: GOAWAY, with the first words of what h2 says about it.
const KEPT: usize = 40;

/// What a client sends before its first frame (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// One frame.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    /// The length of its payload.
    pub(crate) length: usize,
    pub(crate) stream: u32,
    /// The first bytes of the payload of RST_STREAM and GOAWAY; empty for others.
    pub(crate) kept: &'a [u8],
}

/// Where in a stream of frames one direction of a connection is.
#[derive(Debug)]
pub(crate) struct Frames {
    buffer: [u8; HEADER + KEPT],
    /// How much of the buffer is filled, and how much has to be until the frame is known.
    have: usize,
    wanted: usize,
    /// Bytes to pass over.
    skip: usize,
}

impl Frame<'_> {
    /// The number at a place of the kept payload; 0 where the frame is too short.
    pub(crate) fn number(&self, at: usize) -> u32 {
        let four = self.kept.get(at..).and_then(<[u8]>::first_chunk);
        four.map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }
}

impl Frames {
    /// At the start of a direction; `before` bytes come before its first frame.
    pub(crate) const fn after(before: usize) -> Self {
        Self {
            buffer: [0; HEADER + KEPT],
            have: 0,
            wanted: HEADER,
            skip: before,
        }
    }

    /// Goes on over the bytes that come next, and shows the frames that became known.
    pub(crate) fn pass(&mut self, mut bytes: &[u8], mut seen: impl FnMut(&Frame<'_>)) {
        while !bytes.is_empty() {
            if self.skip > 0 {
                let over = self.skip.min(bytes.len());
                self.skip -= over;
                bytes = bytes.get(over..).unwrap_or_default();
                continue;
            }
            let taken = (self.wanted - self.have).min(bytes.len());
            let (next, rest) = bytes.split_at(taken);
            if let Some(room) = self.buffer.get_mut(self.have..self.have + taken) {
                room.copy_from_slice(next);
            }
            self.have += taken;
            bytes = rest;
            if self.have == self.wanted {
                self.complete(&mut seen);
            }
        }
    }

    /// Whether part of a frame is still to come.
    pub(crate) const fn is_inside(&self) -> bool {
        self.skip > 0 || self.have > 0
    }

    fn complete(&mut self, seen: &mut impl FnMut(&Frame<'_>)) {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3, kept @ ..] = &self.buffer;
        let length = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
        let of_interest = match *kind {
            RST_STREAM | GOAWAY => length.min(KEPT),
            _ => 0,
        };
        if self.wanted < HEADER + of_interest {
            self.wanted = HEADER + of_interest;
            return;
        }
        seen(&Frame {
            kind: *kind,
            flags: *flags,
            length,
            stream: u32::from_be_bytes([*s0 & 0x7f, *s1, *s2, *s3]),
            kept: kept.get(..of_interest).unwrap_or_default(),
        });
        self.skip = length - of_interest;
        self.have = 0;
        self.wanted = HEADER;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, 0], &stream.to_be_bytes(), payload].concat()
    }

    fn seen(pieces: &[&[u8]]) -> Vec<(u8, u32, u32, u32)> {
        let mut frames = Frames::after(PREFACE.len());
        let mut all = Vec::new();
        for piece in pieces {
            frames.pass(piece, |frame| {
                all.push((frame.kind, frame.stream, frame.number(0), frame.number(4)));
            });
        }
        all
    }

    #[test]
    fn frames_are_the_same_however_their_bytes_come() {
        let goaway = [&[0, 0, 0, 9, 0, 0, 0, 11][..], &[b'x'; 100]].concat();
        let all = [
            PREFACE.to_vec(),
            bytes(4, 0, &[]),
            bytes(HEADERS, 1, &[7; 300]),
            bytes(0, 1, &[RST_STREAM; 20]),
            bytes(RST_STREAM, 0x8000_0003, &8u32.to_be_bytes()),
            bytes(GOAWAY, 0, &goaway),
            bytes(RST_STREAM, 5, &[]),
        ]
        .concat();
        let expected = vec![
            (4, 0, 0, 0),
            (HEADERS, 1, 0, 0),
            (0, 1, 0, 0),
            (RST_STREAM, 3, 8, 0),
            (GOAWAY, 0, 9, 11),
            (RST_STREAM, 5, 0, 0),
        ];
        assert_eq!(seen(&[&all]), expected);
        let single: Vec<&[u8]> = all.chunks(1).collect();
        assert_eq!(seen(&single), expected);
        for cut in 0..all.len() {
            let (first, second) = all.split_at(cut);
            assert_eq!(seen(&[first, second]), expected, "cut at {cut}");
        }
    }
}
