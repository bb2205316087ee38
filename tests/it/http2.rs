//! HTTP/2 with clients that nobody here wrote, and its limits.

use bytes::Bytes;

use crate::harness::{
    Authority, ClientTls, Gateway, H2Client, H2Origin, Identity, Origin, RawH2, StreamEnd, curl,
    h2_request, h2load, nghttp,
};

const CONFIG: &str = r#"
    [server]
    workers = 2
    [[listener]]
    name = "web"
    address = "127.0.0.1:0"
    [[listener]]
    name = "secure"
    address = "127.0.0.1:0"
    tls = { certificates = [<site>] }
    [[route]]
    name = "all"
    upstream = "app"
    [upstream.app]
    endpoints = ["<app>"]
"#;

fn site() -> (Authority, Identity) {
    let authority = Authority::new("tests");
    let site = authority.issue(&["gateway.test"]);
    (authority, site)
}

#[tokio::test]
async fn curl_agrees_on_http2_over_tls() {
    let (authority, site) = site();
    let origin = Origin::answering("hello").await;
    let gateway = Gateway::start(CONFIG, &[("site", &site), ("app", &origin)]).await;
    let port = gateway.address("secure").await.port();
    for (option, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let answer = curl(&[
            option,
            "--cacert",
            &authority.file(),
            "--resolve",
            &format!("gateway.test:{port}:127.0.0.1"),
            "--write-out",
            " %{http_version} %{http_code}",
            &format!("https://gateway.test:{port}/"),
        ])
        .await;
        assert_eq!(answer.stdout, format!("hello {version} 200"), "{answer:?}");
    }
    let records = gateway.records(2).await;
    let record = records
        .iter()
        .find(|record| record.text("protocol") == "HTTP/2")
        .expect("a record of HTTP/2");
    assert_eq!(record.text("tls_version"), "TLSv1.3");
    assert_eq!(record.text("tls_sni"), "gateway.test");
}

#[tokio::test]
async fn bodies_and_streams_pass_over_tls() {
    let (authority, site) = site();
    let origin = Origin::http(|seen| async move {
        http::Response::new(http_body_util::Full::new(Bytes::from(seen.body)))
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("site", &site), ("app", &origin)]).await;
    let tls = ClientTls::offering(&authority, "gateway.test", &[b"h2"]);
    let client = H2Client::connect_tls(gateway.address("secure").await, &tls).await;
    for number in 0..20 {
        let body = Bytes::from(vec![b'x'; number * 10_000]);
        let request = h2_request("POST", "/").body(body.clone());
        let answer = client.ask(request.expect("a request")).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body == body, "{number}");
    }
}

#[tokio::test]
async fn curl_speaks_http2_with_prior_knowledge() {
    let (_authority, site) = site();
    let origin = Origin::answering("hello").await;
    let gateway = Gateway::start(CONFIG, &[("site", &site), ("app", &origin)]).await;
    let url = format!("http://{}/", gateway.web().await);
    let answer = curl(&[
        "--http2-prior-knowledge",
        "--write-out",
        " %{http_version} %{http_code}",
        "--data",
        "body",
        &url,
    ])
    .await;
    assert_eq!(answer.stdout, "hello 2 200", "{answer:?}");
    assert_eq!(origin.only().text(), "body");
}

#[tokio::test]
async fn an_upgrade_to_h2c_is_answered_in_http1() {
    let (_authority, site) = site();
    let origin = Origin::answering("hello").await;
    let gateway = Gateway::start(CONFIG, &[("site", &site), ("app", &origin)]).await;
    let url = format!("http://{}/", gateway.web().await);
    let answer = curl(&[
        "--http2",
        "--write-out",
        " %{http_version} %{http_code}",
        &url,
    ])
    .await;
    assert_eq!(answer.stdout, "hello 1.1 200", "{answer:?}");
    assert!(!origin.only().fields.has("http2-settings"));
}

#[tokio::test]
async fn a_listener_without_h2c_takes_the_preface_for_a_bad_request() {
    let gateway = Gateway::start(
        r#"
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        h2c = false
        [[route]]
        name = "all"
        respond = { body = "hello" }
        "#,
        &[],
    )
    .await;
    let mut client = gateway.connect().await;
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let response = client.response("GET").await.expect("an answer");
    assert!(matches!(response.status, 400 | 505), "{}", response.status);
    client.closed().await;
    assert_eq!(gateway.get("/").await.text(), "hello");
}

#[tokio::test]
async fn nghttp_gets_what_it_asks_for() {
    let (_authority, site) = site();
    let origin = Origin::answering("hello").await;
    let gateway = Gateway::start(CONFIG, &[("site", &site), ("app", &origin)]).await;
    let address = gateway.web().await;
    let secure = gateway.address("secure").await;
    for url in [format!("http://{address}/a"), format!("https://{secure}/b")] {
        let answer = nghttp(&["--verbose", &url]).await;
        assert!(answer.stdout.contains(":status: 200"), "{answer:?}");
        assert!(answer.stdout.contains("hello"), "{answer:?}");
    }
}

#[tokio::test]
async fn h2load_loses_no_request() {
    let (_authority, site) = site();
    let origin = Origin::answering("hello").await;
    let gateway = Gateway::start(CONFIG, &[("site", &site), ("app", &origin)]).await;
    let mut expected = 0usize;
    for url in [
        format!("http://{}/", gateway.web().await),
        format!("https://{}/", gateway.address("secure").await),
    ] {
        let answer = h2load(&["-n", "2000", "-c", "8", "-m", "16", &url]).await;
        assert!(
            answer
                .stdout
                .contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"),
            "{answer:?}"
        );
        expected += 2000;
        gateway.records(expected).await;
        let metrics = gateway.metrics().await;
        let counted = metrics.sum("portcullis_requests_total", &[("code", "200")]);
        assert!((counted - expected as f64).abs() < 0.5, "{counted}");
    }
}

#[tokio::test]
async fn http2_upstreams_are_spoken_to_in_http2() {
    let origin = H2Origin::start(|mut exchange| async move {
        let version = exchange.request.version();
        let authority = exchange.request.uri().authority().cloned();
        let (body, _trailers) = exchange.body().await;
        assert_eq!(version, http::Version::HTTP_2);
        assert_eq!(authority.expect("an authority").as_str(), "gateway.test");
        assert_eq!(body, b"body");
        exchange.answer(201, "made");
    })
    .await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<app>"]
        protocol = "h2c"
        "#,
        &[("app", &origin)],
    )
    .await;
    let response = gateway
        .send(crate::harness::Request::post("/", "body"))
        .await;
    assert_eq!((response.status, response.text()), (201, "made"));
    let client = H2Client::connect(gateway.web().await).await;
    let request = h2_request("POST", "/").body(Bytes::from_static(b"body"));
    let answer = client.ask(request.expect("a request")).await;
    assert_eq!((answer.status, answer.text()), (201, "made"));
}

#[tokio::test]
async fn the_number_of_streams_is_announced_and_kept() {
    let (origin, gate) = Origin::gated("late").await;
    let gateway = Gateway::start(
        r#"
        [[listener]]
        name = "web"
        address = "127.0.0.1:0"
        max_streams = 2
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<app>"]
        "#,
        &[("app", &origin)],
    )
    .await;
    let mut raw = RawH2::over(gateway.connect().await).await;
    let fields: &[(&[u8], &[u8])] = &[
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"gateway.test"),
        (b":path", b"/"),
    ];
    for stream in [1, 3, 5] {
        raw.headers(stream, fields, true).await;
    }
    // REFUSED_STREAM: the client may send it again.
    assert_eq!(raw.end_of(5).await, StreamEnd::Reset(7));
    gate.reached(2).await;
    gate.open();
    assert_eq!(raw.setting(3), Some(2));
    assert_eq!(origin.seen().len(), 2);
}

#[tokio::test]
async fn tls_without_h2_in_alpn_speaks_http1() {
    let (authority, site) = site();
    let gateway = Gateway::start(
        r#"
        [[listener]]
        name = "secure"
        address = "127.0.0.1:0"
        tls = { certificates = [<site>], alpn = ["http/1.1"] }
        [[route]]
        name = "all"
        respond = { body = "hello" }
        "#,
        &[("site", &site)],
    )
    .await;
    let tls = ClientTls::offering(&authority, "gateway.test", &[b"h2", b"http/1.1"]);
    let client = gateway.connect_tls("secure", &tls).await;
    assert_eq!(client.alpn(), Some(&b"http/1.1"[..]));
}
