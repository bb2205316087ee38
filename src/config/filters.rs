//! The entries of `filters` in a route: a table for each `kind`.

use super::{
    place::Placed,
    setting::Map,
    settings::{kinds, settings},
};

kinds! {
    /// One filter of a route.
    pub enum Filter {
        /// Changes the fields of the request.
        RequestHeaders(RequestHeaders) = "request_headers",
        /// Changes the fields of the response.
        ResponseHeaders(ResponseHeaders) = "response_headers",
        /// Changes where the request goes.
        Rewrite(Rewrite) = "rewrite",
        /// Gives the request an id.
        RequestId(RequestId) = "request_id",
    }
}

settings! {
    /// Changes the header fields of the request before it is forwarded: first `remove`, then `set`, then `add`.
    /// Values may have variables such as `${client_ip}`.
    pub struct RequestHeaders = "[[route.filters]] of kind `request_headers`" {
        /// Fields that replace all fields of the same name.
        set: Map<String> = default({}), example { "x-gateway" = "portcullis" };
        /// Fields that come after those of the same name.
        add: Map<String> = default({}), example { "x-seen-by" = "${listener}" };
        /// The names of fields that are taken away.
        remove: Vec<Placed<String>> = default([]), example ["x-internal"];
    }
}

settings! {
    /// Changes the header fields of the response before the client gets it: first `remove`, then `set`, then `add`.
    /// Values may have variables such as `${route}`.
    pub struct ResponseHeaders = "[[route.filters]] of kind `response_headers`" {
        /// Fields that replace all fields of the same name.
        set: Map<String> = default({}), example { "strict-transport-security" = "max-age=63072000" };
        /// Fields that come after those of the same name.
        add: Map<String> = default({}), example { "x-served-by" = "${upstream}" };
        /// The names of fields that are taken away.
        remove: Vec<Placed<String>> = default([]), example ["x-powered-by"];
    }
}

settings! {
    /// Changes the path or the host of the request before it is forwarded.
    pub struct Rewrite = "[[route.filters]] of kind `rewrite`" {
        /// The new path. A `*` at its end stands for what the `*` of the route's `path` stood for; `{name}` for what
        /// was captured.
        path: String = optional, example "/users/*";
        /// The new host.
        host: String = optional, example "users.internal";
    }
}

settings! {
    /// Gives each request an id, for the upstream, the client and the access log.
    pub struct RequestId = "[[route.filters]] of kind `request_id`" {
        /// The field that carries it.
        header: String = default("x-request-id");
        /// Whether an id that the client sent is kept.
        accept: bool = default(false);
    }
}
