//! An explanation in words, for a terminal.

use std::{collections::HashSet, fmt::Write};

use serde_json::Value;

use super::{
    decision::{Decision, End},
    toml::{at, holds_secret, says_nothing, toml},
};
use crate::{
    config::{self, Config},
    filters::Reply,
    gateway::Fault,
    http::{Fields, RequestHead},
    routing::{Candidate, Router, Verdict},
};

/// What stands in place of a secret.
const HIDDEN: &str = "(secret)";

/// What becomes of the request: the route, the way through it, and the other routes with what kept each of them.
pub(super) fn explanation(
    config: &Config,
    router: &Router,
    head: &RequestHead,
    decision: &Decision,
) -> String {
    let (won, lost): (Vec<&Candidate>, Vec<&Candidate>) = decision
        .candidates
        .iter()
        .partition(|candidate| candidate.verdict == Verdict::Won);
    let name = |candidate: &Candidate| {
        router
            .routes()
            .get(candidate.route)
            .map_or("", |route| &*route.name)
    };
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{} for host {} from {} by listener {}",
        request_line(head),
        head.host,
        decision.client,
        decision.listener
    );
    match won.first() {
        Some(winner) => way(&mut out, config, name(winner), &decision.end),
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

/// Why no route is looked at.
pub(super) fn refusal(fault: Fault) -> String {
    let why = match fault {
        Fault::Request(error) => format!(": {error}"),
        _ => String::new(),
    };
    format!(
        "Refused before any route is looked at{why}.\n\
         The client is answered {}, with the reason {} in the log and the metrics.\n",
        fault.status(),
        fault.reason()
    )
}

fn request_line(head: &RequestHead) -> String {
    let query = head.query.as_ref().map(|query| format!("?{query}"));
    format!(
        "{} {}{}",
        head.method.as_str(),
        head.path,
        query.unwrap_or_default()
    )
}

/// The winning route: its place, its settings, its upstream, and what comes out at the end.
fn way(out: &mut String, config: &Config, name: &str, end: &End) {
    let shown = config::redacted(config);
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
        line(out, key, at(route, key));
    }
    for (index, filter) in (1..).zip(at(route, "filters").as_array().into_iter().flatten()) {
        let label = if index == 1 { "filters" } else { "" };
        let _ = writeln!(out, "  {label:<11} {index}. {}", toml(filter));
    }
    for key in ["redirect", "respond"] {
        line(out, key, at(route, key));
    }
    if let Some(name) = at(route, "upstream").as_str() {
        line(out, "subset", at(route, "subset"));
        let _ = write!(out, "  {:<11} ", "upstream");
        upstream(out, name, at(at(&shown, "upstream"), name));
    }
    let shares = at(route, "split").as_array().map_or(&[][..], Vec::as_slice);
    let weight = |share: &Value| at(share, "weight").as_u64().unwrap_or(0);
    let whole: u64 = shares.iter().map(weight).sum();
    for share in shares {
        let name = at(share, "upstream").as_str().unwrap_or_default();
        let _ = write!(out, "  {:<11} {} of {whole} to ", "split", weight(share));
        let subset = at(share, "subset");
        if !says_nothing(subset) {
            let _ = write!(out, "{} of ", toml(subset));
        }
        upstream(out, name, at(at(&shown, "upstream"), name));
    }
    match end {
        End::Sent(head) => sent(out, head, route),
        End::Answered(reply) => answered(out, reply, route),
    }
}

/// The request as the endpoint gets it, apart from what belongs to its connection.
fn sent(out: &mut String, head: &RequestHead, route: &Value) {
    let rewritten_by_secret = at(route, "filters")
        .as_array()
        .into_iter()
        .flatten()
        .any(|filter| at(filter, "kind") == "rewrite" && holds_secret(filter));
    if rewritten_by_secret {
        let _ = writeln!(out, "  {:<11} {HIDDEN}", "sent");
        return;
    }
    let _ = writeln!(out, "  {:<11} {}", "sent", request_line(head));
    let port = head.port.map(|port| format!(":{port}")).unwrap_or_default();
    let _ = writeln!(out, "  {:<11} host: {}{port}", "", head.host);
    let secrets = at(route, "filters")
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|filter| [at(filter, "set"), at(filter, "add")])
        .collect::<Vec<_>>();
    fields(out, &head.fields, &secrets);
}

/// The gateway's own answer.
fn answered(out: &mut String, reply: &Reply, route: &Value) {
    let _ = writeln!(out, "  {:<11} {}", "answered", reply.status);
    if holds_secret(at(route, "redirect")) {
        let _ = writeln!(out, "  {:<11} {HIDDEN}", "");
        return;
    }
    fields(out, &reply.fields, &[at(at(route, "respond"), "headers")]);
}

/// Field lines; those that `settings` give a secret value hide it.
fn fields(out: &mut String, fields: &Fields, settings: &[&Value]) {
    let hidden: HashSet<String> = settings
        .iter()
        .filter_map(|setting| setting.as_object())
        .flatten()
        .filter(|(_, value)| holds_secret(value))
        .map(|(name, _)| name.to_ascii_lowercase())
        .collect();
    for field in fields.iter() {
        let name = String::from_utf8_lossy(field.name);
        let value = if hidden.contains(&name.to_ascii_lowercase()) {
            HIDDEN.into()
        } else {
            String::from_utf8_lossy(field.value)
        };
        let _ = writeln!(out, "  {:<11} {name}: {value}", "");
    }
}

/// The rest of a line, and one line for each endpoint.
fn upstream(out: &mut String, name: &str, upstream: &Value) {
    let word = |key: &str| at(upstream, key).as_str().unwrap_or_default();
    let tls = if at(upstream, "tls").is_null() {
        ""
    } else {
        " over TLS"
    };
    let key = match at(upstream, "hash") {
        hash if holds_secret(hash) => format!(" of {HIDDEN}"),
        Value::String(hash) => format!(" of {hash}"),
        _ => String::new(),
    };
    let _ = writeln!(
        out,
        "{name} ({}{tls}, {}{key})",
        word("protocol"),
        word("balance")
    );
    for endpoint in at(upstream, "endpoints").as_array().into_iter().flatten() {
        let address = at(endpoint, "address").as_str().unwrap_or_default();
        let backup = match at(endpoint, "backup") {
            Value::Bool(true) => " backup",
            _ => "",
        };
        let _ = write!(
            out,
            "  {:<11} {address} weight {}{backup}",
            "",
            at(endpoint, "weight")
        );
        for key in ["tier", "zone", "labels"] {
            if !says_nothing(at(endpoint, key)) {
                let _ = write!(out, " {key} {}", toml(at(endpoint, key)));
            }
        }
        out.push('\n');
    }
}

/// A setting in one line, unless it says nothing.
fn line(out: &mut String, key: &str, value: &Value) {
    if !says_nothing(value) {
        let _ = writeln!(out, "  {key:<11} {}", toml(value));
    }
}
