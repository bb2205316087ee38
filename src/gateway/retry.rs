//! Whether a failed attempt may be followed by another: pure, by what is known to have happened.

use super::Fault;
use crate::http::Method;

/// How far an attempt came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The connection had served requests before.
    pub reused: bool,
    /// Bytes of the request's body were taken from the client, and are gone.
    pub body_taken: bool,
    /// The endpoint may have seen some of the request.
    pub head_sent: bool,
    /// Something came from the endpoint.
    pub heard: bool,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Another attempt.
    Again,
    /// The fault is the answer.
    GiveUp,
}

/// How many endpoints one exchange tries at most.
pub(super) const MOST_ATTEMPTS: u32 = 3;

/// A request goes out again when the endpoint cannot have acted on it, or when acting twice does no harm and the
/// connection was a kept one, which its owner may close at any time (RFC 9110 section 9.2.2).
pub(super) fn after(fault: Fault, progress: Progress, method: &Method, attempts: u32) -> Retry {
    if progress.body_taken || progress.heard || attempts >= MOST_ATTEMPTS {
        return Retry::GiveUp;
    }
    let harmless = match fault {
        Fault::ConnectFailed | Fault::ConnectTimeout | Fault::UpstreamTls => true,
        Fault::UpstreamRefused => true,
        Fault::UpstreamClosed => !progress.head_sent || (progress.reused && method.is_idempotent()),
        Fault::Request(_)
        | Fault::Http2(_)
        | Fault::MethodNotAllowed
        | Fault::Misdirected
        | Fault::NoRoute
        | Fault::HeadTimeout
        | Fault::BodyTimeout
        | Fault::BodyTooSlow
        | Fault::ClientGone
        | Fault::ClientStalled
        | Fault::ClientTooSlow
        | Fault::NoEndpoint
        | Fault::NoSubset
        | Fault::UpstreamOverloaded
        | Fault::AdaptiveLimit
        | Fault::QueueFull
        | Fault::QueueTimeout
        | Fault::BreakerOpen(_)
        | Fault::UpstreamMalformed(_)
        | Fault::UpstreamProtocol
        | Fault::UpstreamTimeout
        | Fault::RouteTimeout
        | Fault::RequestsFull
        | Fault::Overloaded
        | Fault::NoDescriptors
        | Fault::Drained
        | Fault::Internal => false,
    };
    if harmless {
        Retry::Again
    } else {
        Retry::GiveUp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: Progress = Progress {
        reused: true,
        body_taken: false,
        head_sent: true,
        heard: false,
    };

    #[test]
    fn a_refused_connection_is_followed_by_another_try() {
        let nothing = Progress::default();
        assert_eq!(
            after(Fault::ConnectFailed, nothing, &Method::Post, 1),
            Retry::Again
        );
        assert_eq!(
            after(Fault::ConnectFailed, nothing, &Method::Post, MOST_ATTEMPTS),
            Retry::GiveUp
        );
    }

    #[test]
    fn case_074_a_post_that_may_have_been_seen_is_sent_once() {
        assert_eq!(
            after(Fault::UpstreamClosed, KEPT, &Method::Post, 1),
            Retry::GiveUp
        );
        assert_eq!(
            after(Fault::UpstreamTimeout, KEPT, &Method::Get, 1),
            Retry::GiveUp
        );
    }

    #[test]
    fn case_075_a_get_on_a_kept_connection_that_closed_is_sent_again() {
        assert_eq!(
            after(Fault::UpstreamClosed, KEPT, &Method::Get, 1),
            Retry::Again
        );
        let fresh = Progress {
            reused: false,
            ..KEPT
        };
        assert_eq!(
            after(Fault::UpstreamClosed, fresh, &Method::Get, 1),
            Retry::GiveUp
        );
        let heard = Progress {
            heard: true,
            ..KEPT
        };
        assert_eq!(
            after(Fault::UpstreamClosed, heard, &Method::Get, 1),
            Retry::GiveUp
        );
    }

    #[test]
    fn a_body_that_is_gone_cannot_be_sent_again() {
        let taken = Progress {
            body_taken: true,
            ..KEPT
        };
        assert_eq!(
            after(Fault::UpstreamRefused, taken, &Method::Put, 1),
            Retry::GiveUp
        );
    }
}
