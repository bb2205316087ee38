//! What the watched files look like, and which folders must be watched to hear of a change.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{self, Component, Path, PathBuf},
    time::{Duration, SystemTime},
};

/// The files that the running configuration was read from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// The configuration itself, the files it includes and the files its secrets come from: a change needs a reload.
    pub configuration: Vec<PathBuf>,
    /// Folders in which a new or removed name may be an include.
    pub includes: Vec<PathBuf>,
    /// Certificates and keys: a change needs only a new look at them.
    pub certificates: Vec<PathBuf>,
}

/// What a look at the watched files found different from the look before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Something that needs a reload.
    pub configuration: bool,
    /// A certificate or key.
    pub certificates: bool,
}

impl Watched {
    /// Watches these as well.
    pub fn extend(&mut self, other: &Self) {
        let Self {
            configuration,
            includes,
            certificates,
        } = other;
        self.configuration.extend_from_slice(configuration);
        self.includes.extend_from_slice(includes);
        self.certificates.extend_from_slice(certificates);
    }
}

impl Stamp {
    /// Whether the file may have changed at `time` or later.
    fn is_after(self, time: SystemTime) -> bool {
        let since = (time - CLOCK_STEP)
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
        self.changed >= (seconds, i64::from(since.subsec_nanos()))
    }
}

/// Whether one of the files may have changed at `time` or later.
#[must_use]
pub fn changed_after(files: &[PathBuf], time: SystemTime) -> bool {
    files
        .iter()
        .filter_map(|file| stamp(file).ok())
        .any(|stamp| stamp.is_after(time))
}

impl Changed {
    /// Whether there is anything to do.
    #[must_use]
    pub fn any(self) -> bool {
        self.configuration || self.certificates
    }
}

/// How all watched files looked at one moment. Looking again and comparing, instead of believing in events, is what
/// makes a watch safe against renames, links that are swapped and events that never come.
#[derive(Clone, Debug, Default)]
pub struct Look {
    configuration: BTreeMap<PathBuf, Option<Stamp>>,
    included: BTreeSet<PathBuf>,
    certificates: BTreeMap<PathBuf, Option<Stamp>>,
}

/// What tells two states of a file apart; links are followed. The change time is what betrays a file that was replaced
/// by one of the same size within the same second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Look {
    /// Looks at every watched file now.
    #[must_use]
    pub fn at(watched: &Watched) -> Self {
        Self {
            configuration: stamps(&watched.configuration),
            included: watched
                .includes
                .iter()
                .flat_map(|folder| entries(folder))
                .collect(),
            certificates: stamps(&watched.certificates),
        }
    }

    /// What is different now from `before`. A file that only one of the two looks knows is not a change: the set of
    /// files changes with a reload, and that reload has read them.
    #[must_use]
    pub fn since(&self, before: &Self) -> Changed {
        Changed {
            configuration: differs(&self.configuration, &before.configuration)
                || self.included != before.included,
            certificates: differs(&self.certificates, &before.certificates),
        }
    }

    /// This look, and for the files that it does not know the other one.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        for (path, stamp) in &other.configuration {
            self.configuration.entry(path.clone()).or_insert(*stamp);
        }
        for (path, stamp) in &other.certificates {
            self.certificates.entry(path.clone()).or_insert(*stamp);
        }
        self
    }
}

fn stamps(paths: &[PathBuf]) -> BTreeMap<PathBuf, Option<Stamp>> {
    paths
        .iter()
        .map(|path| (path.clone(), stamp(path).ok()))
        .collect()
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let metadata = fs::metadata(path)?;
    Ok(Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        length: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

fn differs(
    now: &BTreeMap<PathBuf, Option<Stamp>>,
    before: &BTreeMap<PathBuf, Option<Stamp>>,
) -> bool {
    now.iter()
        .any(|(path, stamp)| before.get(path).is_some_and(|earlier| earlier != stamp))
}

/// The names in a folder, without those that are never included: editors leave hidden files while they write.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            !name.starts_with(b".") && !name.ends_with(b"~")
        })
        .collect()
}

/// A folder and which folder it really is: one that was removed and made again needs a new watch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Folder {
    /// The path to watch.
    pub path: PathBuf,
    device: u64,
    inode: u64,
}

/// The folders in which something must happen before any of the watched files can look different: the folder of each
/// file and of each link on the way to it.
#[must_use]
pub fn folders(watched: &Watched) -> BTreeSet<Folder> {
    let mut paths = BTreeSet::new();
    for file in watched.configuration.iter().chain(&watched.certificates) {
        steps(file, &mut paths);
    }
    for folder in &watched.includes {
        steps(&folder.join("*"), &mut paths);
    }
    paths
        .into_iter()
        .filter_map(|path| {
            let metadata = fs::metadata(&path).ok()?;
            Some(Folder {
                path,
                device: metadata.dev(),
                inode: metadata.ino(),
            })
        })
        .collect()
}

/// Walks to a file one name at a time and notes each folder in which a link or the file itself lies.
fn steps(file: &Path, folders: &mut BTreeSet<PathBuf>) {
    let absolute = path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
    let mut ahead = names(&absolute);
    let mut here = PathBuf::new();
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        if name == Path::new("..") {
            here.pop();
            continue;
        }
        let next = here.join(&name);
        let target = match fs::read_link(&next) {
            Ok(target) if links < MAX_LINKS => target,
            Ok(_) | Err(_) => {
                if ahead.is_empty() {
                    folders.insert(here);
                    return;
                }
                here = next;
                continue;
            }
        };
        links += 1;
        folders.insert(here.clone());
        if target.is_absolute() {
            here = PathBuf::new();
        }
        ahead.extend(names(&target));
    }
}

/// The names on the way to a path, the last one first.
fn names(path: &Path) -> Vec<PathBuf> {
    path.components()
        .rev()
        .filter(|component| *component != Component::CurDir)
        .map(|component| PathBuf::from(component.as_os_str()))
        .collect()
}

/// File times are taken from a clock that moves in steps, so they may lie this far before the true time.
const CLOCK_STEP: Duration = Duration::from_millis(10);

/// As many as Linux follows before it calls it a loop.
const MAX_LINKS: u32 = 40;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn watch(file: &Path) -> Watched {
        Watched {
            configuration: vec![file.to_path_buf()],
            ..Watched::default()
        }
    }

    fn folder_paths(watched: &Watched) -> Vec<PathBuf> {
        folders(watched)
            .into_iter()
            .map(|folder| folder.path)
            .collect()
    }

    #[test]
    fn an_untouched_file_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        fs::write(&file, "1").unwrap();
        let watched = watch(&file);
        assert!(!Look::at(&watched).since(&Look::at(&watched)).any());
    }

    #[test]
    fn a_rename_over_the_file_is_a_change_even_with_equal_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        fs::write(&file, "1").unwrap();
        let watched = watch(&file);
        let before = Look::at(&watched);
        let fresh = folder.path().join("a.toml.tmp");
        fs::write(&fresh, "1").unwrap();
        fs::rename(&fresh, &file).unwrap();
        assert!(Look::at(&watched).since(&before).configuration);
    }

    #[test]
    fn a_missing_file_and_its_return_are_changes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        fs::write(&file, "1").unwrap();
        let watched = watch(&file);
        let before = Look::at(&watched);
        fs::remove_file(&file).unwrap();
        let gone = Look::at(&watched);
        assert!(gone.since(&before).any());
        fs::write(&file, "1").unwrap();
        assert!(Look::at(&watched).since(&gone).any());
    }

    #[test]
    fn a_swapped_folder_link_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        for release in ["one", "two"] {
            fs::create_dir(folder.path().join(release)).unwrap();
            fs::write(folder.path().join(release).join("a.toml"), "1").unwrap();
        }
        let data = folder.path().join("..data");
        symlink("one", &data).unwrap();
        let file = folder.path().join("a.toml");
        symlink("..data/a.toml", &file).unwrap();
        let watched = watch(&file);
        let before = Look::at(&watched);
        let fresh = folder.path().join("..data_tmp");
        symlink("two", &fresh).unwrap();
        fs::rename(&fresh, &data).unwrap();
        assert!(Look::at(&watched).since(&before).configuration);
    }

    #[test]
    fn only_a_certificate_that_changed_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let (file, certificate) = (folder.path().join("a.toml"), folder.path().join("a.pem"));
        fs::write(&file, "1").unwrap();
        fs::write(&certificate, "1").unwrap();
        let watched = Watched {
            certificates: vec![certificate.clone()],
            ..watch(&file)
        };
        let before = Look::at(&watched);
        fs::write(&certificate, "22").unwrap();
        assert_eq!(
            Look::at(&watched).since(&before),
            Changed {
                configuration: false,
                certificates: true
            }
        );
    }

    #[test]
    fn a_new_include_is_a_change_and_an_editor_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let watched = Watched {
            includes: vec![folder.path().to_path_buf()],
            ..Watched::default()
        };
        let before = Look::at(&watched);
        fs::write(folder.path().join(".a.toml.swp"), "1").unwrap();
        fs::write(folder.path().join("a.toml~"), "1").unwrap();
        assert!(!Look::at(&watched).since(&before).any());
        fs::write(folder.path().join("a.toml"), "1").unwrap();
        assert!(Look::at(&watched).since(&before).configuration);
    }

    #[test]
    fn a_completed_look_keeps_what_it_knows() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("1.toml"), folder.path().join("2.toml"));
        fs::write(&one, "1").unwrap();
        fs::write(&two, "1").unwrap();
        let first = Look::at(&watch(&one));
        let mut both = watch(&one);
        both.extend(&watch(&two));
        fs::write(&one, "22").unwrap();
        let completed = first.or(&Look::at(&both));
        assert!(Look::at(&watch(&one)).since(&completed).any());
        assert!(!Look::at(&watch(&two)).since(&completed).any());
        fs::write(&two, "22").unwrap();
        assert!(Look::at(&watch(&two)).since(&completed).any());
    }

    #[test]
    fn a_file_written_just_now_may_have_changed_since() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        fs::write(&file, "1").unwrap();
        let written = fs::metadata(&file).unwrap().modified().unwrap();
        let files = [file];
        assert!(changed_after(&files, written));
        assert!(!changed_after(&files, written + Duration::from_secs(1)));
    }

    #[test]
    fn the_folder_of_each_link_on_the_way_is_watched() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["live", "archive", "site"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        fs::write(root.join("archive/key1.pem"), "1").unwrap();
        symlink("../archive/key1.pem", root.join("live/key.pem")).unwrap();
        symlink(root.join("live/key.pem"), root.join("site/key.pem")).unwrap();
        assert_eq!(
            folder_paths(&watch(&root.join("site/key.pem"))),
            [root.join("archive"), root.join("live"), root.join("site")]
        );
    }

    #[test]
    fn a_folder_that_is_itself_a_link_is_watched_from_above() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir(root.join("release")).unwrap();
        fs::write(root.join("release/a.toml"), "1").unwrap();
        symlink("release", root.join("current")).unwrap();
        assert_eq!(
            folder_paths(&watch(&root.join("current/a.toml"))),
            [root.clone(), root.join("release")]
        );
    }

    #[test]
    fn links_in_a_circle_end() {
        let folder = tempfile::tempdir().unwrap();
        symlink("b", folder.path().join("a")).unwrap();
        symlink("a", folder.path().join("b")).unwrap();
        assert!(!folders(&watch(&folder.path().join("a"))).is_empty());
    }

    #[test]
    fn a_folder_made_again_is_another_folder() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        let aside = folder.path().join("aside");
        fs::create_dir(&inner).unwrap();
        let watched = watch(&inner.join("a.toml"));
        let before = folders(&watched);
        fs::rename(&inner, &aside).unwrap();
        fs::create_dir(&inner).unwrap();
        assert_ne!(folders(&watched), before);
    }
}
