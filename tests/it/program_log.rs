//! The program log: on standard error, as text or JSON, as much as was asked for.

use crate::harness::{Gateway, within};

const ROUTE: &str = "[[route]]\nname = \"all\"\nrespond = { body = \"hello\" }\n";

#[tokio::test]
async fn the_level_decides_what_is_written() {
    for (level, has_debug) in [("info", false), ("debug", true)] {
        let gateway = Gateway::start(
            &format!("[log]\nformat = \"json\"\nlevel = \"{level}\"\n{ROUTE}"),
            &[],
        )
        .await;
        gateway.get("/").await;
        gateway.post_reload().await;
        gateway.signal("TERM").await;
        gateway.log().end().await;
        let text = gateway.log().text();
        assert_eq!(text.contains("\"DEBUG\""), has_debug, "{text}");
    }
}

#[tokio::test]
async fn text_is_for_people_and_without_colours_in_a_pipe() {
    let gateway = Gateway::start_when(&format!("[log]\nformat = \"text\"\n{ROUTE}"), |line| {
        line.text().contains("ready")
    })
    .await;
    let text = gateway.log().text();
    assert!(text.contains("listening"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.starts_with('{'), "{text}");
}

#[tokio::test]
async fn json_lines_are_json() {
    let gateway = Gateway::start(ROUTE, &[]).await;
    for line in gateway.log().text().lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(
            value.get("level").is_some() && value.get("timestamp").is_some(),
            "{line}"
        );
    }
}

/// Case 86: lines that nobody takes are dropped and counted; neither traffic nor the operator waits for them.
#[tokio::test]
async fn case_86_a_stalled_program_log_stops_neither_traffic_nor_the_control_plane() {
    let text =
        format!("[server]\nworkers = 1\n[log]\nformat = \"json\"\nlevel = \"debug\"\n{ROUTE}");
    let gateway = Gateway::start(&text, &[]).await;
    // The addresses are told in the log.
    let (web, _) = (gateway.web().await, gateway.admin().await);
    let stalled = gateway.log().stall().await;
    let dropped = "portcullis_program_log_dropped_total";
    within("lines that are dropped", async {
        // Each connection is worth a line at this level.
        while gateway.metrics().await.sum(dropped, &[]) < 1.0 {
            for _ in 0..100 {
                assert_eq!(gateway.get("/").await.status, 200);
            }
        }
    })
    .await;
    gateway.reload(&text.replace("hello", "changed"), &[]).await;
    assert_eq!(gateway.get("/").await.text(), "changed");
    // When somebody reads again, there are lines again.
    drop(stalled);
    gateway.reload(&text, &[]).await;
    let lines = gateway.log().count();
    let _client = crate::harness::Client::connect(web).await;
    gateway.log().after(lines).await;
}
