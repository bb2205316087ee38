//! The decisions of one exchange, in order. No I/O, no clock, no protocol version: heads in, verdicts out.
//!
//! The engine calls, for each request: [`Exchange::begin`] → [`Exchange::decide`] → for each try
//! [`Exchange::select`] and, if it failed, [`Exchange::attempt_failed`] → [`Exchange::respond`] →
//! [`Exchange::record`].

mod connection;
mod decide;
mod exchange;
mod fault;
mod forwarded;
mod judged;
mod outcome;
mod places;
mod reply;
mod retry;
mod session;
mod terms;
mod verdict;
mod violation;
mod wishes;

pub use connection::{Connection, TlsSession};
pub use decide::Verdict;
pub use exchange::{Exchange, grpc_status};
pub use fault::{Blame, Fault};
pub use forwarded::Origin;
pub use judged::{judged_at_end, measured};
pub use outcome::Outcome;
pub use places::{RequestGate, RequestPlaces};
pub use reply::{grpc_reply, head_of, reply_of};
pub use retry::{Progress, Retry};
pub use terms::Terms;
pub use violation::Violation;
