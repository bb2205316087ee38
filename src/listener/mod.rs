//! Sockets and TLS: bind, accept, admission, PROXY protocol, certificates.
//!
//! Nothing here reads or writes a connection: the engine does. This module makes the sockets, says whether a
//! connection may come in, parses what stands before HTTP, and builds the TLS configurations of both sides.

pub mod bind;

pub mod accept;

pub mod admission;

pub mod clients;

pub mod proxy_protocol;

pub mod tls;
