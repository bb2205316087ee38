//! TLS towards clients: certificates, names, versions, clients that show who they are.

use tokio::net::TcpStream;

use crate::harness::{Authority, Client, ClientTls, Gateway, Request, curl, sslyze};

const ROUTE: &str = "[[route]]\nname = \"all\"\nrespond = { body = \"hello\" }\n";

#[tokio::test]
async fn case_64_the_name_chooses_the_certificate_exact_over_wildcard_over_the_first() {
    let authority = Authority::new("tests");
    let first = authority.issue(&["default.test"]);
    let wildcard = authority.issue(&["*.example.test"]);
    let exact = authority.issue(&["a.example.test"]);
    let gateway = Gateway::start(
        &format!(
            "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:0\"\n\
             tls = {{ certificates = [<first>, <wildcard>, <exact>] }}\n{ROUTE}"
        ),
        &[
            ("first", &first),
            ("wildcard", &wildcard),
            ("exact", &exact),
        ],
    )
    .await;
    for (name, expected) in [
        ("a.example.test", &exact),
        ("A.EXAMPLE.test", &exact),
        ("b.example.test", &wildcard),
        ("default.test", &first),
    ] {
        let tls = ClientTls::new(&authority, name);
        let mut client = gateway.connect_tls("secure", &tls).await;
        assert_eq!(
            client.peer_certificate(),
            Some(expected.der().as_slice()),
            "{name}"
        );
        let response = client.ask(Request::get("/").host(name)).await;
        assert_eq!(response.text(), "hello", "{name}");
    }
    // Case 64: without a name, and with one that nobody has, the first certificate is shown.
    let tls = ClientTls::new(&authority, "default.test").without_sni();
    let client = gateway.connect_tls("secure", &tls).await;
    assert_eq!(client.peer_certificate(), Some(first.der().as_slice()));
    let tls = ClientTls::new(&authority, "other.test");
    let stream = TcpStream::connect(gateway.address("secure").await).await;
    assert!(
        Client::try_tls(stream.expect("a connection"), &tls)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_oldest_version_is_configured() {
    let authority = Authority::new("tests");
    let site = authority.issue(&["gateway.test"]);
    for (min_version, served) in [("1.2", true), ("1.3", false)] {
        let gateway = Gateway::start(
            &format!(
                "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:0\"\n\
                 tls = {{ certificates = [<site>], min_version = \"{min_version}\" }}\n{ROUTE}"
            ),
            &[("site", &site)],
        )
        .await;
        let old = ClientTls::only_tls12(&authority, "gateway.test");
        let stream = TcpStream::connect(gateway.address("secure").await).await;
        let handshake = Client::try_tls(stream.expect("a connection"), &old).await;
        assert_eq!(handshake.is_ok(), served, "{min_version}");
        if let Ok(mut client) = handshake {
            client.ask(Request::get("/")).await;
            let record = &gateway.records(1).await[0];
            assert_eq!(record.text("tls_version"), "TLSv1.2");
        } else {
            let new = ClientTls::new(&authority, "gateway.test");
            let mut client = gateway.connect_tls("secure", &new).await;
            client.ask(Request::get("/")).await;
            gateway.records(1).await;
            for name in ["handshake_failures_total", "handshakes_total"] {
                let name = format!("portcullis_tls_{name}");
                gateway.metric_is(&name, &[("listener", "secure")], 1).await;
            }
        }
    }
}

#[tokio::test]
async fn clients_must_or_may_show_a_certificate() {
    let authority = Authority::new("tests");
    let strangers = Authority::new("strangers");
    let site = authority.issue(&["gateway.test"]);
    let known = authority.issue(&["client.test"]);
    let unknown = strangers.issue(&["client.test"]);
    for (mode, anonymous_is_served) in [("require", false), ("request", true)] {
        let gateway = Gateway::start(
            &format!(
                "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:0\"\n\
                 tls = {{ certificates = [<site>], client_ca = <ca>, client_auth = \"{mode}\" }}\n{ROUTE}"
            ),
            &[("site", &site), ("ca", &authority.path())],
        )
        .await;
        for (tls, served) in [
            (
                ClientTls::presenting(&authority, "gateway.test", &known),
                true,
            ),
            (
                ClientTls::presenting(&authority, "gateway.test", &unknown),
                false,
            ),
            (
                ClientTls::new(&authority, "gateway.test"),
                anonymous_is_served,
            ),
        ] {
            let stream = TcpStream::connect(gateway.address("secure").await).await;
            // With TLS 1.3 the client learns of the refusal after its own side of the handshake.
            let answer = match Client::try_tls(stream.expect("a connection"), &tls).await {
                Ok(mut client) => client.try_ask(Request::get("/")).await.is_ok(),
                Err(_) => false,
            };
            assert_eq!(answer, served, "{mode}");
        }
        let record = &gateway.records(1).await[0];
        assert!(
            record.text("tls_client_subject").contains("client.test"),
            "{record:?}"
        );
    }
}

#[tokio::test]
async fn a_renewed_certificate_is_read_without_a_reload() {
    let authority = Authority::new("tests");
    let old = authority.issue_as(&["gateway.test"], "site");
    let gateway = Gateway::start(
        &format!(
            "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:0\"\n\
             tls = {{ certificates = [<site>] }}\n{ROUTE}"
        ),
        &[("site", &old)],
    )
    .await;
    let tls = ClientTls::new(&authority, "gateway.test");
    let mut kept = gateway.connect_tls("secure", &tls).await;
    assert_eq!(kept.peer_certificate(), Some(old.der().as_slice()));

    let new = authority.issue_as(&["gateway.test"], "renewed");
    new.replace_files_of(&old);
    gateway
        .until("the new certificate", async || {
            let client = gateway.connect_tls("secure", &tls).await;
            client.peer_certificate() == Some(new.der().as_slice())
        })
        .await;
    // A connection that was open before is not disturbed.
    assert_eq!(kept.ask(Request::get("/")).await.text(), "hello");
}

#[tokio::test]
async fn a_broken_certificate_file_leaves_the_old_one_in_use() {
    let authority = Authority::new("tests");
    let old = authority.issue_as(&["gateway.test"], "site");
    let gateway = Gateway::start(
        &format!(
            "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:0\"\n\
             tls = {{ certificates = [<site>] }}\n{ROUTE}"
        ),
        &[("site", &old)],
    )
    .await;
    let seen = gateway.log().count();
    let broken = format!("{}.broken", old.certificate_file());
    std::fs::write(&broken, "no certificate").expect("a file");
    std::fs::rename(&broken, old.certificate_file()).expect("a rename");
    gateway.log().after(seen).await;
    let tls = ClientTls::new(&authority, "gateway.test");
    let client = gateway.connect_tls("secure", &tls).await;
    assert_eq!(client.peer_certificate(), Some(old.der().as_slice()));
}

#[tokio::test]
async fn case_42_another_host_than_the_name_of_a_guarded_certificate_is_misdirected() {
    let authority = Authority::new("tests");
    let open = authority.issue(&["open.test"]);
    let guarded = authority.issue(&["guarded.test"]);
    let known = authority.issue(&["client.test"]);
    let gateway = Gateway::start(
        &format!(
            "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:0\"\n\
             tls = {{ certificates = [<open>, <guarded>], client_ca = <ca>, client_auth = \"require\" }}\n{ROUTE}"
        ),
        &[
            ("open", &open),
            ("guarded", &guarded),
            ("ca", &authority.path()),
        ],
    )
    .await;
    let tls = ClientTls::presenting(&authority, "open.test", &known);
    let mut client = gateway.connect_tls("secure", &tls).await;
    let response = client.ask(Request::get("/").host("guarded.test")).await;
    assert_eq!(response.status, 421);
    let response = client.ask(Request::get("/").host("open.test")).await;
    assert_eq!(response.status, 200);
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("reason"), "misdirected");
}

#[tokio::test]
async fn the_expiry_of_a_certificate_is_a_metric() {
    let authority = Authority::new("tests");
    let site = authority.issue(&["gateway.test"]);
    let gateway = Gateway::start(
        &format!(
            "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:0\"\n\
             tls = {{ certificates = [<site>] }}\n{ROUTE}"
        ),
        &[("site", &site)],
    )
    .await;
    let metrics = gateway.metrics().await;
    let expiry = metrics.sum(
        "portcullis_certificate_not_after_timestamp_seconds",
        &[("listener", "secure")],
    );
    assert!(expiry > 1_700_000_000.0, "{expiry}");
}

#[tokio::test]
async fn curl_and_the_gateway_agree_on_tls_1_3() {
    let authority = Authority::new("tests");
    let site = authority.issue(&["gateway.test"]);
    let gateway = Gateway::start(
        &format!(
            "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:0\"\n\
             tls = {{ certificates = [<site>] }}\n{ROUTE}"
        ),
        &[("site", &site)],
    )
    .await;
    let port = gateway.address("secure").await.port();
    for version in ["--tlsv1.3", "--tls-max=1.2"] {
        let (option, value) = version.split_once('=').unwrap_or((version, ""));
        let mut arguments = vec![option];
        if !value.is_empty() {
            arguments.push(value);
        }
        let (ca, resolve) = (authority.file(), format!("gateway.test:{port}:127.0.0.1"));
        let url = format!("https://gateway.test:{port}/");
        arguments.extend(["--cacert", &ca, "--resolve", &resolve, &url]);
        let answer = curl(&arguments).await;
        assert_eq!(answer.stdout, "hello", "{answer:?}");
    }
}

/// Protocols, cipher suites, curves and signatures without a word of configuration. Without sslyze it sees nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sslyze_finds_what_mozilla_calls_intermediate() {
    let authority = Authority::new("tests");
    let site = authority.issue(&["gateway.test"]);
    let gateway = Gateway::start(
        &format!(
            "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:0\"\n\
             tls = {{ certificates = [<site>] }}\n{ROUTE}"
        ),
        &[("site", &site)],
    )
    .await;
    let Some(scan) = sslyze(gateway.address("secure").await).await else {
        println!("there is no sslyze here; `make setup` brings it where PyPI can be reached");
        return;
    };
    let (_, verdict) = (scan.stdout.split_once("COMPLIANCE AGAINST"))
        .unwrap_or_else(|| panic!("no verdict: {scan:?}"));
    // The certificate is one of the test: of an authority that nobody knows, and for as long as it likes.
    let of_the_test = [
        "certificate_path_validation",
        "cert_",
        "maximum_certificate_lifespan",
    ];
    let departures: Vec<_> = verdict
        .lines()
        .filter_map(|line| line.trim().strip_prefix("* "))
        .filter(|line| !of_the_test.iter().any(|word| line.starts_with(word)))
        .collect();
    assert!(departures.is_empty(), "{departures:?}");
    let judged = verdict.contains("OK - Compliant") || verdict.contains("FAILED - Not compliant");
    assert!(judged, "{verdict}");
}

/// Case 66: nobody's request is acted on before the handshake proves that it is fresh.
#[tokio::test]
async fn case_66_no_early_data_is_accepted() {
    let authority = Authority::new("tests");
    let site = authority.issue(&["gateway.test"]);
    let gateway = Gateway::start(
        &format!(
            "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:0\"\n\
             tls = {{ certificates = [<site>] }}\n{ROUTE}"
        ),
        &[("site", &site)],
    )
    .await;
    let tls = ClientTls::new(&authority, "gateway.test");
    for _ in 0..2 {
        let mut client = gateway.connect_tls("secure", &tls).await;
        client.ask(Request::get("/")).await;
    }
    assert!(!tls.may_send_early_data(), "a ticket allows early data");
}

/// What an idle connection may cost, with all that a build without optimisation adds.
const IDLE: u64 = 40 * 1024;

#[tokio::test]
async fn case_30_idle_connections_and_half_open_handshakes_stay_within_their_budget() {
    const EACH: usize = 400;
    let authority = Authority::new("tests");
    let site = authority.issue(&["gateway.test"]);
    let gateway = Gateway::start(
        &format!(
            "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:0\"\n\
             handshake_timeout = \"300s\"\ntls = {{ certificates = [<site>] }}\n{ROUTE}"
        ),
        &[("site", &site)],
    )
    .await;
    let tls = ClientTls::new(&authority, "gateway.test");
    let mut first = gateway.connect_tls("secure", &tls).await;
    assert_eq!(first.ask(Request::get("/")).await.text(), "hello");
    let before = gateway.resident();
    let mut open = Vec::new();
    for _ in 0..EACH {
        let mut idle = gateway.connect_tls("secure", &tls).await;
        assert_eq!(idle.ask(Request::get("/")).await.text(), "hello");
        let mut half = Client::connect(gateway.address("secure").await).await;
        // The beginning of a ClientHello.
        half.send(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]).await;
        open.push((idle, half));
    }
    // The gateway has got to the last one.
    assert_eq!(first.ask(Request::get("/")).await.text(), "hello");
    let grown = gateway.resident().saturating_sub(before);
    assert!(
        grown < 2 * EACH as u64 * IDLE,
        "{grown} bytes for {EACH} connections of each kind"
    );
}
