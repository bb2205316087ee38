//! The comparisons in `benches` are run by hand; what they configure is checked with every change.

use std::process::Stdio;

use tokio::process::Command;

use crate::harness::{portcullis, within};

#[tokio::test]
async fn the_gateways_configuration_of_the_comparisons_is_valid() {
    let folder = tempfile::tempdir().expect("a directory");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers.py");
    let writing = Command::new("python3")
        .args(["-B", script])
        .arg(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let written = within("the configuration", writing).await.expect("python3");
    let path = String::from_utf8_lossy(&written.stdout);
    assert!(written.status.success(), "{written:?}");
    let checked = portcullis(&["check", "--config", path.trim()]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(!checked.stdout.contains("warning"), "{checked:?}");
    assert!(checked.stderr.is_empty(), "{checked:?}");
}
