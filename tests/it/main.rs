//! The gateway as a process, before real sockets: scenarios of origin, configuration, request and expectation.

mod balance;
mod failure;
mod filters;
mod forwarded;
mod grpc;
mod harness;
mod harness_itself;
mod http10;
mod http2;
mod interim;
mod routing;
mod streaming;
mod trailers;
mod websocket;
mod wire;
