//! The program log of a running gateway: every line is an event that a scenario can wait for.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::watch;

use super::within;

/// The lines so far and the news of the next one.
#[derive(Clone)]
pub(crate) struct ProgramLog {
    lines: Arc<Mutex<Vec<String>>>,
    news: watch::Receiver<Progress>,
    reading: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Progress {
    lines: usize,
    ended: bool,
}

impl ProgramLog {
    /// Reads `source` to its end in the background.
    pub(super) fn follow(source: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (news, receiver) = watch::channel(Progress {
            lines: 0,
            ended: false,
        });
        let kept = Arc::clone(&lines);
        let reading = Arc::new(tokio::sync::Mutex::new(()));
        let turn = Arc::clone(&reading);
        tokio::spawn(async move {
            let mut reader = BufReader::new(source).lines();
            while let Ok(Some(line)) = reader.next_line().await {
                drop(turn.lock().await);
                kept.lock().expect("the log").push(line);
                news.send_modify(|progress| progress.lines += 1);
            }
            news.send_modify(|progress| progress.ended = true);
        });
        Self {
            lines,
            news: receiver,
            reading,
        }
    }

    /// Nobody reads what the gateway writes until what this gives is dropped, so that its pipe becomes full.
    pub(crate) async fn stall(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.reading).lock_owned().await
    }

    /// Waits for the first line, an old one too, of which `wanted` makes something.
    pub(crate) async fn wait<T>(&self, what: &str, wanted: impl Fn(&Line) -> Option<T>) -> T {
        let mut news = self.news.clone();
        let mut seen = 0;
        let search = async {
            loop {
                let progress = *news.borrow_and_update();
                while seen < progress.lines {
                    let line = self.lines.lock().expect("the log")[seen].clone();
                    seen += 1;
                    if let Some(found) = wanted(&Line::parse(&line)) {
                        return Some(found);
                    }
                }
                if progress.ended || news.changed().await.is_err() {
                    return None;
                }
            }
        };
        let found = tokio::time::timeout(super::DEADLINE, search).await;
        match found {
            Ok(Some(found)) => found,
            Ok(None) => panic!("the gateway ended before {what}:\n{}", self.text()),
            Err(_) => panic!("no {what} in the program log:\n{}", self.text()),
        }
    }

    /// Waits for the next line after the first `seen` ones.
    pub(crate) async fn after(&self, seen: usize) {
        let mut news = self.news.clone();
        within(
            "another line of the program log",
            news.wait_for(|progress| progress.lines > seen || progress.ended),
        )
        .await
        .expect("the reader of the log");
    }

    /// Waits until nobody can write to it any more.
    pub(crate) async fn end(&self) {
        let mut news = self.news.clone();
        within(
            "the end of the log",
            news.wait_for(|progress| progress.ended),
        )
        .await
        .expect("the reader of the log");
    }

    pub(crate) fn count(&self) -> usize {
        self.lines.lock().expect("the log").len()
    }

    pub(crate) fn text(&self) -> String {
        self.lines.lock().expect("the log").join("\n")
    }
}

/// One line: JSON fields where it is JSON.
pub(crate) struct Line {
    text: String,
    json: Option<Value>,
}

impl Line {
    fn parse(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            json: serde_json::from_str(text).ok(),
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn message(&self) -> &str {
        self.field("message").unwrap_or(&self.text)
    }

    /// A text field, wherever the formatter puts it.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let json = self.json.as_ref()?;
        json.get(name)
            .or_else(|| json.get("fields")?.get(name))
            .and_then(Value::as_str)
    }
}
