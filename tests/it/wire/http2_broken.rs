//! What ends a connection of HTTP/2, section by section.

use super::http2_case::*;
use crate::harness::raw_h2::{block, frame};

/// What a connection does not survive.
pub(super) fn connection_errors() -> Vec<Case> {
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
