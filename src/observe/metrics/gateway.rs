//! The figures of the gateway as a whole: its configuration, its certificates, its logs.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::cells::{Cell, Sharded};
use super::families;
use super::page::Page;

/// The figures of the gateway as a whole.
#[derive(Debug)]
pub struct GatewayMetrics {
    cells: Sharded<Cells>,
    draining: AtomicBool,
    /// By `Shortage`.
    shortages: [AtomicU8; 3],
    memory_limit: AtomicU64,
    access_log: Arc<AccessLogMetrics>,
    program_log_dropped: Arc<AtomicU64>,
    /// Written by whoever loads configurations, read by scrapes.
    config: Mutex<Config>,
    certificates: Mutex<Vec<Certificate>>,
}

/// What a process may be short of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Memory.
    Memory,
    /// Descriptors.
    Descriptors,
    /// Time: workers are behind.
    Delay,
}

/// The labels, in the order of `Shortage`.
const RESOURCES: [&str; 3] = ["memory", "descriptors", "delay"];

/// What was lost of the access log. Shared by the threads that write it.
#[derive(Debug, Default)]
pub struct AccessLogMetrics {
    dropped: AtomicU64,
    errors: AtomicU64,
}

/// A certificate that a listener serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The listener's name.
    pub listener: Box<str>,
    /// What the configuration calls the certificate: its path.
    pub certificate: Box<str>,
    /// When it expires.
    pub not_after: SystemTime,
}

#[derive(Debug, Default)]
struct Cells {
    tunnels: Cell,
    panics: Cell,
}

#[derive(Debug, Default)]
struct Config {
    succeeded: u64,
    failed: u64,
    last_failed: bool,
    loaded: u64,
    generation: u64,
    hash: Box<str>,
}

impl GatewayMetrics {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            cells: Sharded::new(workers),
            draining: AtomicBool::new(false),
            shortages: Default::default(),
            memory_limit: AtomicU64::new(0),
            access_log: Arc::default(),
            program_log_dropped: Arc::default(),
            config: Mutex::default(),
            certificates: Mutex::default(),
        }
    }

    /// Counts a tunnel, which is open until what this gives is dropped.
    pub fn tunnel_opened(&self, worker: usize) -> OpenTunnel<'_> {
        self.cells.write(worker, |cells| cells.tunnels.add(1));
        OpenTunnel {
            gateway: self,
            worker,
        }
    }

    /// Counts a panic that was caught.
    pub fn panicked(&self, worker: usize) {
        self.cells.write(worker, |cells| cells.panics.add(1));
    }

    /// Says whether the gateway is draining.
    pub fn set_draining(&self, draining: bool) {
        self.draining.store(draining, Ordering::Relaxed);
    }

    /// Says how short the gateway is of something: 0, or what is done about it.
    pub fn set_shortage(&self, of: Shortage, level: u8) {
        let [memory, descriptors, delay] = &self.shortages;
        let shortage = match of {
            Shortage::Memory => memory,
            Shortage::Descriptors => descriptors,
            Shortage::Delay => delay,
        };
        shortage.store(level, Ordering::Relaxed);
    }

    /// Says how many bytes the process may use.
    pub fn set_memory_limit(&self, bytes: u64) {
        self.memory_limit.store(bytes, Ordering::Relaxed);
    }

    /// What the access log counts its losses in.
    #[must_use]
    pub fn access_log(&self) -> Arc<AccessLogMetrics> {
        Arc::clone(&self.access_log)
    }

    /// What the program log counts its losses in.
    #[must_use]
    pub fn program_log_dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.program_log_dropped)
    }

    /// Notes that a configuration serves. Generation 1 is the start; those after it count as reloads.
    pub fn config_loaded(&self, generation: u64, hash: &str, now: SystemTime) {
        let mut config = self.lock_config();
        if generation > 1 {
            config.succeeded += 1;
        }
        config.last_failed = false;
        config.loaded = unix_seconds(now);
        config.generation = generation;
        config.hash = hash.into();
    }

    /// Notes that a configuration was refused; the old one serves on.
    pub fn config_refused(&self) {
        let mut config = self.lock_config();
        config.failed += 1;
        config.last_failed = true;
    }

    /// Replaces the list of certificates that are served.
    pub fn set_certificates(&self, certificates: Vec<Certificate>) {
        *self.lock_certificates() = certificates;
    }

    pub(super) fn encode(&self, page: &mut Page) {
        let mut one = |family, values: &[&str], number| page.family(family).number(values, number);
        let tunnels = self.cells.sum(|cells| &cells.tunnels);
        one(&families::TUNNELS_OPEN, &[], tunnels);
        one(
            &families::PANICS,
            &[],
            self.cells.sum(|cells| &cells.panics),
        );
        let draining = self.draining.load(Ordering::Relaxed);
        one(&families::DRAINING, &[], u64::from(draining));
        let dropped = self.access_log.dropped.load(Ordering::Relaxed);
        one(&families::ACCESS_LOG_DROPPED, &[], dropped);
        let errors = self.access_log.errors.load(Ordering::Relaxed);
        one(&families::ACCESS_LOG_ERRORS, &[], errors);
        let dropped = self.program_log_dropped.load(Ordering::Relaxed);
        one(&families::PROGRAM_LOG_DROPPED, &[], dropped);
        let limit = self.memory_limit.load(Ordering::Relaxed);
        one(&families::MEMORY_LIMIT, &[], limit);
        let mut series = page.family(&families::OVERLOAD_LEVEL);
        for (resource, level) in RESOURCES.iter().zip(&self.shortages) {
            series.number(&[resource], level.load(Ordering::Relaxed).into());
        }
        drop(series);
        let mut one = |family, values: &[&str], number| page.family(family).number(values, number);
        let version = env!("CARGO_PKG_VERSION");
        one(&families::BUILD_INFO, &[version], 1);
        self.encode_config(page);
        let mut series = page.family(&families::CERTIFICATE_NOT_AFTER);
        for known in self.lock_certificates().iter() {
            let labels = [&*known.listener, &*known.certificate];
            series.number(&labels, unix_seconds(known.not_after));
        }
    }

    fn encode_config(&self, page: &mut Page) {
        let config = self.lock_config();
        let mut reloads = page.family(&families::CONFIG_RELOADS);
        reloads.number(&["success"], config.succeeded);
        reloads.number(&["failure"], config.failed);
        drop(reloads);
        let mut one = |family, values: &[&str], number| page.family(family).number(values, number);
        let last = u64::from(!config.last_failed);
        one(&families::CONFIG_LAST_SUCCESS, &[], last);
        let loaded = config.loaded;
        one(&families::CONFIG_LAST_SUCCESS_TIMESTAMP, &[], loaded);
        one(&families::CONFIG_GENERATION, &[], config.generation);
        one(&families::CONFIG_INFO, &[&*config.hash], 1);
    }

    fn lock_config(&self) -> std::sync::MutexGuard<'_, Config> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_certificates(&self) -> std::sync::MutexGuard<'_, Vec<Certificate>> {
        self.certificates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a tunnel as open until it is dropped, by whatever ends it.
#[derive(Debug)]
#[must_use = "the tunnel counts as open as long as this lives"]
pub struct OpenTunnel<'a> {
    gateway: &'a GatewayMetrics,
    worker: usize,
}

impl Drop for OpenTunnel<'_> {
    fn drop(&mut self) {
        let cells = &self.gateway.cells;
        cells.write(self.worker, |cells| cells.tunnels.subtract(1));
    }
}

impl AccessLogMetrics {
    /// Counts lines that were lost.
    pub fn dropped(&self, lines: u64) {
        self.dropped.fetch_add(lines, Ordering::Relaxed);
    }

    /// Counts a write that failed.
    pub fn failed(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// How many lines were lost so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// How many writes failed so far.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
