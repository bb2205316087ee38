//! What must hold whatever the bytes are. Each module has one `check`, which panics when it does not: the fuzz targets
//! feed it with bytes of their own, `tests/fuzz.rs` with the committed corpora.

pub mod chunked;
pub mod config;
pub mod gateway;
pub mod header_block;
pub mod path;
pub mod proxy_header;
pub mod request_head;
pub mod response_head;

mod client;
mod fields;
mod origin;

/// The tests' own strict reader of HTTP/1, which shares no code with the gateway.
#[path = "../../tests/it/harness/message.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the tests on sockets use all of it, these here a part"
)]
mod strict;
