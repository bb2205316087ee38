//! The access log as a file: a watcher tells when it grew.

use std::path::{Path, PathBuf};

use notify::Watcher;
use serde_json::Value;
use tokio::sync::watch;

/// A log file that a gateway writes.
pub(crate) struct AccessLog {
    path: PathBuf,
    changes: watch::Receiver<u64>,
    _watcher: notify::RecommendedWatcher,
}

/// One record in the JSON format.
#[derive(Clone, Debug)]
pub(crate) struct Record(Value);

impl AccessLog {
    /// Follows the file, which need not exist yet.
    pub(crate) fn follow(path: &Path) -> Self {
        let (sender, changes) = watch::channel(0);
        let mut watcher = notify::recommended_watcher(move |_event| {
            sender.send_modify(|count| *count += 1);
        })
        .expect("a watcher");
        watcher
            .watch(
                path.parent().expect("a directory"),
                notify::RecursiveMode::NonRecursive,
            )
            .expect("a watch");
        Self {
            path: path.to_owned(),
            changes,
            _watcher: watcher,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The complete lines that stand in the file now.
    pub(crate) fn lines_now(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        let complete = text.rfind('\n').map_or("", |at| &text[..at]);
        complete.lines().map(str::to_owned).collect()
    }

    /// Waits until the file has at least `count` lines and returns them all.
    pub(crate) async fn lines(&self, count: usize) -> Vec<String> {
        let mut changes = self.changes.clone();
        let wait = async {
            loop {
                changes.borrow_and_update();
                let lines = self.lines_now();
                if lines.len() >= count {
                    return lines;
                }
                changes.changed().await.expect("the watcher");
            }
        };
        match tokio::time::timeout(super::DEADLINE, wait).await {
            Ok(lines) => lines,
            Err(_) => panic!(
                "the access log has not got {count} lines:\n{}",
                self.lines_now().join("\n")
            ),
        }
    }

    /// Waits until the file is there.
    pub(crate) async fn exists(&self) {
        let mut changes = self.changes.clone();
        super::within("the file of the access log", async {
            while !self.path.exists() {
                changes.changed().await.expect("the watcher");
            }
        })
        .await;
    }

    /// Waits until the file has at least `count` records and returns them all.
    pub(crate) async fn records(&self, count: usize) -> Vec<Record> {
        let lines = self.lines(count).await;
        lines.iter().map(|line| Record::parse(line)).collect()
    }
}

impl Record {
    pub(crate) fn parse(line: &str) -> Self {
        Self(
            serde_json::from_str(line)
                .unwrap_or_else(|error| panic!("a record that is no JSON ({error}): {line}")),
        )
    }

    /// The text of a field; numbers and booleans as JSON spells them, and "" when absent or null.
    pub(crate) fn text(&self, field: &str) -> String {
        match self.0.get(field) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    pub(crate) fn number(&self, field: &str) -> f64 {
        self.0
            .get(field)
            .and_then(Value::as_f64)
            .unwrap_or_else(|| panic!("no number {field} in {}", self.0))
    }

    pub(crate) fn whole(&self) -> &Value {
        &self.0
    }
}
