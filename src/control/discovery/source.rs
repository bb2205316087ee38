//! What a source of endpoints looks like to those who follow it.

use std::pin::Pin;

pub use crate::snapshot::{Found, SourceKey};

/// Says which endpoints stand behind a name. One source serves every upstream that names the same.
///
/// Polling and pushing sources look the same: [`next`](Self::next) returns when there is something to say, and when
/// that is, is the source's own business. It has its own pace after failures, keeps its own place in a stream of
/// changes, and adds changes up to whole sets itself. It follows only what it was opened for: what several of them
/// share, such as a connection to a registry, belongs to the [`Sources`] that opens them.
pub trait Source: Send {
    /// Waits for the next complete set, which replaces the one before, or for a failure, which changes nothing: the
    /// last good set stays.
    ///
    /// The same set as before is worth saying: it is known to be good now, and its age begins anew. So a source that is
    /// pushed to repeats its set when it hears that nothing has changed. A set without endpoints counts as a failure.
    ///
    /// The future is dropped before it is ready only together with the source.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Result<Vec<Found>, Failure>> + Send + '_>>;
}

/// Opens sources, and has what they share.
pub trait Sources: Send {
    /// A source that has not said anything yet. Must not wait: what takes time belongs to [`Source::next`].
    fn open(&self, key: &SourceKey) -> Box<dyn Source>;
}

/// Why a source has no answer, in words for people. The same words each time: a repeated failure is told from a new one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);
