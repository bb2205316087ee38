//! What a connection of HTTP/2 survives, section by section: what is as it should be, and what ends one stream.

use super::http2_case::*;
use crate::harness::raw_h2::{block, frame};

/// Messages as they should be (h2spec's generic part), in every form that a frame and a field can have.
pub(super) fn well_formed() -> Vec<Case> {
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

/// What ends its stream and nothing else.
pub(super) fn stream_errors() -> Vec<Case> {
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
            "5.3.2",
            "a stream that is not there depends on itself",
            &[priority(1, 1), get(1)],
            Status(1, 200),
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
