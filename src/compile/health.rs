//! `[upstream.NAME.health]`: what endpoints are asked, and which keys belong to which kind of check.

use std::{fmt::Write as _, sync::Arc};

use ::http::{HeaderName, HeaderValue, uri::PathAndQuery};
use regex::bytes::{Regex, RegexBuilder};

use super::Compiler;
use crate::{
    config::{
        self, Code, Placed,
        health::{BodyMatch, Health, HealthKind, HealthMethod, HealthTls, InitialHealth},
        place::Place,
    },
    http::{Known, Method, is_hop_by_hop, parse_authority},
    snapshot::{BodyPattern, CheckTls, HealthPlan, HttpQuestion, Question, Transport},
};

impl Compiler<'_> {
    /// How the endpoints of an upstream are checked. `None`: they are not, or it is said what is wrong.
    pub(super) fn health(
        &mut self,
        upstream: &config::Upstream,
        transport: &Transport,
    ) -> Option<HealthPlan> {
        let health = upstream.health.as_ref()?;
        // What could not be read may have been meant to be another kind.
        if health.is_whole("kind") {
            self.refuse_keys_of_other_kinds(health);
        }
        let headers = self.check_headers(health);
        let host = self.check_host(health);
        let question = match health.kind.value {
            HealthKind::Http => Question::Http(HttpQuestion {
                method: method(health),
                path: self.check_path(health)?,
                host,
                headers,
                expected_status: expected_status(health),
                body: self.body_pattern(health),
            }),
            HealthKind::Tcp => Question::Tcp,
            HealthKind::Grpc => Question::Grpc {
                service: health
                    .service
                    .as_ref()
                    .map_or_else(Box::default, |service| service.as_str().into()),
                host,
                headers,
            },
        };
        let interval = health.interval.get();
        Some(HealthPlan {
            tls: self.check_tls(health, &question, transport)?,
            question,
            port: health.port.as_ref().map(|port| port.get()),
            initially_healthy: health.initial.value == InitialHealth::Healthy,
            interval,
            unhealthy_interval: health
                .unhealthy_interval
                .as_ref()
                .map_or(interval, |interval| interval.get()),
            jitter: health.jitter.hundredths(),
            timeout: health.timeout.get(),
            unhealthy_after: health.unhealthy_after.get(),
            healthy_after: health.healthy_after.get(),
        })
    }

    fn refuse_keys_of_other_kinds(&mut self, health: &Health) {
        const HTTP: &[HealthKind] = &[HealthKind::Http];
        const GRPC: &[HealthKind] = &[HealthKind::Grpc];
        const BOTH: &[HealthKind] = &[HealthKind::Http, HealthKind::Grpc];
        let headers = health.headers.names().next().map(|_| health.headers.place);
        let keys: [(&str, Option<Place>, &[HealthKind]); 7] = [
            ("path", place(health.path.as_ref()), HTTP),
            ("method", place(health.method.as_ref()), HTTP),
            (
                "expected_status",
                place(health.expected_status.as_ref()),
                HTTP,
            ),
            ("body", place(health.body.as_ref()), HTTP),
            ("service", place(health.service.as_ref()), GRPC),
            ("host", place(health.host.as_ref()), BOTH),
            ("headers", headers, BOTH),
        ];
        for (key, place, kinds) in keys {
            let Some(place) = place.filter(|_| !kinds.contains(&health.kind)) else {
                continue;
            };
            let mut wanted = String::new();
            for kind in kinds {
                let or = if wanted.is_empty() { "" } else { " or " };
                let _ = write!(wanted, "{or}`kind = \"{kind}\"`");
            }
            self.found
                .error(
                    Code::ConflictingKeys,
                    place,
                    format!("`{key}` is only used with {wanted}"),
                )
                .help(format!(
                    "this check has `kind = \"{}\"`: change that, or take `{key}` away",
                    health.kind.value
                ));
        }
    }

    fn check_path(&mut self, health: &Placed<Health>) -> Option<Box<str>> {
        let Some(path) = &health.path else {
            if health.is_whole("path") && health.is_whole("kind") {
                self.found
                    .error(
                        Code::MissingKey,
                        health.place,
                        "a check over HTTP needs a `path`",
                    )
                    .help("for example: path = \"/healthz\"; or only connect: kind = \"tcp\"");
            }
            return None;
        };
        if !path.starts_with('/') {
            self.refused(
                Code::BadPath,
                path,
                "path",
                format_args!("\"{}\" does not begin with `/`", path.value),
            )
            .help(format!("write \"/{}\"", path.value));
            return None;
        }
        if path.contains('#') || path.parse::<PathAndQuery>().is_err() {
            let reason = "it has characters that cannot stand in a request";
            self.refused(Code::BadPath, path, "path", reason)
                .help("write them with `%` and two hexadecimal digits: a blank is `%20`");
            return None;
        }
        Some(path.as_str().into())
    }

    fn check_host(&mut self, health: &Health) -> Option<Box<str>> {
        let host = health.host.as_ref()?;
        if parse_authority(host.as_bytes(), &mut String::new()).is_err() {
            let reason = format!("\"{}\" is not a host", host.value);
            self.refused(Code::BadHost, host, "host", reason)
                .help("for example: host = \"users.internal\"");
            return None;
        }
        Some(host.as_str().into())
    }

    fn check_headers(&mut self, health: &Health) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = Vec::new();
        for (name, value) in health.headers.iter() {
            let Ok(known) = HeaderName::try_from(name.as_str()) else {
                let message = format!("`headers`: \"{}\" is no name of a field", name.value);
                self.found
                    .error(Code::BadField, name.place, message)
                    .help("for example: headers = { authorization = \"Bearer abc\" }");
                continue;
            };
            if is_set_by_the_check(&known) {
                let message = format!("`headers`: the check sets `{known}` itself");
                self.found
                    .error(Code::BadField, name.place, message)
                    .help(if known == "host" {
                        "write the key `host` instead"
                    } else {
                        "take it away"
                    });
                continue;
            }
            match HeaderValue::try_from(value.trim()) {
                Ok(value) => headers.push((known, value)),
                Err(_) => {
                    let reason = "the value has characters that cannot stand in a field";
                    self.refused(Code::BadField, value, name, reason);
                }
            }
        }
        headers
    }

    fn body_pattern(&mut self, health: &Health) -> Option<BodyPattern> {
        let body = health.body.as_ref()?;
        if let Some(method) = &health.method
            && method.value == HealthMethod::Head
        {
            self.found
                .error(
                    Code::ConflictingKeys,
                    body.place,
                    "the answer to a HEAD request has no body",
                )
                .help("write `method = \"GET\"`, or take `body` away");
        }
        match (&body.contains, &body.regex) {
            (Some(text), None) => Some(BodyPattern::Contains(text.as_bytes().into())),
            (None, Some(regex)) => self.body_regex(regex).map(BodyPattern::Regex),
            _ => {
                self.refuse_body(body);
                None
            }
        }
    }

    fn refuse_body(&mut self, body: &Placed<BodyMatch>) {
        if let Some(regex) = &body.regex {
            self.found
                .error(
                    Code::ConflictingKeys,
                    regex.place,
                    "`regex` cannot stand beside `contains`",
                )
                .help("take one of them away");
        } else if body.is_whole("contains") && body.is_whole("regex") {
            self.found
                .error(
                    Code::MissingKey,
                    body.place,
                    "`body` does not say what it must have",
                )
                .help("for example: body = \"ready\", or body = { regex = \"^ok\" }");
        }
    }

    fn body_regex(&mut self, written: &Placed<String>) -> Option<Regex> {
        let made = RegexBuilder::new(written).size_limit(LARGEST_REGEX).build();
        match made {
            Ok(regex) => Some(regex),
            Err(error) => {
                // The first lines repeat the pattern with a mark below it; the last one says what it is.
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or_default();
                let reason = reason.trim_start_matches("error: ");
                let reason = format!("not a regular expression: {reason}");
                self.refused(Code::BadPattern, written, "regex", reason);
                None
            }
        }
    }

    fn check_tls(
        &mut self,
        health: &Health,
        question: &Question,
        transport: &Transport,
    ) -> Option<CheckTls> {
        let protocol = question.protocol(transport.protocol);
        match health.tls.as_ref().map(|tls| (&tls.value, tls.place)) {
            None => Some(CheckTls::AsRequests),
            Some((HealthTls::Off, _)) => Some(CheckTls::Off),
            Some((HealthTls::Own(tls), place)) => {
                let tls = Placed::new(tls.as_ref().clone(), place);
                let transport = self.tls_transport(protocol, &tls)?;
                Some(CheckTls::Own(Arc::new(transport)))
            }
        }
    }
}

fn method(health: &Health) -> Method {
    let word = health.method.as_ref().map(|method| method.value.as_str());
    word.map_or(Method::Get, Method::of)
}

fn expected_status(health: &Health) -> Vec<(u16, u16)> {
    health.expected_status.as_ref().map_or_else(
        || vec![(200, 299)],
        |expected| {
            expected
                .iter()
                .map(|range| (range.first, range.last))
                .collect()
        },
    )
}

fn place<T>(written: Option<&Placed<T>>) -> Option<Place> {
    written.map(|written| written.place)
}

/// Fields that say how the message is framed or whom it is for.
fn is_set_by_the_check(name: &HeaderName) -> bool {
    const SET: [&str; 4] = ["host", "content-length", "content-type", "user-agent"];
    SET.contains(&name.as_str()) || is_hop_by_hop(Known::of(name.as_str().as_bytes()))
}

/// Bytes of a compiled expression: one that needs more is a mistake.
const LARGEST_REGEX: usize = 1 << 20;
