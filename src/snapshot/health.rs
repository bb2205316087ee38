//! What an upstream's endpoints are asked from time to time.

use std::{sync::Arc, time::Duration};

use ::http::{HeaderName, HeaderValue};
use regex::bytes::Regex;

use super::{Protocol, Transport};
use crate::http::Method;

/// The active checks of an upstream. Plans that are equal check the same in the same way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthPlan {
    /// What is asked.
    pub question: Question,
    /// Over what.
    pub tls: CheckTls,
    /// The port to ask at; `None`: the endpoint's.
    pub port: Option<u16>,
    /// Whether a new endpoint gets requests before its first check.
    pub initially_healthy: bool,
    /// Between two checks of one endpoint.
    pub interval: Duration,
    /// The same for one that is unhealthy.
    pub unhealthy_interval: Duration,
    /// By how much of itself an interval is longer or shorter, in hundredths.
    pub jitter: u8,
    /// For one check, connecting included.
    pub timeout: Duration,
    /// Failures in a row until the endpoint gets no requests.
    pub unhealthy_after: u32,
    /// Successes in a row until it gets them again.
    pub healthy_after: u32,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A request in the upstream's protocol.
    Http(HttpQuestion),
    /// Only whether a connection comes about.
    Tcp,
    /// `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service; empty for the whole of the endpoint.
        service: Box<str>,
        /// The authority to send; `None`: the endpoint's address.
        host: Option<Box<str>>,
        /// Fields to send besides.
        headers: Vec<(HeaderName, HeaderValue)>,
    },
}

/// A request and what counts as a good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpQuestion {
    /// The method.
    pub method: Method,
    /// The path with its query.
    pub path: Box<str>,
    /// The `Host` to send; `None`: the endpoint's address.
    pub host: Option<Box<str>>,
    /// Fields to send besides.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The statuses that count as a success, as inclusive ranges.
    pub expected_status: Vec<(u16, u16)>,
    /// What the body must have; `None`: nothing.
    pub body: Option<BodyPattern>,
}

/// What a body must have.
#[derive(Clone, Debug)]
pub enum BodyPattern {
    /// These bytes.
    Contains(Box<[u8]>),
    /// A match.
    Regex(Regex),
}

/// Over what checks go.
#[derive(Clone, Debug)]
pub enum CheckTls {
    /// What requests go over.
    AsRequests,
    /// Plain connections.
    Off,
    /// TLS of their own.
    Own(Arc<Transport>),
}

impl Question {
    /// What a check speaks where requests speak that.
    #[must_use]
    pub const fn protocol(&self, of_requests: Protocol) -> Protocol {
        match self {
            Self::Http(_) | Self::Tcp => of_requests,
            Self::Grpc { .. } => Protocol::Http2,
        }
    }
}

impl BodyPattern {
    /// Whether it is in the body.
    #[must_use]
    pub fn is_in(&self, body: &[u8]) -> bool {
        match self {
            Self::Contains(text) => memchr::memmem::find(body, text).is_some(),
            Self::Regex(regex) => regex.is_match(body),
        }
    }
}

impl PartialEq for BodyPattern {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Contains(one), Self::Contains(other)) => one == other,
            (Self::Regex(one), Self::Regex(other)) => one.as_str() == other.as_str(),
            (Self::Contains(_), Self::Regex(_)) | (Self::Regex(_), Self::Contains(_)) => false,
        }
    }
}

impl Eq for BodyPattern {}

impl PartialEq for CheckTls {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::AsRequests, Self::AsRequests) | (Self::Off, Self::Off) => true,
            (Self::Own(one), Self::Own(other)) => one.identity == other.identity,
            (Self::AsRequests | Self::Off | Self::Own(_), _) => false,
        }
    }
}

impl Eq for CheckTls {}
