//! Whether a failed attempt may be followed by another, and when: pure, by what is known to have happened.

use std::time::{Duration, SystemTime};

use super::Fault;
use crate::{
    http::{Known, Method, ResponseHead},
    snapshot::RetryPlan,
};

/// How far an attempt came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The connection had served requests before.
    pub reused: bool,
    /// Bytes of the request's body were taken from the client and not kept.
    pub body_gone: bool,
    /// The endpoint may have seen some of the request.
    pub head_sent: bool,
    /// Something came from the endpoint.
    pub heard: bool,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Another attempt, after a pause.
    After(Duration),
    /// What the attempt brought is the answer.
    GiveUp,
}

/// Why an attempt that failed is not made again although the failure allows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// There were enough.
    Attempts,
    /// The request's body is gone.
    Body,
    /// The exchange would be over before.
    Time,
    /// The endpoint asked for a longer pause than is waited for.
    RetryAfter,
    /// The upstream's budget is spent.
    Budget,
}

impl Denied {
    /// The word for metrics.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::Body => "body",
            Self::Time => "time",
            Self::RetryAfter => "retry_after",
            Self::Budget => "budget",
        }
    }
}

/// Whether the failure allows another attempt.
///
/// A request goes out again when the endpoint cannot have acted on it. One that may reach an endpoint twice does also
/// when a kept connection, which its owner may close at any time, was closed (RFC 9110 section 9.2.2), and when the plan
/// names the failure.
pub(super) fn is_allowed(
    fault: Fault,
    progress: Progress,
    method: &Method,
    plan: &RetryPlan,
) -> bool {
    match fault {
        Fault::UpstreamRefused => true,
        Fault::UpstreamClosed => {
            let is_stale = progress.reused && !progress.heard;
            !progress.head_sent || (plan.allows(method) && (is_stale || plan.on.reset))
        }
        Fault::UpstreamTimeout => plan.allows(method) && plan.on.timeout,
        Fault::UpstreamMalformed(_) | Fault::UpstreamProtocol => {
            plan.allows(method) && plan.on.malformed
        }
        // Whether they count was asked when they came.
        Fault::UpstreamStatus(_) | Fault::UpstreamGrpcStatus => true,
        other => is_unreachable(other),
    }
}

/// Whether no connection to the endpoint came about.
pub(super) const fn is_unreachable(fault: Fault) -> bool {
    matches!(
        fault,
        Fault::ConnectFailed | Fault::ConnectTimeout | Fault::UpstreamTls
    )
}

/// Whether the endpoint did nothing for the request, so that there is nothing to wait for before another one is tried.
pub(super) const fn is_untouched(fault: Fault, progress: Progress) -> bool {
    is_unreachable(fault)
        || matches!(fault, Fault::UpstreamRefused)
        || (matches!(fault, Fault::UpstreamClosed) && progress.reused && !progress.heard)
}

/// The pause before an attempt, so many having been made: anything up to a bound that doubles ("full jitter").
pub(super) fn pause(plan: &RetryPlan, attempts: u32, random: u64) -> Duration {
    let doublings = attempts.saturating_sub(1).min(31);
    let bound = plan
        .backoff
        .saturating_mul(1 << doublings)
        .min(plan.max_backoff);
    let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos(random % nanos.saturating_add(1).max(1))
}

/// How long the endpoint asks to be left alone (RFC 9110 section 10.2.3); `None` if it does not, or not so that it can
/// be understood.
pub(super) fn retry_after(head: &ResponseHead, now: SystemTime) -> Option<Duration> {
    let value = std::str::from_utf8(head.fields.first(Known::RetryAfter)?).ok()?;
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return value.parse().ok().map(Duration::from_secs);
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(value)
        .ok()?;
    Some(
        SystemTime::from(date)
            .duration_since(now)
            .unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::RetryConditions;

    const KEPT: Progress = Progress {
        reused: true,
        body_gone: false,
        head_sent: true,
        heard: false,
    };
    const FRESH: Progress = Progress {
        reused: false,
        ..KEPT
    };

    fn by_default(fault: Fault, progress: Progress, method: &Method) -> bool {
        is_allowed(fault, progress, method, &RetryPlan::default())
    }

    #[test]
    fn a_refused_connection_or_stream_is_followed_by_another_try() {
        let nothing = Progress::default();
        for fault in [
            Fault::ConnectFailed,
            Fault::ConnectTimeout,
            Fault::UpstreamTls,
            Fault::UpstreamRefused,
        ] {
            assert!(by_default(fault, nothing, &Method::Post), "{fault:?}");
        }
    }

    #[test]
    fn case_074_a_post_that_may_have_been_seen_is_sent_once() {
        assert!(!by_default(Fault::UpstreamClosed, KEPT, &Method::Post));
        assert!(!by_default(Fault::UpstreamTimeout, KEPT, &Method::Get));
        let eager = RetryPlan {
            on: RetryConditions {
                reset: true,
                timeout: true,
                malformed: true,
            },
            ..RetryPlan::default()
        };
        for fault in [Fault::UpstreamClosed, Fault::UpstreamTimeout] {
            assert!(!is_allowed(fault, KEPT, &Method::Post, &eager));
            assert!(is_allowed(fault, FRESH, &Method::Get, &eager));
        }
        let listed = RetryPlan {
            methods: Some(vec![Method::Post]),
            ..eager
        };
        assert!(is_allowed(
            Fault::UpstreamClosed,
            FRESH,
            &Method::Post,
            &listed
        ));
        assert!(!is_allowed(
            Fault::UpstreamClosed,
            FRESH,
            &Method::Get,
            &listed
        ));
    }

    #[test]
    fn case_075_a_get_on_a_kept_connection_that_closed_is_sent_again() {
        assert!(by_default(Fault::UpstreamClosed, KEPT, &Method::Get));
        assert!(!by_default(Fault::UpstreamClosed, FRESH, &Method::Get));
        let heard = Progress {
            heard: true,
            ..KEPT
        };
        assert!(!by_default(Fault::UpstreamClosed, heard, &Method::Get));
    }

    #[test]
    fn faults_of_the_client_and_of_the_gateway_end_the_exchange() {
        for fault in [
            Fault::ClientGone,
            Fault::BodyTimeout,
            Fault::RouteTimeout,
            Fault::Internal,
            Fault::NoEndpoint,
        ] {
            assert!(!by_default(fault, Progress::default(), &Method::Get));
        }
    }

    #[test]
    fn pauses_are_random_below_a_bound_that_doubles_up_to_the_longest() {
        let plan = RetryPlan::default();
        for (attempts, bound) in [(1, 25), (2, 50), (3, 100), (4, 200), (5, 250), (60, 250)] {
            let bound = Duration::from_millis(bound);
            let pauses: Vec<_> = (0..1_000_u64)
                .map(|number| pause(&plan, attempts, number.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
                .collect();
            assert!(pauses.iter().all(|one| *one <= bound));
            assert!(pauses.iter().any(|one| *one > bound * 9 / 10));
            assert!(pauses.iter().any(|one| *one < bound / 10));
        }
        let none = RetryPlan {
            backoff: Duration::ZERO,
            ..plan
        };
        assert_eq!(pause(&none, 1, u64::MAX), Duration::ZERO);
    }

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (value, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            ("Sun, 06 Nov 1994 08:49:40 GMT", Some(3)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", Some(0)),
            ("99999999999999999999999", None),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            let mut head = ResponseHead::default();
            head.fields.push(b"retry-after", value.as_bytes());
            let wanted = seconds.map(Duration::from_secs);
            assert_eq!(retry_after(&head, now), wanted, "{value}");
        }
        assert_eq!(retry_after(&ResponseHead::default(), now), None);
    }
}
