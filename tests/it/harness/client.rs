//! Clients that send exactly what the test says.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::{Authority, Broken, Connection, Identity, ResponseMessage, narrow, within};

/// A client's connection.
pub(crate) struct Client {
    connection: Connection,
    alpn: Option<Vec<u8>>,
    peer_certificate: Option<Vec<u8>>,
    resumed: bool,
}

/// How a client speaks TLS.
#[derive(Clone)]
pub(crate) struct ClientTls {
    config: Arc<rustls::ClientConfig>,
    server_name: ServerName<'static>,
}

/// A request in the making.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    target: String,
    host: String,
    fields: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(tcp(address).await)
    }

    /// Connects from another loopback address, to be another client.
    pub(crate) async fn connect_from(source: &str, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        let source: std::net::IpAddr = source.parse().expect("an address");
        socket
            .bind(SocketAddr::new(source, 0))
            .expect("a source address");
        let stream = within("a connection", socket.connect(address))
            .await
            .expect("a connection");
        Self::over(stream)
    }

    /// Connects as from afar: with packets of an ordinary size and little room for what is not read. What the kernel
    /// takes for both ends of a connection goes by that, and over the loopback it is megabytes.
    pub(crate) async fn connect_narrowly(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        narrow(&socket);
        let stream = within("a connection", socket.connect(address))
            .await
            .expect("a connection");
        Self::over(stream)
    }

    /// Speaks on a connection that exists, such as one that has sent a PROXY header.
    pub(crate) fn over(stream: TcpStream) -> Self {
        Self {
            connection: Connection::new(stream),
            alpn: None,
            peer_certificate: None,
            resumed: false,
        }
    }

    pub(crate) async fn connect_tls(address: SocketAddr, tls: &ClientTls) -> Self {
        Self::try_tls(tcp(address).await, tls)
            .await
            .expect("a TLS handshake")
    }

    /// Handshakes on a connection; refusals by the peer are the caller's to judge.
    pub(crate) async fn try_tls(stream: TcpStream, tls: &ClientTls) -> std::io::Result<Self> {
        let connector = TlsConnector::from(Arc::clone(&tls.config));
        let stream = within(
            "a TLS handshake",
            connector.connect(tls.server_name.clone(), stream),
        )
        .await?;
        let session = stream.get_ref().1;
        let alpn = session.alpn_protocol().map(<[u8]>::to_vec);
        let peer_certificate = session
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|certificate| certificate.to_vec());
        let resumed = session.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
        Ok(Self {
            connection: Connection::new(stream),
            alpn,
            peer_certificate,
            resumed,
        })
    }

    /// The protocol that ALPN chose.
    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.alpn.as_deref()
    }

    /// The certificate that the listener showed, as DER.
    pub(crate) fn peer_certificate(&self) -> Option<&[u8]> {
        self.peer_certificate.as_deref()
    }

    /// Whether a ticket of an earlier connection spared both sides the full handshake.
    pub(crate) fn resumed(&self) -> bool {
        self.resumed
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn ask(&mut self, request: Request) -> ResponseMessage {
        self.try_ask(request).await.expect("a response")
    }

    pub(crate) async fn try_ask(&mut self, request: Request) -> Result<ResponseMessage, Broken> {
        let bytes = request.bytes();
        if self.connection.try_send(&bytes).await.is_err() {
            return Err(Broken::Closed);
        }
        self.connection.response(&request.method).await
    }
}

impl Deref for Client {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Client {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

impl ClientTls {
    /// TLS 1.2 and 1.3 with trust in `authority`, offering HTTP/1.1 alone.
    pub(crate) fn new(authority: &Authority, server_name: &str) -> Self {
        Self::build(
            authority,
            server_name,
            &[&rustls::version::TLS13, &rustls::version::TLS12],
            None,
            &[b"http/1.1"],
        )
    }

    pub(crate) fn offering(authority: &Authority, server_name: &str, alpn: &[&[u8]]) -> Self {
        Self::build(
            authority,
            server_name,
            &[&rustls::version::TLS13, &rustls::version::TLS12],
            None,
            alpn,
        )
    }

    pub(crate) fn only_tls12(authority: &Authority, server_name: &str) -> Self {
        Self::build(
            authority,
            server_name,
            &[&rustls::version::TLS12],
            None,
            &[b"http/1.1"],
        )
    }

    pub(crate) fn presenting(authority: &Authority, server_name: &str, own: &Identity) -> Self {
        Self::build(
            authority,
            server_name,
            &[&rustls::version::TLS13, &rustls::version::TLS12],
            Some(own),
            &[b"http/1.1"],
        )
    }

    /// The same without a server name in the handshake.
    pub(crate) fn without_sni(&self) -> Self {
        let mut config = (*self.config).clone();
        config.enable_sni = false;
        Self {
            config: Arc::new(config),
            server_name: self.server_name.clone(),
        }
    }

    /// Whether a ticket that the gateway has given would let a request out before the next handshake is complete.
    pub(crate) fn may_send_early_data(&self) -> bool {
        let mut config = (*self.config).clone();
        config.enable_early_data = true;
        let session = rustls::ClientConnection::new(Arc::new(config), self.server_name.clone());
        session.is_ok_and(|mut session| session.early_data().is_some())
    }

    pub(crate) fn config(&self) -> Arc<rustls::ClientConfig> {
        Arc::clone(&self.config)
    }

    pub(crate) fn server_name(&self) -> ServerName<'static> {
        self.server_name.clone()
    }

    fn build(
        authority: &Authority,
        server_name: &str,
        versions: &[&'static rustls::SupportedProtocolVersion],
        own: Option<&Identity>,
        alpn: &[&[u8]],
    ) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(authority.roots());
        let mut config = match own {
            Some(own) => builder
                .with_client_auth_cert(own.chain(), own.private_key())
                .expect("a client certificate"),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Self {
            config: Arc::new(config),
            server_name: ServerName::try_from(server_name.to_owned()).expect("a server name"),
        }
    }
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            host: "gateway.test".to_owned(),
            fields: Vec::new(),
            body: None,
        }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", target).body(body)
    }

    pub(crate) fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The request as HTTP/1.1.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\n",
            self.method, self.target, self.host
        );
        for (name, value) in &self.fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = &self.body {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }
}

async fn tcp(address: SocketAddr) -> TcpStream {
    within("a connection", TcpStream::connect(address))
        .await
        .expect("a connection")
}
