//! The decisions of one exchange, in order. No I/O, no clock, no protocol version: heads in, verdicts out.
//!
//! The engine calls, for each request: [`Exchange::begin`] → [`Exchange::decide`] → for each try
//! [`Exchange::select`] and, if it failed, [`Exchange::attempt_failed`] → [`Exchange::respond`] →
//! [`Exchange::record`].

mod attempts;
mod connection;
mod decide;
mod exchange;
mod fault;
mod forwarded;
mod grpc;
mod judged;
mod outcome;
mod places;
mod reply;
mod retry;
mod session;
mod terms;
mod timeouts;
mod verdict;
mod violation;
mod wishes;

pub use attempts::Moment;
pub use connection::{Connection, TlsSession};
pub use decide::Verdict;
pub use exchange::Exchange;
pub use fault::{Blame, Fault};
pub use forwarded::Origin;
pub use grpc::{grpc_reply, grpc_status, late_trailers};
pub use judged::{judged_at_end, measured};
pub use outcome::Outcome;
pub use places::{RequestGate, RequestPlaces};
pub use reply::{head_of, reply_of};
pub use retry::{Progress, Retry};
pub use terms::Terms;
pub use timeouts::Bounds;
pub use violation::Violation;
