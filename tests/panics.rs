//! Case 89: a panic ends the exchange or the connection that it happens in, is counted, and nothing else notices.

#![cfg(test)]

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    num::NonZeroUsize,
    sync::Arc,
    time::{Duration, Instant},
};

use portcullis::{
    balance::EndpointStates,
    compile::{Stores, TlsStore},
    control,
    engine::{DoorKey, Gate, Workers},
    gateway::RequestGate,
    listener::{
        admission::{Admission, Places},
        bind::bind,
    },
    observe::{LogSink, Metrics},
    snapshot::{Action, Pressure, ServerIdentity, Snapshot, SnapshotCell, Transport},
};
use rustls::{
    NamedGroup, RootCertStore,
    client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue},
    pki_types::ServerName,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

const CONFIGURATION: &str = r#"
[access_log]
output = "access.log"
[[listener]]
name = "web"
address = "127.0.0.1:0"
[[listener]]
name = "broken"
address = "127.0.0.1:0"
[[route]]
name = "good"
respond = { body = "good" }
[[route]]
name = "bad"
path = "/bad"
upstream = "bad"
[upstream.bad]
endpoints = ["ORIGIN"]
"#;

/// What the TLS library asks in the middle of a handshake, and what never answers.
#[derive(Debug)]
struct Panics;

impl ResolvesServerCert for Panics {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        panic!("in a handshake with a client")
    }
}

impl ClientSessionStore for Panics {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        panic!("in an exchange")
    }
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {}
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

/// Makes the way to the upstream, and the handshakes of one listener, panic.
fn mine(snapshot: &mut Snapshot) {
    let mut client = rustls::ClientConfig::builder()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    client.resumption = Resumption::store(Arc::new(Panics));
    let server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Panics));
    snapshot.upstreams.clear();
    for route in &mut snapshot.routes {
        let route = Arc::get_mut(route).expect("a route that nobody else has");
        if let Action::Forward(upstream) = &mut route.action {
            let upstream = Arc::get_mut(upstream).expect("an upstream that nobody else has");
            upstream.transport = Arc::new(Transport {
                identity: u64::MAX,
                protocol: upstream.transport.protocol,
                tls: Some(ServerIdentity {
                    config: Arc::new(client.clone()),
                    name: None,
                }),
            });
        }
    }
    for plan in &mut snapshot.listeners {
        let plan = Arc::get_mut(plan).expect("a plan that nobody else has");
        if &*plan.name == "broken" {
            plan.tls = Some(Arc::new(server.clone()));
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("a connection");
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).expect("a timeout");
    stream
}

/// What comes back for these bytes until the gateway closes.
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    stream.write_all(bytes).expect("a request");
    let mut answer = Vec::new();
    // A connection that is cut by a panic may be reset.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(address: SocketAddr, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    exchange(address, request.as_bytes())
}

/// The statuses for these paths, all of them asked for at once on one HTTP/2 connection, which is there for another
/// request afterwards.
async fn streams(address: SocketAddr, paths: &[&str]) -> Vec<u16> {
    let stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("a connection");
    let (mut client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let request = |path: &str| {
        http::Request::get(format!("http://a.test{path}"))
            .body(())
            .expect("a request")
    };
    let mut answers = Vec::new();
    for path in paths {
        client = client.ready().await.expect("room for a stream");
        let (answer, _) = client.send_request(request(path), true).expect("a stream");
        answers.push(answer);
    }
    let mut statuses = Vec::new();
    for answer in answers {
        let answer = answer.await.expect("an answer");
        statuses.push(answer.status().as_u16());
    }
    client = client.ready().await.expect("room for a stream");
    let (again, _) = client.send_request(request("/"), true).expect("a stream");
    assert_eq!(again.await.expect("an answer").status(), 200);
    drop(client);
    connection
        .await
        .expect("the connection")
        .expect("an orderly end");
    statuses
}

#[test]
fn case_89_a_panic_costs_one_exchange_or_one_connection() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("portcullis.toml");
    let listening = std::net::TcpListener::bind("127.0.0.1:0").expect("an origin");
    let origin = listening.local_addr().expect("an address").to_string();
    std::fs::write(&path, CONFIGURATION.replace("ORIGIN", &origin)).expect("a configuration");

    let metrics = Arc::new(Metrics::new(1));
    let stores = Stores {
        access_logs: Some(LogSink::start(metrics.gateway().access_log()).expect("a log")),
        metrics: Arc::clone(&metrics),
        endpoints: EndpointStates::default(),
        tls: TlsStore::default(),
    };
    let (mut snapshot, _) =
        control::first(control::Files::read(&path), &stores).expect("a snapshot");
    mine(&mut snapshot);
    let plans = snapshot.listeners.clone();
    let cell = SnapshotCell::new(snapshot);
    let sink = stores.access_logs.as_ref().expect("a log");
    let shared = (Instant::now(), &Arc::new(Pressure::new(1)));
    let workers = Workers::start(1, &cell, &metrics, sink, shared).expect("a worker");
    let places = Arc::new(Places::new(100));
    let addresses: Vec<SocketAddr> = plans
        .iter()
        .map(|plan| {
            let bound = bind(&plan.name, plan.address, NonZeroUsize::MIN).expect("a socket");
            let key = DoorKey {
                address: bound.local,
                name: None,
            };
            let gate = Gate {
                admission: Admission::new(&places, 100),
                requests: RequestGate::open(),
            };
            workers.open(&key, plan, &gate, bound.sockets);
            bound.local
        })
        .collect();
    let [web, broken] = addresses[..] else {
        panic!("two listeners")
    };

    // One connection is there all the time, and goes on.
    let mut kept = connect(web);
    let ask = |kept: &mut TcpStream| {
        kept.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
            .expect("a request");
        let mut answer = [0; 1024];
        let count = kept.read(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer[..count]).into_owned()
    };
    assert!(ask(&mut kept).starts_with("HTTP/1.1 200"));
    for _ in 0..3 {
        let answer = get(web, "/bad");
        assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
        assert!(get(web, "/").ends_with("good"));
    }
    // A stream costs its neighbours on the connection nothing.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let statuses = runtime.block_on(async { streams(web, &["/", "/bad", "/bad", "/"]).await });
    assert_eq!(statuses, [200, 500, 500, 200]);
    // The beginning of TLS is enough for the handshake to ask for a certificate.
    let mut hello = Vec::new();
    let client = rustls::ClientConfig::builder()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let name = ServerName::try_from("a.test").expect("a name");
    let mut client = rustls::ClientConnection::new(Arc::new(client), name).expect("a client");
    client.write_tls(&mut hello).expect("a ClientHello");
    assert_eq!(exchange(broken, &hello), "");
    assert!(ask(&mut kept).starts_with("HTTP/1.1 200"));
    drop((kept, listening));

    workers.drain();
    workers.stop();
    let page = metrics.encode();
    for line in [
        "portcullis_panics_total 6",
        "portcullis_connections_open{listener=\"web\"} 0",
        "portcullis_connections_open{listener=\"broken\"} 0",
        "portcullis_upstream_requests_in_flight{upstream=\"bad\",endpoint=\"ENDPOINT\"} 0",
    ] {
        let line = line.replace("ENDPOINT", &origin);
        assert!(page.lines().any(|other| other == line), "{line} in {page}");
    }
    assert!(
        page.contains("code=\"500\",source=\"gateway\",reason=\"internal\"} 5"),
        "{page}"
    );
    assert_eq!(places.taken(), 0);
}
