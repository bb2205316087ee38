//! What is known of a connection before its first request.

use std::{
    cell::Cell,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
};

use super::RequestGate;
use crate::{observe::TlsFacts, snapshot::ListenerPlan};

/// Who is calling, and through which door.
#[derive(Debug)]
pub struct Connection {
    /// The listener, as it was when the connection was accepted.
    pub listener: Arc<ListenerPlan>,
    /// The other end of the TCP connection.
    pub peer: SocketAddr,
    /// Who is calling: what a PROXY header said, else the peer.
    pub client: SocketAddr,
    /// The TLS session; `None` on a plain connection, which does not hold the room for it.
    pub tls: Option<Box<TlsSession>>,
    /// Where its requests take their places.
    pub requests: RequestGate,
    /// Whether the listener is gone: what runs ends, nothing further is awaited.
    pub retired: Rc<Cell<bool>>,
}

/// What a TLS handshake settled.
#[derive(Clone, Debug)]
pub struct TlsSession {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// The cipher suite's name.
    pub cipher: &'static str,
    /// The server name that the client asked for, in lower case; empty without one.
    pub sni: String,
    /// The subject of the client's certificate; empty without one.
    pub client_subject: String,
}

impl Connection {
    /// The caller's address, an IPv4-mapped one as IPv4.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.client.ip().to_canonical()
    }

    /// The scheme that the client used towards us.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// The TLS facts as the access log wants them.
    #[must_use]
    pub fn tls_facts(&self) -> Option<TlsFacts<'_>> {
        self.tls.as_ref().map(|session| TlsFacts {
            version: session.version,
            cipher: session.cipher,
            sni: &session.sni,
            client_subject: &session.client_subject,
        })
    }
}
