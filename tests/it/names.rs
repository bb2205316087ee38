//! Endpoints by name: what the gateway makes of name servers that answer, change their minds, fail and say nothing.

use hickory_resolver::proto::rr::RecordType::{self, A, AAAA};

use crate::harness::{Authority, Gateway, NameServer, Origin, Request, Samples, ok, within};

/// A route to one upstream whose names are looked up all the time.
fn config(names: &NameServer, endpoints: &str, dns: &str) -> String {
    format!(
        "[dns]\nservers = [\"{names}\"]\n{}\n{dns}\n[[route]]\nname = \"all\"\nupstream = \"app\"\n\
         [upstream.app]\nendpoints = [{endpoints}]\n",
        if dns.contains("ttl") { "" } else { OFTEN }
    )
}

const OFTEN: &str = "min_ttl = \"20ms\"\nmax_ttl = \"20ms\"";

/// Origins with one port, at these addresses, each answering what it is called.
async fn origins<const N: usize>(named: [(&str, &'static str); N]) -> (u16, Vec<Origin>) {
    let mut port = 0;
    let mut origins = Vec::new();
    for (address, text) in named {
        let address = std::net::SocketAddr::new(address.parse().expect("an address"), port);
        let origin = Origin::answering_at(address, text).await;
        port = origin.address().port();
        origins.push(origin);
    }
    (port, origins)
}

/// The different bodies of some requests.
async fn bodies(gateway: &Gateway) -> Vec<String> {
    let mut client = gateway.connect().await;
    let mut bodies = Vec::new();
    for _ in 0..6 {
        let response = client.ask(Request::get("/")).await;
        assert_eq!(response.status, 200);
        bodies.push(response.text().to_owned());
    }
    bodies.sort_unstable();
    bodies.dedup();
    bodies
}

/// Waits until requests are answered by exactly these.
async fn until(gateway: &Gateway, expected: &[&str]) {
    let what = format!("answers by {expected:?}");
    within(&what, async { while bodies(gateway).await != expected {} }).await;
}

fn answers(metrics: &Samples, name: &str, result: &str) -> f64 {
    let labels = [("name", name), ("result", result)];
    metrics.sum("portcullis_discovery_answers_total", &labels)
}

/// Waits until the source has failed so often.
async fn until_failed(gateway: &Gateway, name: &str, count: usize) {
    let labels = [("name", name), ("result", "failure")];
    gateway
        .metric_reaches("portcullis_discovery_answers_total", &labels, count)
        .await;
}

#[tokio::test]
async fn all_addresses_of_a_name_are_endpoints_and_the_family_can_be_chosen() {
    let (port, _origins) = origins([("127.0.0.1", "a"), ("127.0.0.2", "b"), ("::1", "six")]).await;
    let names = NameServer::start().await;
    names.set("app.test", A, 60, &["127.0.0.1", "127.0.0.2"]);
    names.set("app.test", AAAA, 60, &["::1"]);
    let endpoint = format!("\"app.test:{port}\"");
    for (ip, expected) in [
        ("any", &["a", "b", "six"][..]),
        ("v4", &["a", "b"]),
        ("v6", &["six"]),
    ] {
        let text = config(&names, &endpoint, &format!("ip = \"{ip}\""));
        let gateway = Gateway::start(&text, &[]).await;
        assert_eq!(bodies(&gateway).await, expected);
    }
    // And for one upstream alone.
    let text = config(&names, &endpoint, "ip = \"v4\"") + "dns = { ip = \"v6\" }\n";
    let gateway = Gateway::start(&text, &[]).await;
    assert_eq!(bodies(&gateway).await, ["six"]);
}

#[tokio::test]
async fn case_80_a_name_that_moves_takes_its_requests_along_and_nothing_that_fails_takes_them_away()
{
    let (port, _origins) = origins([("127.0.0.1", "old"), ("127.0.0.2", "new")]).await;
    let names = NameServer::start().await;
    names.set("app.test", A, 60, &["127.0.0.1"]);
    let text = config(&names, &format!("\"app.test:{port}\""), "ip = \"v4\"");
    let gateway = Gateway::start(&text, &[]).await;
    assert_eq!(bodies(&gateway).await, ["old"]);
    names.set("app.test", A, 60, &["127.0.0.2"]);
    until(&gateway, &["new"]).await;

    // It fails, then it is empty; the last good answer holds, and everyone can see how old it is.
    names.fail("app.test", A);
    until_failed(&gateway, "app.test", 1).await;
    assert_eq!(bodies(&gateway).await, ["new"]);
    names.set("app.test", A, 60, &[]);
    within("the new reason", async {
        while source(&gateway).await["failing"]["reason"] != "the name has no address" {}
    })
    .await;
    assert_eq!(bodies(&gateway).await, ["new"]);
    let shown = source(&gateway).await;
    assert_eq!(
        (&shown["kind"], &shown["name"]),
        (&"dns".into(), &"app.test".into())
    );
    assert_eq!(shown["endpoints"], 1);
    let age = shown["age_seconds"].as_f64().expect("an age");
    let metrics = gateway.metrics().await;
    let labels = [("upstream", "app"), ("kind", "dns"), ("name", "app.test")];
    assert!(metrics.sum("portcullis_discovery_age_seconds", &labels) >= age.floor());
    assert!((metrics.sum("portcullis_discovery_endpoints", &labels) - 1.0).abs() < 0.1);

    // A reload meanwhile, even one after which somebody else is asked, begins with what is known.
    let silent = NameServer::start().await;
    silent.keep_silent("app.test", A);
    let text = config(&silent, &format!("\"app.test:{port}\""), "ip = \"v4\"");
    gateway
        .reload(&text.replace("\"all\"", "\"renamed\""), &[])
        .await;
    assert_eq!(bodies(&gateway).await, ["new"]);
    assert!(source(&gateway).await["age_seconds"].as_f64() >= Some(age));

    // And it recovers.
    silent.set("app.test", A, 60, &["127.0.0.1", "127.0.0.2"]);
    let text = config(
        &silent,
        &format!("\"app.test:{port}\""),
        "ip = \"v4\"\ntimeout = \"5s\"",
    );
    gateway.reload(&text, &[]).await;
    until(&gateway, &["new", "old"]).await;
    assert_eq!(source(&gateway).await["failing"], serde_json::Value::Null);
}

/// The only source of the upstream, as the admin address shows it.
async fn source(gateway: &Gateway) -> serde_json::Value {
    let shown = gateway.ask_admin(Request::get("/upstreams")).await.json();
    let sources = &shown["upstreams"]["app"]["sources"];
    assert_eq!(sources.as_array().map(Vec::len), Some(1), "{shown}");
    sources[0].clone()
}

#[tokio::test]
async fn case_80_requests_do_not_notice_that_a_name_flips_and_fails() {
    let (port, _origins) = origins([("127.0.0.1", "a"), ("127.0.0.2", "b")]).await;
    let names = NameServer::start().await;
    names.set("app.test", A, 1, &["127.0.0.1"]);
    let text = config(&names, &format!("\"app.test:{port}\""), "ip = \"v4\"");
    let gateway = Gateway::start(&text, &[]).await;
    let mut asked = names.asked("app.test");
    for round in 0..12 {
        match round % 4 {
            0 => names.set("app.test", A, 1, &["127.0.0.2"]),
            1 => names.set("app.test", A, 1, &["127.0.0.2", "127.0.0.1"]),
            2 => names.set("app.test", A, 1, &["127.0.0.1"]),
            // A failure is asked about again only after a while, so there is one.
            _ if round < 4 => names.fail("app.test", A),
            _ => names.set("app.test", A, 1, &[]),
        }
        if round < 4 {
            within("a look-up", names.until_asked("app.test", asked + 2)).await;
            asked = names.asked("app.test");
        }
        // Every one of them is answered with 200.
        bodies(&gateway).await;
    }
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_asked_for_over_tcp() {
    let (port, _origins) = origins([("127.0.0.1", "a"), ("127.0.0.2", "b")]).await;
    let names = NameServer::start().await;
    names.set("app.test", A, 60, &["127.0.0.1", "127.0.0.2"]);
    names.cut_short("app.test", A);
    let text = config(&names, &format!("\"app.test:{port}\""), "ip = \"v4\"");
    let gateway = Gateway::start(&text, &[]).await;
    assert_eq!(bodies(&gateway).await, ["a", "b"]);
}

#[tokio::test]
async fn a_name_server_that_says_nothing_holds_up_nobody() {
    let names = NameServer::start().await;
    let (port, _origins) = origins([("127.0.0.1", "a")]).await;
    for kind in [A, AAAA] {
        names.keep_silent("app.test", kind);
        names.keep_silent("patient.test", kind);
    }
    let text = config(
        &names,
        &format!("\"app.test:{port}\""),
        "timeout = \"100ms\"\nattempts = 1",
    ) + &format!(
        "[[route]]\nname = \"fixed\"\npath = \"/fixed\"\nrespond = {{ body = \"fixed\" }}\n\
         [[route]]\nname = \"patient\"\npath = \"/patient\"\nupstream = \"patient\"\n\
         [upstream.patient]\nendpoints = [\"patient.test:{port}\"]\ndns = {{ timeout = \"1h\" }}\n"
    );
    let gateway = Gateway::start(&text, &[]).await;
    assert_eq!(gateway.get("/fixed").await.text(), "fixed");
    assert_eq!(gateway.get("/").await.status, 503);
    until_failed(&gateway, "app.test", 1).await;
    // The one with more patience still waits for its first answer.
    let failed = answers(&gateway.metrics().await, "patient.test", "failure");
    assert!(failed.abs() < 0.1, "{failed}");
    within("its question", names.until_asked("patient.test", 1)).await;
}

#[tokio::test]
async fn a_question_is_asked_so_many_times_until_it_has_failed() {
    let names = NameServer::start().await;
    names.fail("app.test", A);
    names.fail("often.test", A);
    let text = config(&names, "\"app.test:80\"", "ip = \"v4\"\nattempts = 1")
        + "[[route]]\nname = \"often\"\npath = \"/often\"\nupstream = \"often\"\n\
           [upstream.often]\nendpoints = [\"often.test:80\"]\ndns = { attempts = 4 }\n";
    let gateway = Gateway::start(&text, &[]).await;
    until_failed(&gateway, "often.test", 2).await;
    assert!(names.asked("often.test") >= 8);
    let asked = names.asked("app.test");
    let failed = answers(&gateway.metrics().await, "app.test", "failure");
    // One more may be under way, or have been counted meanwhile.
    let most = failed + 1.0;
    assert!(asked as f64 <= most, "{asked} for {failed}");
}

#[tokio::test]
async fn lifetimes_have_a_floor_and_a_ceiling() {
    let upstream = |name: &str, dns: &str| {
        format!(
            "[[route]]\nname = \"{name}\"\npath = \"/{name}\"\nupstream = \"{name}\"\n\
             [upstream.{name}]\nendpoints = [\"{name}.test:80\"]\n{dns}\n"
        )
    };
    let own = |ttl: &str| format!("dns = {{ {} }}", ttl.replace('\n', ", "));
    let (short, long) = (
        "min_ttl = \"10ms\"\nmax_ttl = \"20ms\"",
        "min_ttl = \"1h\"\nmax_ttl = \"2h\"",
    );
    // Once for all upstreams and once for one of them.
    for (global, often, seldom) in [(short, "", &*own(long)), (long, &*own(short), "")] {
        let names = NameServer::start().await;
        names.set("often.test", A, 86_400, &["127.0.0.1"]);
        names.set("seldom.test", A, 0, &["127.0.0.1"]);
        let text = format!("[dns]\nservers = [\"{names}\"]\nip = \"v4\"\n{global}\n")
            + &upstream("often", often)
            + &upstream("seldom", seldom);
        let _gateway = Gateway::start(&text, &[]).await;
        within("look-ups", names.until_asked("often.test", 10)).await;
        assert_eq!(names.asked("seldom.test"), 1);
    }
}

#[tokio::test]
async fn an_upstream_may_have_name_servers_of_its_own() {
    let (port, _origins) = origins([("127.0.0.1", "a"), ("127.0.0.2", "b")]).await;
    let (names, own) = (NameServer::start().await, NameServer::start().await);
    names.set("app.test", A, 60, &["127.0.0.1"]);
    own.set("app.test", A, 60, &["127.0.0.2"]);
    let text = config(&names, &format!("\"app.test:{port}\""), "ip = \"v4\"");
    let gateway = Gateway::start(&text, &[]).await;
    assert_eq!(bodies(&gateway).await, ["a"]);
    let text = format!("{text}dns = {{ servers = [\"{own}\"] }}\n");
    gateway.reload(&text, &[]).await;
    until(&gateway, &["b"]).await;
}

const SERVICE: &str = "_http._tcp.app.test";

#[tokio::test]
async fn srv_records_say_hosts_ports_weights_and_priorities() {
    let (light, heavy, spare) = (
        Origin::answering("light").await,
        Origin::answering("heavy").await,
        Origin::answering("spare").await,
    );
    let port = |origin: &Origin| origin.address().port();
    let names = NameServer::start().await;
    names.set("one.test", A, 60, &["127.0.0.1"]);
    let records = |light_weight, heavy_weight| {
        [
            (1, light_weight, port(&light), "one.test."),
            (1, heavy_weight, port(&heavy), "one.test."),
            (2, 100, port(&spare), "one.test."),
        ]
    };
    names.serve(SERVICE, 60, &records(0, 3));
    let text = config(&names, &format!("{{ srv = \"{SERVICE}\" }}"), "ip = \"v4\"");
    let gateway = Gateway::start(&text, &[]).await;
    assert!((heavy_share(&gateway).await - 0.75).abs() < 0.01);
    let shown = gateway.ask_admin(Request::get("/upstreams")).await.json();
    let endpoints = shown["upstreams"]["app"]["endpoints"]
        .as_array()
        .expect("endpoints")
        .clone();
    assert!(endpoints.iter().all(|endpoint| endpoint["name"] == SERVICE));
    assert_eq!(endpoints.len(), 3);
    assert_eq!(source(&gateway).await["kind"], "srv");

    // Other weights, which the configured one multiplies without a change among them.
    names.serve(SERVICE, 60, &records(3, 1));
    let text = text.replace(" }]", ", weight = 2 }]");
    gateway.reload(&text, &[]).await;
    within("the other weights", async {
        while (heavy_share(&gateway).await - 0.25).abs() > 0.01 {}
    })
    .await;

    // A port that changes.
    names.serve(SERVICE, 60, &[(1, 0, port(&spare), "one.test.")]);
    until(&gateway, &["spare"]).await;

    // And the next priority takes over only where the first is gone.
    names.serve(SERVICE, 60, &records(1, 1));
    until(&gateway, &["heavy", "light"]).await;
    light.stop().await;
    heavy.stop().await;
    assert_eq!(bodies(&gateway).await, ["spare"]);
}

/// The share of the heavier one in 40 requests.
async fn heavy_share(gateway: &Gateway) -> f64 {
    let mut client = gateway.connect().await;
    let mut heavy = 0;
    for _ in 0..40 {
        let response = client.ask(Request::get("/")).await;
        assert_eq!(response.status, 200);
        assert_ne!(response.text(), "spare");
        heavy += u32::from(response.text() == "heavy");
    }
    f64::from(heavy) / 40.0
}

#[tokio::test]
async fn a_service_that_fails_keeps_its_endpoints() {
    let origin = Origin::answering("app").await;
    let names = NameServer::start().await;
    names.set("one.test", A, 60, &["127.0.0.1"]);
    let record = (1, 1, origin.address().port(), "one.test.");
    names.serve(SERVICE, 60, &[record, (1, 1, 1, "gone.test.")]);
    let text = config(&names, &format!("{{ srv = \"{SERVICE}\" }}"), "ip = \"v4\"");
    let gateway = Gateway::start(&text, &[]).await;
    // A host that does not exist does not keep the other one from its requests.
    assert_eq!(bodies(&gateway).await, ["app"]);
    names.serve(SERVICE, 60, &[(0, 0, 0, ".")]);
    until_failed(&gateway, SERVICE, 1).await;
    assert_eq!(bodies(&gateway).await, ["app"]);
    names.fail(SERVICE, RecordType::SRV);
    until_failed(&gateway, SERVICE, 2).await;
    assert_eq!(bodies(&gateway).await, ["app"]);
}

#[tokio::test]
async fn the_hosts_that_records_name_are_not_believed_to_be_the_service() {
    let authority = Authority::new("tests");
    let names = NameServer::start().await;
    names.set("host.test", A, 60, &["127.0.0.1"]);
    for (certified, status) in [("app.test", 200), ("host.test", 502)] {
        let acceptor = authority.issue(&[certified]).acceptor(&[b"http/1.1"]);
        let origin = Origin::https(acceptor, |_seen| async { ok("app") }).await;
        names.serve(
            "_https._tcp.app.test",
            60,
            &[(1, 1, origin.address().port(), "host.test.")],
        );
        let text = config(&names, "{ srv = \"_https._tcp.app.test\" }", "ip = \"v4\"")
            + &format!("tls = {{ ca = {} }}\n", authority.path());
        let gateway = Gateway::start(&text, &[]).await;
        assert_eq!(gateway.get("/").await.status, status, "{certified}");
    }
}
