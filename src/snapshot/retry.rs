//! When an attempt is followed by another, as the data plane sees it.

use std::time::Duration;

use crate::http::Method;

/// When an attempt that failed is followed by another, and what that may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPlan {
    /// How many attempts one exchange may make, the first included.
    pub attempts: u32,
    /// The failures, beside those after which nothing can have happened.
    pub on: RetryConditions,
    /// The statuses that count as failures, as inclusive ranges.
    pub status: Vec<(u16, u16)>,
    /// The gRPC statuses that do.
    pub grpc: GrpcCodes,
    /// Which requests may reach an endpoint twice; `None`: those whose method is idempotent.
    pub methods: Option<Vec<Method>>,
    /// For one attempt, from its beginning to the response head.
    pub per_try_timeout: Option<Duration>,
    /// The longest pause before the second attempt; it doubles with each further one.
    pub backoff: Duration,
    /// The longest pause of all.
    pub max_backoff: Duration,
    /// The longest `Retry-After` that is waited for.
    pub max_retry_after: Duration,
    /// Bytes of a request's body that are kept to be sent again.
    pub buffer: usize,
}

/// Failures after which an endpoint may have acted on a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryConditions {
    /// The endpoint closed or reset before the response head was complete.
    pub reset: bool,
    /// The endpoint took too long.
    pub timeout: bool,
    /// The response head cannot be understood.
    pub malformed: bool,
}

/// A set of gRPC statuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GrpcCodes(u32);

impl RetryPlan {
    /// Whether a request with this method may reach an endpoint twice.
    #[must_use]
    pub fn allows(&self, method: &Method) -> bool {
        match &self.methods {
            None => method.is_idempotent(),
            Some(methods) => methods.contains(method),
        }
    }

    /// Whether the status counts as a failure.
    #[must_use]
    pub fn names_status(&self, status: u16) -> bool {
        self.status
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&status))
    }
}

impl Default for RetryPlan {
    /// What holds where the configuration has no `retry`: the same as the defaults of its keys.
    fn default() -> Self {
        Self {
            attempts: 3,
            on: RetryConditions::default(),
            status: Vec::new(),
            grpc: GrpcCodes::default(),
            methods: None,
            per_try_timeout: None,
            backoff: Duration::from_millis(25),
            max_backoff: Duration::from_millis(250),
            max_retry_after: Duration::from_secs(1),
            buffer: 64 * 1024,
        }
    }
}

impl GrpcCodes {
    /// Whether the code is in the set.
    #[must_use]
    pub const fn has(self, code: u32) -> bool {
        code < u32::BITS && self.0 & (1 << code) != 0
    }

    /// Whether the set has no code.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<u32> for GrpcCodes {
    fn from_iter<I: IntoIterator<Item = u32>>(codes: I) -> Self {
        Self(
            codes
                .into_iter()
                .fold(0, |set, code| set | 1_u32.checked_shl(code).unwrap_or(0)),
        )
    }
}
