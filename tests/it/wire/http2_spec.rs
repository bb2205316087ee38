//! What RFC 9113 and RFC 7541 say about errors, section by section: bytes from a client, and what it must get. The
//! choice of cases is that of h2spec.

use crate::harness::{
    Authority, Client, ClientTls, Gateway, Origin, RawH2, StreamEnd,
    raw_h2::{block, frame},
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ALL: u8 = END_STREAM | END_HEADERS;
const PADDED: u8 = 8;
const PRIORITIZED: u8 = 32;

const PROTOCOL_ERROR: u32 = 1;
const FLOW_CONTROL_ERROR: u32 = 3;
const STREAM_CLOSED: u32 = 5;
const FRAME_SIZE_ERROR: u32 = 6;
const REFUSED_STREAM: u32 = 7;
const COMPRESSION_ERROR: u32 = 9;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const LARGEST_WINDOW: u32 = 0x7fff_ffff;
const MOST_STREAMS: u32 = 10;

type Field = (&'static [u8], &'static [u8]);

const METHOD: Field = (b":method", b"GET");
const POST: Field = (b":method", b"POST");
const SCHEME: Field = (b":scheme", b"http");
const AUTHORITY: Field = (b":authority", b"gateway.test");
const PATH: Field = (b":path", b"/");
/// A path whose answer never comes.
const HELD: Field = (b":path", b"/held");

/// What comes of a case.
enum Gets {
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

use Gets::{Connection, Ended, Nothing, Reset, Status};

struct Case {
    section: &'static str,
    name: &'static str,
    bytes: Vec<u8>,
    gets: Gets,
}

/// A case behind the preface and the client's SETTINGS.
fn case(section: &'static str, name: &'static str, frames: &[Vec<u8>], gets: Gets) -> Case {
    let settings = frame(SETTINGS, 0, 0, &[]);
    Case {
        section,
        name,
        bytes: [PREFACE, &settings, &frames.concat()].concat(),
        gets,
    }
}

/// A whole request on a stream.
fn get(stream: u32) -> Vec<u8> {
    head(stream, ALL, &[METHOD, SCHEME, AUTHORITY, PATH])
}

/// The same, and no answer comes.
fn held(stream: u32) -> Vec<u8> {
    head(stream, ALL, &[METHOD, SCHEME, AUTHORITY, HELD])
}

/// A request whose body is still to come, and no answer comes.
fn open(stream: u32) -> Vec<u8> {
    head(stream, END_HEADERS, &[POST, SCHEME, AUTHORITY, HELD])
}

fn head(stream: u32, flags: u8, fields: &[Field]) -> Vec<u8> {
    frame(HEADERS, flags, stream, &block(fields))
}

fn settings(identifier: u16, value: u32) -> Vec<u8> {
    let payload = [&identifier.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &payload)
}

fn update(stream: u32, more: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &more.to_be_bytes())
}

fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

fn priority(stream: u32, parent: u32) -> Vec<u8> {
    frame(
        PRIORITY,
        0,
        stream,
        &[&parent.to_be_bytes()[..], &[15]].concat(),
    )
}

/// A request's block of indexed fields with more behind it.
fn indexed(more: &[u8]) -> Vec<u8> {
    [&[0x82, 0x86, 0x84, 0x41, 12][..], b"gateway.test", more].concat()
}

/// The head of a frame whose payload does not come.
fn announced(kind: u8, flags: u8, stream: u32, length: u32) -> Vec<u8> {
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes
}

/// Messages as they should be (h2spec's generic part), in every form that a frame and a field can have.
fn well_formed() -> Vec<Case> {
    let fields = block(&[METHOD, SCHEME, AUTHORITY, PATH]);
    let (first, rest) = fields.split_at(5);
    let (second, third) = rest.split_at(1);
    let post = head(1, END_HEADERS, &[POST, SCHEME, AUTHORITY, PATH]);
    let padded = [&[3][..], &fields, &[0; 3]].concat();
    let weighed = [&[0, 0, 0, 0, 15][..], &fields].concat();
    let both = [&[3, 0, 0, 0, 0, 15][..], &fields, &[0; 3]].concat();
    let all = |block: &[u8]| vec![frame(HEADERS, ALL, 1, block)];
    vec![
        case("8.1", "GET", &[get(1)], Status(1, 200)),
        case(
            "8.1",
            "HEAD",
            &[head(
                1,
                ALL,
                &[(b":method", b"HEAD"), SCHEME, AUTHORITY, PATH],
            )],
            Status(1, 200),
        ),
        case(
            "8.1",
            "OPTIONS of everything",
            &[head(
                1,
                ALL,
                &[
                    (b":method", b"OPTIONS"),
                    SCHEME,
                    AUTHORITY,
                    (b":path", b"*"),
                ],
            )],
            Status(1, 200),
        ),
        case(
            "8.1",
            "POST",
            &[post.clone(), frame(DATA, END_STREAM, 1, b"body")],
            Status(1, 200),
        ),
        case(
            "8.1",
            "POST with trailers",
            &[
                post.clone(),
                frame(DATA, 0, 1, b"body"),
                head(1, ALL, &[(b"x", b"y")]),
            ],
            Status(1, 200),
        ),
        case(
            "6.2",
            "padding",
            &[frame(HEADERS, ALL | PADDED, 1, &padded)],
            Status(1, 200),
        ),
        case(
            "6.2",
            "a priority",
            &[frame(HEADERS, ALL | PRIORITIZED, 1, &weighed)],
            Status(1, 200),
        ),
        case(
            "6.2",
            "padding and a priority",
            &[frame(HEADERS, ALL | PADDED | PRIORITIZED, 1, &both)],
            Status(1, 200),
        ),
        case(
            "6.10",
            "CONTINUATION, twice and once with nothing",
            &[
                frame(HEADERS, END_STREAM, 1, first),
                frame(CONTINUATION, 0, 1, second),
                frame(CONTINUATION, 0, 1, &[]),
                frame(CONTINUATION, END_HEADERS, 1, third),
            ],
            Status(1, 200),
        ),
        case(
            "6.1",
            "padded DATA",
            &[post, frame(DATA, END_STREAM | PADDED, 1, b"\x02body\0\0")],
            Status(1, 200),
        ),
        case(
            "4.2",
            "the longest DATA",
            &[open(1), frame(DATA, 0, 1, &[b'x'; 16_384])],
            Nothing,
        ),
        case(
            "5.1",
            "PRIORITY before the stream",
            &[priority(1, 0), get(1)],
            Status(1, 200),
        ),
        case(
            "5.1",
            "PRIORITY after the request",
            &[held(1), priority(1, 0)],
            Nothing,
        ),
        case(
            "5.1",
            "PRIORITY after the stream",
            &[held(1), reset(1, 8), priority(1, 0)],
            Nothing,
        ),
        case(
            "5.1",
            "WINDOW_UPDATE after the request",
            &[held(1), update(1, 10)],
            Nothing,
        ),
        case(
            "5.1",
            "WINDOW_UPDATE after the stream",
            &[held(1), reset(1, 8), update(1, 10)],
            Nothing,
        ),
        case(
            "5.1",
            "RST_STREAM twice",
            &[held(1), reset(1, 8), reset(1, 8)],
            Nothing,
        ),
        case(
            "5.1.1",
            "numbers that are left out",
            &[get(7)],
            Status(7, 200),
        ),
        case(
            "6.5.3",
            "SETTINGS are acknowledged",
            &[],
            Gets::Frame(SETTINGS, ACK, &[]),
        ),
        case("6.5.2", "an unknown setting", &[settings(0xff, 1)], Nothing),
        case(
            "6.5.3",
            "the same setting twice, the last of which counts",
            &[frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0, 0, 4, 0, 0, 1, 0])],
            Nothing,
        ),
        case(
            "6.7",
            "PING is answered with its payload",
            &[frame(PING, 0, 0, b"12345678")],
            Gets::Frame(PING, ACK, b"12345678"),
        ),
        case(
            "6.7",
            "an answer to no PING",
            &[frame(PING, ACK, 0, b"12345678")],
            Nothing,
        ),
        case(
            "4.1",
            "flags that have no meaning",
            &[frame(PING, 0x16, 0, b"12345678")],
            Gets::Frame(PING, ACK, b"12345678"),
        ),
        case(
            "4.1",
            "the reserved bit",
            &[frame(PING, 0, 0x8000_0000, b"12345678")],
            Gets::Frame(PING, ACK, b"12345678"),
        ),
        case(
            "5.5",
            "a frame of an unknown kind",
            &[frame(0x16, 0xff, 0, b"what?"), frame(0x16, 0, 3, b"what?")],
            Nothing,
        ),
        case(
            "6.8",
            "GOAWAY with an unknown error code",
            &[frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff])],
            Nothing,
        ),
        case(
            "7",
            "RST_STREAM with an unknown error code",
            &[open(1), reset(1, 0xff)],
            Nothing,
        ),
        case(
            "hpack 6.1",
            "indexed fields",
            &all(&indexed(&[])),
            Status(1, 200),
        ),
        case(
            "hpack 6.2.1",
            "a field that is kept, and the one that was",
            &all(&indexed(b"\x40\x01x\x01y\xbe")),
            Status(1, 200),
        ),
        case(
            "hpack 6.2.2",
            "a field that is not kept",
            &all(&indexed(b"\x00\x01x\x01y")),
            Status(1, 200),
        ),
        case(
            "hpack 6.2.3",
            "a field that is never kept",
            &all(&indexed(b"\x10\x01x\x01y")),
            Status(1, 200),
        ),
        case(
            "hpack 5.2",
            "Huffman's code",
            &all(&indexed(b"\x00\x01x\x83\x9d\x29\xaf")),
            Status(1, 200),
        ),
        case(
            "hpack 6.3",
            "sizes of the table",
            &all(&[&[0x20, 0x3f, 0xe1, 0x1f][..], &indexed(&[])].concat()),
            Status(1, 200),
        ),
    ]
}

fn connection_errors() -> Vec<Case> {
    const PROTOCOL: Gets = Connection(&[PROTOCOL_ERROR]);
    const SIZE: Gets = Connection(&[FRAME_SIZE_ERROR]);
    const CLOSED: Gets = Connection(&[STREAM_CLOSED]);
    const FLOW: Gets = Connection(&[FLOW_CONTROL_ERROR]);
    const COMPRESSION: Gets = Connection(&[COMPRESSION_ERROR]);
    let part = frame(
        HEADERS,
        END_STREAM,
        1,
        &block(&[METHOD, SCHEME, AUTHORITY, PATH]),
    );
    let broken = |more: &[u8]| vec![frame(HEADERS, ALL, 1, &indexed(more))];
    vec![
        Case {
            section: "3.4",
            name: "a preface that is none",
            bytes: b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(),
            gets: Ended,
        },
        Case {
            section: "3.4",
            name: "another frame before SETTINGS",
            bytes: [PREFACE, &frame(PING, 0, 0, &[0; 8])].concat(),
            gets: PROTOCOL,
        },
        case(
            "4.2",
            "DATA that is too long",
            &[open(1), announced(DATA, 0, 1, 16_385)],
            SIZE,
        ),
        case(
            "4.2",
            "a head that is too long",
            &[announced(HEADERS, ALL, 1, 16_385)],
            SIZE,
        ),
        case(
            "4.2",
            "any frame that is too long",
            &[announced(0x16, 0, 0, 16_385)],
            SIZE,
        ),
        case(
            "4.3",
            "a block that cannot be decoded",
            &broken(&[0x40]),
            COMPRESSION,
        ),
        case(
            "4.3",
            "PRIORITY inside a head",
            &[part.clone(), priority(1, 0)],
            PROTOCOL,
        ),
        case(
            "4.3",
            "another head inside a head",
            &[part.clone(), get(3)],
            PROTOCOL,
        ),
        case(
            "5.1",
            "idle: DATA",
            &[frame(DATA, END_STREAM, 1, b"x")],
            PROTOCOL,
        ),
        case("5.1", "idle: RST_STREAM", &[reset(1, 8)], PROTOCOL),
        case("5.1", "idle: WINDOW_UPDATE", &[update(1, 10)], PROTOCOL),
        case(
            "5.1",
            "idle: CONTINUATION",
            &[frame(CONTINUATION, END_HEADERS, 1, &[])],
            PROTOCOL,
        ),
        case(
            "5.1",
            "half-closed: DATA",
            &[held(1), frame(DATA, END_STREAM, 1, b"x")],
            CLOSED,
        ),
        case(
            "5.1",
            "half-closed: HEADERS",
            &[held(1), head(1, ALL, &[(b"x", b"y")])],
            CLOSED,
        ),
        case(
            "5.1",
            "half-closed: CONTINUATION",
            &[held(1), frame(CONTINUATION, END_HEADERS, 1, &[])],
            PROTOCOL,
        ),
        case(
            "5.1",
            "closed by RST_STREAM: HEADERS",
            &[held(1), reset(1, 8), get(1)],
            CLOSED,
        ),
        case(
            "5.1",
            "closed by RST_STREAM: CONTINUATION",
            &[
                held(1),
                reset(1, 8),
                frame(CONTINUATION, END_HEADERS, 1, &[]),
            ],
            PROTOCOL,
        ),
        case(
            "5.1",
            "closed by its end: HEADERS",
            &[get(1), get(1)],
            CLOSED,
        ),
        case("5.1.1", "an even number", &[get(2)], PROTOCOL),
        case(
            "5.1.1",
            "a number below one that was used",
            &[held(5), get(3)],
            PROTOCOL,
        ),
        case(
            "5.5",
            "an unknown frame inside a head",
            &[part.clone(), frame(0x16, 0, 0, &[])],
            PROTOCOL,
        ),
        case(
            "6.1",
            "DATA on no stream",
            &[frame(DATA, 0, 0, b"x")],
            PROTOCOL,
        ),
        case(
            "6.1",
            "more padding than DATA",
            &[open(1), frame(DATA, PADDED, 1, &[5, 0, 0, 0, 0])],
            PROTOCOL,
        ),
        case(
            "6.1",
            "no room for the padding's length",
            &[open(1), frame(DATA, PADDED, 1, &[])],
            PROTOCOL,
        ),
        case("6.2", "HEADERS on no stream", &[get(0)], PROTOCOL),
        case(
            "6.2",
            "more padding than head",
            &[frame(HEADERS, ALL | PADDED, 1, &[9, 0x82])],
            PROTOCOL,
        ),
        case(
            "6.2",
            "half a priority",
            &[frame(HEADERS, ALL | PRIORITIZED, 1, &[0; 4])],
            SIZE,
        ),
        case("6.3", "PRIORITY on no stream", &[priority(0, 1)], PROTOCOL),
        case(
            "6.3",
            "PRIORITY of another length",
            &[frame(PRIORITY, 0, 1, &[0; 4])],
            SIZE,
        ),
        case("6.4", "RST_STREAM on no stream", &[reset(0, 8)], PROTOCOL),
        case(
            "6.4",
            "RST_STREAM of another length",
            &[open(1), frame(RST_STREAM, 0, 1, &[0; 3])],
            SIZE,
        ),
        case(
            "6.5",
            "an acknowledgement with more in it",
            &[frame(SETTINGS, ACK, 0, &[0; 6])],
            SIZE,
        ),
        case(
            "6.5",
            "SETTINGS on a stream",
            &[frame(SETTINGS, 0, 1, &[])],
            PROTOCOL,
        ),
        case(
            "6.5",
            "SETTINGS of another length",
            &[frame(SETTINGS, 0, 0, &[0; 5])],
            SIZE,
        ),
        case("6.5.2", "ENABLE_PUSH of 2", &[settings(2, 2)], PROTOCOL),
        case(
            "6.5.2",
            "INITIAL_WINDOW_SIZE of 2^31",
            &[settings(4, 1 << 31)],
            FLOW,
        ),
        case(
            "6.5.2",
            "MAX_FRAME_SIZE below the least",
            &[settings(5, 16_383)],
            PROTOCOL,
        ),
        case(
            "6.5.2",
            "MAX_FRAME_SIZE above the most",
            &[settings(5, 1 << 24)],
            PROTOCOL,
        ),
        case(
            "6.6",
            "PUSH_PROMISE",
            &[open(1), frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2])],
            PROTOCOL,
        ),
        case(
            "6.7",
            "PING on a stream",
            &[frame(PING, 0, 1, &[0; 8])],
            PROTOCOL,
        ),
        case(
            "6.7",
            "PING of another length",
            &[frame(PING, 0, 0, &[0; 7])],
            SIZE,
        ),
        case(
            "6.8",
            "GOAWAY on a stream",
            &[frame(GOAWAY, 0, 1, &[0; 8])],
            PROTOCOL,
        ),
        case(
            "6.8",
            "GOAWAY that is too short",
            &[frame(GOAWAY, 0, 0, &[0; 7])],
            SIZE,
        ),
        case(
            "6.9",
            "a window that grows by nothing",
            &[update(0, 0)],
            PROTOCOL,
        ),
        case(
            "6.9",
            "a stream's window that grows by nothing",
            &[open(1), update(1, 0)],
            PROTOCOL,
        ),
        case(
            "6.9",
            "WINDOW_UPDATE of another length",
            &[frame(WINDOW_UPDATE, 0, 0, &[0; 3])],
            SIZE,
        ),
        case(
            "6.9.1",
            "a window beyond 2^31",
            &[update(0, LARGEST_WINDOW)],
            FLOW,
        ),
        case(
            "6.9.2",
            "SETTINGS that make a window grow beyond 2^31",
            &[
                held(1),
                update(1, LARGEST_WINDOW - 65_535),
                settings(4, 65_536),
            ],
            FLOW,
        ),
        case(
            "6.10",
            "CONTINUATION on no stream",
            &[part.clone(), frame(CONTINUATION, END_HEADERS, 0, &[])],
            PROTOCOL,
        ),
        case(
            "6.10",
            "CONTINUATION on another stream",
            &[part.clone(), frame(CONTINUATION, END_HEADERS, 3, &[])],
            PROTOCOL,
        ),
        case(
            "6.10",
            "CONTINUATION after a whole head",
            &[held(1), frame(CONTINUATION, END_HEADERS, 1, &[])],
            PROTOCOL,
        ),
        case(
            "6.10",
            "CONTINUATION after the last one",
            &[
                part.clone(),
                frame(CONTINUATION, END_HEADERS, 1, &[]),
                frame(CONTINUATION, END_HEADERS, 1, &[]),
            ],
            PROTOCOL,
        ),
        case(
            "6.10",
            "CONTINUATION after DATA",
            &[
                open(1),
                frame(DATA, 0, 1, b"x"),
                frame(CONTINUATION, END_HEADERS, 1, &[]),
            ],
            PROTOCOL,
        ),
        case(
            "6.10",
            "DATA inside a head",
            &[part, frame(DATA, END_STREAM, 1, b"x")],
            PROTOCOL,
        ),
        case(
            "hpack 2.3.3",
            "an index that nothing has",
            &broken(&[0xc6]),
            COMPRESSION,
        ),
        case(
            "hpack 2.3.3",
            "a name that nothing has",
            &broken(&[0x7f, 0x10, 1, b'x']),
            COMPRESSION,
        ),
        case(
            "hpack 4.2",
            "a size of the table behind the fields",
            &broken(&[0x20]),
            COMPRESSION,
        ),
        case(
            "hpack 5.2",
            "padding of eight bits",
            &broken(b"\x00\x01x\x84\x9d\x29\xaf\xff"),
            COMPRESSION,
        ),
        case(
            "hpack 5.2",
            "padding of zeros",
            &broken(b"\x00\x01x\x81\x98\x00\x01x\x81\x18"),
            COMPRESSION,
        ),
        case(
            "hpack 5.2",
            "the end of the string inside it",
            &broken(b"\x00\x01x\x84\xff\xff\xff\xff"),
            COMPRESSION,
        ),
        case("hpack 6.1", "the index 0", &broken(&[0x80]), COMPRESSION),
        case(
            "hpack 6.3",
            "a table beyond what is allowed",
            &[frame(
                HEADERS,
                ALL,
                1,
                &[&[0x3f, 0xe2, 0x1f][..], &indexed(&[])].concat(),
            )],
            COMPRESSION,
        ),
    ]
}

fn stream_errors() -> Vec<Case> {
    const PROTOCOL: Gets = Reset(1, PROTOCOL_ERROR);
    let with = |field: Field| vec![head(1, ALL, &[METHOD, SCHEME, AUTHORITY, PATH, field])];
    let only = |fields: &[Field]| vec![head(1, ALL, fields)];
    let post = head(
        1,
        END_HEADERS,
        &[POST, SCHEME, AUTHORITY, HELD, (b"content-length", b"3")],
    );
    let own_parent = [
        &1u32.to_be_bytes()[..],
        &[15],
        &block(&[METHOD, SCHEME, AUTHORITY, PATH]),
    ]
    .concat();
    let mut too_many: Vec<_> = (0..=MOST_STREAMS)
        .map(|number| held(2 * number + 1))
        .collect();
    too_many.push(reset(1, 8));
    vec![
        case(
            "5.1",
            "closed by RST_STREAM: DATA",
            &[open(1), reset(1, 8), frame(DATA, END_STREAM, 1, b"x")],
            Reset(1, STREAM_CLOSED),
        ),
        case(
            "5.1.2",
            "more streams than are allowed",
            &too_many,
            Reset(2 * MOST_STREAMS + 1, REFUSED_STREAM),
        ),
        case(
            "5.3.1",
            "a head that depends on itself",
            &[frame(HEADERS, ALL | PRIORITIZED, 1, &own_parent)],
            PROTOCOL,
        ),
        case(
            "5.3.1",
            "a stream that depends on itself",
            &[open(1), priority(1, 1)],
            PROTOCOL,
        ),
        case(
            "6.9.1",
            "a stream's window beyond 2^31",
            &[held(1), update(1, LARGEST_WINDOW)],
            Reset(1, FLOW_CONTROL_ERROR),
        ),
        case(
            "8.1",
            "a second head that is not the end",
            &[open(1), head(1, END_HEADERS, &[(b"x", b"y")])],
            PROTOCOL,
        ),
        case(
            "8.1",
            "pseudo-fields in trailers",
            &[open(1), head(1, ALL, &[METHOD])],
            PROTOCOL,
        ),
        case(
            "8.2.1",
            "capitals in a name",
            &with((b"X-Name", b"y")),
            PROTOCOL,
        ),
        case("8.2.1", "an empty name", &with((b"", b"y")), PROTOCOL),
        case(
            "8.2.1",
            "a line end in a value",
            &with((b"x", b"a\r\nb: c")),
            PROTOCOL,
        ),
        case(
            "8.2.2",
            "a field of HTTP/1's connections",
            &with((b"connection", b"keep-alive")),
            PROTOCOL,
        ),
        case(
            "8.2.2",
            "transfer-encoding",
            &with((b"transfer-encoding", b"chunked")),
            PROTOCOL,
        ),
        case(
            "8.2.2",
            "te that is not trailers",
            &with((b"te", b"trailers, deflate;q=0.5")),
            PROTOCOL,
        ),
        case(
            "8.3",
            "an unknown pseudo-field",
            &with((b":test", b"y")),
            PROTOCOL,
        ),
        case(
            "8.3",
            "a pseudo-field of responses",
            &with((b":status", b"200")),
            PROTOCOL,
        ),
        case(
            "8.3",
            "a pseudo-field behind the others",
            &only(&[METHOD, SCHEME, AUTHORITY, (b"x", b"y"), PATH]),
            PROTOCOL,
        ),
        case(
            "8.3.1",
            "an empty path",
            &only(&[METHOD, SCHEME, AUTHORITY, (b":path", b"")]),
            PROTOCOL,
        ),
        case(
            "8.3.1",
            "no method",
            &only(&[SCHEME, AUTHORITY, PATH]),
            PROTOCOL,
        ),
        case(
            "8.3.1",
            "no scheme",
            &only(&[METHOD, AUTHORITY, PATH]),
            PROTOCOL,
        ),
        case(
            "8.3.1",
            "no path",
            &only(&[METHOD, SCHEME, AUTHORITY]),
            PROTOCOL,
        ),
        case("8.3.1", "two methods", &with(METHOD), PROTOCOL),
        case("8.3.1", "two schemes", &with(SCHEME), PROTOCOL),
        case("8.3.1", "two paths", &with(PATH), PROTOCOL),
        case(
            "8.1.1",
            "less body than was announced",
            &[post.clone(), frame(DATA, END_STREAM, 1, b"ab")],
            PROTOCOL,
        ),
        case(
            "8.1.1",
            "more body than was announced",
            &[post.clone(), frame(DATA, END_STREAM, 1, b"abcd")],
            PROTOCOL,
        ),
        case(
            "8.1.1",
            "more body in several frames",
            &[
                post.clone(),
                frame(DATA, 0, 1, b"ab"),
                frame(DATA, END_STREAM, 1, b"cd"),
            ],
            PROTOCOL,
        ),
        case(
            "8.1.1",
            "less body before trailers",
            &[
                post,
                frame(DATA, 0, 1, b"ab"),
                head(1, ALL, &[(b"x", b"y")]),
            ],
            PROTOCOL,
        ),
        case(
            "8.1.1",
            "no body where one was announced",
            &with((b"content-length", b"3")),
            PROTOCOL,
        ),
    ]
}

const CONFIG: &str = r#"
    [[listener]]
    name = "web"
    address = "127.0.0.1:0"
    max_streams = 10
    [[listener]]
    name = "secure"
    address = "127.0.0.1:0"
    tls = { certificates = [<site>] }
    max_streams = 10
    [[route]]
    name = "held"
    path = "/held"
    upstream = "app"
    [[route]]
    name = "all"
    respond = { body = "all" }
    [upstream.app]
    endpoints = ["<app>"]
"#;

/// Sends a case, at once or byte by byte, and tells what is wrong with what came of it.
async fn judge(case: &Case, mut client: Client, in_bytes: bool) -> Result<(), String> {
    if in_bytes {
        client.send_split(&case.bytes).await;
    } else {
        // Who has hung up has said why.
        let _ = client.try_send(&case.bytes).await;
    }
    let mut raw = RawH2::on(client);
    let wanted = match case.gets {
        Ended => {
            raw.until_closed().await;
            return Ok(());
        }
        Connection(codes) => {
            let end = raw.end_of(u32::MAX).await;
            raw.until_closed().await;
            return match end {
                StreamEnd::GoAway(code) if codes.contains(&code) => Ok(()),
                other => Err(format!("{other:?} and not one of {codes:?}")),
            };
        }
        Reset(stream, code) => Some((stream, StreamEnd::Reset(code))),
        Status(stream, status) => Some((stream, StreamEnd::Status(status))),
        Gets::Frame(kind, flags, payload) => {
            while let Some(next) = raw.next_frame().await {
                if (next.kind, next.flags, &*next.payload) == (kind, flags, payload) {
                    return goes_on(&mut raw).await;
                }
            }
            return Err("no such frame".to_owned());
        }
        Nothing => None,
    };
    if let Some((stream, wanted)) = wanted {
        let end = raw.end_of(stream).await;
        if end != wanted {
            return Err(format!("{end:?} and not {wanted:?}"));
        }
    }
    goes_on(&mut raw).await
}

/// Whether the next request on the connection is answered, and nothing has come before that but answers.
async fn goes_on(raw: &mut RawH2) -> Result<(), String> {
    raw.bytes(&get(101)).await;
    while let Some(next) = raw.next_frame().await {
        match (next.kind, next.stream) {
            (HEADERS, 101) => return Ok(()),
            // The rest of a request that was answered early is not wanted.
            (RST_STREAM, _) if next.payload == [0; 4] => {}
            (RST_STREAM | GOAWAY, _) => return Err(format!("then {next:?}")),
            _ => {}
        }
    }
    Err("then the end".to_owned())
}

async fn run(is_secure: bool, in_bytes: bool) {
    let authority = Authority::new("tests");
    let site = authority.issue(&["gateway.test"]);
    let (origin, _gate) = Origin::gated("never").await;
    let gateway = Gateway::start(CONFIG, &[("site", &site), ("app", &origin)]).await;
    let tls = ClientTls::offering(&authority, "gateway.test", &[b"h2"]);
    let mut complaints = Vec::new();
    let cases = [well_formed(), connection_errors(), stream_errors()];
    for case in cases.into_iter().flatten() {
        let client = if is_secure {
            gateway.connect_tls("secure", &tls).await
        } else {
            gateway.connect().await
        };
        if let Err(complaint) = judge(&case, client, in_bytes).await {
            complaints.push(format!("{} {}: {complaint}", case.section, case.name));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[tokio::test]
async fn each_section_has_its_errors() {
    run(false, false).await;
}

#[tokio::test]
async fn each_section_has_its_errors_byte_by_byte() {
    run(false, true).await;
}

#[tokio::test]
async fn each_section_has_its_errors_over_tls() {
    run(true, false).await;
}

#[tokio::test]
async fn each_section_has_its_errors_over_tls_byte_by_byte() {
    run(true, true).await;
}
