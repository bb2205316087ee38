//! 1xx responses: `100 Continue`, `103 Early Hints`, and clients that cannot have them.

use crate::harness::{
    Authority, Client, ClientTls, Gateway, RawH2, RawOrigin, Request, curl, nghttp,
};

const CONFIG: &str = r#"
    [[route]]
    name = "all"
    upstream = "app"
    [upstream.app]
    endpoints = ["<app>"]
"#;

const HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n\
                       HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn the_upstream_asks_for_the_body_and_the_client_sends_it() {
    let origin = RawOrigin::start(|_, mut connection| async move {
        let (head, length) = connection.request_head().await.expect("a head");
        assert_eq!(head.header("expect"), Some("100-continue"));
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n").await;
        let (body, _trailers) = connection.body(length).await.expect("a body");
        assert_eq!(body, b"abc");
        connection
            .send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await;
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client
        .send(b"POST / HTTP/1.1\r\nHost: gateway.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        .await;
    let (go, _length) = client.response_head("POST").await.expect("a 100");
    assert_eq!(go.status, 100);
    client.send(b"abc").await;
    let response = client.response("POST").await.expect("an answer");
    assert_eq!((response.status, response.interim.len()), (200, 0));
}

#[tokio::test]
async fn an_upstream_that_refuses_gets_no_body_and_the_client_is_told() {
    let origin = RawOrigin::start(|_, mut connection| async move {
        let _ = connection.request_head().await.expect("a head");
        connection
            .send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            .await;
        // Whatever comes now would be the body of a request that was refused.
        connection.closed().await;
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client
        .send(b"POST / HTTP/1.1\r\nHost: gateway.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        .await;
    let response = client.response("POST").await.expect("an answer");
    assert_eq!((response.status, response.interim.len()), (403, 0));
    drop(client);
    gateway.records(1).await;
}

#[tokio::test]
async fn the_gateway_answers_before_it_asks_for_a_body() {
    let gateway = Gateway::start(
        "[[route]]\nname = \"a\"\npath = \"/a\"\nrespond = { status = 200, body = \"a\" }\n",
        &[],
    )
    .await;
    for (target, status) in [("/a", 200), ("/none", 404)] {
        let mut client = gateway.connect().await;
        let head = format!(
            "POST {target} HTTP/1.1\r\nHost: gateway.test\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        );
        client.send(head.as_bytes()).await;
        let response = client.response("POST").await.expect("an answer");
        assert_eq!((response.status, response.interim.len()), (status, 0));
    }
}

#[tokio::test]
async fn early_hints_reach_a_client_of_http_1_1() {
    let origin = RawOrigin::answering(HINTS).await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let response = gateway.get("/").await;
    assert_eq!((response.status, response.text()), (200, "ok"));
    let hints = response.interim.first().expect("an interim response");
    assert_eq!(hints.status, 103);
    assert_eq!(hints.header("link"), Some("</style.css>; rel=preload"));
}

#[tokio::test]
async fn early_hints_reach_curl_and_a_client_of_http2() {
    let origin = RawOrigin::answering(HINTS).await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let url = format!("http://{}/", gateway.web().await);
    let answer = curl(&["--include", &url]).await;
    assert!(answer.stdout.contains("103"), "{answer:?}");
    assert!(answer.stdout.ends_with("ok"), "{answer:?}");
    let answer = nghttp(&["--verbose", &url]).await;
    assert!(answer.stdout.contains(":status: 103"), "{answer:?}");
    assert!(answer.stdout.contains(":status: 200"), "{answer:?}");
}

#[tokio::test]
async fn a_client_of_http_1_0_gets_no_interim_response() {
    let origin = RawOrigin::answering(HINTS).await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    client
        .send(b"GET / HTTP/1.0\r\nHost: gateway.test\r\n\r\n")
        .await;
    let response = client.response("GET").await.expect("an answer");
    assert_eq!((response.status, response.interim.len()), (200, 0));
}

#[tokio::test]
async fn curl_uploads_with_an_expectation_over_tls() {
    let authority = Authority::new("tests");
    let site = authority.issue(&["gateway.test"]);
    let origin = crate::harness::RecordingOrigin::start().await;
    let gateway = Gateway::start(
        r#"
        [[listener]]
        name = "secure"
        address = "127.0.0.1:0"
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
    // The connection proves that the listener speaks HTTP/1.1 over TLS before curl does.
    let tls = ClientTls::new(&authority, "gateway.test");
    let mut client = gateway.connect_tls("secure", &tls).await;
    assert_eq!(client.ask(Request::get("/")).await.status, 200);
    let answer = curl(&[
        "--http1.1",
        "--cacert",
        &authority.file(),
        "--resolve",
        &format!("gateway.test:{}:127.0.0.1", address.port()),
        "--header",
        "Expect: 100-continue",
        "--expect100-timeout",
        "0.1",
        "--data",
        "body",
        &format!("https://gateway.test:{}/upload", address.port()),
    ])
    .await;
    assert_eq!(
        (answer.code, answer.stdout.as_str()),
        (Some(0), "ok"),
        "{answer:?}"
    );
    assert_eq!(origin.requests()[1].body, b"body");
}

/// A client that does not read what its upstream says ahead of the answer makes the gateway hold little of it.
#[tokio::test]
async fn interim_responses_that_find_no_room_are_left_out() {
    const ALL: usize = 30;
    const HEADERS: u8 = 1;
    const END_STREAM: u8 = 1;
    let origin = RawOrigin::start(|_, mut connection| async move {
        let hint = format!(
            "HTTP/1.1 103 Early Hints\r\nx: {}\r\n\r\n",
            "y".repeat(60_000)
        );
        while connection.request().await.is_ok() {
            connection.send(hint.repeat(ALL).as_bytes()).await;
            connection.send(b"HTTP/1.1 204 No Content\r\n\r\n").await;
        }
    })
    .await;
    let gateway = Gateway::start(CONFIG, &[("app", &origin)]).await;
    let client = Client::connect_narrowly(gateway.web().await).await;
    let mut raw = RawH2::over(client).await;
    let get: [(&[u8], &[u8]); 4] = [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"gateway.test"),
        (b":path", b"/"),
    ];
    raw.headers(1, &get, true).await;
    // All has been said to the client by now, and it has read nothing.
    assert_eq!(gateway.records(1).await[0].text("status"), "204");
    let mut hints = 0;
    loop {
        let frame = raw.next_frame().await.expect("a frame");
        if frame.kind == HEADERS && frame.flags & END_STREAM != 0 {
            break;
        }
        hints += usize::from(frame.kind == HEADERS);
    }
    assert!((1..ALL / 2).contains(&hints), "{hints} of {ALL}");
}
