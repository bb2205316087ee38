//! Files that are looked at again and again: what changed since the last look.

use std::fs;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::TlsError;

/// A set of files that belong together, as they were when they were last looked at.
///
/// A look costs one `stat` a file; they are read only when that differs. Links are followed, so the renamed directory
/// of a Kubernetes secret is seen as well.
#[derive(Debug)]
pub(super) struct Watched {
    files: Vec<(PathBuf, Option<Stamp>)>,
    /// A keyed hash of the contents. A file can be touched, copied or given to another user without a change, and
    /// that must not end sessions.
    content: u64,
    key: RandomState,
}

/// What tells two states of a file apart without reading it. The time of the last status change is in it because a
/// file that could not be read may become readable.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watched {
    /// Looks at the files for the first time. To be done before they are used: a change in between is then seen at
    /// the next look.
    pub(super) fn new<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Self {
        let mut watched = Self {
            files: paths
                .into_iter()
                .map(|path| (path.to_owned(), Stamp::of(path)))
                .collect(),
            content: 0,
            key: RandomState::new(),
        };
        watched.content = watched.hash();
        watched
    }

    /// Looks again: whether the contents are others than the last time.
    pub(super) fn changed(&mut self) -> bool {
        let mut stamped = false;
        for (path, stamp) in &mut self.files {
            let now = Stamp::of(path);
            stamped |= *stamp != now;
            *stamp = now;
        }
        if !stamped {
            return false;
        }
        let before = self.content;
        self.content = self.hash();
        self.content != before
    }

    /// The files, in the order they were given.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().map(|(path, _)| path.clone()).collect()
    }

    fn hash(&self) -> u64 {
        let mut hasher = self.key.build_hasher();
        for (path, _) in &self.files {
            fs::read(path).ok().hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let found = fs::metadata(path).ok()?;
        Some(Self {
            device: found.dev(),
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

/// What a look at the files of a TLS configuration led to, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileChange {
    /// At least one of the files changed, and what is in them now is used from now on.
    Replaced {
        /// The files that belong together.
        files: Vec<PathBuf>,
    },
    /// A file changed and cannot be used as it is now: what was read before stays in use.
    Kept {
        /// What is wrong with the new content.
        error: TlsError,
    },
}

#[cfg(test)]
mod tests {
    use super::super::testing::Issuer;
    use super::*;

    #[test]
    fn only_other_contents_are_a_change() {
        let directory = Issuer::new();
        let path = directory.path("file");
        let mut watched = Watched::new([path.as_path()]);
        assert!(!watched.changed());
        directory.write("file", "one");
        assert!(watched.changed());
        assert!(!watched.changed());
        directory.write("file", "one");
        assert!(!watched.changed());
        directory.write("file", "two");
        assert!(watched.changed());
        fs::remove_file(&path).unwrap();
        assert!(watched.changed());
        directory.write("file", "two");
        assert!(watched.changed());
    }

    #[test]
    fn a_change_behind_a_link_is_seen() {
        let directory = Issuer::new();
        let link = |to: &str| {
            let beside = directory.path("link.new");
            std::os::unix::fs::symlink(directory.path(to), &beside).unwrap();
            fs::rename(beside, directory.path("link")).unwrap();
        };
        for name in ["before", "after"] {
            fs::create_dir(directory.path(name)).unwrap();
            fs::write(directory.path(name).join("file"), name).unwrap();
        }
        link("before");
        let path = directory.path("link").join("file");
        let mut watched = Watched::new([path.as_path()]);
        link("after");
        assert!(watched.changed());
    }

    #[test]
    fn content_that_moves_from_one_file_to_another_is_a_change() {
        let directory = Issuer::new();
        directory.write("a", "xy");
        directory.write("b", "");
        let (a, b) = (directory.path("a"), directory.path("b"));
        let mut watched = Watched::new([a.as_path(), b.as_path()]);
        directory.write("a", "x");
        directory.write("b", "y");
        assert!(watched.changed());
    }
}
