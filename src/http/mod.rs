//! Messages: heads, fields, body framing and the HTTP/1 codec, all without I/O.

mod fields;
mod head;

pub use fields::{Field, Fields, Known};
pub use head::{Method, RequestHead, ResponseHead, TargetForm, Version};
