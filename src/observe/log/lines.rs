//! The way of lines to the output of the program log: nobody who has something to say waits for it to be taken.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

/// The end of the queue that lines are put in; a thread takes them out and writes them.
///
/// A worker may have something to say as well as the control plane, and an output that stalls, such as a pipe whose reader
/// has stopped, must hold up neither. When the queue is full, lines are dropped and counted.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    queue: SyncSender<Job>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Job {
    Line(Box<[u8]>),
    /// Says so when everything before it is written.
    Flush(SyncSender<()>),
}

impl Lines {
    /// Starts the thread that writes to `output`; lines that are lost are counted in `dropped`.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn start(
        output: impl Write + Send + 'static,
        dropped: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let (queue, jobs) = mpsc::sync_channel(QUEUE_LINES);
        let lost = Arc::clone(&dropped);
        thread::Builder::new()
            .name("program-log".to_owned())
            .spawn(move || work(output, &jobs, &lost))?;
        Ok(Self { queue, dropped })
    }

    /// Waits until the lines so far are written, but not longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let (written, done) = mpsc::sync_channel(1);
        // A queue that is full belongs to an output that stalls.
        if self.queue.try_send(Job::Flush(written)).is_ok() {
            let _ = done.recv_timeout(patience);
        }
    }
}

impl Write for Lines {
    /// Takes whole lines. Never waits, never fails: what cannot be queued is counted.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Job::Line(line.into())).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn work(mut output: impl Write, jobs: &Receiver<Job>, dropped: &AtomicU64) {
    while let Ok(job) = jobs.recv() {
        match job {
            Job::Line(line) => {
                if output.write_all(&line).is_err() {
                    dropped.fetch_add(1, Ordering::Relaxed);
                }
            }
            Job::Flush(written) => {
                let _ = output.flush();
                let _ = written.try_send(());
            }
        }
    }
}

/// How many lines wait at most while the output stalls.
const QUEUE_LINES: usize = 1_000;

#[cfg(test)]
mod tests {
    use std::io::{Read, pipe};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn started(output: impl Write + Send + 'static) -> (Lines, Arc<AtomicU64>) {
        let dropped = Arc::default();
        (Lines::start(output, Arc::clone(&dropped)).unwrap(), dropped)
    }

    #[test]
    fn what_was_said_before_a_flush_is_written_after_it() {
        let (mut reader, writer) = pipe().unwrap();
        let (mut lines, dropped) = started(writer);
        for _ in 0..10 {
            lines.write_all(b"a line\n").unwrap();
        }
        lines.flush(PATIENCE);
        let mut text = [0; 70];
        reader.read_exact(&mut text).unwrap();
        assert!(text.ends_with(b"a line\n"));
        assert_eq!(dropped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn an_output_that_stalls_holds_nobody_and_what_is_lost_is_counted() {
        let (mut reader, writer) = pipe().unwrap();
        let (mut lines, dropped) = started(writer);
        let line = [b'x'; 1_024];
        // More than the queue and any pipe hold together.
        let sent = QUEUE_LINES + 2_000;
        for _ in 0..sent {
            lines.write_all(&line).unwrap();
        }
        lines.flush(Duration::ZERO);
        let lost = usize::try_from(dropped.load(Ordering::Relaxed)).unwrap();
        assert!(lost > 0);
        // The rest comes as soon as somebody reads, and the thread ends with the last of those who write.
        drop(lines);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert_eq!(rest.len(), (sent - lost) * line.len());
    }

    #[test]
    fn an_output_that_fails_is_survived_and_counted() {
        let full = std::fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let (mut lines, dropped) = started(full);
        lines.write_all(b"one\n").unwrap();
        lines.write_all(b"two\n").unwrap();
        lines.flush(PATIENCE);
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
    }
}
