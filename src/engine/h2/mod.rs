//! HTTP/2 connections, whichever end of them we are: frames, streams and windows (RFC 9113).
//!
//! A connection belongs to one thread. Its task reads and writes the socket (`connection`); frames that come change the
//! state and wake the exchanges (`receive`, `heads`); exchanges put their frames behind what waits to go out and wake the task
//! (`send`). Nothing but what waits for the socket is buffered on the way out, and that is bounded: a response whose
//! client does not take it waits where it comes from.

mod connection;
mod heads;
mod receive;
mod send;
mod state;
mod stream;
mod streams;

pub(crate) use connection::{Asked, Http2, Turn};
pub(crate) use state::Terms;
pub(crate) use stream::Stream;
