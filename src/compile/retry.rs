//! `retry`: when an attempt is followed by another, and whether what is written can have an effect.

use super::Compiler;
use crate::{
    balance::{Percent, RetryBudget},
    config::{
        self, Code, Placed,
        retry::{Budget, Condition, Retry},
    },
    http::Method,
    routing::parse_method,
    snapshot::{RetryConditions, RetryPlan},
};

impl Compiler<'_> {
    /// The plan and the budget of an upstream.
    pub(super) fn upstream_retry(
        &mut self,
        upstream: &config::Upstream,
    ) -> (RetryPlan, RetryBudget) {
        let Some(retry) = &upstream.retry else {
            return (RetryPlan::default(), budget(None));
        };
        let budget = budget(retry.budget.as_deref());
        if budget.floor == 0 && budget.share == Percent::default() && retry.attempts.get() > 1 {
            let place = retry.budget.as_ref().map_or(retry.place, |one| one.place);
            self.found
                .warning(
                    Code::IneffectiveRetry,
                    place,
                    "this budget allows no attempt beyond the first",
                )
                .help("write `attempts = 1` if that is meant, or a larger `share` or `floor`");
        }
        (self.plan(retry), budget)
    }

    /// The plan of a route, in place of those of its upstreams.
    pub(super) fn route_retry(&mut self, route: &config::Route) -> Option<RetryPlan> {
        let retry = route.retry.as_ref()?;
        if let Some(budget) = &retry.budget {
            self.found
                .error(
                    Code::ConflictingKeys,
                    budget.place,
                    "a route has no retry budget of its own: it counts what all routes ask of an upstream",
                )
                .help("write it at the upstream: [upstream.NAME.retry.budget]");
        }
        if route.redirect.is_some() || route.respond.is_some() {
            self.ineffective(
                retry,
                "`retry` has no effect on a route that answers by itself",
                "take it away",
            );
        }
        let plan = self.plan(retry);
        if let (Some(timeout), Some(per_try)) = (&route.timeout, &retry.per_try_timeout)
            && per_try.get() >= timeout.get()
        {
            self.found
                .warning(
                    Code::IneffectiveRetry,
                    per_try.place,
                    format!(
                        "`per_try_timeout` is not shorter than the `timeout` of the route, {}: the first attempt is the last",
                        timeout.value
                    ),
                )
                .help("make it shorter, so that there is time for another attempt");
        }
        Some(plan)
    }

    fn plan(&mut self, retry: &Placed<Box<Retry>>) -> RetryPlan {
        self.check_effect(retry);
        for range in &retry.status.value {
            if range.first < 400 {
                self.refused(
                    Code::OutOfRange,
                    range,
                    "status",
                    "a status below 400 is no failure",
                )
                .help("for example: status = [502, 503, 504]");
            }
        }
        let has = |condition| retry.on.iter().any(|one| one.value == condition);
        RetryPlan {
            attempts: u32::from(retry.attempts.get()),
            on: RetryConditions {
                reset: has(Condition::Reset),
                timeout: has(Condition::Timeout),
                malformed: has(Condition::Malformed),
            },
            status: retry
                .status
                .iter()
                .map(|range| (range.first, range.last))
                .collect(),
            grpc: retry.grpc.iter().map(|code| code.number()).collect(),
            methods: self.repeatable(retry),
            per_try_timeout: retry.per_try_timeout.as_ref().map(|timeout| timeout.get()),
            backoff: retry.backoff.value,
            max_backoff: retry.max_backoff.value,
            max_retry_after: retry.max_retry_after.value,
            buffer: retry.buffer.bytes(),
        }
    }

    fn repeatable(&mut self, retry: &Retry) -> Option<Vec<Method>> {
        let written = retry.methods.as_ref()?;
        let methods = written.iter().filter_map(|method| {
            let parsed = parse_method(method);
            self.pattern(Code::BadMethod, method, "methods", parsed)
        });
        Some(methods.map(|method| Method::of(&method)).collect())
    }

    /// What is written and changes nothing is a misunderstanding.
    fn check_effect(&mut self, retry: &Placed<Box<Retry>>) {
        if !retry.broken.is_empty() {
            return;
        }
        let is_never = retry.attempts.get() == 1;
        let conditions = [
            ("on", !retry.on.is_empty()),
            ("status", !retry.status.is_empty()),
            ("grpc", !retry.grpc.is_empty()),
        ];
        if is_never && let Some((key, _)) = conditions.iter().find(|(_, written)| *written) {
            self.ineffective(
                retry,
                &format!("`{key}` has no effect: with `attempts = 1` no request is sent again"),
                "allow more attempts, or take the conditions away",
            );
        } else if let Some(per_try) = &retry.per_try_timeout
            && !is_never
            && !retry.on.iter().any(|one| one.value == Condition::Timeout)
        {
            self.found
                .warning(
                    Code::IneffectiveRetry,
                    per_try.place,
                    "an attempt that takes longer than `per_try_timeout` is the last one: \"timeout\" is not in `on`",
                )
                .help("for example: on = [\"timeout\"]");
        } else if self.plan_is_default(retry) {
            self.ineffective(
                retry,
                "this `retry` says what holds without it",
                "for example: retry = { on = [\"reset\", \"timeout\"], status = [502, 503, 504] }",
            );
        }
        if retry.backoff.value > retry.max_backoff.value {
            self.found
                .warning(
                    Code::IneffectiveRetry,
                    retry.backoff.place,
                    "`backoff` is longer than `max_backoff`, which bounds it",
                )
                .help("make `max_backoff` longer");
        }
    }

    fn plan_is_default(&self, retry: &Retry) -> bool {
        let default = RetryPlan::default();
        retry.budget.is_none()
            && retry.methods.is_none()
            && retry.per_try_timeout.is_none()
            && retry
                .on
                .iter()
                .all(|one| matches!(one.value, Condition::Connect | Condition::Refused))
            && retry.status.is_empty()
            && retry.grpc.is_empty()
            && u32::from(retry.attempts.get()) == default.attempts
            && retry.backoff.value == default.backoff
            && retry.max_backoff.value == default.max_backoff
            && retry.max_retry_after.value == default.max_retry_after
            && retry.buffer.bytes() == default.buffer
    }

    fn ineffective(&mut self, retry: &Placed<Box<Retry>>, message: &str, help: &str) {
        self.found
            .warning(Code::IneffectiveRetry, retry.place, message)
            .help(help);
    }
}

fn budget(written: Option<&Budget>) -> RetryBudget {
    let (share, floor) = written.map_or((20, 10), |budget| {
        (budget.share.hundredths(), budget.floor.value)
    });
    RetryBudget {
        share: Percent::new(share).unwrap_or_default(),
        floor: u32::from(floor),
    }
}
