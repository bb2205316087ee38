//! The one place where a fault becomes an answer, and an answer a response head.

use bytes::Bytes;

use super::Fault;
use crate::{
    filters::Reply,
    http::{Fields, Known, RequestHead, ResponseHead, Version},
};

/// Seconds after which a client may come again when nobody can serve it now.
const RETRY_AFTER: &[u8] = b"1";

/// What the client is told of a fault: the status and the word, nothing of the inside.
#[must_use]
pub fn reply_of(fault: Fault) -> Reply {
    let status = fault.status();
    let mut fields = Fields::new();
    fields.push(b"content-type", b"text/plain; charset=utf-8");
    match fault {
        Fault::NoEndpoint
        | Fault::NoSubset
        | Fault::UpstreamOverloaded
        | Fault::AdaptiveLimit
        | Fault::QueueFull
        | Fault::QueueTimeout
        | Fault::RequestsFull
        | Fault::Overloaded
        | Fault::NoDescriptors
        | Fault::Drained => fields.push(b"retry-after", RETRY_AFTER),
        Fault::BreakerOpen(seconds) => {
            let mut digits = itoa::Buffer::new();
            fields.push(b"retry-after", digits.format(seconds).as_bytes());
        }
        Fault::MethodNotAllowed => {
            fields.push(b"allow", b"GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS")
        }
        _ => {}
    }
    Reply {
        status,
        fields,
        body: Bytes::from(format!("{status} {}\n", fault.reason())),
        reason: fault.reason(),
    }
}

/// The same answer for a gRPC client, which finds its status in a field and not in the HTTP status: an answer that has
/// only trailers. `None` when the client does not speak gRPC, or the answer is no fault.
#[must_use]
pub fn grpc_reply(request: &RequestHead, answer: &Reply) -> Option<Reply> {
    if !is_grpc(request) || answer.status < 400 {
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

/// Whether the client says that it speaks gRPC.
pub(super) fn is_grpc(request: &RequestHead) -> bool {
    let content_type = request.fields.first(Known::ContentType).unwrap_or_default();
    let (Some(kind), Some(rest)) = (
        content_type.get(..GRPC.len()),
        content_type.get(GRPC.len()..),
    ) else {
        return false;
    };
    kind.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
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

/// Makes the head of an answer that the gateway gives itself.
pub fn head_of(reply: &Reply, date: &[u8], head: &mut ResponseHead) {
    head.clear();
    head.version = Version::Http11;
    head.status = reply.status;
    for field in reply.fields.iter() {
        head.fields.push(field.name, field.value);
    }
    head.fields.push(b"date", date);
    if !matches!(reply.status, 204 | 304) {
        let mut digits = itoa::Buffer::new();
        let length = digits.format(reply.body.len());
        head.fields.push(b"content-length", length.as_bytes());
    }
}
