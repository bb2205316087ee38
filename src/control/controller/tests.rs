//! What a controller does with files that change, names that move and listeners that cannot be bound.

use std::fs;

use super::*;
use crate::control::testing::{Bench, Names, upstream_of};

const ONE: &str = r#"
[[listener]]
name = "web"
address = "127.0.0.1:8080"

[[route]]
name = "all"
path = "/*"
upstream = "users"

[upstream.users]
endpoints = ["127.0.0.1:9001"]
"#;

/// `ONE` with other endpoints.
fn with_endpoints(endpoints: &str) -> String {
    ONE.replace("\"127.0.0.1:9001\"", endpoints)
}

/// `ONE` with a second listener.
fn with_listener(address: &str) -> String {
    format!("{ONE}\n[[listener]]\nname = \"more\"\naddress = \"{address}\"\n")
}

fn figure(bench: &Bench, series: &str) -> String {
    let page = bench.stores.metrics.encode();
    let line = page.lines().find(|line| line.starts_with(series));
    line.unwrap_or_default()
        .rsplit(' ')
        .next()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn the_first_configuration_opens_its_listeners_and_is_ready() {
    let bench = Bench::start(ONE).await;
    assert_eq!(bench.plane.applied(), [["web"]]);
    let status = bench.control.status();
    assert_eq!((status.generation, status.hash.len()), (1, 16));
    assert!(status.last_reload.is_none());
    assert_eq!(figure(&bench, "portcullis_config_generation"), "1");
}

#[tokio::test]
async fn a_good_change_is_applied_as_a_whole() {
    let bench = Bench::start(ONE).await;
    let before = bench.control.status();
    let report = bench.reload(&with_listener("127.0.0.1:8081")).await;
    assert_eq!(report.outcome, Outcome::Applied);
    assert_eq!(report.generation, 2);
    assert_eq!(bench.cell.load().generation, 2);
    assert_eq!(bench.plane.applied()[1], ["web", "more"]);
    let status = bench.control.status();
    assert_ne!(status.hash, before.hash);
    assert!(status.last_reload.as_ref().unwrap().is_ok());
    assert_eq!(figure(&bench, "portcullis_config_generation"), "2");
}

#[tokio::test]
async fn a_wrong_configuration_leaves_the_old_one_serving_and_says_everything() {
    let bench = Bench::start(ONE).await;
    let snapshot = bench.cell.load();
    let report = bench
        .reload(&ONE.replace("upstream = \"users\"", "upstream = \"user\"\ncolour = 1"))
        .await;
    assert_eq!(report.outcome, Outcome::Refused);
    assert_eq!(report.diagnostics.errors(), 2, "{}", report.diagnostics);
    assert!(Arc::ptr_eq(&snapshot, &bench.cell.load()));
    assert_eq!(bench.plane.applied().len(), 1);
    let status = bench.control.status();
    assert_eq!(
        status.last_reload.as_ref().unwrap().outcome,
        Outcome::Refused
    );
    assert_eq!(figure(&bench, "portcullis_config_last_reload_success"), "0");
}

#[tokio::test]
async fn a_file_that_is_no_configuration_is_refused() {
    let bench = Bench::start(ONE).await;
    assert_eq!(bench.reload("[[listener").await.outcome, Outcome::Refused);
    fs::remove_file(bench.folder.path().join("gateway.toml")).unwrap();
    let report = bench.control.reload(Cause::Signal).await.unwrap();
    assert_eq!(report.outcome, Outcome::Refused);
    assert_eq!(bench.reload(ONE).await.outcome, Outcome::Unchanged);
    assert_eq!(figure(&bench, "portcullis_config_last_reload_success"), "1");
}

#[tokio::test]
async fn an_emptied_file_does_not_close_every_listener() {
    let bench = Bench::start(ONE).await;
    for nothing in ["", "# nothing yet\n"] {
        let report = bench.reload(nothing).await;
        assert_eq!(report.outcome, Outcome::Refused);
        assert_eq!(report.diagnostics.errors(), 1, "{}", report.diagnostics);
    }
    assert_eq!(bench.plane.applied().len(), 1);
}

#[tokio::test]
async fn a_port_in_use_refuses_the_whole_reload() {
    let bench = Bench::start(ONE).await;
    *bench.plane.taken.lock().unwrap() = Some(8081);
    let changed = with_listener("127.0.0.1:8081").replace("9001", "9002");
    let report = bench.reload(&changed).await;
    assert_eq!(report.outcome, Outcome::Refused);
    assert!(report.remarks[0].contains("`more`"), "{:?}", report.remarks);
    assert_eq!(bench.pool("users"), ["127.0.0.1:9001"]);
    assert_eq!(bench.plane.applied().len(), 1);

    *bench.plane.taken.lock().unwrap() = None;
    let report = bench.control.reload(Cause::Admin).await.unwrap();
    assert_eq!(report.outcome, Outcome::Applied);
    assert_eq!(report.generation, 2);
    assert_eq!(bench.pool("users"), ["127.0.0.1:9002"]);
}

#[tokio::test]
async fn a_file_that_says_the_same_is_no_new_generation() {
    let bench = Bench::start(ONE).await;
    let snapshot = bench.cell.load();
    let report = bench.reload(&format!("# the same\n{ONE}")).await;
    assert_eq!(report.outcome, Outcome::Unchanged);
    assert!(Arc::ptr_eq(&snapshot, &bench.cell.load()));
    assert_eq!(bench.plane.applied().len(), 1);
}

#[tokio::test]
async fn a_secret_that_changed_is_a_new_generation_with_the_same_hash() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "one").unwrap();
    let text = ONE.replace(
        "upstream = \"users\"",
        "upstream = \"users\"\nfilters = [{ kind = \"request_headers\", set = { \"x-token\" = \"${file:token}\" } }]",
    );
    let bench = Bench::start_in(folder, &text, Names::default()).await;
    let before = bench.control.status();
    bench.write("token", "two");
    let after = bench.until(|status| status.generation == 2).await;
    assert_eq!(after.hash, before.hash);
}

#[tokio::test]
async fn saving_the_file_is_enough() {
    let bench = Bench::start(ONE).await;
    bench.write("gateway.toml", &with_endpoints("\"127.0.0.1:9002\""));
    let status = bench.until(|status| status.generation == 2).await;
    assert_eq!(bench.pool("users"), ["127.0.0.1:9002"]);
    let report = bench.until(|status| status.last_reload.is_some()).await;
    assert_eq!(report.last_reload.as_ref().unwrap().cause, Cause::File);
    assert_eq!(status.phase, Phase::Ready);
}

#[tokio::test]
async fn a_file_that_a_refused_configuration_lacked_makes_it_good() {
    let bench = Bench::start(ONE).await;
    let report = bench
        .reload(&format!("include = [\"more.toml\"]\n{ONE}"))
        .await;
    assert_eq!(report.outcome, Outcome::Refused);
    bench.write(
        "more.toml",
        "[upstream.more]\nendpoints = [\"127.0.0.1:9003\"]\n",
    );
    bench.until(|status| status.generation == 2).await;
    assert_eq!(bench.pool("more"), ["127.0.0.1:9003"]);
}

#[tokio::test]
async fn what_is_known_of_an_endpoint_survives_a_reload() {
    let bench = Bench::start(ONE).await;
    let before = bench.cell.load();
    let pool = upstream_of(&before, "users").pool.load_full();
    let _lease = pool.pick(0, 0, &[]).unwrap();
    bench
        .reload(&with_endpoints("\"127.0.0.1:9001\", \"127.0.0.1:9002\""))
        .await;
    let after = upstream_of(&bench.cell.load(), "users").pool.load_full();
    assert!(Arc::ptr_eq(
        &pool.endpoints()[0].state,
        &after.endpoints()[0].state
    ));
    assert_eq!(after.endpoints()[0].state.in_flight(), 1);
}

#[tokio::test]
async fn names_are_resolved_before_the_first_request() {
    let names = Names::default();
    names.set("users.test", &["192.0.2.2", "192.0.2.1"]);
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::start_in(folder, &with_endpoints("\"users.test:80\""), names).await;
    assert_eq!(bench.pool("users"), ["192.0.2.2:80", "192.0.2.1:80"]);
}

#[tokio::test]
async fn a_name_without_an_answer_does_not_keep_the_start() {
    let bench = Bench::start(&with_endpoints("\"users.test:80\", \"127.0.0.1:9001\"")).await;
    assert_eq!(bench.pool("users"), ["127.0.0.1:9001"]);
    bench.names.set("users.test", &["192.0.2.1"]);
    bench
        .until_pool("users", &["192.0.2.1:80", "127.0.0.1:9001"])
        .await;
}

#[tokio::test]
async fn addresses_that_change_reach_the_pool_and_a_failure_keeps_the_last_good_ones() {
    let names = Names::default();
    names.set("users.test", &["192.0.2.1"]);
    let folder = tempfile::tempdir().unwrap();
    let text = with_endpoints("\"users.test:80\"");
    let bench = Bench::start_in(folder, &text, names).await;
    let generation = bench.cell.load().generation;
    bench.names.fail("users.test");
    bench.names.set("users.test", &["192.0.2.1", "192.0.2.2"]);
    bench
        .until_pool("users", &["192.0.2.1:80", "192.0.2.2:80"])
        .await;
    bench.names.fail("users.test");
    bench
        .reload(&with_listener("127.0.0.1:8081").replace("127.0.0.1:9001", "users.test:80"))
        .await;
    assert_eq!(bench.pool("users"), ["192.0.2.1:80", "192.0.2.2:80"]);
    assert_eq!(bench.cell.load().generation, generation + 1);
}

#[tokio::test]
async fn addresses_heard_during_a_refused_reload_are_not_lost() {
    let names = Names::default();
    names.set("users.test", &["192.0.2.1"]);
    names.set("more.test", &["192.0.2.9"]);
    let folder = tempfile::tempdir().unwrap();
    let text = with_endpoints("\"users.test:80\"");
    let bench = Bench::start_in(folder, &text, names).await;
    *bench.plane.taken.lock().unwrap() = Some(8080);
    bench.names.set("users.test", &["192.0.2.2"]);
    let more = with_endpoints("\"users.test:80\", \"more.test:80\"");
    assert_eq!(bench.reload(&more).await.outcome, Outcome::Refused);
    bench.until_pool("users", &["192.0.2.2:80"]).await;
    while bench.names.followers("more.test") != 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_name_is_followed_once_as_long_as_it_is_configured() {
    let names = Names::default();
    names.set("users.test", &["192.0.2.1"]);
    let folder = tempfile::tempdir().unwrap();
    let two = "\"users.test:80\", \"users.test:81\"";
    let bench = Bench::start_in(folder, &with_endpoints(two), names).await;
    assert_eq!(bench.names.followers("users.test"), 1);
    bench.reload(&with_endpoints("\"users.test:82\"")).await;
    assert_eq!(bench.names.followers("users.test"), 1);
    assert_eq!(bench.pool("users"), ["192.0.2.1:82"]);
    bench.reload(ONE).await;
    while bench.names.followers("users.test") != 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn reloads_that_wait_together_are_one() {
    let bench = Bench::start(ONE).await;
    bench.write("gateway.toml", &with_endpoints("\"127.0.0.1:9002\""));
    let (one, two, three) = tokio::join!(
        bench.control.reload(Cause::Admin),
        bench.control.reload(Cause::Signal),
        bench.control.reload(Cause::Admin),
    );
    let one = one.unwrap();
    assert!(Arc::ptr_eq(&one, &two.unwrap()));
    assert!(Arc::ptr_eq(&one, &three.unwrap()));
    assert_eq!(one.generation, 2);
}

#[tokio::test]
async fn a_thousand_reloads_leave_nothing_behind() {
    let bench = Bench::start(ONE).await;
    let texts = [with_endpoints("\"127.0.0.1:9002\""), ONE.to_owned()];
    for text in texts.iter().cycle().take(1_000) {
        assert!(bench.reload(text).await.is_ok());
    }
    assert_eq!(bench.cell.load().generation, 1_001);
    assert_eq!(Arc::strong_count(&bench.cell.load()), 2);
}

#[tokio::test]
async fn draining_has_no_way_back() {
    let bench = Bench::start(ONE).await;
    bench.control.drain().await.unwrap();
    bench.control.drain().await.unwrap();
    assert_eq!(bench.control.status().phase, Phase::Draining);
    assert_eq!(bench.plane.drains(), 1);
    assert_eq!(figure(&bench, "portcullis_draining"), "1");
    let report = bench.reload(&with_listener("127.0.0.1:8081")).await;
    assert_eq!(report.outcome, Outcome::Refused);
    assert!(report.remarks[0].contains("draining"));
    assert_eq!(bench.plane.applied().len(), 1);
}

#[tokio::test]
async fn a_setting_that_waits_for_the_next_start_is_said_so() {
    let bench = Bench::start(&format!("[server]\nworkers = 1\n{ONE}")).await;
    let report = bench.reload(&format!("[server]\nworkers = 2\n{ONE}")).await;
    assert_eq!(report.outcome, Outcome::Applied);
    assert!(report.remarks[0].contains("`server.workers`"));
    let moved = format!(
        "\n\n[server]\nworkers = 1\n{}",
        with_listener("127.0.0.1:8081")
    );
    assert_eq!(bench.reload(&moved).await.remarks, [""; 0]);
}

#[tokio::test]
async fn a_certificate_that_changed_is_used_without_a_reload() {
    let folder = tempfile::tempdir().unwrap();
    let certify = |name: &str| {
        let signed = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let key = signed.signing_key.serialize_pem();
        (signed.cert.pem(), key)
    };
    let (certificate, key) = certify("one.test");
    fs::write(folder.path().join("site.pem"), certificate).unwrap();
    fs::write(folder.path().join("site.key"), key).unwrap();
    let text = ONE.replace(
        "[[route]]",
        "[listener.tls]\ncertificates = [{ certificate = \"site.pem\", key = \"site.key\" }]\n\n[[route]]",
    );
    let bench = Bench::start_in(folder, &text, Names::default()).await;
    let names = || bench.stores.tls.certificates()[0].1.names.clone();
    assert_eq!(names(), ["one.test".into()]);
    assert_ne!(figure(&bench, "portcullis_certificate_"), "");
    let (certificate, key) = certify("two.test");
    bench.write("site.key", &key);
    bench.write("site.pem", &certificate);
    while names() != ["two.test".into()] {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.cell.load().generation, 1);
    assert!(bench.control.status().last_reload.is_none());
}

#[tokio::test]
async fn who_asks_a_controller_that_has_ended_is_told() {
    let bench = Bench::start(ONE).await;
    let control = bench.control.clone();
    drop(bench);
    assert!(control.reload(Cause::Admin).await.is_err());
    assert!(control.drain().await.is_err());
    control.draining().await;
}
