//! An explanation in words, for a terminal.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::request::Asked;
use crate::{
    config::{self, Config},
    routing::{Candidate, Router, Verdict},
};

/// What becomes of the request: the route, the way through it, and the other routes with what kept each of them.
pub(super) fn explanation(config: &Config, router: &Router, asked: &Asked) -> String {
    let shown = config::redacted(config);
    let candidates = router.explain(asked);
    let (won, lost): (Vec<&Candidate>, Vec<&Candidate>) = candidates
        .iter()
        .partition(|candidate| candidate.verdict == Verdict::Won);
    let mut out = String::new();
    let name = |candidate: &Candidate| {
        router
            .routes()
            .get(candidate.route)
            .map_or("", |route| &*route.name)
    };
    request(&mut out, asked);
    match won.first() {
        Some(winner) => way(&mut out, config, &shown, name(winner)),
        None => out.push_str("\nNo route takes it: the client is answered 404.\n"),
    }
    if !lost.is_empty() {
        out.push_str("\nThe other routes:\n");
        let width = lost.iter().map(|lost| name(lost).len()).max().unwrap_or(0);
        for lost in lost {
            let _ = writeln!(out, "  {:width$}  {}", name(lost), lost.reason);
        }
    }
    out
}

fn request(out: &mut String, asked: &Asked) {
    let head = &asked.head;
    let _ = write!(out, "{} {}", head.method.as_str(), head.path);
    if let Some(query) = &head.query {
        let _ = write!(out, "?{query}");
    }
    let _ = writeln!(out, " for host {} from {}", head.host, asked.client);
}

/// The winning route: its place, its filters, and the end of its chain.
fn way(out: &mut String, config: &Config, shown: &Value, name: &str) {
    let position = config
        .routes
        .iter()
        .position(|route| route.name.value.as_str() == name);
    let Some((index, written)) = position.and_then(|i| Some((i, config.routes.get(i)?))) else {
        return;
    };
    let place = config.sources.position(written.place);
    let file = config.sources.path(written.place.file()).display();
    let _ = writeln!(out, "\nRoute {name} takes it ({file}:{}).", place.line);
    let Some(route) = shown.pointer(&format!("/route/{index}")) else {
        return;
    };
    for key in [
        "hosts",
        "path",
        "path_regex",
        "methods",
        "headers",
        "query",
        "clients",
        "priority",
        "timeout",
    ] {
        line(out, key, &route[key]);
    }
    for (index, filter) in (1..).zip(route["filters"].as_array().into_iter().flatten()) {
        let label = if index == 1 { "filters" } else { "" };
        let _ = writeln!(out, "  {label:<11} {index}. {}", toml(filter));
    }
    for key in ["redirect", "respond"] {
        line(out, key, &route[key]);
    }
    if let Some(name) = route["upstream"].as_str() {
        let _ = write!(out, "  {:<11} ", "upstream");
        upstream(out, name, &shown["upstream"][name]);
    }
    let shares = route["split"].as_array().map_or(&[][..], Vec::as_slice);
    let weight = |share: &Value| share["weight"].as_u64().unwrap_or(0);
    let whole: u64 = shares.iter().map(weight).sum();
    for share in shares {
        let name = share["upstream"].as_str().unwrap_or_default();
        let _ = write!(out, "  {:<11} {} of {whole} to ", "split", weight(share));
        upstream(out, name, &shown["upstream"][name]);
    }
}

/// The rest of a line, and one line for each endpoint.
fn upstream(out: &mut String, name: &str, upstream: &Value) {
    let word = |key: &str| upstream[key].as_str().unwrap_or_default();
    let tls = if upstream["tls"].is_null() {
        ""
    } else {
        " over TLS"
    };
    let _ = writeln!(
        out,
        "{name} ({}{tls}, {})",
        word("protocol"),
        word("balance")
    );
    for endpoint in upstream["endpoints"].as_array().into_iter().flatten() {
        let address = endpoint["address"].as_str().unwrap_or_default();
        let _ = writeln!(out, "  {:<11} {address} weight {}", "", endpoint["weight"]);
    }
}

/// A setting in one line, unless it says nothing.
fn line(out: &mut String, key: &str, value: &Value) {
    if !says_nothing(value) {
        let _ = writeln!(out, "  {key:<11} {}", toml(value));
    }
}

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(_) | Value::String(_) => false,
    }
}

/// A value as one would write it in the configuration.
fn toml(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(toml).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) => inline_table(entries),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

fn inline_table(entries: &Map<String, Value>) -> String {
    let entries: Vec<String> = entries
        .iter()
        .filter(|(_, value)| !says_nothing(value))
        .map(|(key, value)| format!("{} = {}", toml_key(key), toml(value)))
        .collect();
    format!("{{ {} }}", entries.join(", "))
}

fn toml_key(key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !key.is_empty() && key.bytes().all(bare) {
        key.to_owned()
    } else {
        Value::from(key).to_string()
    }
}
