//! The way of lines from the workers to the writer thread.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::clock::Clock;
use super::output::Output;
use super::writer::{BATCH_BYTES, Job, Shared, emptied, lock};
use super::{AccessLog, Settings};
use crate::observe::metrics::AccessLogMetrics;
use crate::observe::record::AccessRecord;

/// The writer of a gateway's access logs: one thread, one queue, whatever the configuration is.
///
/// Workers put batches in, the thread takes them out and hands emptied buffers back. When the queue is full, whoever
/// has a batch drops it and counts its lines.
#[derive(Debug)]
pub struct LogSink {
    queue: SyncSender<Job>,
    shared: Arc<Shared>,
    /// Disconnected when the thread has ended.
    running: Mutex<Receiver<()>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A worker's end of the sink, with the lines that have not been handed over yet. Dropping it hands them over.
#[derive(Debug)]
pub struct WorkerLog {
    queue: SyncSender<Job>,
    shared: Arc<Shared>,
    clock: Clock,
    lines: Vec<u8>,
    count: u64,
    /// Where the lines go; `None` while there are none, so that a file nobody writes to any more is closed.
    output: Option<Arc<Output>>,
}

impl LogSink {
    /// Starts the writer thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(metrics: Arc<AccessLogMetrics>) -> io::Result<Self> {
        let (queue, jobs) = mpsc::sync_channel(QUEUE_BATCHES);
        let (alive, running) = mpsc::sync_channel(0);
        let shared = Arc::new(Shared::new(metrics));
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                of_thread.work(&jobs);
                drop(alive);
            })?;
        Ok(Self {
            queue,
            shared,
            running: Mutex::new(running),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Opens what the settings name; a file that is open already is shared.
    ///
    /// # Errors
    /// If the file cannot be opened for appending.
    pub fn open(&self, settings: &Settings) -> io::Result<Arc<AccessLog>> {
        let mut outputs = lock(&self.shared.outputs);
        outputs.retain(|output| output.strong_count() > 0);
        let known = outputs
            .iter()
            .filter_map(Weak::upgrade)
            .find(|output| output.target == settings.target);
        let output = match known {
            Some(known) => known,
            None => {
                let opened = Arc::new(Output::open(&settings.target)?);
                outputs.push(Arc::downgrade(&opened));
                opened
            }
        };
        let format = settings.format.clone();
        Ok(Arc::new(AccessLog { format, output }))
    }

    /// An end for one worker.
    #[must_use]
    pub fn worker(&self) -> WorkerLog {
        WorkerLog {
            queue: self.queue.clone(),
            shared: Arc::clone(&self.shared),
            clock: Clock::default(),
            lines: Vec::new(),
            count: 0,
            output: None,
        }
    }

    /// Opens all files anew, because they were moved away (SIGUSR1). What is handed over later goes to the new files.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        self.wake();
    }

    /// Writes everything that has been handed over and ends the thread. Returns whether that was done within `patience`:
    /// an output that stalls must not keep the process.
    pub fn finish(&self, patience: Duration) -> bool {
        self.stop();
        let ended = lock(&self.running).recv_timeout(patience);
        if ended == Err(RecvTimeoutError::Timeout) {
            return false;
        }
        lock(&self.thread)
            .take()
            .is_none_or(|thread| thread.join().is_ok())
    }

    fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
    }

    /// When the queue is full, the thread is awake anyway.
    fn wake(&self) {
        let _ = self.queue.try_send(Job::Wake);
    }
}

impl Drop for LogSink {
    /// The thread ends by itself, after writing what it was handed.
    fn drop(&mut self) {
        self.stop();
    }
}

impl WorkerLog {
    /// Adds the line of a finished exchange. Never waits.
    pub fn record(&mut self, log: &AccessLog, record: &AccessRecord<'_>) {
        match &self.output {
            Some(output) if Arc::ptr_eq(output, &log.output) => {}
            Some(_) | None => {
                self.flush();
                self.output = Some(Arc::clone(&log.output));
                if self.lines.capacity() == 0 {
                    self.lines = self.shared.buffer();
                }
            }
        }
        log.format.write(record, &mut self.clock, &mut self.lines);
        self.lines.push(b'\n');
        self.count += 1;
        if self.lines.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    /// Hands over what there is. To be called every so often, or the last lines of a quiet worker stay unseen.
    pub fn flush(&mut self) {
        let Some(output) = self.output.take() else {
            return;
        };
        let job = Job::Write {
            output,
            lines: std::mem::take(&mut self.lines),
            count: std::mem::take(&mut self.count),
        };
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) =
            self.queue.try_send(job)
            && let Job::Write { lines, count, .. } = job
        {
            self.shared.metrics.dropped(count);
            self.lines = emptied(lines);
        }
    }
}

impl Drop for WorkerLog {
    fn drop(&mut self) {
        self.flush();
    }
}

/// How many batches wait at most: 8 MiB while the output stalls.
const QUEUE_BATCHES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::access_log::testing::full_record;
    use crate::observe::access_log::{Format, Target, Template};
    use std::fs::File;
    use std::io::{Read, pipe};
    use std::os::fd::OwnedFd;
    use std::path::Path;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn sink() -> (LogSink, Arc<AccessLogMetrics>) {
        let metrics = Arc::new(AccessLogMetrics::default());
        (LogSink::start(Arc::clone(&metrics)).unwrap(), metrics)
    }

    fn settings(path: &Path, template: &str) -> Settings {
        Settings {
            target: Target::File(path.to_owned()),
            format: Format::Text(Template::parse(template).unwrap()),
        }
    }

    fn read(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn everything_handed_over_is_written_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (sink, metrics) = sink();
        let log = sink.open(&settings(&path, "${status}")).unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                let (mut worker, log) = (sink.worker(), &log);
                scope.spawn(move || {
                    for _ in 0..1_000 {
                        worker.record(log, &full_record());
                    }
                });
            }
        });
        assert!(sink.finish(PATIENCE));
        assert_eq!(read(&path), "503\n".repeat(4_000));
        assert_eq!(metrics.lost(), 0);
    }

    #[test]
    fn a_worker_hands_over_by_itself_when_it_has_enough() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (sink, _) = sink();
        let log = sink.open(&settings(&path, "${status}")).unwrap();
        let mut worker = sink.worker();
        let lines = BATCH_BYTES / 4;
        for _ in 0..=lines {
            worker.record(&log, &full_record());
        }
        assert!(sink.finish(PATIENCE));
        assert_eq!(read(&path).lines().count(), lines);
        worker.flush();
    }

    #[test]
    fn an_exchange_is_logged_as_its_own_configuration_says() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        let (sink, _) = sink();
        let old = sink.open(&settings(&one, "old ${status}")).unwrap();
        let same = sink.open(&settings(&one, "same ${status}")).unwrap();
        let new = sink.open(&settings(&two, "new ${status}")).unwrap();
        assert!(Arc::ptr_eq(&old.output, &same.output));
        let mut worker = sink.worker();
        for log in [&old, &new, &old, &same] {
            worker.record(log, &full_record());
        }
        drop(worker);
        assert!(sink.finish(PATIENCE));
        assert_eq!(read(&one), "old 503\nold 503\nsame 503\n");
        assert_eq!(read(&two), "new 503\n");
    }

    #[test]
    fn what_comes_after_reopening_goes_to_the_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
        let (sink, _) = sink();
        let log = sink.open(&settings(&path, "${status}")).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        sink.reopen();
        let mut worker = sink.worker();
        worker.record(&log, &full_record());
        worker.flush();
        assert!(sink.finish(PATIENCE));
        assert_eq!(read(&path), "503\n");
        assert_eq!(read(&moved), "");
    }

    #[test]
    fn a_file_is_closed_when_no_configuration_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let (sink, _) = sink();
        let log = sink
            .open(&settings(&folder.path().join("log"), "x"))
            .unwrap();
        let output = Arc::downgrade(&log.output);
        let mut worker = sink.worker();
        worker.record(&log, &full_record());
        worker.flush();
        drop(log);
        assert!(sink.finish(PATIENCE));
        assert_eq!(output.strong_count(), 0);
    }

    #[test]
    fn a_stalled_output_never_holds_a_worker_and_losses_are_counted() {
        let (mut reader, writer) = pipe().unwrap();
        let (sink, metrics) = sink();
        let output = Arc::new(Output::from_file(
            Target::Stdout,
            File::from(OwnedFd::from(writer)),
        ));
        let format = Format::Text(Template::parse(&"x".repeat(1_023)).unwrap());
        let log = AccessLog { format, output };
        let mut worker = sink.worker();
        // Nobody reads yet: more than the queue and any pipe hold together.
        let sent = (QUEUE_BATCHES as u64 + 100) * (BATCH_BYTES as u64 / 1_024);
        for _ in 0..sent {
            worker.record(&log, &full_record());
        }
        let lost = metrics.lost();
        assert!(lost > 0);
        assert!(!sink.finish(Duration::ZERO), "the output still stalls");
        let mut text = String::new();
        let read = thread::scope(|scope| {
            let read = scope.spawn(move || {
                reader.read_to_string(&mut text).unwrap();
                text
            });
            drop(worker);
            drop(log);
            assert!(sink.finish(PATIENCE));
            read.join().unwrap()
        });
        assert_eq!(read.lines().count() as u64, sent - lost);
        assert!(read.lines().all(|line| line.len() == 1_023));
    }

    #[test]
    fn an_output_that_fails_is_survived_and_counted() {
        let (sink, metrics) = sink();
        let log = sink
            .open(&settings(Path::new("/dev/full"), "${status}"))
            .unwrap();
        let mut worker = sink.worker();
        for _ in 0..3 {
            worker.record(&log, &full_record());
            worker.record(&log, &full_record());
            worker.flush();
        }
        assert!(sink.finish(PATIENCE));
        assert_eq!((metrics.lost(), metrics.errors()), (6, 3));
    }

    #[test]
    fn lines_that_come_after_the_end_are_counted_as_lost() {
        let folder = tempfile::tempdir().unwrap();
        let (sink, metrics) = sink();
        let log = sink
            .open(&settings(&folder.path().join("log"), "x"))
            .unwrap();
        let mut worker = sink.worker();
        assert!(sink.finish(PATIENCE));
        worker.record(&log, &full_record());
        worker.flush();
        assert_eq!(metrics.lost(), 1);
        assert!(sink.finish(PATIENCE));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let (sink, _) = sink();
        assert!(sink.open(&settings(folder.path(), "x")).is_err());
    }

    #[test]
    fn buffers_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let (sink, _) = sink();
        let log = sink
            .open(&settings(&folder.path().join("log"), "x"))
            .unwrap();
        let mut worker = sink.worker();
        worker.record(&log, &full_record());
        let buffer = worker.lines.as_ptr();
        worker.flush();
        assert!(sink.finish(PATIENCE));
        worker.record(&log, &full_record());
        assert_eq!(worker.lines.as_ptr(), buffer);
    }
}
