//! Hears when a file of the configuration changes.
//!
//! Events from the system are only hints to look again; what counts is whether the files look different
//! ([`files::Look`]). So a rename over a file, a swapped link, a folder that was replaced and a file system that sends
//! no events at all are the same case, and a file that was only read, or lies beside ours, is none.

pub mod debounce;
pub mod files;
mod system;

use std::{
    collections::BTreeMap,
    future::pending,
    time::{Duration, Instant},
};

use debounce::Debounce;
use files::{Changed, Folder, Look, Watched, folders};
use system::{Handle, Hints};

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
    hints: Option<Hints>,
    armed: BTreeMap<Folder, Handle>,
    /// Whether every folder could be armed, so that looking without a hint is only a safety net.
    complete: bool,
}

impl FileWatch {
    /// A watch of nothing yet. Needs a runtime to be in.
    #[must_use]
    pub fn new() -> Self {
        let hints = Hints::new()
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
            complete: hints.is_some(),
            hints,
            armed: BTreeMap::new(),
        }
    }

    /// A watch that never hears of anything and looks at the files every few seconds instead.
    #[must_use]
    pub fn polling() -> Self {
        Self {
            hints: None,
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
            // A hint is no news when the next look is soon anyway.
            let soon = self.last_look + GAP;
            let listening = self.next_look > soon;
            tokio::select! {
                () = heard(self.hints.as_ref()), if listening => self.next_look = soon,
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
        let Some(hints) = &self.hints else {
            return;
        };
        let wanted = folders(&self.watched);
        let mut armed = BTreeMap::new();
        for folder in &wanted {
            let watch = match self.armed.get(folder) {
                Some(watch) => Ok(*watch),
                None => hints.watch(&folder.path),
            };
            match watch {
                Ok(watch) => {
                    armed.insert(folder.clone(), watch);
                }
                Err(error) if self.complete => {
                    tracing::warn!(folder = %folder.path.display(), %error, every = ?POLL,
                        "folder cannot be watched, its files are looked at regularly");
                    self.complete = false;
                }
                Err(_) => {}
            }
        }
        for watch in self.armed.values() {
            // Two paths to one folder have one watch.
            if !armed.values().any(|kept| kept == watch) {
                hints.unwatch(*watch);
            }
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

/// Returns when something may have changed; never, where the system cannot tell.
async fn heard(hints: Option<&Hints>) {
    match hints {
        Some(hints) if hints.heard().await.is_ok() => {}
        Some(_) | None => pending().await,
    }
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
}
