//! What the gateway knows of gRPC: who speaks it, how it ended, and how its clients are told of a fault.

use bytes::Bytes;

use crate::{
    filters::Reply,
    http::{Fields, Known, RequestHead},
};

/// Whether a message is gRPC's own, by its content type; gRPC-Web is another protocol.
#[must_use]
pub fn is_grpc(fields: &Fields) -> bool {
    let Some(content_type) = fields.first(Known::ContentType) else {
        return false;
    };
    let Some((kind, rest)) = content_type.split_at_checked(GRPC.len()) else {
        return false;
    };
    kind.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

/// The `grpc-status` that stands in trailers, or in the head of an answer that has only trailers.
#[must_use]
pub fn grpc_status(fields: &Fields) -> Option<u32> {
    let value = fields.first(Known::GrpcStatus)?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The same answer for a gRPC client, which finds its status in a field and not in the HTTP status: an answer that has
/// only trailers. `None` when the client does not speak gRPC, or the answer is no fault.
#[must_use]
pub fn grpc_reply(request: &RequestHead, answer: &Reply) -> Option<Reply> {
    if !is_grpc(&request.fields) || answer.status < 400 {
        return None;
    }
    let mut fields = Fields::new();
    for field in answer.fields.iter() {
        if field.known != Known::ContentType {
            fields.push(field.name, field.value);
        }
    }
    fields.push(b"content-type", GRPC);
    fields.push(b"grpc-status", grpc_code(answer.status).as_bytes());
    fields.push(b"grpc-message", answer.reason.as_bytes());
    Some(Reply {
        status: 200,
        fields,
        body: Bytes::new(),
        reason: answer.reason,
    })
}

const GRPC: &[u8] = b"application/grpc";

/// The gRPC status that a client takes an HTTP status for (grpc/doc/http-grpc-status-mapping.md).
const fn grpc_code(status: u16) -> &'static str {
    match status {
        400 => "13",
        401 => "16",
        403 => "7",
        404 | 405 => "12",
        429 | 502 | 503 | 504 => "14",
        _ => "2",
    }
}
