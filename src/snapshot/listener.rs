//! A listener as the data plane sees it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ipnet::IpNet;

use crate::{http::HeadLimits, observe::ListenerMetrics};

/// One listener: its address is its identity across reloads, everything else may change.
#[derive(Debug)]
pub struct ListenerPlan {
    /// The name in logs and metrics.
    pub name: Box<str>,
    /// The address as configured; port 0 lets the system choose.
    pub address: SocketAddr,
    /// The TLS side; `None` on a plain listener.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Whether a client certificate decides who gets in, so that SNI and `Host` must agree (421).
    pub client_certificates: bool,
    /// Peers that must send a PROXY protocol header first; empty: none does.
    pub proxy_protocol: Vec<IpNet>,
    /// Whether HTTP/2 with prior knowledge is spoken on a plain listener.
    pub h2c: bool,
    /// How much a client may use.
    pub limits: ListenerLimits,
    /// How long a client may take.
    pub deadlines: Deadlines,
    /// Where this listener's figures go.
    pub metrics: Arc<ListenerMetrics>,
}

/// How much one listener grants.
#[derive(Clone, Debug)]
pub struct ListenerLimits {
    /// Open connections over all workers.
    pub connections: usize,
    /// Open connections of one client.
    pub client_connections: usize,
    /// New connections of one client in such a time; `None`: any number.
    pub client_rate: Option<(u32, Duration)>,
    /// How many bits of an IPv6 address say who a client is.
    pub ipv6_prefix: u8,
    /// Requests that are served at once.
    pub concurrent_requests: usize,
    /// Requests on one connection, after which it is closed.
    pub requests: u64,
    /// The size of a request head.
    pub head: HeadLimits,
    /// Concurrent HTTP/2 streams on one connection.
    pub streams: u32,
    /// What else one HTTP/2 connection may use.
    pub http2: Http2Limits,
    /// The size of a request body in bytes; `u64::MAX`: any.
    pub body: u64,
    /// Bytes per second at which a request body must come in; 0: any.
    pub receive_rate: u64,
    /// Bytes per second at which a client that does not keep up must take a response; 0: any.
    pub send_rate: u64,
}

/// How much one HTTP/2 connection may use besides its streams; `u32::MAX` and `u64::MAX`: any.
#[derive(Clone, Debug)]
pub struct Http2Limits {
    /// Bytes that a client may send of one body ahead of the upstream.
    pub stream_window: u32,
    /// The same over all streams.
    pub connection_window: u32,
    /// Bytes that are held of one response.
    pub send_buffer: usize,
    /// Streams that the client may have given up before their response, even if they are most of its streams.
    pub cancelled: u64,
    /// Streams that the client's errors made us reset.
    pub error_resets: usize,
    /// Frames that move nothing.
    pub frames: FrameLimits,
}

/// How many frames of each kind that moves nothing a client may send in a period; `u32::MAX`: any.
#[derive(Clone, Copy, Debug)]
pub struct FrameLimits {
    /// The time that the numbers are for.
    pub period: Duration,
    /// SETTINGS.
    pub settings: u32,
    /// PING.
    pub pings: u32,
    /// PRIORITY.
    pub priorities: u32,
    /// WINDOW_UPDATE.
    pub window_updates: u32,
    /// Frames of unknown kinds.
    pub unknown: u32,
    /// Pieces into which tiny windows cut what we had to send.
    pub small_pieces: u32,
}

/// How long a client may take for each step; each is an absolute deadline, whatever trickles in meanwhile.
#[derive(Clone, Debug)]
pub struct Deadlines {
    /// For the PROXY header and the TLS handshake together.
    pub handshake: Duration,
    /// For a whole request head, from its first byte (for the first head: from the end of the handshake).
    pub head: Duration,
    /// Between two requests on a kept connection.
    pub idle: Duration,
    /// Without any progress while a body is read from or written to the client.
    pub body: Duration,
    /// For a connection as a whole, more or less, before it ends in order; `None`: no limit.
    pub connection: Option<Duration>,
}
