//! Messages: heads, fields, body framing and the HTTP/1 codec, all without I/O.
//!
//! A message of any protocol version becomes a [`RequestHead`] or a [`ResponseHead`]; what has become one has passed
//! the grammar. Nothing leaves but through the writers in [`h1`] and [`h2`], which keep every byte outside the grammar
//! back.

mod error;
mod fields;
mod grammar;
mod head;
mod limits;

mod authority;
mod path;
mod query;
mod target;

mod connection;
mod cookies;
mod framing;
mod trailers;

mod hpack;

pub mod h1;
pub mod h2;

pub use authority::parse_authority;
pub use connection::{
    accepts_trailers, expects_continue, is_hop_by_hop, keep_alive, strip_hop_by_hop, upgrade_token,
};
pub use cookies::cookies;
pub use error::HeadError;
pub use fields::{Field, Fields, Known};
pub use framing::{BodyLength, content_length, request_body, response_body};
pub use head::{Method, RequestHead, ResponseHead, TargetForm, Version};
pub use limits::{HeadLimits, MAX_FIELDS};
pub use path::normalise_path;
pub use query::query_parameter;
