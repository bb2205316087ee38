//! Compiling as a whole: what a configuration means, and what outlives a reload.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::*;
use crate::{
    config::{load, parse_str},
    observe::{LogSink, Metrics},
    routing::Request,
    snapshot::{Action, Protocol, Question},
};

/// Writes a certificate for `NAME.example.com` and its key.
pub(super) fn certificate(directory: &Path, name: &str, from: i32, until: i32) {
    fs::create_dir_all(directory).unwrap();
    let mut params = CertificateParams::new(vec![format!("{name}.example.com")]).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    fs::write(directory.join(format!("{name}.pem")), certificate.pem()).unwrap();
    fs::write(directory.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

fn compiled(loaded: &Loaded, stores: &Stores) -> Snapshot {
    let compiled = compile(loaded, stores, 1, SystemTime::now());
    let found = compiled.diagnostics;
    assert!(found.is_empty(), "{found}");
    compiled.snapshot.unwrap()
}

fn snapshot_of(text: &str, base: &Path, stores: &Stores) -> Snapshot {
    compiled(&parse_str("test.toml", text, base), stores)
}

/// A GET request from 127.0.0.1.
struct Get<'a>(&'a str, &'a str, &'a [(&'a str, &'a str)]);

impl Request for Get<'_> {
    fn host(&self) -> &str {
        self.0
    }
    fn path(&self) -> &str {
        self.1
    }
    fn method(&self) -> &str {
        "GET"
    }
    fn query(&self) -> Option<&str> {
        None
    }
    fn client(&self) -> std::net::IpAddr {
        [127, 0, 0, 1].into()
    }
    fn any_header(&self, name: &str, wanted: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.2
            .iter()
            .any(|(known, value)| *known == name && wanted(value.as_bytes()))
    }
}

fn winner<'s>(snapshot: &'s Snapshot, request: &Get<'_>) -> &'s str {
    let matched = snapshot.router.find(request);
    matched.map_or("", |matched| &snapshot.routes[matched.route].name)
}

#[test]
fn the_example_of_the_design_compiles_to_what_it_says() {
    let base = tempfile::tempdir().unwrap();
    certificate(&base.path().join("tls"), "site", 2020, 2060);
    let text = include_str!("../../tests/golden/design-example.toml");
    let loaded = parse_str("test.toml", text, base.path());
    let compiled = compile(&loaded, &Stores::to_check(), 7, SystemTime::now());
    let found: Vec<_> = compiled.diagnostics.iter().map(|d| d.code).collect();
    assert_eq!(found, [Code::UnusedUpstream], "{}", compiled.diagnostics);
    let snapshot = compiled.snapshot.unwrap();
    assert_eq!(snapshot.generation, 7);

    let listeners: Vec<_> = snapshot
        .listeners
        .iter()
        .map(|l| (&*l.name, l.address.port(), l.tls.is_some()))
        .collect();
    assert_eq!(listeners, [("web", 8080, false), ("secure", 8443, true)]);
    let alpn = &snapshot.listeners[1].tls.as_ref().unwrap().alpn_protocols;
    assert_eq!(alpn, &[b"h2".to_vec(), b"http/1.1".to_vec()]);

    let gold: &[_] = &[("x-tier", "gold")];
    assert_eq!(
        winner(&snapshot, &Get("api.example.com", "/v1/users/7", gold)),
        "users"
    );
    assert_eq!(
        winner(&snapshot, &Get("a.example.org", "/v1/users", gold)),
        "users"
    );
    assert_eq!(
        winner(&snapshot, &Get("a.example.org", "/v1/users", &[])),
        ""
    );
    assert_eq!(winner(&snapshot, &Get("", "/v1/orders/1", &[])), "canary");
    assert_eq!(winner(&snapshot, &Get("", "/ping", &[])), "alive");

    let [users, canary, old, alive] = snapshot.routes.as_slice() else {
        panic!("four routes")
    };
    assert_eq!(users.timeouts.whole, Some(Duration::from_secs(15)));
    let kinds: Vec<_> = users.filters.filters().iter().map(|f| f.kind()).collect();
    assert_eq!(kinds, ["request_headers", "rewrite"]);
    assert!(matches!(&users.action, Action::Forward(u) if &*u.name == "users"));
    let Action::Split(shares) = &canary.action else {
        panic!("a split")
    };
    let shares: Vec<_> = shares
        .iter()
        .map(|s| (&*s.upstream.name, s.weight))
        .collect();
    assert_eq!(shares, [("orders", 95), ("orders-next", 5)]);
    assert!(matches!(old.action, Action::Redirect(_)));
    assert!(matches!(alive.action, Action::Respond(_)));

    let upstreams: Vec<_> = snapshot
        .upstreams
        .iter()
        .map(|u| (&*u.name, u.balance.policy.as_str(), u.transport.protocol))
        .collect();
    assert_eq!(
        upstreams,
        [
            ("orders", "round_robin", Protocol::Http1),
            ("orders-next", "random", Protocol::Http2),
            ("partner", "round_robin", Protocol::Http1),
            ("users", "least_connections", Protocol::Http1),
        ]
    );
    let users = snapshot.upstreams.last().unwrap();
    let pool = users.pool.load();
    let endpoints: Vec<_> = pool
        .endpoints()
        .iter()
        .map(|e| (e.address.port(), e.weight))
        .collect();
    assert_eq!(endpoints, [(9001, 1), (9002, 3)]);
    let health = users.health.as_ref().unwrap();
    assert_eq!(health.interval, Duration::from_secs(2));
    let Question::Http(question) = &health.question else {
        panic!("a check over HTTP")
    };
    assert_eq!(question.expected_status, [(200, 299)]);
    let partner = &snapshot.upstreams[2];
    assert!(
        partner.pool.load().endpoints().is_empty(),
        "the name is not resolved yet"
    );
    assert_eq!(&*partner.configured[0].name, "partner.example.net:443");
    assert!(partner.transport.tls.as_ref().unwrap().name.is_some());
}

#[test]
fn the_packaged_files_and_every_example_compile_without_a_warning() {
    let copy = tempfile::tempdir().unwrap();
    copy_directory(Path::new("conf"), copy.path());
    let examples = copy.path().join("examples");
    for name in ["site", "other", "ca"] {
        certificate(&examples.join("tls"), name, 2020, 2060);
    }
    let of = |directory: &Path| {
        let entries = fs::read_dir(directory).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut files: Vec<_> = paths
            .filter(|path| path.extension().is_some_and(|e| e == "toml"))
            .collect();
        files.sort();
        files
    };
    let files: Vec<_> = of(copy.path()).into_iter().chain(of(&examples)).collect();
    assert!(files.len() > 20);
    for file in files {
        let snapshot = compiled(&load(&file), &Stores::to_check());
        assert!(!snapshot.listeners.is_empty(), "{}", file.display());
        assert!(!snapshot.routes.is_empty(), "{}", file.display());
    }
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_directory(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

#[test]
fn connections_are_shared_only_between_equal_transports() {
    let base = tempfile::tempdir().unwrap();
    certificate(&base.path().join("tls"), "a", 2020, 2060);
    let text = r#"
[[listener]]
name = "web"
address = "127.0.0.1:0"
[[route]]
name = "all"
split = [{ upstream = "plain" }, { upstream = "plain-too" }, { upstream = "h2c" }, { upstream = "tls" },
  { upstream = "tls-too" }, { upstream = "h2" }, { upstream = "named" }, { upstream = "client" }]
[upstream.plain]
endpoints = ["127.0.0.1:1"]
[upstream.plain-too]
endpoints = ["127.0.0.1:1"]
connect_timeout = "1s"
[upstream.h2c]
endpoints = ["127.0.0.1:1"]
protocol = "h2c"
[upstream.tls]
endpoints = ["127.0.0.1:1"]
tls = { ca = "tls/a.pem" }
[upstream.tls-too]
endpoints = ["127.0.0.1:1"]
tls = { ca = "tls/a.pem" }
[upstream.h2]
endpoints = ["127.0.0.1:1"]
protocol = "h2"
tls = { ca = "tls/a.pem" }
[upstream.named]
endpoints = ["127.0.0.1:1"]
tls = { ca = "tls/a.pem", server_name = "a.example.com" }
[upstream.client]
endpoints = ["127.0.0.1:1"]
tls = { ca = "tls/a.pem", certificate = "tls/a.pem", key = "tls/a.key" }
"#;
    let stores = Stores::to_check();
    let identities = |snapshot: &Snapshot| -> BTreeMap<String, u64> {
        let upstreams = snapshot.upstreams.iter();
        upstreams
            .map(|u| (u.name.to_string(), u.transport.identity))
            .collect()
    };
    let first = snapshot_of(text, base.path(), &stores);
    let found = identities(&first);
    assert_eq!(found["plain"], found["plain-too"]);
    assert_eq!(found["tls"], found["tls-too"]);
    let mut different: Vec<_> = ["plain", "h2c", "tls", "h2", "named", "client"]
        .map(|name| found[name])
        .to_vec();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 6, "{found:?}");

    let second = snapshot_of(text, base.path(), &stores);
    drop(first);
    stores.retain_used();
    assert_eq!(identities(&second), found, "a reload keeps connections");

    certificate(&base.path().join("tls"), "a", 2020, 2059);
    let third = identities(&snapshot_of(text, base.path(), &stores));
    assert_eq!(third["plain"], found["plain"]);
    for name in ["tls", "h2", "named", "client"] {
        assert!(!found.values().any(|old| *old == third[name]), "{name}");
    }
}

const TLS_LISTENER: &str = r#"
[[listener]]
name = "secure"
address = "127.0.0.1:0"
tls = { certificates = [{ certificate = "tls/a.pem", key = "tls/a.key" }] }
[[route]]
name = "all"
respond = {}
"#;

#[test]
fn a_listener_keeps_its_tls_sessions_over_a_reload_and_gives_them_up_afterwards() {
    let base = tempfile::tempdir().unwrap();
    certificate(&base.path().join("tls"), "a", 2020, 2060);
    let stores = Stores::to_check();
    let config = |snapshot: &Snapshot| Arc::clone(snapshot.listeners[0].tls.as_ref().unwrap());
    let first = snapshot_of(TLS_LISTENER, base.path(), &stores);
    let second = snapshot_of(TLS_LISTENER, base.path(), &stores);
    assert!(Arc::ptr_eq(&config(&first), &config(&second)));
    assert_eq!(stores.tls.certificates().len(), 1);
    drop((first, second));
    stores.retain_used();
    assert!(stores.tls.certificates().is_empty());
}

#[test]
fn a_certificate_that_has_been_replaced_is_in_use_without_a_reload() {
    let base = tempfile::tempdir().unwrap();
    let tls = base.path().join("tls");
    certificate(&tls, "a", 2020, 2060);
    let stores = Stores::to_check();
    let _snapshot = snapshot_of(TLS_LISTENER, base.path(), &stores);
    let until = || stores.tls.certificates()[0].1.not_after;
    let before = until();
    certificate(&tls, "a", 2020, 2070);
    stores.tls.reload_changed();
    assert!(before < until());
}

#[test]
fn a_certificate_that_was_broken_since_stops_a_reload() {
    let base = tempfile::tempdir().unwrap();
    certificate(&base.path().join("tls"), "a", 2020, 2060);
    let stores = Stores::to_check();
    let snapshot = snapshot_of(TLS_LISTENER, base.path(), &stores);
    fs::write(base.path().join("tls/a.pem"), "broken").unwrap();
    let loaded = parse_str("test.toml", TLS_LISTENER, base.path());
    for _ in 0..2 {
        let again = compile(&loaded, &stores, 2, SystemTime::now());
        assert!(again.snapshot.is_none());
        let codes: Vec<_> = again.diagnostics.iter().map(|d| d.code).collect();
        assert_eq!(codes, [Code::BadCertificate]);
    }
    assert_eq!(stores.tls.certificates().len(), 1, "the old one serves on");
    drop(snapshot);
}

#[test]
fn nothing_of_a_refused_configuration_stays_behind() {
    let stores = Stores::to_check();
    let text = "[[route]]\nname = \"unheard-of\"\nrespond = {}\n[[route]]\nname = \"b\"\n";
    let loaded = parse_str("test.toml", text, Path::new(""));
    assert!(
        compile(&loaded, &stores, 1, SystemTime::now())
            .snapshot
            .is_none()
    );
    assert!(!stores.metrics.encode().contains("unheard-of"));
}

#[test]
fn a_secret_in_a_template_is_text_whatever_it_looks_like() {
    let base = tempfile::tempdir().unwrap();
    fs::write(base.path().join("token"), "${client_ip} ${nothing").unwrap();
    let text = r#"
[[listener]]
name = "web"
address = "127.0.0.1:0"
[[route]]
name = "a"
filters = [{ kind = "request_headers", set = { a = "${file:token}" } }]
respond = { headers = { b = "${file:token}" } }
"#;
    snapshot_of(text, base.path(), &Stores::to_check());
}

#[test]
fn the_access_log_is_opened_only_for_a_configuration_that_serves() {
    let base = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::new(1));
    let stores = Stores {
        access_logs: Some(LogSink::start(metrics.gateway().access_log()).unwrap()),
        ..Stores::to_check()
    };
    let text = |output: &str, rest: &str| {
        let listener = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n";
        format!("{listener}[access_log]\noutput = {output:?}\n{rest}")
    };
    let log = base.path().join("access.log");
    let wrong = parse_str("test.toml", &text("access.log", "formt = 1"), base.path());
    assert!(
        compile(&wrong, &stores, 1, SystemTime::now())
            .snapshot
            .is_none()
    );
    let good = text("access.log", "");
    assert!(
        snapshot_of(&good, base.path(), &Stores::to_check())
            .access_log
            .is_none()
    );
    assert!(!log.exists());
    assert!(
        snapshot_of(&good, base.path(), &stores)
            .access_log
            .is_some()
    );
    assert!(log.exists());
    assert!(
        snapshot_of(&text("off", ""), base.path(), &stores)
            .access_log
            .is_none()
    );

    let absent = parse_str("test.toml", &text("absent/access.log", ""), base.path());
    let compiled = compile(&absent, &stores, 1, SystemTime::now());
    assert!(compiled.snapshot.is_none());
    let found: Vec<_> = compiled
        .diagnostics
        .iter()
        .map(|d| (d.code, d.line))
        .collect();
    assert_eq!(found, [(Code::UnreadableFile, Some(5))]);
}

#[test]
fn the_hash_is_that_of_the_meaning() {
    let stores = Stores::to_check();
    let listener = "[[listener]]\nname = \"web\"\naddress = \"127.0.0.1:0\"\n";
    let hash = |text: &str| snapshot_of(text, Path::new(""), &stores).hash;
    assert_eq!(hash(listener), hash(&format!("# a remark\n{listener}")));
    assert_ne!(hash(listener), hash(&format!("{listener}h2c = false\n")));
}
