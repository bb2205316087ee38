//! Files that are looked at again and again: what changed since the last look.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::TlsError;

/// What tells two states of a set of files apart without reading them. Links are followed, so the renamed directory
/// of a Kubernetes secret is seen as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamps(Vec<(PathBuf, Option<Stamp>)>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamps {
    /// The present state. It is taken before the files are read: a change in between is then seen at the next look.
    pub(super) fn of<'p>(paths: impl IntoIterator<Item = &'p Path>) -> Self {
        Self(
            paths
                .into_iter()
                .map(|path| (path.to_owned(), Stamp::of(path)))
                .collect(),
        )
    }

    /// The new state, if it is another one.
    pub(super) fn changed(&self) -> Option<Self> {
        let now = Self::of(self.0.iter().map(|(path, _)| path.as_path()));
        (now != *self).then_some(now)
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
