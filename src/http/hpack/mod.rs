//! HPACK, the compression of heads in HTTP/2 (RFC 7541): bytes in, fields out, and back.
//!
//! The decoder keeps a dynamic table and knows of every entry whether it has passed the grammar, so that a field that
//! comes again by its index is only copied. The encoder has no table at all: it spells every field out, which costs
//! the least time, and tells the peer so in its first block.

mod decode;
mod encode;
mod field;
mod huffman;
mod integer;
mod statics;
mod table;

#[cfg(test)]
mod tests;

pub(super) use decode::{Broken, Decoder, Sink};
#[cfg(test)]
pub(super) use encode::write_string;
pub(super) use encode::{
    AUTHORITY, Encoder, METHOD, METHOD_POST, PATH, SCHEME, SCHEME_HTTPS, STATUS, write_field,
    write_indexed, write_named, write_named_length,
};
pub(super) use field::{NameKind, Seen, ValueKind};
