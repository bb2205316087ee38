//! The access log: one line for each exchange, in the format that was asked for.

use crate::harness::{AccessLog, Authority, ClientTls, Gateway, Origin, Request};

const ROUTE: &str = r#"
    [[route]]
    name = "all"
    upstream = "app"
    [upstream.app]
    endpoints = ["<app>"]
"#;

#[tokio::test]
async fn a_json_record_tells_the_whole_story() {
    let origin = Origin::answering("hello").await;
    let gateway = Gateway::start(ROUTE, &[("app", &origin)]).await;
    let mut client = gateway.connect().await;
    let port = client.local().port().to_string();
    client
        .ask(
            Request::post("/a/b?c=d", "12345")
                .host("api.test:8080")
                .header("User-Agent", "tests/1")
                .header("Referer", "http://other.test/"),
        )
        .await;
    let record = &gateway.records(1).await[0];
    for (field, value) in [
        ("listener", "web"),
        ("client_ip", "127.0.0.1"),
        ("client_port", &port),
        ("protocol", "HTTP/1.1"),
        ("method", "POST"),
        ("path", "/a/b"),
        ("query", "c=d"),
        ("status", "200"),
        ("reason", ""),
        ("source", "upstream"),
        ("route", "all"),
        ("upstream", "app"),
        ("endpoint", &origin.to_string()),
        ("attempts", "1"),
        ("bytes_received", "5"),
        ("bytes_sent", "5"),
        ("user_agent", "tests/1"),
        ("referer", "http://other.test/"),
        ("generation", "1"),
    ] {
        assert_eq!(record.text(field), value, "{field} in {}", record.whole());
    }
    assert!(record.text("host").starts_with("api.test"));
    assert!(record.text("time").starts_with("20"));
    let phases = [
        "head_ms",
        "upstream_connect_ms",
        "upstream_first_byte_ms",
        "overhead_ms",
    ];
    for phase in phases {
        let (part, whole) = (record.number(phase), record.number("duration_ms"));
        assert!((0.0..=whole).contains(&part), "{phase}: {part} of {whole}");
    }
}

#[tokio::test]
async fn tls_facts_are_recorded() {
    let authority = Authority::new("tests");
    let site = authority.issue(&["gateway.test"]);
    let gateway = Gateway::start(
        "[[listener]]\nname = \"secure\"\naddress = \"127.0.0.1:0\"\ntls = { certificates = [<site>] }\n\
         [[route]]\nname = \"all\"\nrespond = { body = \"hello\" }\n",
        &[("site", &site)],
    )
    .await;
    let tls = ClientTls::new(&authority, "gateway.test");
    gateway
        .connect_tls("secure", &tls)
        .await
        .ask(Request::get("/"))
        .await;
    let record = &gateway.records(1).await[0];
    assert_eq!(record.text("tls_version"), "TLSv1.3");
    assert_eq!(record.text("tls_sni"), "gateway.test");
    assert!(
        record.text("tls_cipher").starts_with("TLS_"),
        "{}",
        record.whole()
    );
}

#[tokio::test]
async fn authorization_and_cookies_are_never_written() {
    let origin = Origin::answering("hello").await;
    for format in ["json", "combined"] {
        let gateway = Gateway::start(
            &format!("[access_log]\noutput = \"access.log\"\nformat = \"{format}\"\n{ROUTE}"),
            &[("app", &origin)],
        )
        .await;
        gateway
            .send(
                Request::get("/")
                    .header("Authorization", "Bearer s3cr3t")
                    .header("Cookie", "session=s3cr3t")
                    .header("Proxy-Authorization", "Basic s3cr3t"),
            )
            .await;
        let lines = gateway.access_log().lines(1).await;
        assert!(!lines[0].contains("s3cr3t"), "{}", lines[0]);
    }
}

/// Case 52: whatever a client writes stays inside its field.
#[tokio::test]
async fn case_52_a_client_cannot_forge_a_line() {
    let origin = Origin::answering("hello").await;
    // The last but one begins a command to a terminal, as ESC would, which no field may have.
    let agent = "\"} \\ {\"status\":200 \u{e9} \u{9b}31m\t";
    for format in ["json", "combined", "\\\"${user_agent}\\\" ${path} ${query}"] {
        let gateway = Gateway::start(
            &format!("[access_log]\noutput = \"access.log\"\nformat = \"{format}\"\n{ROUTE}"),
            &[("app", &origin)],
        )
        .await;
        gateway
            .send(Request::get("/%22%20?\"'").header("User-Agent", agent))
            .await;
        gateway.get("/next").await;
        let lines = gateway.access_log().lines(2).await;
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines.iter().all(|line| !line.chars().any(char::is_control)),
            "{lines:?}"
        );
        if format == "json" {
            let record = crate::harness::Record::parse(&lines[0]);
            assert_eq!(record.text("user_agent").trim_end(), agent.trim_end());
        } else {
            // Those around the request, the referer and the agent, or around the agent alone.
            let quotes = if format == "combined" { 6 } else { 2 };
            assert_eq!(lines[0].matches('"').count(), quotes, "{}", lines[0]);
        }
    }
}

#[tokio::test]
async fn the_combined_format_is_what_other_tools_read() {
    let origin = Origin::answering("hello").await;
    let gateway = Gateway::start(
        &format!("[access_log]\noutput = \"access.log\"\nformat = \"combined\"\n{ROUTE}"),
        &[("app", &origin)],
    )
    .await;
    gateway
        .send(Request::get("/a?b").header("User-Agent", "tests/1"))
        .await;
    let lines = gateway.access_log().lines(1).await;
    let pattern = regex::Regex::new(
        r#"^127\.0\.0\.1 - - \[\d{2}/[A-Z][a-z]{2}/\d{4}:\d{2}:\d{2}:\d{2} \+0000\] "GET /a\?b HTTP/1\.1" 200 5 "-" "tests/1"$"#,
    )
    .expect("a pattern");
    assert!(pattern.is_match(&lines[0]), "{}", lines[0]);
}

#[tokio::test]
async fn a_template_writes_what_it_names() {
    let origin = Origin::answering("hello").await;
    let gateway = Gateway::start(
        &format!(
            "[access_log]\noutput = \"access.log\"\nformat = \"template\"\n\
             template = \"${{client_ip}} ${{method}} ${{path}} ${{status}} [${{route}}] ${{upstream}}\"\n{ROUTE}"
        ),
        &[("app", &origin)],
    )
    .await;
    gateway.get("/a?b").await;
    let lines = gateway.access_log().lines(1).await;
    assert_eq!(lines[0], "127.0.0.1 GET /a 200 [all] app");
}

#[tokio::test]
async fn the_log_may_go_to_standard_output() {
    let origin = Origin::answering("hello").await;
    let gateway = Gateway::start(
        &format!("[access_log]\noutput = \"stdout\"\n{ROUTE}"),
        &[("app", &origin)],
    )
    .await;
    gateway.get("/a").await;
    let path = gateway
        .output()
        .wait("a record on stdout", |line| {
            line.field("path").map(str::to_owned)
        })
        .await;
    assert_eq!(path, "/a");
}

#[tokio::test]
async fn the_log_may_be_off() {
    let origin = Origin::answering("hello").await;
    let mut gateway = Gateway::start(
        &format!("[access_log]\noutput = \"off\"\n{ROUTE}"),
        &[("app", &origin)],
    )
    .await;
    gateway.get("/a").await;
    gateway.signal("TERM").await;
    assert_eq!(gateway.exit().await.code(), Some(0));
    assert_eq!(gateway.output().count(), 0, "{}", gateway.output().text());
    assert!(gateway.access_log().lines_now().is_empty());
}

#[tokio::test]
async fn a_rotated_log_is_opened_again_on_sigusr1() {
    let origin = Origin::answering("hello").await;
    let gateway = Gateway::start(ROUTE, &[("app", &origin)]).await;
    gateway.get("/before").await;
    gateway.records(1).await;
    let old = gateway.directory().join("access.log.1");
    std::fs::rename(gateway.access_log().path(), &old).expect("a rotation");
    let new = AccessLog::follow(gateway.access_log().path());
    gateway.signal("USR1").await;
    new.exists().await;
    gateway.get("/after").await;
    let records = new.records(1).await;
    assert_eq!(records[0].text("path"), "/after");
    let rotated = std::fs::read_to_string(&old).expect("the old file");
    assert_eq!(rotated.lines().count(), 1);
}

/// Case 86: a disk that is full costs lines, never requests, and the gateway says so.
#[tokio::test]
async fn case_86_a_full_disk_costs_lines_and_counts_them() {
    let origin = Origin::answering("hello").await;
    let gateway = Gateway::start(
        &format!("[access_log]\noutput = \"/dev/full\"\n{ROUTE}"),
        &[("app", &origin)],
    )
    .await;
    let mut client = gateway.connect().await;
    crate::harness::within("writes that fail", async {
        loop {
            assert_eq!(client.ask(Request::get("/")).await.status, 200);
            let metrics = gateway.metrics().await;
            let failed = metrics.sum("portcullis_access_log_write_errors_total", &[]);
            let dropped = metrics.sum("portcullis_access_log_dropped_total", &[]);
            if failed >= 1.0 && dropped >= 1.0 {
                break;
            }
        }
    })
    .await;
}

/// Case 86: a sink that stalls costs lines, never requests.
#[tokio::test]
async fn case_86_a_stalled_log_drops_lines_and_counts_them() {
    let origin = Origin::answering("hello").await;
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo").success());
    // Somebody has it open, and does not read.
    let _reader = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .expect("the pipe");
    let gateway = Gateway::start(
        &format!(
            "[access_log]\noutput = {:?}\n{ROUTE}",
            pipe.display().to_string()
        ),
        &[("app", &origin)],
    )
    .await;
    let mut client = gateway.connect().await;
    let long = "x".repeat(7000);
    let mut dropped = 0.0;
    for number in 0..20_000 {
        let request = Request::get(&format!("/?{long}"));
        assert_eq!(client.ask(request).await.status, 200);
        if number % 200 == 199 {
            dropped = gateway
                .metrics()
                .await
                .sum("portcullis_access_log_dropped_total", &[]);
            if dropped > 0.0 {
                break;
            }
        }
    }
    assert!(
        dropped > 0.0,
        "140 MB of lines went into a pipe that nobody reads"
    );
}

#[tokio::test]
async fn a_refused_request_has_the_method_that_was_there_or_none() {
    let origin = Origin::answering("never asked").await;
    let gateway = Gateway::start(ROUTE, &[("app", &origin)]).await;
    let cases: [(&[u8], &str, &str); 9] = [
        (b"DELETE /x HTTP/7.1\r\n\r\n", "DELETE", "DELETE"),
        (b"PUT /x HTTP/1.1\r\nHost : a\r\n\r\n", "PUT", "PUT"),
        (b"BREW /x HTTP/1.1\r\nHost: a b\r\n\r\n", "BREW", "OTHER"),
        // The client goes before the head is there.
        (b"PATCH /x HTTP/1.1\r\nHost: ", "PATCH", "PATCH"),
        (b"PATCH", "", "OTHER"),
        // No methods.
        (b"P(ST / HTTP/1.1\r\n\r\n", "", "OTHER"),
        (b" GET / HTTP/1.1\r\n\r\n", "", "OTHER"),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", "", "OTHER"),
        (
            b"AMETHODTHATISLONGERTHANANYOTHERTHEREIS / HTTP/1.1\r\n\r\n",
            "",
            "OTHER",
        ),
    ];
    for (number, (bytes, method, label)) in cases.into_iter().enumerate() {
        let mut client = gateway.connect().await;
        let _ = client.try_send(bytes).await;
        let _ = client.try_finish().await;
        client.rest().await;
        let records = gateway.records(number + 1).await;
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(records[number].text("method"), method, "{shown}");
        let metrics = gateway.metrics().await;
        let labels = [("method", label), ("source", "gateway")];
        assert!(
            metrics.has("portcullis_requests_total", &labels),
            "{label}: {shown}"
        );
        let labels = [("method", "GET")];
        assert!(
            !metrics.has("portcullis_requests_total", &labels),
            "{shown}"
        );
    }
    assert!(origin.seen().is_empty());
}
