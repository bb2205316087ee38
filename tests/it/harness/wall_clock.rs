//! The wall clock of a gateway, which a test sets; its monotonic one goes on as ever.

use std::path::PathBuf;
use std::time::SystemTime;

use jiff::Timestamp;
use tempfile::TempDir;
use tokio::process::Command;

/// A wall clock that is as right or wrong as the test says, by libfaketime.
pub(crate) struct WallClock {
    folder: TempDir,
    ahead: i64,
}

impl WallClock {
    /// A clock that is right.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a directory");
        let mut clock = Self { folder, ahead: 0 };
        clock.jump_to(0);
        clock
    }

    /// Lets the process live by this clock. It looks at it each time anew, and sees the times of files as they are.
    pub(crate) fn rules(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", library())
            .env("FAKETIME_TIMESTAMP_FILE", self.file())
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_NO_CACHE", "1")
            .env("NO_FAKE_STAT", "1");
    }

    /// From now on the clock is so many seconds ahead of the real one, or behind it.
    pub(crate) fn jump_to(&mut self, ahead: i64) {
        let beside = self.folder.path().join("clock.new");
        std::fs::write(&beside, format!("{ahead:+}\n")).expect("the clock");
        // Whoever looks meanwhile sees the one time or the other.
        std::fs::rename(&beside, self.file()).expect("the clock");
        self.ahead = ahead;
    }

    /// Whether this clock showed `time` at some moment since `earliest`, a real one. A second is allowed for what is
    /// told in whole seconds.
    pub(crate) fn showed(&self, time: &str, earliest: SystemTime) -> bool {
        let real = |time: SystemTime| Timestamp::try_from(time).expect("a time").as_second();
        let time: Timestamp = time.parse().expect("a time stamp");
        let shown = real(earliest) + self.ahead - 1..=real(SystemTime::now()) + self.ahead + 1;
        shown.contains(&time.as_second())
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }
}

/// The library of Debian's `faketime`, of whatever architecture; the one for processes with threads.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").expect("/usr/lib");
    folders
        .filter_map(|folder| Some(folder.ok()?.path().join("faketime/libfaketimeMT.so.1")))
        .find(|path| path.exists())
        .expect("faketime is not installed; `make setup` installs what the tests need")
}
