//! One finished exchange, as the access log and the metrics see it.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

/// One finished exchange, borrowed from whoever carried it out.
///
/// Text that a client or an upstream chose comes as bytes and is escaped by the log. Empty text means that there is
/// nothing to say. There is deliberately no place for `Authorization` and cookies.
#[derive(Clone, Debug)]
pub struct AccessRecord<'a> {
    /// When the first byte of the request arrived.
    pub start: SystemTime,
    /// The listener's name.
    pub listener: &'a str,
    /// The client, as believed: from a trusted PROXY or forwarded header, or else the peer of the socket.
    pub client: SocketAddr,
    /// The peer of the socket, when that is not the client.
    pub peer: Option<SocketAddr>,
    /// The protocol the client spoke: `HTTP/1.1`, `HTTP/2`.
    pub protocol: &'static str,
    /// The method as it was sent.
    pub method: &'a [u8],
    /// The method as a label: a registered one, or `OTHER`.
    pub method_label: &'static str,
    /// The host that the client named.
    pub host: &'a [u8],
    /// The path, without the query.
    pub path: &'a [u8],
    /// The query, without its question mark.
    pub query: Option<&'a [u8]>,
    /// The status that was sent, or would have been sent to a client that had stayed.
    pub status: u16,
    /// The word for a status that the gateway made, from a closed set.
    pub reason: &'static str,
    /// Who made the status.
    pub source: Source,
    /// The route's name.
    pub route: &'a str,
    /// The upstream's name.
    pub upstream: &'a str,
    /// The name of the endpoint that was tried last.
    pub endpoint: &'a str,
    /// How many endpoints were tried, the same one twice counting twice.
    pub attempts: u32,
    /// The endpoints that were tried before the last one, each with what came of it; empty if there was one attempt.
    pub earlier_attempts: &'a [u8],
    /// Where the time went.
    pub timings: Timings,
    /// Bytes of the request's body, and of what a tunnel's client sent.
    pub bytes_received: u64,
    /// Bytes of the response's body, and of what a tunnel's client was sent.
    pub bytes_sent: u64,
    /// The id that ties this line to those of other services.
    pub request_id: &'a [u8],
    /// The `User-Agent` field.
    pub user_agent: &'a [u8],
    /// The `Referer` field.
    pub referer: &'a [u8],
    /// What the handshake settled; `None` on a plain connection.
    pub tls: Option<TlsFacts<'a>>,
    /// The `grpc-status` of the response or its trailers.
    pub grpc_status: Option<u32>,
    /// The generation of the snapshot that served the exchange.
    pub generation: u64,
}

/// Who made the status of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The gateway itself: a refusal, a fault, a redirect, a reply from the configuration.
    Gateway,
    /// The endpoint; the gateway passed it on.
    Upstream,
}

/// Where the time of an exchange went.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// From the first byte of the request to the last byte of the response.
    pub total: Duration,
    /// Reading the request's head.
    pub head: Duration,
    /// Opening the connection of the last attempt; `None` if it was reused or never asked for.
    pub upstream_connect: Option<Duration>,
    /// From the request's head being sent to the first byte of the response's, in the last attempt.
    pub upstream_first_byte: Option<Duration>,
    /// Waiting for upstream in sum, over all attempts.
    pub upstream: Duration,
    /// Waiting for a place at the upstream, over all attempts.
    pub queued: Duration,
    /// The gateway's own time: what remains when waiting for either side is taken away.
    pub overhead: Duration,
}

/// What a TLS handshake settled.
#[derive(Clone, Copy, Debug)]
pub struct TlsFacts<'a> {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// The cipher suite's name.
    pub cipher: &'a str,
    /// The server name that the client asked for.
    pub sni: &'a str,
    /// The subject of the client's certificate.
    pub client_subject: &'a str,
}

impl AccessRecord<'_> {
    /// A record that says only when and who; the other fields are empty, zero and [`Source::Gateway`].
    #[must_use]
    pub fn new(start: SystemTime, client: SocketAddr) -> Self {
        Self {
            start,
            listener: "",
            client,
            peer: None,
            protocol: "",
            method: b"",
            method_label: "",
            host: b"",
            path: b"",
            query: None,
            status: 0,
            reason: "",
            source: Source::Gateway,
            route: "",
            upstream: "",
            endpoint: "",
            attempts: 0,
            earlier_attempts: b"",
            timings: Timings::default(),
            bytes_received: 0,
            bytes_sent: 0,
            request_id: b"",
            user_agent: b"",
            referer: b"",
            tls: None,
            grpc_status: None,
            generation: 0,
        }
    }
}

impl Source {
    /// The word that logs and metrics use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Upstream => "upstream",
        }
    }
}
