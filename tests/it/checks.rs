//! What active checks ask, how and when: the kinds of checks and their keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use tokio::sync::watch;

use crate::harness::{
    Authority, Gateway, GrpcHealth, Origin, RawOrigin, Request, refusing_address, within,
};

const QUICK: &str =
    "interval = \"20ms\", timeout = \"20s\", unhealthy_after = 1, healthy_after = 1";

/// A gateway before one upstream, `app`, which is checked so.
async fn start(endpoints: &str, health: &str) -> Gateway {
    Gateway::start(
        &format!(
            "[[route]]\nname = \"all\"\nupstream = \"app\"\n\
             [upstream.app]\nendpoints = [{endpoints}]\nhealth = {{ {health} }}\n"
        ),
        &[],
    )
    .await
}

/// The reason that the log has for the first endpoint that went out of use.
async fn reason_of_sickness(gateway: &Gateway) -> String {
    gateway
        .log()
        .wait("an unhealthy endpoint", |line| {
            (line.message() == "endpoint is unhealthy and gets no requests")
                .then(|| line.field("reason").map(str::to_owned))
                .flatten()
        })
        .await
}

async fn until_healthy(gateway: &Gateway) {
    gateway
        .log()
        .wait("a healthy endpoint", |line| {
            line.message()
                .starts_with("endpoint is healthy")
                .then_some(())
        })
        .await;
}

/// An origin that answers with what stands there now, and how many requests for `/healthz` it has had.
async fn saying(text: watch::Receiver<&'static str>) -> (Origin, watch::Receiver<usize>) {
    let (checks, checked) = watch::channel(0);
    let origin = Origin::http(move |seen| {
        if seen.target.starts_with("/healthz") {
            checks.send_modify(|count| *count += 1);
        }
        let text = *text.borrow();
        async move { http::Response::new(Full::new(Bytes::from_static(text.as_bytes()))) }
    })
    .await;
    (origin, checked)
}

#[tokio::test]
async fn the_body_decides_with_a_text_or_an_expression() {
    for (body, good, bad) in [
        ("\"is up\"", "all is up", "all is down"),
        ("{ contains = \"is up\" }", "all is up", "all is down"),
        ("{ regex = '^(ok|up)\\b' }", "ok: all of it", "not ok"),
    ] {
        let (text, texts) = watch::channel(good);
        let (origin, _) = saying(texts).await;
        let health = format!("path = \"/healthz\", body = {body}, {QUICK}");
        let gateway = start(&format!("\"{origin}\""), &health).await;
        text.send_replace(bad);
        let reason = reason_of_sickness(&gateway).await;
        assert_eq!(reason, "the body is not as expected", "{body}");
        assert_eq!(gateway.get("/").await.status, 503, "{body}");
        text.send_replace(good);
        until_healthy(&gateway).await;
        assert_eq!(gateway.get("/").await.status, 200, "{body}");
    }
}

#[tokio::test]
async fn a_check_has_its_method_its_path_and_its_fields() {
    let (_text, texts) = watch::channel("ok");
    let (origin, mut checked) = saying(texts).await;
    let health = format!(
        "path = \"/healthz?deep=1\", method = \"HEAD\", headers = {{ x-check = \"7\", accept = \"text/plain\" }}, {QUICK}"
    );
    let _gateway = start(&format!("\"{origin}\""), &health).await;
    within("a check", checked.wait_for(|count| *count >= 1))
        .await
        .expect("the origin");
    let check = &origin.seen()[0];
    assert_eq!(
        (check.method.as_str(), check.target.as_str()),
        ("HEAD", "/healthz?deep=1")
    );
    assert_eq!(check.header("x-check"), Some("7"));
    assert_eq!(check.header("accept"), Some("text/plain"));
    let agent = check.header("user-agent").expect("a name");
    assert!(agent.starts_with("portcullis/"), "{agent}");
}

#[tokio::test]
async fn a_tcp_check_only_connects() {
    // Who accepts is well, whatever it says.
    let mute = RawOrigin::start(|_, mut connection| async move {
        connection.rest().await;
    })
    .await;
    let health = format!("kind = \"tcp\", {QUICK}");
    let gateway = start(&format!("\"{mute}\""), &health).await;
    let address = mute.to_string();
    drop(mute);
    let reason = reason_of_sickness(&gateway).await;
    assert!(reason.starts_with("cannot connect: "), "{reason}");
    assert_eq!(gateway.get("/").await.status, 503);
    let _back = Origin::answering_at(address.parse().expect("an address"), "back").await;
    until_healthy(&gateway).await;
    assert_eq!(gateway.get("/").await.text(), "back");
}

#[tokio::test]
async fn a_grpc_check_asks_the_health_service_for_its_service() {
    let health = GrpcHealth::start().await;
    health.set("users.v1.Users", GrpcHealth::SERVING);
    let gateway = Gateway::start(
        &format!(
            "[[route]]\nname = \"all\"\nupstream = \"app\"\n\
             [upstream.app]\nprotocol = \"h2c\"\nendpoints = [\"{health}\"]\n\
             health = {{ kind = \"grpc\", service = \"users.v1.Users\", host = \"users.test\", {QUICK} }}\n"
        ),
        &[],
    )
    .await;
    for (status, word) in [
        (GrpcHealth::NOT_SERVING, "NOT_SERVING"),
        (GrpcHealth::SERVICE_UNKNOWN, "SERVICE_UNKNOWN"),
    ] {
        health.set("users.v1.Users", status);
        gateway
            .log()
            .wait("the reason of the service", |line| {
                (line.field("reason") == Some(word)).then_some(())
            })
            .await;
        assert_eq!(gateway.get("/").await.status, 503);
        let before = gateway.log().count();
        health.set("users.v1.Users", GrpcHealth::SERVING);
        gateway.log().after(before).await;
        // It serves: what it says to a request without a call is its own.
        assert_ne!(gateway.get("/").await.status, 503);
    }
    // A service that nobody has registered is an error, not an answer.
    health.forget("users.v1.Users");
    gateway
        .log()
        .wait("the status of the call", |line| {
            (line.field("reason") == Some("gRPC status 5")).then_some(())
        })
        .await;
    assert_eq!(health.authorities(), ["users.test"]);
}

#[tokio::test]
async fn a_check_may_ask_at_another_port() {
    let origin = Origin::answering("ok").await;
    let (text, texts) = watch::channel("ok");
    let (management, mut checked) = saying(texts).await;
    let port = management.address().port();
    let health = format!("path = \"/healthz\", body = \"ok\", port = {port}, {QUICK}");
    let gateway = start(&format!("\"{origin}\""), &health).await;
    within("a check", checked.wait_for(|count| *count >= 1))
        .await
        .expect("the origin");
    assert_eq!(gateway.get("/").await.text(), "ok");
    assert_eq!(
        management.seen()[0].header("host"),
        Some(format!("127.0.0.1:{port}").as_str())
    );
    text.send_replace("no");
    reason_of_sickness(&gateway).await;
    assert_eq!(gateway.get("/").await.status, 503);
}

#[tokio::test]
async fn checks_speak_tls_as_requests_do_or_as_they_are_told() {
    let authority = Authority::new("tests");
    let identity = authority.issue(&["app.test"]);
    let secure = Origin::https(identity.acceptor(&[b"http/1.1"]), |_seen| async {
        http::Response::new(Full::new(Bytes::from_static(b"secure")))
    })
    .await;
    let plain = Origin::answering("plain").await;
    let tls = format!(
        "{{ server_name = \"app.test\", ca = {} }}",
        authority.path()
    );
    let wrong = format!("{{ server_name = \"b.test\", ca = {} }}", authority.path());
    let (tls_line, plain_line) = (format!("tls = {tls}\n"), String::new());
    let port = |origin: &Origin| origin.address().port();
    for (endpoint, requests, health, healthy) in [
        (&secure, &tls_line, String::new(), true),
        (&secure, &plain_line, format!(", tls = {tls}"), true),
        (&secure, &plain_line, format!(", tls = {wrong}"), false),
        (&secure, &plain_line, String::new(), false),
        (&secure, &tls_line, ", tls = false".to_owned(), false),
        (
            &secure,
            &tls_line,
            format!(", tls = false, port = {}", port(&plain)),
            true,
        ),
    ] {
        let gateway = Gateway::start(
            &format!(
                "[[route]]\nname = \"all\"\nupstream = \"app\"\n\
                 [upstream.app]\nendpoints = [\"{endpoint}\"]\n{requests}\
                 health = {{ path = \"/healthz\", initial = \"unhealthy\", {QUICK}{health} }}\n"
            ),
            &[],
        )
        .await;
        if healthy {
            until_healthy(&gateway).await;
        } else {
            reason_of_sickness(&gateway).await;
            assert_eq!(gateway.get("/").await.status, 503, "{requests}{health}");
        }
    }
}

#[tokio::test]
async fn an_endpoint_may_have_to_wait_for_its_first_check() {
    let (text, texts) = watch::channel("no");
    let (origin, mut checked) = saying(texts).await;
    let health = format!(
        "path = \"/healthz\", body = \"ok\", initial = \"unhealthy\", {}",
        QUICK.replace("healthy_after = 1", "healthy_after = 9")
    );
    let health = health.replace("unhealthy_after = 9", "unhealthy_after = 1");
    let gateway = start(&format!("\"{origin}\""), &health).await;
    assert_eq!(gateway.get("/").await.status, 503);
    // The first check has failed: now it takes nine that succeed.
    within("two checks", checked.wait_for(|count| *count >= 2))
        .await
        .expect("the origin");
    let failed = *checked.borrow();
    text.send_replace("ok");
    until_healthy(&gateway).await;
    assert!(*checked.borrow() >= failed + 8, "{}", *checked.borrow());
    assert_eq!(gateway.get("/").await.text(), "ok");

    // For one that is well from the beginning, one check is enough.
    let (_text, texts) = watch::channel("ok");
    let (origin, checked) = saying(texts).await;
    let health = health.replace("\"20ms\"", "\"1h\"");
    let gateway = start(&format!("\"{origin}\""), &health).await;
    until_healthy(&gateway).await;
    assert_eq!(*checked.borrow(), 1);
    assert_eq!(gateway.get("/").await.text(), "ok");
}

#[tokio::test]
async fn an_endpoint_that_joins_waits_for_its_first_check_and_who_serves_does_not() {
    let old = Origin::answering("old").await;
    let (gate_text, texts) = watch::channel("no");
    let (new, mut checked) = saying(texts).await;
    let unchecked =
        "[[route]]\nname = \"all\"\nupstream = \"app\"\n[upstream.app]\nendpoints = [\"<old>\"]\n";
    let gateway = Gateway::start(unchecked, &[("old", &old)]).await;
    assert_eq!(gateway.get("/").await.text(), "old");
    let both = format!(
        "{}health = {{ path = \"/healthz\", body = {{ regex = \"old|new\" }}, initial = \"unhealthy\", {QUICK} }}\n",
        unchecked.replace("\"<old>\"", "\"<old>\", \"<new>\"")
    );
    gateway.reload(&both, &[("old", &old), ("new", &new)]).await;
    for _ in 0..6 {
        assert_eq!(gateway.get("/").await.text(), "old");
    }
    within("a check", checked.wait_for(|count| *count >= 1))
        .await
        .expect("the origin");
    gate_text.send_replace("new");
    until_healthy(&gateway).await;
    let mut texts = Vec::new();
    for _ in 0..4 {
        texts.push(gateway.get("/").await.text().to_owned());
    }
    assert!(texts.iter().any(|text| text == "new"), "{texts:?}");
}

#[tokio::test]
async fn an_unhealthy_endpoint_may_be_asked_more_often() {
    let (text, texts) = watch::channel("no");
    let (origin, mut checked) = saying(texts).await;
    let health = "path = \"/healthz\", body = \"ok\", initial = \"unhealthy\", interval = \"1h\", \
                  unhealthy_interval = \"20ms\", timeout = \"20s\"";
    let gateway = start(&format!("\"{origin}\""), health).await;
    within("many checks", checked.wait_for(|count| *count >= 10))
        .await
        .expect("the origin");
    text.send_replace("ok");
    until_healthy(&gateway).await;
    assert_eq!(gateway.get("/").await.text(), "ok");
}

#[tokio::test]
async fn intervals_vary_by_their_jitter() {
    let times: Arc<std::sync::Mutex<Vec<Instant>>> = Arc::default();
    let (count, counted) = (Arc::new(AtomicUsize::new(0)), watch::channel(0));
    let (sender, mut checked) = counted;
    let noted = Arc::clone(&times);
    let origin = Origin::http(move |_seen| {
        noted.lock().expect("the times").push(Instant::now());
        sender.send_replace(count.fetch_add(1, Ordering::SeqCst) + 1);
        async { http::Response::new(Full::new(Bytes::new())) }
    })
    .await;
    let health = "path = \"/healthz\", interval = \"60ms\", jitter = \"95%\", timeout = \"20s\"";
    let _gateway = start(&format!("\"{origin}\""), health).await;
    // A quarter of the waits is shorter than half of the interval: that fewer than three of so many are, is out of reach.
    within("checks", checked.wait_for(|count| *count >= 80))
        .await
        .expect("the origin");
    let times = times.lock().expect("the times").clone();
    // The first wait is another one. Without jitter, none of the others would be much shorter than the interval.
    let short = Duration::from_millis(30);
    let gaps = times.windows(2).skip(1).map(|pair| pair[1] - pair[0]);
    assert!(gaps.filter(|gap| *gap < short).count() >= 3);
}

#[tokio::test]
async fn an_endpoint_that_is_disabled_is_not_checked() {
    let (_text, texts) = watch::channel("ok");
    let (one, mut one_checked) = saying(texts.clone()).await;
    let (other, mut other_checked) = saying(texts).await;
    let health = format!("path = \"/healthz\", {QUICK}");
    let gateway = start(&format!("\"{one}\", \"{other}\""), &health).await;
    let set = async |state: &str| {
        let form = format!("upstream=app&endpoint={one}&state={state}");
        let response = gateway.ask_admin(Request::post("/endpoints", form)).await;
        assert_eq!(response.status, 200, "{}", response.text());
    };
    set("disabled").await;
    let so_far = *one_checked.borrow();
    let others = *other_checked.borrow();
    within(
        "checks",
        other_checked.wait_for(|count| *count >= others + 20),
    )
    .await
    .expect("the origin");
    // One check may have been under way.
    assert!(*one_checked.borrow() <= so_far + 1);
    let so_far = *one_checked.borrow();
    set("enabled").await;
    within("a check", one_checked.wait_for(|count| *count > so_far))
        .await
        .expect("the origin");
}

#[tokio::test]
async fn checks_are_counted_by_what_came_of_them() {
    let (_text, texts) = watch::channel("ok");
    let (good, mut checked) = saying(texts).await;
    let (refusing, _guard) = refusing_address();
    let health = format!("path = \"/healthz\", {QUICK}");
    let gateway = start(&format!("\"{good}\", \"{refusing}\""), &health).await;
    reason_of_sickness(&gateway).await;
    // The third one comes after the second one is counted.
    within("checks", checked.wait_for(|count| *count >= 3))
        .await
        .expect("the origin");
    let metrics = gateway.metrics().await;
    let count = |endpoint: &str, result: &str| {
        let labels = [
            ("upstream", "app"),
            ("endpoint", endpoint),
            ("result", result),
        ];
        metrics.sum("portcullis_health_checks_total", &labels)
    };
    let (good, refusing) = (good.to_string(), refusing.to_string());
    assert!(count(&good, "passed") >= 2.0, "{}", metrics.text());
    assert!(count(&refusing, "failed") >= 1.0, "{}", metrics.text());
    assert!(count(&good, "failed") + count(&refusing, "passed") < 0.5);
}
