//! The one place where a fault becomes an answer, and an answer a response head.

use bytes::Bytes;

use super::Fault;
use crate::{
    filters::Reply,
    http::{Fields, ResponseHead, Version},
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
