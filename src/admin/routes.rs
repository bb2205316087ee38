//! The table of the admin address: paths, methods, what happens.

use std::{fmt::Write, net::IpAddr};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{Request, Response, StatusCode, body::Body};
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::{guard, operations::Operations, reply, status};
use crate::{
    balance::Administration,
    control::{Ended, Outcome, Phase, ReloadReport},
};

/// Bytes of the largest request body; the ones that mean anything are a log level and the state of an endpoint.
const MAX_BODY: usize = 4 << 10;

/// One path: what it takes and what it is for.
struct Entry {
    path: &'static str,
    page: Page,
    allow: &'static str,
    about: &'static str,
}

#[derive(Clone, Copy)]
enum Page {
    Index,
    Health,
    Readiness,
    Metrics,
    Config,
    Upstreams,
    Endpoints,
    Reload,
    Drain,
    LogLevel,
}

impl Page {
    /// Whether it changes nothing and says nothing about the configuration: probes may ask by any name.
    const fn is_for_everyone(self) -> bool {
        matches!(
            self,
            Self::Index | Self::Health | Self::Readiness | Self::Metrics
        )
    }
}

const READ: &str = "GET, HEAD";
const ACT: &str = "POST";

const TABLE: [Entry; 10] = [
    entry("/", Page::Index, READ, "this list"),
    entry(
        "/healthz",
        Page::Health,
        READ,
        "200 while the process lives",
    ),
    entry(
        "/readyz",
        Page::Readiness,
        READ,
        "200 while requests are welcome, 503 before and while draining",
    ),
    entry(
        "/metrics",
        Page::Metrics,
        READ,
        "all figures, for Prometheus",
    ),
    entry(
        "/config",
        Page::Config,
        READ,
        "the running configuration, without its secrets",
    ),
    entry(
        "/upstreams",
        Page::Upstreams,
        READ,
        "the endpoints with their state and counts",
    ),
    entry(
        "/endpoints",
        Page::Endpoints,
        "PUT, POST",
        "drain, disable or enable an endpoint: upstream=users&endpoint=10.0.0.1:9001&state=draining",
    ),
    entry(
        "/reload",
        Page::Reload,
        ACT,
        "load the configuration again; 422 and every problem if it is refused",
    ),
    entry(
        "/drain",
        Page::Drain,
        ACT,
        "stop accepting, let running exchanges end, then exit",
    ),
    entry(
        "/log-level",
        Page::LogLevel,
        "GET, HEAD, PUT, POST",
        "the level of the program log; change it with a body such as level=debug",
    ),
];

/// Answers one request that came in at the address `local`.
pub(super) async fn respond<O, B>(
    operations: &O,
    local: IpAddr,
    request: Request<B>,
) -> Response<Full<Bytes>>
where
    O: Operations,
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let Some(entry) = TABLE.iter().find(|entry| entry.path == head.uri.path()) else {
        return reply::error(StatusCode::NOT_FOUND, "no such path; GET / lists them");
    };
    if !entry.page.is_for_everyone()
        && let Some(reason) = guard::refusal(&head.method, &head.headers, local)
    {
        return reply::error(StatusCode::FORBIDDEN, reason);
    }
    let method = head.method.as_str();
    if !entry.allow.split(", ").any(|allowed| allowed == method) {
        return reply::method_not_allowed(entry.allow);
    }
    let body = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return unreadable(error.as_ref()),
    };
    match entry.page {
        Page::Index => reply::text(StatusCode::OK, index()),
        Page::Health => reply::text(StatusCode::OK, "ok\n"),
        Page::Readiness => readiness(operations.status().phase),
        Page::Metrics => reply::metrics(operations.metrics()),
        Page::Config => reply::json(StatusCode::OK, &status::running(&operations.status())),
        Page::Upstreams => reply::json(StatusCode::OK, &operations.upstreams()),
        Page::Endpoints => administer(operations, &body),
        Page::Reload => match operations.reload().await {
            Ok(report) => reloaded(&report),
            Err(ended) => stopping(ended),
        },
        Page::Drain => match operations.drain().await {
            Ok(()) => reply::json(StatusCode::ACCEPTED, &json!({ "draining": true })),
            Err(ended) => stopping(ended),
        },
        Page::LogLevel if head.method.is_safe() => level(operations),
        Page::LogLevel => change_level(operations, &body),
    }
}

fn index() -> String {
    TABLE.iter().fold(
        String::from("Portcullis, admin address\n\n"),
        |mut text, entry| {
            let _ = writeln!(text, "{:<22}{:<12}{}", entry.allow, entry.path, entry.about);
            text
        },
    )
}

fn readiness(phase: Phase) -> Response<Full<Bytes>> {
    let code = match phase {
        Phase::Ready => StatusCode::OK,
        Phase::Starting | Phase::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    reply::text(code, format!("{}\n", status::phase(phase)))
}

/// A refused reload is 422 when the files are wrong, and 409 when they are right and something else is in the way,
/// such as a port in use.
fn reloaded(report: &ReloadReport) -> Response<Full<Bytes>> {
    let code = match report.outcome {
        Outcome::Applied | Outcome::Unchanged => StatusCode::OK,
        Outcome::Refused if report.diagnostics.has_errors() => StatusCode::UNPROCESSABLE_ENTITY,
        Outcome::Refused => StatusCode::CONFLICT,
    };
    reply::json(code, &status::reload(report))
}

fn stopping(ended: Ended) -> Response<Full<Bytes>> {
    reply::error(StatusCode::SERVICE_UNAVAILABLE, &ended.to_string())
}

fn level(operations: &impl Operations) -> Response<Full<Bytes>> {
    reply::json(StatusCode::OK, &json!({ "level": operations.log_level() }))
}

fn change_level(operations: &impl Operations, body: &[u8]) -> Response<Full<Bytes>> {
    let Some(wanted) = wanted_level(body) else {
        return reply::error(
            StatusCode::BAD_REQUEST,
            "the body must be like level=debug or level=info,portcullis::control=debug",
        );
    };
    match operations.set_log_level(&wanted) {
        Ok(()) => level(operations),
        Err(reason) => reply::error(StatusCode::BAD_REQUEST, &reason),
    }
}

fn administer(operations: &impl Operations, body: &[u8]) -> Response<Full<Bytes>> {
    let wanted = ["upstream", "endpoint", "state"].map(|name| field(body, name));
    let [Some(upstream), Some(endpoint), Some(state)] = wanted else {
        return reply::error(
            StatusCode::BAD_REQUEST,
            "the body must be like upstream=users&endpoint=10.0.0.1:9001&state=draining",
        );
    };
    let Some(state) = Administration::of(&state) else {
        return reply::error(
            StatusCode::BAD_REQUEST,
            "the state must be enabled, draining or disabled",
        );
    };
    match operations.administer(&upstream, &endpoint, state) {
        Ok(addresses) => reply::json(
            StatusCode::OK,
            &json!({ "upstream": upstream, "addresses": addresses, "state": state.as_str() }),
        ),
        Err(reason) => reply::error(StatusCode::NOT_FOUND, &reason),
    }
}

/// The value of a field of a form.
fn field(body: &[u8], name: &str) -> Option<String> {
    let (_, value) = str::from_utf8(body)
        .ok()?
        .trim()
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(known, _)| *known == name)?;
    let value = value.replace('+', " ");
    let value = percent_decode_str(&value).decode_utf8().ok()?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// What a body asks for: the field `level` of a form, which is what `curl --data level=debug` sends, or the level alone.
fn wanted_level(body: &[u8]) -> Option<String> {
    let body = str::from_utf8(body).ok()?.trim();
    let level = match body.strip_prefix("level=") {
        Some(value) => percent_decode_str(&value.replace('+', " "))
            .decode_utf8()
            .ok()?
            .trim()
            .to_owned(),
        None => body.to_owned(),
    };
    (!level.is_empty()).then_some(level)
}

fn unreadable(error: &(dyn std::error::Error + 'static)) -> Response<Full<Bytes>> {
    if error.is::<LengthLimitError>() {
        reply::error(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
    } else {
        reply::error(StatusCode::BAD_REQUEST, "the body could not be read")
    }
}

const fn entry(path: &'static str, page: Page, allow: &'static str, about: &'static str) -> Entry {
    Entry {
        path,
        page,
        allow,
        about,
    }
}

#[cfg(test)]
mod tests;
