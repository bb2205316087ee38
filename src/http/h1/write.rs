//! Heads to bytes: the one place that decides what may leave the gateway.
//!
//! Whatever a filter has put into a head, no byte outside the grammar is written: a field whose name is no token is
//! left out, control bytes in values become spaces, other bytes than visible ASCII in a target are escaped. The fields
//! that frame a message or belong to the connection are written from the arguments, never from the list.

use crate::http::connection::is_protocol;
use crate::http::fields::{Field, Fields, Known, Origin};
use crate::http::grammar::{
    escape, is_field_text, is_token, is_token_byte, is_visible_ascii, repair_value,
};
use crate::http::head::{Method, RequestHead, ResponseHead, TargetForm};

/// How the body behind a head is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body, and nothing said about it.
    None,
    /// `Content-Length`; also the length that a response to HEAD or a 304 speaks of.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Ended by the end of the connection, which `Connection: close` announces. For responses alone: a request with it
    /// is written as chunked, since an upstream would take the bare bytes for another request.
    UntilClose,
}

/// What a message says about its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionHeader<'a> {
    /// Nothing: the connection stays, in HTTP/1.1.
    None,
    /// `close`.
    Close,
    /// `keep-alive`, which an HTTP/1.0 client wants to hear.
    KeepAlive,
    /// `upgrade`, to (or from) this protocol.
    Upgrade(&'a [u8]),
}

/// Appends a request head in HTTP/1.1. `Host` comes first, from `host` and `port`.
///
/// `TE: trailers` among the fields is written together with its `Connection` option.
pub fn write_request_head(
    head: &RequestHead,
    framing: Framing,
    connection: ConnectionHeader<'_>,
    out: &mut Vec<u8>,
) {
    let target = head.path.len() + head.query.as_deref().map_or(0, str::len);
    out.reserve(target + head.host.len() + head.fields.written_size() + ROOM);
    write_method(&head.method, out);
    out.push(b' ');
    write_target(head, out);
    out.extend_from_slice(b" HTTP/1.1\r\nHost: ");
    write_authority(head, out);
    out.extend_from_slice(b"\r\n");
    let te = head
        .fields
        .first(Known::Te)
        .is_some_and(|value| value.eq_ignore_ascii_case(b"trailers"));
    write_fields(&head.fields, |field| field.known == Known::Host, out);
    let framing = match framing {
        Framing::UntilClose => Framing::Chunked,
        framing => framing,
    };
    write_framing(framing, out);
    write_connection(connection, te, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends a response head in HTTP/1.1. A head without a reason gets the usual phrase of its status.
///
/// A 1xx or 204 never says anything about a body, whatever `framing` is (RFC 9110 section 8.6).
pub fn write_response_head(
    head: &ResponseHead,
    framing: Framing,
    connection: ConnectionHeader<'_>,
    out: &mut Vec<u8>,
) {
    out.reserve(head.reason.len() + head.fields.written_size() + ROOM);
    let status = match head.status {
        status @ 100..=999 => status,
        _ => 500,
    };
    out.extend_from_slice(b"HTTP/1.1 ");
    write_number(u64::from(status), out);
    out.push(b' ');
    if head.reason.is_empty() || !is_field_text(&head.reason) {
        out.extend_from_slice(usual_phrase(status).as_bytes());
    } else {
        out.extend_from_slice(&head.reason);
    }
    out.extend_from_slice(b"\r\n");
    write_fields(&head.fields, |_| false, out);
    let framing = match status {
        100..=199 | 204 => Framing::None,
        _ => framing,
    };
    write_framing(framing, out);
    let connection = match framing {
        Framing::UntilClose => ConnectionHeader::Close,
        Framing::None | Framing::Length(_) | Framing::Chunked => connection,
    };
    write_connection(connection, false, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends the line of one field, or nothing when its name is no token.
pub(super) fn write_field(field: Field<'_>, origin: Origin, out: &mut Vec<u8>) {
    if origin == Origin::Parsed {
        write_line(field.name, field.value, out);
    } else if is_token(field.name) {
        write_line(field.name, &repair_value(field.value), out);
    }
}

/// Appends a number in decimal digits.
fn write_number(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Room for the first line and the fields that the writer adds.
const ROOM: usize = 160;

fn write_method(method: &Method, out: &mut Vec<u8>) {
    let token = method.as_str().as_bytes();
    let start = out.len();
    out.extend(token.iter().filter(|byte| is_token_byte(**byte)));
    if out.len() == start {
        out.extend_from_slice(b"GET");
    }
}

fn write_target(head: &RequestHead, out: &mut Vec<u8>) {
    match head.form {
        TargetForm::Asterisk => out.push(b'*'),
        TargetForm::Authority => write_authority(head, out),
        TargetForm::Path => {
            if !head.path.starts_with('/') {
                out.push(b'/');
            }
            write_escaped(head.path.as_bytes(), b"?#", out);
            if let Some(query) = &head.query {
                out.push(b'?');
                write_escaped(query.as_bytes(), b"#", out);
            }
        }
    }
}

/// Appends bytes of a target; those outside visible ASCII and `also` become escapes.
fn write_escaped(bytes: &[u8], also: &[u8], out: &mut Vec<u8>) {
    if is_visible_ascii(bytes) && !bytes.iter().any(|byte| also.contains(byte)) {
        out.extend_from_slice(bytes);
        return;
    }
    for byte in bytes {
        if byte.is_ascii_graphic() && !also.contains(byte) {
            out.push(*byte);
        } else {
            out.extend_from_slice(&escape(*byte));
        }
    }
}

fn write_authority(head: &RequestHead, out: &mut Vec<u8>) {
    let host = head.host.as_bytes();
    if is_visible_ascii(host) {
        out.extend_from_slice(host);
    } else {
        out.extend(host.iter().filter(|byte| byte.is_ascii_graphic()));
    }
    if let Some(port) = head.port {
        out.push(b':');
        write_number(u64::from(port), out);
    }
}

fn write_fields(fields: &Fields, skip: impl Fn(Field<'_>) -> bool, out: &mut Vec<u8>) {
    for (field, origin) in fields.iter_with_origin() {
        if !is_written_from_arguments(field.known) && !skip(field) {
            write_field(field, origin, out);
        }
    }
}

const fn is_written_from_arguments(known: Known) -> bool {
    matches!(
        known,
        Known::Connection
            | Known::ContentLength
            | Known::Http2Settings
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::Te
            | Known::TransferEncoding
            | Known::Upgrade
    )
}

fn write_framing(framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            write_number(length, out);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
}

fn write_connection(connection: ConnectionHeader<'_>, te: bool, out: &mut Vec<u8>) {
    let option: &[u8] = match connection {
        ConnectionHeader::Upgrade(token) if is_protocol(token) => {
            write_line(b"Upgrade", token, out);
            b"upgrade"
        }
        ConnectionHeader::Close => b"close",
        ConnectionHeader::KeepAlive => b"keep-alive",
        ConnectionHeader::None | ConnectionHeader::Upgrade(_) => b"",
    };
    match (option, te) {
        (b"", false) => {}
        (option, false) => write_line(b"Connection", option, out),
        (option, true) => {
            out.extend_from_slice(b"TE: trailers\r\nConnection: ");
            if !option.is_empty() {
                out.extend_from_slice(option);
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(b"TE\r\n");
        }
    }
}

fn write_line(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn usual_phrase(status: u16) -> &'static str {
    ::http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default()
}
