//! What a case of HTTP/2's specification is made of: the frames of a client, and what it gets.

use crate::harness::raw_h2::{block, frame};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const ALL: u8 = END_STREAM | END_HEADERS;
pub(super) const PADDED: u8 = 8;
pub(super) const PRIORITIZED: u8 = 32;

pub(super) const PROTOCOL_ERROR: u32 = 1;
pub(super) const FLOW_CONTROL_ERROR: u32 = 3;
pub(super) const STREAM_CLOSED: u32 = 5;
pub(super) const FRAME_SIZE_ERROR: u32 = 6;
pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const COMPRESSION_ERROR: u32 = 9;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(super) const LARGEST_WINDOW: u32 = 0x7fff_ffff;
pub(super) const MOST_STREAMS: u32 = 10;

pub(super) type Field = (&'static [u8], &'static [u8]);

pub(super) const METHOD: Field = (b":method", b"GET");
pub(super) const POST: Field = (b":method", b"POST");
pub(super) const SCHEME: Field = (b":scheme", b"http");
pub(super) const AUTHORITY: Field = (b":authority", b"gateway.test");
pub(super) const PATH: Field = (b":path", b"/");
/// A path whose answer never comes.
pub(super) const HELD: Field = (b":path", b"/held");

/// What comes of a case.
pub(super) enum Gets {
    /// The connection ends with one of these error codes.
    Connection(&'static [u32]),
    /// The connection ends, whatever is said.
    Ended,
    /// The stream ends with this error code, and the connection goes on.
    Reset(u32, u32),
    /// The stream is answered.
    Status(u32, u16),
    /// A frame with these flags and this payload comes, and the connection goes on.
    Frame(u8, u8, &'static [u8]),
    /// Nothing; the connection goes on.
    Nothing,
}

pub(super) use Gets::{Connection, Ended, Nothing, Reset, Status};

pub(super) struct Case {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) gets: Gets,
}

/// A case behind the preface and the client's SETTINGS.
pub(super) fn case(
    section: &'static str,
    name: &'static str,
    frames: &[Vec<u8>],
    gets: Gets,
) -> Case {
    let settings = frame(SETTINGS, 0, 0, &[]);
    Case {
        section,
        name,
        bytes: [PREFACE, &settings, &frames.concat()].concat(),
        gets,
    }
}

/// A whole request on a stream.
pub(super) fn get(stream: u32) -> Vec<u8> {
    head(stream, ALL, &[METHOD, SCHEME, AUTHORITY, PATH])
}

/// The same, and no answer comes.
pub(super) fn held(stream: u32) -> Vec<u8> {
    head(stream, ALL, &[METHOD, SCHEME, AUTHORITY, HELD])
}

/// A request whose body is still to come, and no answer comes.
pub(super) fn open(stream: u32) -> Vec<u8> {
    head(stream, END_HEADERS, &[POST, SCHEME, AUTHORITY, HELD])
}

pub(super) fn head(stream: u32, flags: u8, fields: &[Field]) -> Vec<u8> {
    frame(HEADERS, flags, stream, &block(fields))
}

pub(super) fn settings(identifier: u16, value: u32) -> Vec<u8> {
    let payload = [&identifier.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &payload)
}

pub(super) fn update(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

pub(super) fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

pub(super) fn priority(stream: u32, parent: u32) -> Vec<u8> {
    frame(
        PRIORITY,
        0,
        stream,
        &[&parent.to_be_bytes()[..], &[15]].concat(),
    )
}

/// A request's block of indexed fields with more behind it.
pub(super) fn indexed(more: &[u8]) -> Vec<u8> {
    [&[0x82, 0x86, 0x84, 0x41, 12][..], b"gateway.test", more].concat()
}

/// The head of a frame whose payload does not come.
pub(super) fn announced(kind: u8, flags: u8, stream: u32, length: u32) -> Vec<u8> {
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes
}
