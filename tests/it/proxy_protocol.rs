//! PROXY protocol in front of a listener: from those who are trusted with it, and from nobody else.

use crate::harness::{Authority, Client, ClientTls, Gateway, Origin, Request};

const CONFIG: &str = r#"
    [[listener]]
    name = "web"
    address = "127.0.0.1:0"
    proxy_protocol = ["127.0.0.7/32"]
    [[route]]
    name = "all"
    upstream = "app"
    [upstream.app]
    endpoints = ["<app>"]
"#;

/// Version 2 for TCP over IPv4 with these bytes after the addresses.
fn version2(command: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend_from_slice(&[0x20 | command, 0x11]);
    let length = u16::try_from(12 + rest.len()).expect("a short header");
    header.extend_from_slice(&length.to_be_bytes());
    header.extend_from_slice(&[203, 0, 113, 9, 127, 0, 0, 1]);
    header.extend_from_slice(&1234u16.to_be_bytes());
    header.extend_from_slice(&80u16.to_be_bytes());
    header.extend_from_slice(rest);
    header
}

#[tokio::test]
async fn both_versions_tell_who_the_client_is() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let headers = [
        b"PROXY TCP4 203.0.113.9 127.0.0.1 1234 80\r\n".to_vec(),
        version2(1, b""),
        version2(1, &[0x04, 0, 3, 1, 2, 3]),
    ];
    for (index, header) in headers.iter().enumerate() {
        for split in [false, true] {
            let mut client = Client::connect_from("127.0.0.7", gateway.web().await).await;
            if split {
                client.send_split(header).await;
            } else {
                client.send(header).await;
            }
            assert_eq!(client.ask(Request::get("/")).await.status, 200, "{index}");
        }
    }
    let seen = origin.seen();
    assert_eq!(seen.len(), 6);
    assert!(
        seen.iter()
            .all(|seen| seen.header("x-forwarded-for") == Some("203.0.113.9"))
    );
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("client_ip"), "203.0.113.9");
    assert_eq!(record.text("client_port"), "1234");
    assert!(record.text("peer").starts_with("127.0.0.7:"));
}

#[tokio::test]
async fn a_local_header_keeps_the_peer_as_the_client() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    for header in [version2(0, b""), b"PROXY UNKNOWN\r\n".to_vec()] {
        let mut client = Client::connect_from("127.0.0.7", gateway.web().await).await;
        client.send(&header).await;
        assert_eq!(client.ask(Request::get("/")).await.status, 200);
    }
    let seen = origin.seen();
    assert!(
        seen.iter()
            .all(|seen| seen.header("x-forwarded-for") == Some("127.0.0.7"))
    );
}

#[tokio::test]
async fn case_48_a_header_from_a_stranger_is_a_bad_request() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    for header in [
        b"PROXY TCP4 10.0.0.1 127.0.0.1 1 2\r\n".to_vec(),
        version2(1, b""),
    ] {
        let mut client = gateway.connect().await;
        let _ = client
            .try_send(&[header, Request::get("/").bytes()].concat())
            .await;
        let answer = String::from_utf8_lossy(&client.rest().await).into_owned();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
            "{answer}"
        );
    }
    assert!(origin.seen().is_empty());
    // Without a header it is an ordinary client.
    assert_eq!(gateway.get("/").await.status, 200);
}

#[tokio::test]
async fn case_48_a_missing_or_broken_header_closes_the_connection() {
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let mut long = version2(1, &[0; 200]);
    // It promises more than it has, and more than anybody needs.
    long[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
    for bytes in [
        Request::get("/").bytes(),
        b"PROXY TCP4 10.0.0.1 127.0.0.1 1\r\n".to_vec(),
        b"PROXY TCP4 10.0.0.999 127.0.0.1 1 2\r\n".to_vec(),
        b"PROXY TCP4 10.0.0.1 127.0.0.1 1 2\n".to_vec(),
        b"PROXY TCP4 ".to_vec().repeat(20),
        version2(2, b""),
        long,
    ] {
        let mut client = Client::connect_from("127.0.0.7", gateway.web().await).await;
        let _ = client.try_send(&bytes).await;
        // A header that lies about its length waits for the rest, which does not come.
        let _ = client.try_finish().await;
        client.closed().await;
    }
    assert!(origin.seen().is_empty());
    let refused = "portcullis_connections_refused_total";
    gateway.metric_is(refused, &[("listener", "web")], 7).await;
}

#[tokio::test]
async fn the_header_comes_before_the_handshake() {
    let authority = Authority::new("tests");
    let site = authority.issue(&["gateway.test"]);
    let origin = Origin::answering("ok").await;
    let gateway = Gateway::start(
        r#"
        [[listener]]
        name = "secure"
        address = "127.0.0.1:0"
        proxy_protocol = ["127.0.0.0/8"]
        tls = { certificates = [<site>] }
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<app>"]
        "#,
        &[("site", &site), ("app", &origin)],
    )
    .await;
    let address = gateway.address("secure").await;
    let mut stream = tokio::net::TcpStream::connect(address)
        .await
        .expect("a connection");
    tokio::io::AsyncWriteExt::write_all(&mut stream, &version2(1, b""))
        .await
        .expect("a write");
    let tls = ClientTls::new(&authority, "gateway.test");
    let mut client = Client::try_tls(stream, &tls).await.expect("a handshake");
    assert_eq!(client.ask(Request::get("/")).await.status, 200);
    assert_eq!(origin.only().header("x-forwarded-for"), Some("203.0.113.9"));
    assert_eq!(origin.only().header("x-forwarded-proto"), Some("https"));
}
