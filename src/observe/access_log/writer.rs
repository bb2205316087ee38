//! The thread that writes the access logs, and what it shares with those who feed it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::output::Output;
use crate::observe::metrics::AccessLogMetrics;

/// What the workers, the writer thread and the owner of the sink share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) metrics: Arc<AccessLogMetrics>,
    /// Empty buffers. The writer adds, workers take; a worker that finds it locked makes a new one.
    spare: Mutex<Vec<Vec<u8>>>,
    /// All that is open: to find one again at a reload, and to reopen.
    pub(super) outputs: Mutex<Vec<Weak<Output>>>,
    pub(super) reopen: AtomicBool,
    pub(super) stop: AtomicBool,
}

#[derive(Debug)]
pub(super) enum Job {
    Write {
        output: Arc<Output>,
        lines: Vec<u8>,
        count: u64,
    },
    /// Look at the flags.
    Wake,
}

impl Shared {
    pub(super) fn new(metrics: Arc<AccessLogMetrics>) -> Self {
        Self {
            metrics,
            spare: Mutex::default(),
            outputs: Mutex::default(),
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        }
    }

    /// The life of the writer thread.
    pub(super) fn work(&self, jobs: &Receiver<Job>) {
        while let Some(job) = self.next(jobs) {
            if self.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            if let Job::Write { output, lines, .. } = job {
                if let Err(lost) = output.write(&lines) {
                    self.metrics.failed();
                    self.metrics.dropped(lost);
                }
                self.keep(lines);
            }
        }
    }

    /// The next job; `None` when there will be none, or none is left after the order to stop.
    fn next(&self, jobs: &Receiver<Job>) -> Option<Job> {
        if self.stop.load(Ordering::Acquire) {
            jobs.try_recv().ok()
        } else {
            jobs.recv().ok()
        }
    }

    fn reopen(&self) {
        let outputs: Vec<_> = lock(&self.outputs)
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        for output in outputs {
            output.reopen();
        }
    }

    pub(super) fn buffer(&self) -> Vec<u8> {
        let spare = self.spare.try_lock().ok().and_then(|mut spare| spare.pop());
        spare.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    fn keep(&self, buffer: Vec<u8>) {
        let buffer = emptied(buffer);
        let mut spare = lock(&self.spare);
        if spare.len() < SPARE_BUFFERS && buffer.capacity() > 0 {
            spare.push(buffer);
        }
    }
}

/// The buffer without its lines; given up if a line of unusual length made it large.
pub(super) fn emptied(mut buffer: Vec<u8>) -> Vec<u8> {
    if buffer.capacity() > 2 * BUFFER_BYTES {
        return Vec::new();
    }
    buffer.clear();
    buffer
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A batch is handed over when it is this long.
pub(super) const BATCH_BYTES: usize = 32 * 1024;
/// A batch and its last line.
const BUFFER_BYTES: usize = BATCH_BYTES + 4 * 1024;
/// How many empty buffers are kept.
const SPARE_BUFFERS: usize = 32;
