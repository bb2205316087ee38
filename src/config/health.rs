//! `[upstream.NAME.health]`: what an endpoint is asked from time to time, and what its answers mean.

use std::num::{NonZeroU16, NonZeroU32};

use serde_json::Value as Json;
use toml::de::DeValue;

use super::{
    decode::{Decoder, Node, Setting},
    percent::Percent,
    place::Placed,
    reference::TableDoc,
    setting::Map,
    settings::{choices, settings},
    units::Timeout,
    upstream::{StatusRange, UpstreamTls},
};

settings! {
    /// Active checks: each endpoint is asked from time to time, and gets no requests while it fails. Those found by name
    /// are checked like the others; one that an operator disabled is not.
    pub struct Health = "[upstream.NAME.health]" {
        /// What a check is.
        kind: HealthKind = default("http");
        /// The path to ask for, with a query if need be. HTTP needs it, the other kinds have none.
        path: String = optional, example "/healthz";
        /// The method of an HTTP check. Without this key: `GET`.
        method: HealthMethod = optional, example "HEAD";
        /// The `Host` of an HTTP check, the authority of a gRPC check. Without this key: the endpoint's address.
        host: String = optional, example "users.internal";
        /// Fields that an HTTP or gRPC check sends besides.
        headers: Map<String> = default({}), example { "x-check" = "portcullis" };
        /// The statuses that are a success of an HTTP check: numbers, or whole classes. Without this key: `["2xx"]`.
        expected_status: Vec<Placed<StatusRange>> = optional, example ["2xx", 401];
        /// What the body of the answer to an HTTP check must have in its first 64 KiB.
        body: BodyMatch = optional, example "\"status\":\"up\"";
        /// The service that a gRPC check asks for. Without this key: the whole of the endpoint.
        service: String = optional, example "users.v1.Users";
        /// The port to ask at. Without this key: the endpoint's own.
        port: NonZeroU16 = optional, example 8081;
        /// Whether checks go over TLS, and how. Without this key: as requests do.
        tls: HealthTls = optional, example false;
        /// What holds of a new endpoint until its first check.
        initial: InitialHealth = default("healthy");
        /// The time between two checks.
        interval: Timeout = default("5s");
        /// The time between two checks of an endpoint that is unhealthy. Without this key: `interval`.
        unhealthy_interval: Timeout = optional, example "1s";
        /// By how much of itself each of these times is longer or shorter, at random, so that checks do not come in bursts.
        jitter: Percent = default("10%");
        /// The time for one check, connecting included.
        timeout: Timeout = default("2s");
        /// Failures in a row until the endpoint gets no requests.
        unhealthy_after: NonZeroU32 = default(2);
        /// Successes in a row until it gets them again.
        healthy_after: NonZeroU32 = default(2);
    }
}

settings! {
    /// What a body must have. One of the keys is needed.
    pub struct BodyMatch = "[upstream.NAME.health.body]" shorthand contains {
        /// A text that is somewhere in it.
        contains: String = optional, example "\"status\":\"up\"";
        /// A regular expression that is found somewhere in it.
        regex: String = optional, example "^(ok|ready)\\b";
    }
}

choices! {
    /// What a check is.
    pub enum HealthKind {
        /// A request over HTTP, in the upstream's protocol, whose answer has a status that is expected.
        Http = "http",
        /// A connection, with its TLS handshake if there is one, and nothing more.
        Tcp = "tcp",
        /// A call of `grpc.health.v1.Health/Check` over HTTP/2, whose answer is `SERVING`.
        Grpc = "grpc",
    }
}

choices! {
    /// The method of a check.
    pub enum HealthMethod {
        /// Asks for a body, too.
        Get = "GET",
        /// Asks for the head alone.
        Head = "HEAD",
        /// Asks what is allowed.
        Options = "OPTIONS",
        /// Sends an empty body.
        Post = "POST",
    }
}

choices! {
    /// What holds of an endpoint that was never checked.
    pub enum InitialHealth {
        /// It gets requests, until so many checks in a row fail.
        Healthy = "healthy",
        /// It gets no requests before a check succeeds; one is enough, once.
        Unhealthy = "unhealthy",
    }
}

/// The TLS side of checks, where it is not that of requests.
#[derive(Clone, Debug)]
pub enum HealthTls {
    /// There is none: checks go over plain connections.
    Off,
    /// Checks have a TLS side of their own.
    Own(Box<UpstreamTls>),
}

impl Health {
    /// The TLS side that checks have of their own.
    #[must_use]
    pub fn own_tls(&self) -> Option<&UpstreamTls> {
        match &self.tls.as_ref()?.value {
            HealthTls::Off => None,
            HealthTls::Own(tls) => Some(tls),
        }
    }
}

impl Setting for HealthTls {
    fn kind() -> String {
        "`false`, or table".to_owned()
    }

    fn decode(node: Node<'_>, decoder: &mut Decoder<'_>) -> Option<Self> {
        match node.value {
            DeValue::Boolean(false) => Some(Self::Off),
            DeValue::Table(_) => {
                UpstreamTls::decode(node, decoder).map(|tls| Self::Own(Box::new(tls)))
            }
            _ => decoder.wrong_type(node, "`false`, or a table such as `{}`"),
        }
    }

    fn show(&self) -> Json {
        match self {
            Self::Off => false.into(),
            Self::Own(tls) => tls.show(),
        }
    }

    fn tables() -> Vec<TableDoc> {
        UpstreamTls::tables()
    }
}
