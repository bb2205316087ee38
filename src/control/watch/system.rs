//! What the system tells of changes in folders: hints to look again, nothing more.

use std::{io, path::Path};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::net::unix::pipe::Receiver;

/// An inotify instance, whose events are no more than a hint each. It is read as a pipe is.
#[derive(Debug)]
pub(super) struct Hints(Receiver);

/// One folder's watch.
pub(super) type Handle = i32;

impl Hints {
    pub(super) fn new() -> io::Result<Self> {
        let instance = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self(Receiver::from_owned_fd_unchecked(instance)?))
    }

    /// Watches a folder for names that come, go or are written to their end. Reading is no change, and neither is a piece
    /// written to a file that stays open: it may be a log beside the configuration, written ten thousand times a second.
    pub(super) fn watch(&self, folder: &Path) -> io::Result<Handle> {
        let changes = WatchFlags::ATTRIB
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE
            | WatchFlags::MOVE_SELF;
        Ok(inotify::add_watch(
            &self.0,
            folder,
            changes | WatchFlags::ONLYDIR,
        )?)
    }

    pub(super) fn unwatch(&self, watch: Handle) {
        // Fails when the folder is gone, and then so is its watch.
        let _ = inotify::remove_watch(&self.0, watch);
    }

    /// Waits for events and forgets them. Dropping the future loses nothing.
    pub(super) async fn heard(&self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            self.0.readable().await?;
            let mut heard = false;
            // What is left after so much is the next hint.
            for _ in 0..MOST_READS {
                match self.0.try_read(&mut buffer) {
                    Ok(bytes) => heard |= bytes > 0,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            if heard {
                return Ok(());
            }
        }
    }
}

/// Buffers of events that one hint takes.
const MOST_READS: usize = 64;

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, time::Duration};

    use rustix::io::Errno;

    use super::*;

    #[tokio::test]
    async fn a_file_that_is_read_and_a_log_that_is_written_are_no_hint() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.toml");
        fs::write(&file, "1").unwrap();
        let mut log = fs::File::create(folder.path().join("log")).unwrap();
        let hints = Hints::new().unwrap();
        hints.watch(folder.path()).unwrap();
        fs::read(&file).unwrap();
        log.write_all(b"a line\n").unwrap();
        // The kernel queues an event before the call that causes it returns.
        let read = rustix::io::read(&hints.0, &mut [0; 4096]);
        assert_eq!(read, Err(Errno::AGAIN));
        drop(log);
        tokio::time::timeout(Duration::from_secs(20), hints.heard())
            .await
            .expect("the closed file was not heard of")
            .unwrap();
    }
}
