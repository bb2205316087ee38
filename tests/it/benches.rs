//! The comparisons in `benches` and the attacks in `tests/wall` are run by hand; what they configure is checked with every
//! change.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::harness::{portcullis, within};

#[tokio::test]
async fn the_gateways_configurations_of_the_comparisons_are_valid() {
    check("benches/peers.py", 2).await;
}

#[tokio::test]
async fn the_gateways_configurations_of_the_wall_and_of_the_soak_are_valid() {
    check("tests/wall/proxies.py", 2).await;
}

/// Checks the configurations that a script writes into a folder, and whose paths it prints.
async fn check(script: &str, count: usize) {
    let folder = tempfile::tempdir().expect("a directory");
    // The run makes it, and the check sees whether the access log could be opened there.
    std::fs::create_dir(folder.path().join("logs")).expect("a directory");
    let writing = Command::new("python3")
        .arg("-B")
        .arg(format!("{}/{script}", env!("CARGO_MANIFEST_DIR")))
        .arg(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let written = within("the configurations", writing)
        .await
        .expect("python3");
    assert!(written.status.success(), "{written:?}");
    let text = String::from_utf8_lossy(&written.stdout);
    let paths: Vec<_> = text.lines().collect();
    assert_eq!(paths.len(), count, "{text}");
    for path in paths {
        let checked = portcullis(&["check", "--format", "json", "--config", path]).await;
        assert_eq!(checked.code, Some(0), "{checked:?}");
        let answer: Value = serde_json::from_str(&checked.stdout).expect("JSON");
        let found = answer["diagnostics"].as_array().expect("diagnostics");
        // How many files may be open is a matter of the machine: the runs see to it themselves.
        let of_the_file = |found: &&Value| !found["message"].to_string().contains("files run out");
        let found: Vec<_> = found.iter().filter(of_the_file).collect();
        assert!(found.is_empty(), "{found:?}");
    }
}
