//! The program log: on standard error, as text or JSON, as much as was asked for.

use crate::harness::Gateway;

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
