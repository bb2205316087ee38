//! One check of one endpoint: connect, ask, judge the answer.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

use super::{grpc, http1, http2};
use crate::snapshot::{HttpQuestion, Protocol, Question};

/// What to ask, and whom.
#[derive(Clone, Debug)]
pub struct Probe {
    address: SocketAddr,
    protocol: Protocol,
    /// `None` for plain connections.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    host: Box<str>,
    question: Question,
    timeout: Duration,
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
    /// The connection ended or broke before the answer was complete.
    #[error("connection lost: {0}")]
    Lost(io::Error),
    /// What came is no response.
    #[error("not an HTTP response: {0}")]
    Malformed(String),
    /// A response, but not one that counts as a success.
    #[error("status {0}")]
    Status(u16),
    /// The body lacks what it must have.
    #[error("the body is not as expected")]
    Body,
    /// A gRPC error in place of an answer.
    #[error("gRPC status {0}")]
    GrpcStatus(u32),
    /// An answer to a gRPC check that is not one.
    #[error("not a gRPC answer: {0}")]
    NotGrpc(&'static str),
    /// The gRPC service says that it does not serve.
    #[error("{0}")]
    NotServing(&'static str),
}

/// A response, as far as a check looks at it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The beginning of the body, if anyone wants to see it.
    pub(super) body: Vec<u8>,
}

impl Probe {
    /// A check of the endpoint at that address. `host` is what it is called unless the question says otherwise; the TLS
    /// settings will offer exactly the protocol that is spoken.
    #[must_use]
    pub fn new(
        (address, host): (SocketAddr, &str),
        protocol: Protocol,
        tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
        (question, timeout): (Question, Duration),
    ) -> Self {
        let own_host = match &question {
            Question::Http(HttpQuestion { host, .. }) | Question::Grpc { host, .. } => host.clone(),
            Question::Tcp => None,
        };
        Self {
            address,
            protocol,
            tls: tls.map(|(config, name)| (offering(protocol, config), name)),
            host: own_host.unwrap_or_else(|| host.into()),
            question,
            timeout,
        }
    }

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
        match &self.tls {
            None => self.ask(socket, deadline).await,
            Some((config, name)) => {
                let session = TlsConnector::from(Arc::clone(config)).connect(name.clone(), socket);
                let session = timeout_at(deadline, session)
                    .await
                    .map_err(|_| ProbeFault::Timeout("in the TLS handshake"))?
                    .map_err(ProbeFault::Tls)?;
                self.ask(session, deadline).await
            }
        }
    }

    async fn ask<S>(&self, mut stream: S, deadline: Instant) -> Result<(), ProbeFault>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let outcome = async {
            match (&self.question, self.protocol) {
                (Question::Tcp, _) => {
                    // That the endpoint hears of the end is courtesy, no part of the check.
                    let _ = stream.shutdown().await;
                    Ok(())
                }
                (Question::Http(question), Protocol::Http1) => {
                    let answer = http1::ask(stream, (&self.host, deadline), question).await?;
                    judge(question, &answer)
                }
                (Question::Http(question), Protocol::Http2) => {
                    let answer = http2::ask(stream, (scheme, &self.host), question).await?;
                    judge(question, &answer)
                }
                (
                    Question::Grpc {
                        service, headers, ..
                    },
                    _,
                ) => {
                    let call = grpc::Call {
                        scheme,
                        authority: &self.host,
                        service,
                        headers,
                        timeout: self.timeout,
                    };
                    call.make(stream).await
                }
            }
        };
        timeout_at(deadline, outcome)
            .await
            .map_err(|_| ProbeFault::Timeout("waiting for the response"))?
    }
}

fn judge(question: &HttpQuestion, answer: &Answer) -> Result<(), ProbeFault> {
    let expected = question
        .expected_status
        .iter()
        .any(|&(first, last)| (first..=last).contains(&answer.status));
    if !expected {
        return Err(ProbeFault::Status(answer.status));
    }
    match &question.body {
        Some(pattern) if !pattern.is_in(&answer.body) => Err(ProbeFault::Body),
        Some(_) | None => Ok(()),
    }
}

/// The settings for connections, but offering only the protocol that the check speaks.
fn offering(protocol: Protocol, config: Arc<ClientConfig>) -> Arc<ClientConfig> {
    let alpn: &[u8] = match protocol {
        Protocol::Http1 => b"http/1.1",
        Protocol::Http2 => b"h2",
    };
    if config.alpn_protocols.len() == 1 && config.alpn_protocols.iter().any(|p| p == alpn) {
        return config;
    }
    let mut config = ClientConfig::clone(&config);
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config)
}

/// What checks call themselves.
pub(super) const AGENT: &str = concat!("portcullis/", env!("CARGO_PKG_VERSION"), " (health)");
/// How much of a body is looked at.
pub(super) const MOST_BODY: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::{io::AsyncReadExt, net::TcpListener};

    use super::*;
    use crate::{http::Method, snapshot::BodyPattern};

    fn question() -> HttpQuestion {
        HttpQuestion {
            method: Method::Get,
            path: "/healthz".into(),
            host: Some("users.internal".into()),
            headers: Vec::new(),
            expected_status: vec![(200, 299)],
            body: None,
        }
    }

    fn asking(address: SocketAddr, question: Question) -> Probe {
        let patience = Duration::from_secs(10);
        Probe::new(
            (address, "host.test"),
            Protocol::Http1,
            None,
            (question, patience),
        )
    }

    fn probe(address: SocketAddr) -> Probe {
        asking(address, Question::Http(question()))
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

    async fn outcome_with_body(answer: &'static [u8], pattern: BodyPattern) -> Result<(), String> {
        let (address, _served) = origin(answer).await;
        let question = HttpQuestion {
            body: Some(pattern),
            ..question()
        };
        let outcome = asking(address, Question::Http(question)).run().await;
        outcome.map_err(|fault| fault.to_string())
    }

    #[tokio::test]
    async fn a_body_is_looked_at_however_it_is_framed() {
        let framed: [&[u8]; 3] = [
            b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nis ready and more",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nis re\r\n3;a=b\r\nady\r\n0\r\n\r\n",
            b"HTTP/1.0 200 OK\r\n\r\nis ready",
        ];
        for answer in framed {
            let contains = |text: &str| BodyPattern::Contains(text.as_bytes().into());
            let regex = |text| BodyPattern::Regex(regex::bytes::Regex::new(text).unwrap());
            for (pattern, found) in [
                (contains("ready"), true),
                (contains("steady"), false),
                (regex("^is r.*y$"), true),
                (regex("^ready"), false),
            ] {
                let expected = found
                    .then_some(())
                    .ok_or_else(|| "the body is not as expected".to_owned());
                let outcome = outcome_with_body(answer, pattern.clone()).await;
                assert_eq!(outcome, expected, "{pattern:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_is_cut_off_is_a_failure() {
        let cut: [&[u8]; 2] = [
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nready",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nready\r\n",
        ];
        for answer in cut {
            let ready = BodyPattern::Contains(b"ready"[..].into());
            let failed = outcome_with_body(answer, ready).await.unwrap_err();
            assert!(failed.starts_with("connection lost"), "{failed}");
        }
    }

    #[tokio::test]
    async fn no_more_than_the_beginning_of_a_body_is_read() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while socket.write_all(&[b'a'; 4096]).await.is_ok() {}
        });
        let question = HttpQuestion {
            body: Some(BodyPattern::Contains(b"b"[..].into())),
            ..question()
        };
        let failed = asking(address, Question::Http(question)).run().await;
        assert!(matches!(failed, Err(ProbeFault::Body)), "{failed:?}");
    }

    #[tokio::test]
    async fn a_question_may_have_a_method_and_fields() {
        let (address, served) = origin(b"HTTP/1.1 200 OK\r\n\r\n").await;
        let question = HttpQuestion {
            method: Method::Post,
            headers: vec![(
                http::HeaderName::from_static("accept"),
                http::HeaderValue::from_static("text/plain"),
            )],
            ..question()
        };
        asking(address, Question::Http(question))
            .run()
            .await
            .unwrap();
        let request = served.await.unwrap();
        assert!(
            request.starts_with("POST /healthz HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(request.contains("\r\ncontent-length: 0\r\n"), "{request}");
        assert_eq!(request.matches("accept:").count(), 1, "{request}");
        assert!(request.contains("\r\naccept: text/plain\r\n"), "{request}");
    }

    #[tokio::test]
    async fn a_connection_alone_may_be_enough() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        asking(address, Question::Tcp).run().await.unwrap();
        drop(silent);
        let failed = asking(address, Question::Tcp).run().await.unwrap_err();
        assert!(matches!(failed, ProbeFault::Connect(_)), "{failed}");
    }

    /// An HTTP/2 origin that takes one connection, and gives each request this head, this body and these trailers.
    async fn http2_origin(
        head: http::Response<()>,
        body: &'static [u8],
        trailers: Option<http::HeaderMap>,
    ) -> (SocketAddr, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let served = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut connection = h2::server::handshake(socket).await.unwrap();
            let (request, mut respond) = connection.accept().await.unwrap().unwrap();
            let empty = body.is_empty() && trailers.is_none();
            let mut answer = respond.send_response(head, empty).unwrap();
            if !empty {
                let data = Bytes::from_static(body);
                answer.send_data(data, trailers.is_none()).unwrap();
                if let Some(trailers) = trailers {
                    answer.send_trailers(trailers).unwrap();
                }
            }
            while connection.accept().await.is_some() {}
            request.uri().to_string()
        });
        (address, served)
    }

    fn grpc_status(status: &'static str) -> http::HeaderMap {
        let mut trailers = http::HeaderMap::new();
        trailers.insert("grpc-status", http::HeaderValue::from_static(status));
        trailers
    }

    #[tokio::test]
    async fn a_grpc_endpoint_is_healthy_when_it_says_serving() {
        let rejected = http::Response::builder()
            .header("grpc-status", "12")
            .body(())
            .unwrap();
        let broken = http::Response::builder().status(502).body(()).unwrap();
        let ok = || http::Response::new(());
        type Case = (
            http::Response<()>,
            &'static [u8],
            Option<http::HeaderMap>,
            Result<(), &'static str>,
        );
        let cases: [Case; 7] = [
            (
                ok(),
                b"\0\0\0\0\x02\x08\x01",
                Some(grpc_status("0")),
                Ok(()),
            ),
            (
                ok(),
                b"\0\0\0\0\x02\x08\x02",
                Some(grpc_status("0")),
                Err("NOT_SERVING"),
            ),
            (ok(), b"", Some(grpc_status("5")), Err("gRPC status 5")),
            (rejected, b"", None, Err("gRPC status 12")),
            (broken, b"", None, Err("status 502")),
            (
                ok(),
                b"\0\0",
                Some(grpc_status("0")),
                Err("not a gRPC answer: its message is cut off"),
            ),
            (
                ok(),
                b"\0\0\0\0\x02\x08\x01",
                None,
                Err("not a gRPC answer: there is no grpc-status"),
            ),
        ];
        for (head, body, trailers, expected) in cases {
            let (address, served) = http2_origin(head, body, trailers).await;
            let question = Question::Grpc {
                service: "users".into(),
                host: None,
                headers: Vec::new(),
            };
            let outcome = asking(address, question).run().await;
            let outcome = outcome.map_err(|fault| fault.to_string());
            assert_eq!(outcome, expected.map_err(str::to_owned));
            let uri = served.await.unwrap();
            assert_eq!(uri, "http://host.test/grpc.health.v1.Health/Check");
        }
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
        for (text, found) in [("ok", true), ("no", false)] {
            let (address, served) = http2_origin(http::Response::new(()), b"ok", None).await;
            let question = HttpQuestion {
                body: Some(BodyPattern::Contains(text.as_bytes().into())),
                ..question()
            };
            let http2 = Probe {
                protocol: Protocol::Http2,
                ..asking(address, Question::Http(question))
            };
            assert_eq!(http2.run().await.is_ok(), found);
            assert_eq!(served.await.unwrap(), "http://users.internal/healthz");
        }
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
                    // Closing with the request unread would reset the connection, and the answer might be lost.
                    let _ = session.read(&mut [0; 1024]).await;
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
