//! Hears when a file of the configuration changes.
//!
//! Events from the system are only hints to look again; what counts is whether the files look different
//! ([`files::Look`]). So a rename over a file, a swapped link, a folder that was replaced and a file system that sends
//! no events at all are the same case, and a file that was only read, or lies beside ours, is none.

pub mod debounce;
pub mod files;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
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
    /// How the files looked when they were last reported or set.
    reported: Look,
    /// How they looked last.
    seen: Look,
    last_look: Instant,
    next_look: Instant,
    /// Waits until the files do not change any more, so that nobody reads half of one.
    debounce: Debounce,
    watcher: Option<RecommendedWatcher>,
    armed: BTreeSet<Folder>,
    /// Whether every folder could be armed, so that looking without a hint is only a safety net.
    complete: bool,
    hints: Arc<Notify>,
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
        let now = Instant::now();
        Self {
            watched: Watched::default(),
            reported: Look::default(),
            seen: Look::default(),
            last_look: now,
            next_look: now + POLL,
            debounce: Debounce::new(QUIET, AT_MOST),
            complete: watcher.is_some(),
            watcher,
            armed: BTreeSet::new(),
            hints,
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

    /// Watches these files from now on. `look` is how they were before they were read: what has changed since then is
    /// reported.
    pub fn set(&mut self, watched: Watched, look: Look) {
        self.reported = look.or(&self.reported).or(&Look::at(&watched));
        self.seen = self.reported.clone();
        self.watched = watched;
        self.arm();
        // What happened between the look and the arming gave no hint.
        self.next_look = Instant::now() + GAP;
    }

    /// Waits until something has changed and has been quiet for a while. Dropping the future loses nothing.
    pub async fn changed(&mut self) -> Changed {
        loop {
            tokio::select! {
                () = self.hints.notified() => {
                    // Somebody may write a log beside the configuration, ten thousand times a second.
                    self.next_look = self.next_look.min(self.last_look + GAP);
                }
                () = tokio::time::sleep_until(self.next_look.into()) => {
                    let changed = self.look(Instant::now());
                    if changed.any() {
                        return changed;
                    }
                }
            }
        }
    }

    /// Looks, and reports what has changed once it has come to rest.
    fn look(&mut self, now: Instant) -> Changed {
        let look = Look::at(&self.watched);
        if look.since(&self.seen).any() {
            self.debounce.note(now);
        }
        self.seen = look;
        self.arm();
        self.last_look = now;
        let mut changed = Changed::default();
        if self.debounce.due().is_some_and(|due| due <= now) {
            self.debounce.clear();
            changed = self.seen.since(&self.reported);
            self.reported = self.seen.clone();
        }
        let regular = now + if self.complete { SAFETY } else { POLL };
        self.next_look = self.debounce.due().unwrap_or(regular);
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

/// A change is over when nothing has changed for this long.
const QUIET: Duration = Duration::from_millis(200);
/// A change that does not end is reported this long after it began.
const AT_MOST: Duration = Duration::from_secs(2);
/// The shortest time between two looks.
const GAP: Duration = Duration::from_millis(50);
/// How often to look where no events come.
const POLL: Duration = Duration::from_secs(2);
/// How often to look where events come: some file systems send none for changes made on another machine.
const SAFETY: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, path::Path};

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
        files.set(watch(&file), Look::at(&watch(&file)));
        fs::write(folder.path().join("new"), "2").unwrap();
        fs::rename(folder.path().join("new"), &file).unwrap();
        assert!(heard(&mut files).await.configuration);
    }

    #[tokio::test]
    async fn a_swapped_link_on_the_way_is_heard() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for release in ["one", "two"] {
            fs::create_dir(root.join(release)).unwrap();
            fs::write(root.join(release).join("a.toml"), "1").unwrap();
        }
        symlink("one", root.join("..data")).unwrap();
        symlink("..data/a.toml", root.join("a.toml")).unwrap();
        let watched = watch(&root.join("a.toml"));
        let mut files = FileWatch::new();
        files.set(watched.clone(), Look::at(&watched));
        symlink("two", root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        assert!(heard(&mut files).await.configuration);
    }

    #[tokio::test]
    async fn a_change_made_before_the_watch_began_is_heard() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        fs::write(&file, "1").unwrap();
        let before = Look::at(&watch(&file));
        fs::write(&file, "22").unwrap();
        let mut files = FileWatch::new();
        files.set(watch(&file), before);
        assert!(heard(&mut files).await.configuration);
    }

    #[tokio::test]
    async fn without_events_a_change_is_found_by_looking() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        fs::write(&file, "1").unwrap();
        let mut files = FileWatch::polling();
        files.set(watch(&file), Look::at(&watch(&file)));
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
