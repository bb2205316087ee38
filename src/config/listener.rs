//! `[[listener]]`: a socket, its TLS side, and what a client may use of it.

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroU64, NonZeroUsize},
};

use ipnet::IpNet;

use super::{
    address::Name,
    http2::Http2,
    or_off::OrOff,
    per_client::PerClient,
    place::Placed,
    rate::ByteRate,
    setting::FilePath,
    settings::{choices, settings},
    units::{Size, Timeout},
};

settings! {
    /// An address to accept connections on, and what one client may use. All listeners lead to the same routes.
    pub struct Listener = "[[listener]]" {
        /// The name in logs, metrics and messages.
        name: Name = required, example "web";
        /// The IP address and the port. Port 0 lets the system choose one.
        address: SocketAddr = required, example "0.0.0.0:8080";
        /// Makes this a TLS listener.
        tls: ListenerTls = optional,
            example { certificates = [{ certificate = "tls/site.pem", key = "tls/site.key" }] };
        /// Peers that must begin each connection with a PROXY protocol header, version 1 or 2. Others may not send
        /// one.
        proxy_protocol: Vec<Placed<IpNet>> = default([]), example ["10.0.0.0/8"];
        /// HTTP/2 with prior knowledge on a plain listener. With TLS, `alpn` decides.
        h2c: bool = default(true);
        /// The time for the PROXY header and the TLS handshake together.
        handshake_timeout: Timeout = default("10s");
        /// The time for a whole request head, whatever trickles in.
        head_timeout: Timeout = default("10s");
        /// The time that a connection is kept without a request.
        idle_timeout: Timeout = default("60s");
        /// The time without any progress while a request body is read or a response is written.
        body_timeout: Timeout = default("30s");
        /// The average rate at which a request body must at least come in while the gateway waits for it. Slower senders
        /// use up their `body_timeout` bit by bit, and get a 408 when it is spent. gRPC streams are not held to it.
        min_body_rate: OrOff<ByteRate> = default("100B/s");
        /// The average rate at which a response must at least be taken by a client that does not keep up with it. Slower
        /// readers use up their `body_timeout` bit by bit, and are cut off when it is spent.
        min_send_rate: OrOff<ByteRate> = default("100B/s");
        /// The age at which a connection ends in order: after its exchange, over HTTP/2 by GOAWAY. It varies by a tenth,
        /// so that clients that came together do not come again together. Tunnels are not cut.
        max_connection_age: OrOff<Timeout> = default("1h");
        /// The size of a request body (413 when it is larger). A declared size is refused before an upstream hears of
        /// the request; without one, the exchange is cut there. It holds for gRPC streams too.
        max_body_size: OrOff<Size> = default("1GiB");
        /// Open connections over all workers. More are closed at once.
        max_connections: NonZeroUsize = default(10000);
        /// What each client address may use.
        per_client: PerClient = default({}), example { max_connections = 200 };
        /// Requests that are served at once, over all connections; more get a 503. The process has such a limit too.
        max_concurrent_requests: OrOff<NonZeroUsize> = default("off"), example 5000;
        /// Requests on one connection; after the last one it is closed.
        max_requests: NonZeroU64 = default(10000);
        /// The size of a whole request head (431 when it is larger).
        max_head_size: Size = default("32KiB");
        /// Fields in a request head (431 when there are more); at most 128.
        max_fields: NonZeroUsize = default(100);
        /// The size of a request target, that is path and query (414 when it is larger).
        max_target: Size = default("8KiB");
        /// Concurrent HTTP/2 streams on one connection.
        max_streams: NonZeroU32 = default(128);
        /// What else a client may use of an HTTP/2 connection.
        http2: Http2 = default({}), example { max_cancelled = 200 };
    }
}

settings! {
    /// The TLS side of a listener.
    pub struct ListenerTls = "[listener.tls]" {
        /// The certificates. The name that a client asks for chooses: exact names over wildcards over the first one.
        /// They are read again when their files change.
        certificates: Vec<Placed<Certificate>> = required,
            example [{ certificate = "tls/site.pem", key = "tls/site.key" }];
        /// The protocols that are offered, by preference.
        alpn: Vec<Placed<Alpn>> = default(["h2", "http/1.1"]);
        /// The oldest TLS version that is spoken.
        min_version: TlsVersion = default("1.2");
        /// The file with the authorities (PEM) that client certificates are checked against.
        client_ca: FilePath = optional, example "tls/clients-ca.pem";
        /// Whether a client must show a certificate. Without this key, `client_ca` means `"require"`.
        client_auth: ClientAuth = optional, example "request";
    }
}

settings! {
    /// A certificate and its key.
    pub struct Certificate = "[[listener.tls.certificates]]" {
        /// The file with the certificate and the chain up to the authority (PEM).
        certificate: FilePath = required, example "tls/site.pem";
        /// The file with the private key (PEM).
        key: FilePath = required, example "tls/site.key";
    }
}

choices! {
    /// A protocol that is agreed on in the TLS handshake.
    pub enum Alpn {
        /// HTTP/2.
        H2 = "h2",
        /// HTTP/1.1.
        Http1 = "http/1.1",
    }
}

choices! {
    /// A version of TLS.
    pub enum TlsVersion {
        /// TLS 1.2.
        V12 = "1.2",
        /// TLS 1.3.
        V13 = "1.3",
    }
}

choices! {
    /// Whether a client must show a certificate.
    pub enum ClientAuth {
        /// It may; what it shows must be valid.
        Request = "request",
        /// It must.
        Require = "require",
    }
}
