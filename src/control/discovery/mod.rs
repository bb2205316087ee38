//! Which addresses stand behind the host names of the upstreams.

pub mod dns;
pub mod pace;
pub mod resolver;
pub mod source;
