//! The entries of `filters` in a route: a table for each `kind`.

use super::{
    place::Placed,
    setting::{Map, TemplateText},
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
    /// Changes the header fields of the request before it is forwarded: first `remove`, then `set`, then `add`. Values
    /// may have variables: `${client_ip}`, `${client_port}`, `${host}`, `${method}`, `${path}`, `${query}`, `${scheme}`,
    /// `${listener}`, `${route}`, `${upstream}`, `${request_id}`, `${protocol}`, `${tls_version}`, `${sni}`,
    /// `${client_certificate_subject}`, `${request_header.NAME}`, `${cookie.NAME}`, `${query.NAME}` (a parameter of
    /// the query, decoded), `${capture.NAME}`; `$${` stands for `${`. A value that comes out empty leaves no field.
    pub struct RequestHeaders = "[[route.filters]] of kind `request_headers`" {
        /// Fields that replace all fields of the same name, and those that a reader might take for them (`x_user` for
        /// `x-user`).
        set: Map<TemplateText> = default({}), example { "x-gateway" = "portcullis" };
        /// Fields that come after those of the same name.
        add: Map<TemplateText> = default({}), example { "x-seen-by" = "${listener}" };
        /// The names of fields that are taken away.
        remove: Vec<Placed<String>> = default([]), example ["x-internal"];
    }
}

settings! {
    /// Changes the header fields of the response before the client gets it: first `remove`, then `set`, then `add`.
    /// Values may have the variables of `request_headers`, and `${status}` and `${response_header.NAME}`.
    pub struct ResponseHeaders = "[[route.filters]] of kind `response_headers`" {
        /// Fields that replace all fields of the same name.
        set: Map<TemplateText> = default({}), example { "strict-transport-security" = "max-age=63072000" };
        /// Fields that come after those of the same name.
        add: Map<TemplateText> = default({}), example { "x-served-by" = "${upstream}" };
        /// The names of fields that are taken away.
        remove: Vec<Placed<String>> = default([]), example ["x-powered-by"];
    }
}

settings! {
    /// Changes the path or the host of the request before it is forwarded. At least one of the keys is needed.
    pub struct Rewrite = "[[route.filters]] of kind `rewrite`" {
        /// The new path. `{name}` stands for a capture of the route's `path`, a `/*` at the end for what the `/*` of
        /// the route matched. The query stays as it is unless there is one here, begun by `?`.
        path: String = optional, example "/users/*";
        /// A path that is taken away from the front, by whole segments, where the request has it.
        strip_prefix: String = optional, example "/v1";
        /// A path that is put before the request's, after `strip_prefix`.
        add_prefix: String = optional, example "/internal";
        /// The host that the upstream is told, with a port if need be.
        host: String = optional, example "users.internal";
    }
}

settings! {
    /// Gives each request an id, which the upstream, the client and the access log get.
    pub struct RequestId = "[[route.filters]] of kind `request_id`" {
        /// The field that carries the id.
        header: String = default("x-request-id");
        /// Whether any client may bring an id of its own. The trusted proxies always may.
        trust: bool = default(false);
    }
}
