//! One check of one endpoint: connect, ask, look at the status.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;

use crate::snapshot::Protocol;

/// What to ask, and whom.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The endpoint.
    pub address: SocketAddr,
    /// What is spoken; over TLS it is the only protocol that is offered.
    pub protocol: Protocol,
    /// The TLS side; `None` for plain connections.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// The `Host` to send.
    pub host: Box<str>,
    /// The path to ask for.
    pub path: Box<str>,
    /// For the whole check.
    pub timeout: Duration,
    /// The statuses that count as a success, as inclusive ranges.
    pub expected_status: Vec<(u16, u16)>,
}

/// Why a check failed, in words that are the same each time.
#[derive(Debug, thiserror::Error)]
pub enum ProbeFault {
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// No TLS session, or one without the protocol.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// The check took too long; the step it was in.
    #[error("no answer in time while {0}")]
    Timeout(&'static str),
    /// The connection ended or broke before the response head.
    #[error("connection lost: {0}")]
    Lost(io::Error),
    /// What came is no response.
    #[error("not an HTTP response: {0}")]
    Malformed(String),
    /// A response, but not one that counts as a success.
    #[error("status {0}")]
    Status(u16),
}

impl Probe {
    /// Checks once.
    ///
    /// # Errors
    /// Why the check failed.
    pub async fn run(&self) -> Result<(), ProbeFault> {
        let deadline = Instant::now() + self.timeout;
        let socket = timeout_at(deadline, TcpStream::connect(self.address))
            .await
            .map_err(|_| ProbeFault::Timeout("connecting"))?
            .map_err(ProbeFault::Connect)?;
        // The request is one small write; waiting for more would only delay it.
        let _ = socket.set_nodelay(true);
        let status = match &self.tls {
            None => self.ask(socket, deadline).await?,
            Some((config, name)) => {
                let session =
                    TlsConnector::from(self.offering(config)).connect(name.clone(), socket);
                let session = timeout_at(deadline, session)
                    .await
                    .map_err(|_| ProbeFault::Timeout("in the TLS handshake"))?
                    .map_err(ProbeFault::Tls)?;
                self.ask(session, deadline).await?
            }
        };
        if self.expects(status) {
            Ok(())
        } else {
            Err(ProbeFault::Status(status))
        }
    }

    fn expects(&self, status: u16) -> bool {
        self.expected_status
            .iter()
            .any(|&(first, last)| (first..=last).contains(&status))
    }

    /// The settings for connections, but offering only the protocol that the check speaks.
    fn offering(&self, config: &Arc<ClientConfig>) -> Arc<ClientConfig> {
        let alpn: &[u8] = match self.protocol {
            Protocol::Http1 => b"http/1.1",
            Protocol::Http2 => b"h2",
        };
        if config.alpn_protocols.len() == 1 && config.alpn_protocols.iter().any(|p| p == alpn) {
            return Arc::clone(config);
        }
        let mut config = ClientConfig::clone(config);
        config.alpn_protocols = vec![alpn.to_vec()];
        Arc::new(config)
    }

    async fn ask<S>(&self, stream: S, deadline: Instant) -> Result<u16, ProbeFault>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let answer = async {
            match self.protocol {
                Protocol::Http1 => self.ask_http1(stream, deadline).await,
                Protocol::Http2 => self.ask_http2(stream).await,
            }
        };
        timeout_at(deadline, answer)
            .await
            .map_err(|_| ProbeFault::Timeout("waiting for the response"))?
    }

    async fn ask_http1<S>(&self, mut stream: S, deadline: Instant) -> Result<u16, ProbeFault>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let request = format!(
            "GET {} HTTP/1.1\r\nhost: {}\r\nuser-agent: {AGENT}\r\naccept: */*\r\nconnection: close\r\n\r\n",
            self.path, self.host
        );
        stream
            .write_all(request.as_bytes())
            .await
            .map_err(ProbeFault::Lost)?;
        stream.flush().await.map_err(ProbeFault::Lost)?;
        let mut buffer = Vec::with_capacity(1024);
        let status = loop {
            if let Some(status) = final_status(&mut buffer)? {
                break status;
            }
            if buffer.len() > MAX_HEAD {
                return Err(ProbeFault::Malformed("the head is too large".to_owned()));
            }
            match stream.read_buf(&mut buffer).await {
                Ok(0) => return Err(ProbeFault::Lost(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => return Err(ProbeFault::Lost(error)),
            }
        };
        // An origin that is still writing its body would log a broken connection at every check.
        let rest = drain(&mut stream, MAX_REST.saturating_sub(buffer.len()));
        let patience = PATIENCE.min(deadline.saturating_duration_since(Instant::now()));
        let _ = timeout(patience, rest).await;
        Ok(status)
    }

    async fn ask_http2<S>(&self, stream: S) -> Result<u16, ProbeFault>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let request = http::Request::get(format!("{scheme}://{}{}", self.host, self.path))
            .header("user-agent", AGENT)
            .body(())
            .map_err(|error| ProbeFault::Malformed(error.to_string()))?;
        let (sender, connection) = h2::client::handshake(stream).await.map_err(h2_fault)?;
        let exchange = async {
            let mut sender = sender.ready().await?;
            let (response, _) = sender.send_request(request, true)?;
            Ok(response.await?.status().as_u16())
        };
        tokio::select! {
            status = exchange => status.map_err(h2_fault),
            ended = connection => Err(match ended {
                Ok(()) => ProbeFault::Lost(io::ErrorKind::UnexpectedEof.into()),
                Err(error) => h2_fault(error),
            }),
        }
    }
}

/// The status of the final response in `buffer`, from which interim responses are removed; `None`: more is needed.
fn final_status(buffer: &mut Vec<u8>) -> Result<Option<u16>, ProbeFault> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut head = httparse::Response::new(&mut fields);
        let used = match head.parse(buffer) {
            Ok(httparse::Status::Complete(used)) => used,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(ProbeFault::Malformed(error.to_string())),
        };
        match head.code {
            Some(100 | 102..=199) => {
                buffer.drain(..used.min(buffer.len()));
            }
            code => return Ok(code),
        }
    }
}

async fn drain<S: AsyncRead + Unpin>(stream: &mut S, most: usize) -> io::Result<()> {
    let mut left = most;
    let mut scratch = [0; 4096];
    while left > 0 {
        let read = stream.read(&mut scratch).await?;
        if read == 0 {
            break;
        }
        left = left.saturating_sub(read);
    }
    Ok(())
}

fn h2_fault(error: h2::Error) -> ProbeFault {
    if error.is_io() {
        let lost = error
            .into_io()
            .unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
        return ProbeFault::Lost(lost);
    }
    ProbeFault::Malformed(format!("HTTP/2: {error}"))
}

const AGENT: &str = concat!("portcullis/", env!("CARGO_PKG_VERSION"), " (health)");
const MAX_HEAD: usize = 16 * 1024;
const MAX_FIELDS: usize = 100;
/// How much of a body is read away, and for how long, before the connection is closed.
const MAX_REST: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::net::TcpListener;

    use super::*;

    fn probe(address: SocketAddr) -> Probe {
        Probe {
            address,
            protocol: Protocol::Http1,
            tls: None,
            host: "users.internal".into(),
            path: "/healthz".into(),
            timeout: Duration::from_secs(10),
            expected_status: vec![(200, 299)],
        }
    }

    /// An origin that takes one connection, reads a request head and sends these bytes.
    async fn origin(answer: &'static [u8]) -> (SocketAddr, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                assert_ne!(socket.read_buf(&mut request).await.unwrap(), 0);
            }
            socket.write_all(answer).await.unwrap();
            String::from_utf8(request).unwrap()
        });
        (address, served)
    }

    async fn outcome(answer: &'static [u8]) -> Result<(), String> {
        let (address, _served) = origin(answer).await;
        let outcome = probe(address).run().await;
        outcome.map_err(|fault| fault.to_string())
    }

    #[tokio::test]
    async fn an_expected_status_is_a_success_and_the_request_is_complete() {
        let (address, served) = origin(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        probe(address).run().await.unwrap();
        let request = served.await.unwrap();
        assert!(
            request.starts_with("GET /healthz HTTP/1.1\r\nhost: users.internal\r\n"),
            "{request}"
        );
        assert!(request.contains("\r\nconnection: close\r\n"), "{request}");
    }

    #[tokio::test]
    async fn another_status_is_a_failure_that_names_it() {
        let failed = outcome(b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno").await;
        assert_eq!(failed, Err("status 503".to_owned()));
    }

    #[tokio::test]
    async fn interim_responses_do_not_count() {
        let answer = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
        assert_eq!(outcome(answer).await, Ok(()));
    }

    #[tokio::test]
    async fn an_answer_that_is_not_http_is_a_failure() {
        let failed = outcome(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap_err();
        assert!(failed.starts_with("not an HTTP response"), "{failed}");
    }

    #[tokio::test]
    async fn a_connection_that_ends_without_an_answer_is_a_failure() {
        let failed = outcome(b"HTTP/1.1 200").await.unwrap_err();
        assert!(failed.starts_with("connection lost"), "{failed}");
    }

    #[tokio::test]
    async fn a_refused_connection_is_a_failure() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = closed.local_addr().unwrap();
        drop(closed);
        let failed = probe(address).run().await.unwrap_err();
        assert!(matches!(failed, ProbeFault::Connect(_)), "{failed}");
    }

    #[tokio::test]
    async fn an_origin_that_never_answers_is_given_up() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let impatient = Probe {
            timeout: Duration::from_millis(20),
            ..probe(silent.local_addr().unwrap())
        };
        let failed = impatient.run().await.unwrap_err();
        assert!(
            matches!(failed, ProbeFault::Timeout("waiting for the response")),
            "{failed}"
        );
    }

    #[tokio::test]
    async fn an_endless_head_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n").await;
            while socket.write_all(b"a: ").await.is_ok()
                && socket.write_all(&[b'b'; 4096]).await.is_ok()
            {}
        });
        let failed = probe(address).run().await.unwrap_err();
        assert!(matches!(failed, ProbeFault::Malformed(_)), "{failed}");
    }

    #[tokio::test]
    async fn an_http2_endpoint_is_asked_in_http2() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(socket).await.unwrap();
            let (request, mut respond) = connection.accept().await.unwrap().unwrap();
            let mut body = respond
                .send_response(http::Response::new(()), false)
                .unwrap();
            body.send_data(Bytes::from_static(b"ok"), true).unwrap();
            while connection.accept().await.is_some() {}
            request.uri().to_string()
        });
        let http2 = Probe {
            protocol: Protocol::Http2,
            ..probe(address)
        };
        http2.run().await.unwrap();
        assert_eq!(served.await.unwrap(), "http://users.internal/healthz");
    }

    #[tokio::test]
    async fn tls_is_spoken_and_the_certificate_verified() {
        let signed = rcgen::generate_simple_self_signed(vec!["users.internal".into()]).unwrap();
        let certificate = signed.cert.der().clone();
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())
            .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = Arc::new(
            ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth(),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                if let Ok(mut session) = acceptor.accept(socket).await {
                    let _ = session.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                    let _ = session.shutdown().await;
                }
            }
        });
        let named = |name: &'static str| Probe {
            tls: Some((Arc::clone(&client), ServerName::try_from(name).unwrap())),
            ..probe(address)
        };
        named("users.internal").run().await.unwrap();
        let failed = named("other.internal").run().await.unwrap_err();
        assert!(matches!(failed, ProbeFault::Tls(_)), "{failed}");
    }
}
