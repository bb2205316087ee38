//! One place that lines are written to: standard output or a file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use nix::{
    errno::Errno,
    unistd::{AccessFlags, eaccess},
};

use super::Target;

/// One place that lines are written to. Opened when a configuration is loaded; written by the writer thread alone.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) target: Target,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// The last write ended inside a line.
    torn: bool,
    /// The last write failed: told once, not with every batch.
    failing: bool,
}

impl Output {
    pub(super) fn open(target: &Target) -> io::Result<Self> {
        let file = match target {
            // Not `io::stdout()`, which looks for line ends in what is handed to it and keeps the rest.
            Target::Stdout => File::from(io::stdout().as_fd().try_clone_to_owned()?),
            Target::File(path) => open_file(path)?,
        };
        Ok(Self::from_file(target.clone(), file))
    }

    pub(super) const fn from_file(target: Target, file: File) -> Self {
        Self {
            target,
            open: Mutex::new(Open {
                file,
                torn: false,
                failing: false,
            }),
        }
    }

    /// Writes whole lines. On failure tells how many of them were lost; the next batch is tried again.
    pub(super) fn write(&self, lines: &[u8]) -> Result<(), u64> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = lines;
        let result = open.write_lines(&mut rest);
        match &result {
            Ok(()) if open.failing => tracing::info!("the access log is written again"),
            Err(error) if !open.failing => {
                tracing::warn!(output = %self.target, %error, "the access log cannot be written; lines are lost and counted");
            }
            Ok(()) | Err(_) => {}
        }
        open.failing = result.is_err();
        result.map_err(|_| memchr::memchr_iter(b'\n', rest).count() as u64)
    }

    /// Opens the file anew, because it was moved away. If that fails, the old one is written on.
    pub(super) fn reopen(&self) {
        let Target::File(path) = &self.target else {
            return;
        };
        match open_file(path) {
            Ok(file) => {
                let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
                open.file = file;
                open.torn = false;
            }
            Err(error) => {
                tracing::warn!(output = %self.target, %error, "the access log cannot be reopened");
            }
        }
    }
}

impl Open {
    /// Writes as much as possible; `rest` is what is left.
    fn write_lines(&mut self, rest: &mut &[u8]) -> io::Result<()> {
        if self.torn {
            // What was torn stays torn, but it must not swallow the next line as well.
            self.file.write_all(b"\n")?;
            self.torn = false;
        }
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    let (written, left) = rest.split_at_checked(count).unwrap_or((rest, &[]));
                    self.torn = !written.ends_with(b"\n");
                    *rest = left;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stdout => formatter.write_str("stdout"),
            Self::File(path) => path.display().fmt(formatter),
        }
    }
}

impl Target {
    /// Whether it could be opened, as far as that can be told without making or changing anything.
    pub fn probe(&self) -> io::Result<()> {
        let Self::File(path) = self else {
            return Ok(());
        };
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Err(Errno::EISDIR.into()),
            Ok(_) => Ok(eaccess(path, AccessFlags::W_OK)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let directory = match path.parent() {
                    Some(directory) if directory != Path::new("") => directory,
                    Some(_) | None => Path::new("."),
                };
                Ok(eaccess(directory, AccessFlags::W_OK | AccessFlags::X_OK)?)
            }
            Err(error) => Err(error),
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(PERMISSIONS)
        .open(path)
}

/// Addresses of clients are not for everyone on the machine.
const PERMISSIONS: u32 = 0o640;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, pipe};
    use std::os::fd::OwnedFd;

    #[test]
    fn lines_are_appended_and_a_reopened_file_is_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
        fs::write(&path, "before\n").unwrap();
        let output = Output::open(&Target::File(path.clone())).unwrap();
        assert_eq!(output.write(b"one\n"), Ok(()));
        fs::rename(&path, &moved).unwrap();
        assert_eq!(output.write(b"two\n"), Ok(()));
        output.reopen();
        assert_eq!(output.write(b"three\n"), Ok(()));
        assert_eq!(fs::read_to_string(&moved).unwrap(), "before\none\ntwo\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "three\n");
    }

    #[test]
    fn a_probe_tells_what_opening_would_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = |path: &str| Target::File(folder.path().join(path));
        fs::write(folder.path().join("old"), "kept").unwrap();
        for good in [file("new"), file("old"), Target::Stdout] {
            good.probe().unwrap();
        }
        assert!(!folder.path().join("new").exists());
        for bad in [file("absent/log"), file("old/log"), file("")] {
            let (told, meant) = (bad.probe().unwrap_err(), Output::open(&bad).unwrap_err());
            assert_eq!(told.kind(), meant.kind(), "{bad:?}");
        }
        let text = fs::read_to_string(folder.path().join("old")).unwrap();
        assert_eq!(text, "kept");
    }

    #[test]
    fn a_file_that_cannot_be_reopened_is_written_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gone").join("log");
        fs::create_dir(path.parent().unwrap()).unwrap();
        let output = Output::open(&Target::File(path.clone())).unwrap();
        let mut reader = File::open(&path).unwrap();
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        output.reopen();
        assert_eq!(output.write(b"one\n"), Ok(()));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\n");
    }

    #[test]
    fn a_full_disk_costs_the_lines_and_nothing_else() {
        let output = Output::open(&Target::File("/dev/full".into())).unwrap();
        assert_eq!(output.write(b"one\ntwo\n"), Err(2));
        assert_eq!(output.write(b"three\n"), Err(1));
    }

    #[test]
    fn a_reader_that_has_gone_costs_the_lines_and_nothing_else() {
        let (reader, writer) = pipe().unwrap();
        let file = File::from(OwnedFd::from(writer));
        let output = Output::from_file(Target::Stdout, file);
        assert_eq!(output.write(b"one\n"), Ok(()));
        drop(reader);
        assert_eq!(output.write(b"two\nthree\n"), Err(2));
    }

    #[test]
    fn a_torn_line_does_not_swallow_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let output = Output::open(&Target::File(path.clone())).unwrap();
        assert_eq!(output.write(b"one\ntor"), Ok(()));
        assert_eq!(output.write(b"two\n"), Ok(()));
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntor\ntwo\n");
    }
}
