//! The gateway as a process, before real sockets: scenarios of origin, configuration, request and expectation.

mod balance;
mod deadlines;
mod failure;
mod filters;
mod forwarded;
mod grpc;
mod harness;
mod harness_itself;
mod http10;
mod http2;
mod interim;
mod limits;
mod proxy_protocol;
mod routing;
mod streaming;
mod tls;
mod trailers;
mod websocket;
mod wire;
