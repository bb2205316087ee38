//! `[[route]]`: which requests, and what happens to them.

use ipnet::IpNet;
use serde_json::Value as Json;
use toml::de::DeValue;

use super::{
    address::Name,
    code::Code,
    decode::{Decoder, Node, Setting},
    filters::Filter,
    or_off::OrOff,
    overload::Importance,
    place::Placed,
    rate::ByteRate,
    retry::Retry,
    setting::{Map, TemplateText},
    settings::settings,
    units::{Size, Timeout},
    upstream::Weight,
};

settings! {
    /// Which requests it wins, and what happens to them. Of several routes that fit, the most specific wins, whatever
    /// their order in the file. Each route has exactly one of `upstream`, `split`, `redirect` and `respond`.
    pub struct Route = "[[route]]" {
        /// The name in logs, metrics and messages.
        name: Name = required, example "users";
        /// The hosts: names, or wildcards for any number of labels. Without this key: any.
        hosts: Vec<Placed<String>> = default([]), example ["api.example.com", "*.example.org"];
        /// The path: `/a` is exact, `/a/*` a prefix by whole segments, `/a/{id}` captures a segment. Without this key
        /// and `path_regex`: any. What follows a `;` is part of its segment: neither `/a` nor `/a/*` fits `/a;x=1`, which
        /// many an upstream takes for `/a`. To guard such an upstream, write `path_regex = "/a([/;%].*)?"`, and no `path`
        /// at the route for the rest: a prefix, `/*` too, wins over an expression.
        path: String = optional, example "/v1/users/*";
        /// A regular expression for the whole path, in place of `path`. Named groups are captures.
        path_regex: String = optional, example "/v(?<version>[0-9]+)/users";
        /// The methods. Without this key: any.
        methods: Vec<Placed<String>> = default([]), example ["GET", "POST"];
        /// Header fields that the request must have: an exact value, `"begin*"`, `"*"` for any, or `"~regex"`.
        headers: Map<String> = default({}), example { "x-tier" = "gold" };
        /// Query parameters that the request must have, written like `headers`.
        query: Map<String> = default({}), example { version = "2" };
        /// Networks that the client's address must be in. Without this key: any.
        clients: Vec<Placed<IpNet>> = default([]), example ["10.0.0.0/8"];
        /// Decides before anything else: the higher number wins.
        priority: i32 = default(0);
        /// How much its requests matter when the process is overloaded.
        importance: Importance = default("normal");
        /// The time for a whole exchange, from the request head to the last byte of the response. Without this key
        /// there is no limit. What lasts by its nature is not cut by it: an upgraded connection (WebSocket) and an event
        /// stream once they have begun, and of a gRPC call all but the wait for an answer to its whole request.
        timeout: Timeout = optional, example "15s";
        /// Whether `timeout` also cuts upgraded connections, event streams and gRPC calls. The deadline of a gRPC client
        /// always holds.
        timeout_streams: bool = default(false);
        /// As at the upstream, and in its place.
        connect_timeout: Timeout = optional, example "500ms";
        /// As at the upstream, and in its place.
        tls_timeout: Timeout = optional, example "2s";
        /// As at the upstream, and in its place.
        response_timeout: Timeout = optional, example "2m";
        /// As at the upstream, and in its place.
        send_timeout: Timeout = optional, example "10s";
        /// As at the upstream, and in its place.
        read_timeout: Timeout = optional, example "30s";
        /// As at the upstream, and in its place.
        stream_idle_timeout: Timeout = optional, example "30m";
        /// As at the upstream, and in its place.
        tunnel_idle_timeout: Timeout = optional, example "10m";
        /// When an attempt that failed is followed by another, in place of what the upstream says.
        retry: Box<Retry> = optional, example { on = ["reset", "timeout"], methods = ["GET", "POST"] };
        /// The size of a request body (413 when it is larger). Without this key: that of the listener.
        max_body_size: OrOff<Size> = optional, example "10MiB";
        /// The average rate at which a request body must at least come in, also that of a gRPC stream. Without this key:
        /// that of the listener.
        min_body_rate: OrOff<ByteRate> = optional, example "off";
        /// The filters, in the order in which they see the request.
        filters: Vec<Placed<Filter>> = default([]),
            example [{ kind = "request_headers", set = { "x-gateway" = "portcullis" } }];
        /// Forwards to this upstream.
        upstream: String = optional, example "users";
        /// Keeps the requests to the endpoints of `upstream` that have this label: the one that the upstream's `subset`
        /// goes by.
        subset: Box<Map<String>> = optional, example { version = "2" };
        /// Forwards to several upstreams, by weight.
        split: Vec<Placed<Share>> = optional,
            example [{ upstream = "orders", weight = 95 }, { upstream = "orders-next", weight = 5 }];
        /// Sends the client elsewhere.
        redirect: Box<Redirect> = optional, example { to = "/v1/*", status = 308 };
        /// Answers without an upstream.
        respond: Box<Respond> = optional, example { status = 200, body = "pong" };
    }
}

settings! {
    /// One share of a split.
    pub struct Share = "[[route.split]]" {
        /// The upstream.
        upstream: String = required, example "orders";
        /// The share in relation to the sum of all weights.
        weight: Weight = default(1), example 95;
        /// Keeps the share to the endpoints that have this label, as the route's `subset` does.
        subset: Box<Map<String>> = optional, example { version = "2" };
    }
}

settings! {
    /// Where to send a client.
    pub struct Redirect = "[route.redirect]" {
        /// The new place: a path, or a URL. `{name}` stands for a capture of the route's `path`, a `/*` at the end for
        /// what the `/*` of the route matched, and the host `{host}` for that of the request, if the route has `hosts`.
        /// The query is kept unless there is one here.
        to: String = required, example "/v1/*";
        /// The status: 301, 302, 303, 307 or 308.
        status: RedirectStatus = default(308);
    }
}

settings! {
    /// A fixed answer.
    pub struct Respond = "[route.respond]" {
        /// The status, from 200 to 599.
        status: Status = default(200);
        /// The body. It is `text/plain` unless `headers` say otherwise.
        body: String = default(""), example "pong";
        /// Header fields of the answer. Values may have the variables of the filter `request_headers`.
        headers: Map<TemplateText> = default({}), example { "content-type" = "text/plain" };
    }
}

/// The status of a final response: 200 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub(crate) u16);

/// The status of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedirectStatus(pub(crate) u16);

impl Status {
    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

impl RedirectStatus {
    const ALLOWED: [u16; 5] = [301, 302, 303, 307, 308];

    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }
}

/// Reads a status and leaves the check of its range to the caller.
fn status(node: Node<'_>, expected: &str, decoder: &mut Decoder<'_>) -> Option<u16> {
    match node.value {
        DeValue::Integer(_) => u16::decode(node, decoder),
        DeValue::String(_) if node.secret().is_some() => u16::decode(node, decoder),
        _ => decoder.wrong_type(node, expected),
    }
}

impl Setting for Status {
    fn kind() -> String {
        "status".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        const EXPECTED: &str = "a status from 200 to 599";
        let number = status(node, EXPECTED, decoder)?;
        if (200..600).contains(&number) {
            return Some(Self(number));
        }
        decoder.bad_value(node, EXPECTED, Code::OutOfRange, "it is outside")
    }

    fn show(&self) -> Json {
        self.0.into()
    }
}

impl Setting for RedirectStatus {
    fn kind() -> String {
        Self::ALLOWED.map(|s| format!("`{s}`")).join(" \\| ")
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        const EXPECTED: &str = "301, 302, 303, 307 or 308";
        let number = status(node, EXPECTED, decoder)?;
        if Self::ALLOWED.contains(&number) {
            return Some(Self(number));
        }
        decoder.bad_value(node, EXPECTED, Code::OutOfRange, "it is none of them")
    }

    fn show(&self) -> Json {
        self.0.into()
    }
}
