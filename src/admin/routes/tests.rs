//! What each path answers, with a gateway on paper behind it.

use std::{path::Path, sync::Arc};

use hyper::{Method, header::ALLOW};
use serde_json::Value;

use super::*;
use crate::{
    admin::operations::fake::{Fake, report},
    config::{self, Diagnostics},
};

/// Status and body of one request from the loopback interface.
async fn ask(fake: &Fake, method: Method, path: &str, body: &str) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "127.0.0.1:9901")
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .unwrap();
    let response = respond(fake, "127.0.0.1".parse().unwrap(), request).await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn parsed(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

#[tokio::test]
async fn readiness_follows_the_life_of_the_process() {
    let mut fake = Fake::default();
    for (phase, status, word) in [
        (
            Phase::Starting,
            StatusCode::SERVICE_UNAVAILABLE,
            "starting\n",
        ),
        (Phase::Ready, StatusCode::OK, "ready\n"),
        (
            Phase::Draining,
            StatusCode::SERVICE_UNAVAILABLE,
            "draining\n",
        ),
    ] {
        fake.status.phase = phase;
        assert_eq!(
            ask(&fake, Method::GET, "/readyz", "").await,
            (status, word.to_owned())
        );
        assert_eq!(
            ask(&fake, Method::GET, "/healthz", "").await.0,
            StatusCode::OK
        );
    }
}

#[tokio::test]
async fn what_is_shown_comes_from_the_gateway() {
    let fake = Fake::default();
    assert_eq!(
        ask(&fake, Method::GET, "/metrics", "").await.1,
        "figures 1\n"
    );
    let upstreams = ask(&fake, Method::GET, "/upstreams", "").await.1;
    assert_eq!(parsed(&upstreams), json!({ "upstreams": 1 }));
    let config = parsed(&ask(&fake, Method::GET, "/config", "").await.1);
    assert_eq!(config["generation"], 1);
    assert_eq!(config["hash"], "0123456789abcdef");
    assert_eq!(config["since"], "1970-01-01T00:00:00.000Z");
    assert_eq!(config["phase"], "ready");
    assert_eq!(config["config"]["server"]["drain"], "30s");
}

#[tokio::test]
async fn a_reload_answers_how_it_ended() {
    let mut fake = Fake::default();
    let wrong = || config::parse_str("a.toml", "wrong = 1", Path::new("")).diagnostics;
    for (outcome, diagnostics, status) in [
        (Outcome::Applied, Diagnostics::default(), StatusCode::OK),
        (Outcome::Unchanged, Diagnostics::default(), StatusCode::OK),
        (Outcome::Refused, wrong(), StatusCode::UNPROCESSABLE_ENTITY),
        (
            Outcome::Refused,
            Diagnostics::default(),
            StatusCode::CONFLICT,
        ),
    ] {
        let shown = serde_json::to_value(&diagnostics).unwrap();
        fake.reload = Ok(Arc::new(ReloadReport {
            diagnostics,
            remarks: vec!["a remark".to_owned()],
            ..report(outcome)
        }));
        let (answered, body) = ask(&fake, Method::POST, "/reload", "").await;
        assert_eq!(answered, status);
        assert_eq!(
            parsed(&body),
            json!({
                "outcome": outcome.as_str(), "cause": "admin", "generation": 2, "took_seconds": 0.004,
                "at": "1970-01-01T00:00:00.000Z", "diagnostics": shown, "remarks": ["a remark"],
            })
        );
    }
    fake.reload = Err(Ended);
    let (status, _) = ask(&fake, Method::POST, "/reload", "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_refused_reload_stays_visible() {
    let mut fake = Fake::default();
    fake.status.last_reload = Some(Arc::new(report(Outcome::Refused)));
    let shown = parsed(&ask(&fake, Method::GET, "/config", "").await.1);
    assert_eq!(shown["last_reload"]["outcome"], "refused");
}

#[tokio::test]
async fn a_drain_is_accepted_at_once() {
    let fake = Fake::default();
    assert_eq!(
        ask(&fake, Method::POST, "/drain", "").await.0,
        StatusCode::ACCEPTED
    );
    assert_eq!(fake.drains(), 1);
}

#[tokio::test]
async fn the_log_level_is_shown_and_changed() {
    let fake = Fake::default();
    assert_eq!(
        parsed(&ask(&fake, Method::GET, "/log-level", "").await.1)["level"],
        "info"
    );
    for method in [Method::PUT, Method::POST] {
        let (status, body) = ask(&fake, method, "/log-level", "level=debug").await;
        assert_eq!(
            (status, &parsed(&body)["level"]),
            (StatusCode::OK, &json!("debug"))
        );
    }
    for wrong in ["level=loud", "loud", ""] {
        let status = ask(&fake, Method::PUT, "/log-level", wrong).await.0;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    assert_eq!(fake.log_level().as_deref(), Some("debug"));
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_the_reason() {
    let fake = Fake::default();
    assert_eq!(
        ask(&fake, Method::GET, "/nowhere", "").await.0,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        ask(&fake, Method::GET, "/metrics/", "").await.0,
        StatusCode::NOT_FOUND
    );
    let large = "x".repeat(MAX_BODY + 1);
    let (status, body) = ask(&fake, Method::PUT, "/log-level", &large).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(parsed(&body)["error"].is_string());
}

#[tokio::test]
async fn a_wrong_method_hears_the_right_ones() {
    let fake = Fake::default();
    for entry in &TABLE {
        let request = Request::delete(entry.path)
            .header("host", "localhost")
            .body(Full::<Bytes>::default())
            .unwrap();
        let response = respond(&fake, "::1".parse().unwrap(), request).await;
        assert_eq!(
            response.status(),
            StatusCode::METHOD_NOT_ALLOWED,
            "{}",
            entry.path
        );
        assert_eq!(response.headers()[ALLOW], entry.allow);
    }
    assert_eq!(
        ask(&fake, Method::GET, "/drain", "").await.0,
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(fake.drains(), 0);
}

#[tokio::test]
async fn a_web_page_cannot_drain_or_read_the_configuration() {
    let fake = Fake::default();
    let page = |method, path: &str| {
        Request::builder()
            .method(method)
            .uri(path)
            .header("host", "rebound.example")
            .header("origin", "http://rebound.example")
            .body(Full::<Bytes>::default())
            .unwrap()
    };
    for (method, path, status) in [
        (Method::POST, "/drain", StatusCode::FORBIDDEN),
        (Method::GET, "/config", StatusCode::FORBIDDEN),
        (Method::GET, "/readyz", StatusCode::OK),
    ] {
        let response = respond(&fake, "127.0.0.1".parse().unwrap(), page(method, path)).await;
        assert_eq!(response.status(), status, "{path}");
    }
    assert_eq!(fake.drains(), 0);
}

#[tokio::test]
async fn the_index_names_every_path() {
    let index = ask(&Fake::default(), Method::GET, "/", "").await.1;
    assert!(TABLE.iter().all(|entry| index.contains(entry.path)));
}

#[test]
fn a_level_comes_in_a_form_or_alone() {
    for (body, level) in [
        (&b"level=debug"[..], Some("debug")),
        (b"level=info%2Ch2%3Dwarn\n", Some("info,h2=warn")),
        (b"info,h2=warn", Some("info,h2=warn")),
        (b" debug\n", Some("debug")),
        (b"level=", None),
        (b"", None),
        (b"level=%ff", None),
    ] {
        assert_eq!(wanted_level(body).as_deref(), level, "{body:?}");
    }
}

#[tokio::test]
async fn the_state_of_an_endpoint_is_set_by_a_form() {
    let fake = Fake::default();
    let put = async |body: &str| ask(&fake, Method::PUT, "/endpoints", body).await;
    for (body, status) in [
        (
            "upstream=users&endpoint=10.0.0.1:9001&state=draining",
            StatusCode::OK,
        ),
        (
            "state=enabled&endpoint=%5B::1%5D:9001&upstream=users\n",
            StatusCode::OK,
        ),
        (
            "upstream=user&endpoint=10.0.0.1:9001&state=draining",
            StatusCode::NOT_FOUND,
        ),
        (
            "upstream=users&endpoint=10.0.0.1:9001&state=off",
            StatusCode::BAD_REQUEST,
        ),
        ("upstream=users&state=draining", StatusCode::BAD_REQUEST),
        (
            "upstream=users&endpoint=&state=draining",
            StatusCode::BAD_REQUEST,
        ),
        ("", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(put(body).await.0, status, "{body}");
    }
    let (_, body) = put("upstream=users&endpoint=10.0.0.1:9001&state=disabled").await;
    assert_eq!(
        parsed(&body),
        json!({ "upstream": "users", "addresses": ["10.0.0.1:9001"], "state": "disabled" })
    );
}
