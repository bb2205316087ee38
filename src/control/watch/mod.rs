//! Hears when a file of the configuration changes.
//!
//! Events from the system are only hints to look again; what counts is whether the files look different
//! ([`files::Look`]). So a rename over a file, a swapped link, a folder that was replaced and a file system that sends
//! no events at all are the same case, and a file that was only read is none.

pub mod debounce;
pub mod files;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::sync::Notify;

use debounce::Debounce;
use files::{Changed, Folder, Look, Watched, folders};

/// Watches the files of the running configuration. Belongs to the controller, which says what to watch and waits for
/// changes; nothing happens between two calls but that hints are kept.
#[derive(Debug)]
pub struct FileWatch {
    watched: Watched,
    look: Look,
    watcher: Option<RecommendedWatcher>,
    armed: BTreeSet<Folder>,
    /// Whether every folder could be armed, so that looking without a hint is only a safety net.
    complete: bool,
    hints: Arc<Notify>,
    debounce: Debounce,
    next_look: Instant,
}

impl FileWatch {
    /// A watch of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let hints = Arc::new(Notify::new());
        let watcher = watcher(Arc::clone(&hints))
            .inspect_err(|error| {
                tracing::warn!(%error, every = ?POLL, "files cannot be watched, they are looked at regularly");
            })
            .ok();
        Self {
            watched: Watched::default(),
            look: Look::default(),
            complete: watcher.is_some(),
            watcher,
            armed: BTreeSet::new(),
            hints,
            debounce: Debounce::new(QUIET, AT_MOST),
            next_look: Instant::now() + POLL,
        }
    }

    /// A watch that never hears of anything and looks at the files every few seconds instead.
    #[must_use]
    pub fn polling() -> Self {
        Self {
            watcher: None,
            complete: false,
            ..Self::new()
        }
    }

    /// Watches these files from now on. They were read at `read_at`; what changed since then is reported.
    pub fn set(&mut self, watched: Watched, read_at: SystemTime) {
        let mut look = Look::at(&watched).keeping(&self.look);
        if look.doubt(&self.look, read_at) {
            self.debounce.note(Instant::now());
        }
        self.look = look;
        self.watched = watched;
        self.arm();
        // What happened between the look and the arming gave no hint.
        self.next_look = Instant::now() + QUIET;
    }

    /// Waits until something has changed and has been quiet for a while. Dropping the future loses nothing.
    pub async fn changed(&mut self) -> Changed {
        loop {
            let wake = self
                .debounce
                .due()
                .map_or(self.next_look, |due| due.min(self.next_look));
            tokio::select! {
                () = self.hints.notified() => self.debounce.note(Instant::now()),
                () = tokio::time::sleep_until(wake.into()) => {
                    let changed = self.look_again();
                    if changed.any() {
                        return changed;
                    }
                }
            }
        }
    }

    fn look_again(&mut self) -> Changed {
        self.debounce.clear();
        let look = Look::at(&self.watched);
        let changed = look.since(&self.look);
        self.look = look;
        self.arm();
        self.next_look = Instant::now() + if self.complete { SAFETY } else { POLL };
        changed
    }

    /// Sees to it that exactly the folders that matter now are watched.
    fn arm(&mut self) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let wanted = folders(&self.watched);
        for gone in self.armed.difference(&wanted) {
            // Fails when the folder is gone, and then so is its watch.
            let _ = watcher.unwatch(&gone.path);
        }
        let mut armed: BTreeSet<Folder> = self.armed.intersection(&wanted).cloned().collect();
        for new in wanted.difference(&self.armed) {
            match watcher.watch(&new.path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    armed.insert(new.clone());
                }
                Err(error) if self.complete => {
                    tracing::warn!(folder = %new.path.display(), %error, every = ?POLL,
                        "folder cannot be watched, its files are looked at regularly");
                }
                Err(_) => {}
            }
            self.complete = armed.contains(new) && self.complete;
        }
        self.complete = armed.len() == wanted.len();
        self.armed = armed;
    }
}

impl Default for FileWatch {
    fn default() -> Self {
        Self::new()
    }
}

fn watcher(hints: Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        if event.is_ok_and(|event| is_harmless(event.kind)) {
            return;
        }
        hints.notify_one();
    })
}

/// Reading a file is an event too, and our own reading must not wake us.
fn is_harmless(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

/// A burst is over after this long without an event.
const QUIET: Duration = Duration::from_millis(200);
/// A burst that does not end is looked at this long after it began.
const AT_MOST: Duration = Duration::from_secs(2);
/// How often to look where no events come.
const POLL: Duration = Duration::from_secs(2);
/// How often to look where events come: some file systems send none for changes made on another machine.
const SAFETY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    fn watch(file: &Path) -> Watched {
        Watched {
            configuration: vec![file.to_path_buf()],
            ..Watched::default()
        }
    }

    async fn heard(files: &mut FileWatch) -> Changed {
        tokio::time::timeout(Duration::from_secs(20), files.changed())
            .await
            .expect("the change was not heard")
    }

    #[tokio::test]
    async fn a_rename_over_the_file_is_heard() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        fs::write(&file, "1").unwrap();
        let mut files = FileWatch::new();
        files.set(watch(&file), SystemTime::now() + Duration::from_secs(1));
        fs::write(folder.path().join("new"), "2").unwrap();
        fs::rename(folder.path().join("new"), &file).unwrap();
        assert!(heard(&mut files).await.configuration);
    }

    #[tokio::test]
    async fn a_change_made_before_the_watch_began_is_heard() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        let read_at = SystemTime::now();
        fs::write(&file, "1").unwrap();
        let mut files = FileWatch::new();
        files.set(watch(&file), read_at);
        assert!(heard(&mut files).await.configuration);
    }

    #[tokio::test]
    async fn without_events_a_change_is_found_by_looking() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        fs::write(&file, "1").unwrap();
        let mut files = FileWatch::polling();
        files.set(watch(&file), SystemTime::now() + Duration::from_secs(1));
        fs::write(&file, "22").unwrap();
        assert!(heard(&mut files).await.configuration);
    }

    #[test]
    fn reading_a_file_is_no_hint_and_closing_a_written_one_is() {
        assert!(is_harmless(EventKind::Access(AccessKind::Open(
            AccessMode::Any
        ))));
        assert!(!is_harmless(EventKind::Access(AccessKind::Close(
            AccessMode::Write
        ))));
        assert!(!is_harmless(EventKind::Any));
    }
}
