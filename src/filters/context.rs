//! What filters know of an exchange besides its heads.

use std::net::SocketAddr;
use std::ops::Range;

use crate::http::RequestHead;

/// An exchange as its filters see it. The gateway builds one for each phase from what it keeps of the exchange.
pub struct Context<'a> {
    /// The client: the peer, or the address that trusted proxies vouch for.
    pub client: SocketAddr,
    /// Whether the peer is one of the trusted proxies.
    pub peer_is_trusted: bool,
    /// The scheme the client used: `http` or `https`.
    pub scheme: &'static str,
    /// The listener's name.
    pub listener: &'a str,
    /// The route's name.
    pub route: &'a str,
    /// The upstream's name; empty when the route has none.
    pub upstream: &'a str,
    /// The facts of the client's TLS connection.
    pub tls: Option<TlsFacts<'a>>,
    /// What the route captured in the path.
    pub captures: CaptureView<'a>,
    /// What filters have changed in the request's target. The gateway keeps it from phase to phase.
    pub original: &'a mut Original,
    /// The identity of the exchange; empty as long as it has none.
    pub request_id: &'a mut String,
    /// Milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// The source of randomness.
    pub random: &'a mut dyn FnMut() -> u64,
    /// Working memory. Its content means nothing between two calls; keeping it spares an allocation.
    pub scratch: &'a mut Vec<u8>,
}

/// The facts of a TLS connection that templates can show.
#[derive(Clone, Copy, Debug, Default)]
pub struct TlsFacts<'a> {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'a str,
    /// The server name that the client asked for.
    pub sni: Option<&'a str>,
    /// The subject of the client's certificate, which has been verified.
    pub client_certificate_subject: Option<&'a str>,
}

/// The captures of a route in the path that was matched: names from the router, ranges from the match.
#[derive(Clone, Copy, Debug, Default)]
pub struct CaptureView<'a> {
    /// The names, in the order of the ranges.
    pub names: &'a [Box<str>],
    /// The byte ranges in the matched path.
    pub ranges: &'a [Range<u32>],
    /// Where the tail of a path pattern with `/*` begins.
    pub tail: Option<u32>,
}

/// The parts of a request's target as they were before a filter changed them; `None` where none did.
#[derive(Clone, Debug, Default)]
pub struct Original {
    /// The host and the port.
    pub authority: Option<(String, Option<u16>)>,
    /// The path.
    pub path: Option<String>,
    /// The query.
    pub query: Option<Option<String>>,
}

impl Original {
    /// Forgets the exchange.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The host that the client asked for.
    #[must_use]
    pub fn host<'a>(&'a self, head: &'a RequestHead) -> &'a str {
        self.authority.as_ref().map_or(&head.host, |(host, _)| host)
    }

    /// The port that the client named beside the host.
    #[must_use]
    pub fn port(&self, head: &RequestHead) -> Option<u16> {
        self.authority.as_ref().map_or(head.port, |(_, port)| *port)
    }

    /// The normalised path that the client asked for, on which the route was found.
    #[must_use]
    pub fn path<'a>(&'a self, head: &'a RequestHead) -> &'a str {
        self.path.as_deref().unwrap_or(&head.path)
    }

    /// The query that the client asked for.
    #[must_use]
    pub fn query<'a>(&'a self, head: &'a RequestHead) -> Option<&'a str> {
        self.query.as_ref().unwrap_or(&head.query).as_deref()
    }
}

impl CaptureView<'_> {
    /// The capture of that name in the matched `path`.
    #[must_use]
    pub fn get<'p>(&self, name: &str, path: &'p str) -> Option<&'p str> {
        let (_, range) = self
            .names
            .iter()
            .zip(self.ranges)
            .find(|(known, _)| ***known == *name)?;
        path.get(range.start as usize..range.end as usize)
    }

    /// What a trailing `/*` matched in `path`, with its leading slash; it may be empty.
    #[must_use]
    pub fn tail<'p>(&self, path: &'p str) -> Option<&'p str> {
        path.get(self.tail? as usize..)
    }
}
