//! TLS towards upstreams: whom the gateway believes, and what it shows itself.

use bytes::Bytes;
use http_body_util::Full;

use crate::harness::{Authority, Gateway, H2Origin, Origin, RawOrigin};

#[tokio::test]
async fn an_upstream_is_verified_by_its_name_and_authority() {
    let authority = Authority::new("tests");
    let identity = authority.issue(&["partner.test"]);
    let origin = Origin::https(identity.acceptor(&[b"http/1.1"]), |_seen| async {
        http::Response::new(Full::new(Bytes::from_static(b"partner")))
    })
    .await;
    let strangers = Authority::new("strangers");
    for (tls, status) in [
        ("{ server_name = \"partner.test\", ca = <ca> }", 200),
        ("{ server_name = \"other.test\", ca = <ca> }", 502),
        ("{ server_name = \"partner.test\", ca = <strangers> }", 502),
        ("{ server_name = \"partner.test\" }", 502),
        ("{ server_name = \"partner.test\", verify = false }", 200),
        ("{ verify = false }", 200),
    ] {
        let text = format!(
            "[[route]]\nname = \"all\"\nupstream = \"app\"\n[upstream.app]\nendpoints = [\"{origin}\"]\ntls = {tls}\n"
        )
        .replace("<ca>", &authority.path())
        .replace("<strangers>", &strangers.path());
        let gateway = Gateway::start(&text, &[]).await;
        let response = gateway.get("/").await;
        assert_eq!(response.status, status, "{tls}");
        if status == 502 {
            let record = &gateway.records(1).await[0];
            assert_eq!(record.text("reason"), "upstream_tls");
        }
    }
    assert!(
        origin
            .seen()
            .iter()
            .all(|seen| seen.header("host") == Some("gateway.test"))
    );
}

#[tokio::test]
async fn the_gateway_shows_its_own_certificate_to_an_upstream_that_asks() {
    let authority = Authority::new("tests");
    let identity = authority.issue(&["partner.test"]);
    let own = authority.issue(&["gateway.test"]);
    let acceptor = identity.acceptor_with(&[b"http/1.1"], Some(&authority));
    let origin = Origin::https(acceptor, |_seen| async {
        http::Response::new(Full::new(Bytes::from_static(b"partner")))
    })
    .await;
    let (certificate, key) = (
        format!("{:?}", own.certificate_file()),
        format!("{:?}", own.key_file()),
    );
    for (own_lines, status) in [
        (format!("certificate = {certificate}\nkey = {key}\n"), 200),
        (String::new(), 502),
    ] {
        let gateway = Gateway::start(
            &format!(
                "[[route]]\nname = \"all\"\nupstream = \"app\"\n[upstream.app]\nendpoints = [\"<app>\"]\n\
                 [upstream.app.tls]\nserver_name = \"partner.test\"\nca = <ca>\n{own_lines}"
            ),
            &[("app", &origin), ("ca", &authority.path())],
        )
        .await;
        assert_eq!(gateway.get("/").await.status, status);
    }
}

#[tokio::test]
async fn an_upstream_of_http2_over_tls_must_agree_on_it() {
    let authority = Authority::new("tests");
    let identity = authority.issue(&["partner.test"]);
    let text = r#"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<app>"]
        protocol = "h2"
        tls = { server_name = "partner.test", ca = <ca> }
    "#;
    let origin = H2Origin::start_tls(identity.acceptor(&[b"h2"]), |mut exchange| async move {
        exchange.answer(200, "over h2");
    })
    .await;
    let gateway = Gateway::start(text, &[("app", &origin), ("ca", &authority.path())]).await;
    assert_eq!(gateway.get("/").await.text(), "over h2");

    let old = RawOrigin::start_tls(
        identity.acceptor(&[b"http/1.1"]),
        |_, mut connection| async move {
            connection.rest().await;
        },
    )
    .await;
    let gateway = Gateway::start(text, &[("app", &old), ("ca", &authority.path())]).await;
    assert_eq!(gateway.get("/").await.status, 502);
}

/// Case 67: what comes in the clear before the handshake is not an answer.
#[tokio::test]
async fn case_67_plain_bytes_before_a_handshake_are_no_response() {
    let origin = RawOrigin::start(|_, mut connection| async move {
        let _ = connection
            .try_send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            .await;
        connection.rest().await;
    })
    .await;
    let gateway = Gateway::start(
        r#"
        [[route]]
        name = "all"
        upstream = "app"
        [upstream.app]
        endpoints = ["<app>"]
        tls = { verify = false }
        "#,
        &[("app", &origin)],
    )
    .await;
    assert_eq!(gateway.get("/").await.status, 502);
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "upstream_tls");
}

/// Case 67: what one upstream does not verify, or did not verify before a reload, is no proof to one that does.
#[tokio::test]
async fn case_67_what_was_not_verified_is_not_used_by_who_verifies() {
    let authority = Authority::new("tests");
    let identity = authority.issue(&["partner.test"]);
    let origin = Origin::https(identity.acceptor(&[b"http/1.1"]), |_seen| async {
        http::Response::new(Full::new(Bytes::from_static(b"partner")))
    })
    .await;
    // Only the verification differs: the endpoint, the name and the worker are the same.
    let text = |tls: &str, strict: &str| {
        format!(
            "[server]\nworkers = 1\n\
             [[route]]\nname = \"lax\"\npath = \"/lax\"\nupstream = \"lax\"\n\
             [[route]]\nname = \"strict\"\nupstream = \"strict\"\n\
             [upstream.lax]\nendpoints = [\"{origin}\"]\n\
             tls = {{ server_name = \"other.test\", {tls} }}\n\
             [upstream.strict]\nendpoints = [\"{origin}\"]\n\
             tls = {{ server_name = \"other.test\", {strict} }}\n"
        )
    };
    let verified = format!("ca = {:?}", authority.file());
    let gateway = Gateway::start(&text("verify = false", &verified), &[]).await;
    for _ in 0..3 {
        assert_eq!(gateway.get("/lax").await.status, 200);
        assert_eq!(gateway.get("/").await.status, 502);
    }
    // The connections and the sessions of the same upstream do not outlive the change.
    gateway
        .reload(&text("verify = false", "verify = false"), &[])
        .await;
    assert_eq!(gateway.get("/").await.status, 200);
    gateway
        .reload(&text("verify = false", &verified), &[])
        .await;
    assert_eq!(gateway.get("/").await.status, 502);
    gateway.reload(&text(&verified, &verified), &[]).await;
    assert_eq!(gateway.get("/lax").await.status, 502);
}
