//! One worker: a thread, its runtime, and everything that its connections share without a lock.

use std::{
    cell::{Cell, RefCell},
    collections::HashSet,
    future::poll_fn,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{
    buffers::Buffers, date::HttpDate, deadline::Deadlines, exchange::Scratch, pool::Pools,
    trust::Rush,
};
use crate::{
    balance::Bell,
    gateway::Moment,
    observe::{AccessLog, AccessRecord, Metrics, Touched, WorkerLog},
    snapshot::{Pressure, Snapshot, SnapshotReader, Strain},
};

/// How often kept connections are looked over.
const REAP: Duration = Duration::from_secs(5);
/// How often a worker measures by how much it is behind.
const BEAT: Duration = Duration::from_millis(200);
/// How long a record waits at most until it is handed to the log's writer.
const LOG_DELAY: Duration = Duration::from_millis(50);
/// Spare heads that wait for use.
const KEPT: usize = 256;

/// What the connections of one worker share. It never leaves its thread.
#[derive(Debug)]
pub(crate) struct Worker {
    /// The worker's number: it names its cells in the metrics.
    pub(crate) id: usize,
    pub(crate) deadlines: Rc<Deadlines>,
    pub(crate) pools: Pools,
    pub(crate) buffers: Buffers,
    pub(crate) metrics: Arc<Metrics>,
    /// Rung when somebody wants idle connections of this worker closed.
    pub(crate) bell: Arc<Bell>,
    snapshots: RefCell<SnapshotReader>,
    #[expect(
        clippy::vec_box,
        reason = "heads are large, and handed out by moving a pointer"
    )]
    scratches: RefCell<Vec<Box<Scratch>>>,
    random: RefCell<fastrand::Rng>,
    clock: Instant,
    date: RefCell<HttpDate>,
    log: RefCell<WorkerLog>,
    /// Whether records wait for being handed over, and who does it.
    log_pending: Cell<bool>,
    log_wanted: Notify,
    /// How strained the process and this worker are.
    pub(crate) pressure: Arc<Pressure>,
    strain: Cell<Strain>,
    draining: Cell<bool>,
    stopping: Cell<bool>,
    /// Requests over HTTP/2 that have just begun.
    pub(crate) rush: Rush,
    connections: Cell<usize>,
    empty: Notify,
}

/// Counts a connection as open until it is dropped.
#[derive(Debug)]
pub(crate) struct Open(Rc<Worker>);

impl Worker {
    pub(crate) fn new(
        id: usize,
        snapshots: SnapshotReader,
        metrics: Arc<Metrics>,
        log: WorkerLog,
        (clock, pressure): (Instant, Arc<Pressure>),
    ) -> Rc<Self> {
        Rc::new(Self {
            strain: Cell::new(pressure.resources()),
            pressure,
            id,
            deadlines: Deadlines::new(),
            pools: Pools::default(),
            buffers: Buffers::default(),
            metrics,
            bell: Arc::default(),
            snapshots: RefCell::new(snapshots),
            scratches: RefCell::default(),
            random: RefCell::new(fastrand::Rng::new()),
            clock,
            date: RefCell::default(),
            log: RefCell::new(log),
            log_pending: Cell::new(false),
            log_wanted: Notify::new(),
            draining: Cell::new(false),
            stopping: Cell::new(false),
            rush: Rush::default(),
            connections: Cell::new(0),
            empty: Notify::new(),
        })
    }

    /// The current world.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow_mut().current()
    }

    /// Heads to read into.
    pub(crate) fn scratch(&self) -> Box<Scratch> {
        self.scratches.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes heads back.
    pub(crate) fn reuse(&self, scratch: Box<Scratch>) {
        let mut spare = self.scratches.borrow_mut();
        if spare.len() < KEPT {
            spare.push(scratch);
        }
    }

    pub(crate) fn random(&self) -> u64 {
        self.random.borrow_mut().u64(..)
    }

    /// Milliseconds on the gateway's clock, which all workers and the control plane share.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// What an attempt that failed now is judged by.
    pub(crate) fn moment(&self) -> Moment {
        Moment {
            worker: self.id,
            now_ms: self.now_ms(),
            random: self.random(),
        }
    }

    /// The time as `Date` has it.
    pub(crate) fn date(&self) -> [u8; HttpDate::LENGTH] {
        self.date.borrow_mut().now()
    }

    /// Writes the record of a finished exchange: into the metrics and into the log.
    pub(crate) fn record(
        &self,
        log: Option<&AccessLog>,
        record: &AccessRecord<'_>,
        touched: Touched<'_>,
    ) {
        self.metrics.record(self.id, record, touched);
        let Some(log) = log else { return };
        self.log.borrow_mut().record(log, record);
        if !self.log_pending.replace(true) {
            self.log_wanted.notify_one();
        }
    }

    /// A connection has been accepted.
    pub(crate) fn opened(self: &Rc<Self>) -> Open {
        self.connections.set(self.connections.get() + 1);
        Open(Rc::clone(self))
    }

    /// How strained the process and this worker are.
    pub(crate) fn strain(&self) -> Strain {
        self.strain.get()
    }

    /// Measures by how much this worker is behind, and acts on that and on what the process is short of.
    pub(crate) async fn feel(self: Rc<Self>) {
        let mut late = Duration::ZERO;
        loop {
            let due = Instant::now() + BEAT;
            pause(BEAT).await;
            // What is late now counts half, what was late before the other half.
            late = (late + due.elapsed()) / 2;
            let micros = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
            let resources = self.pressure.resources();
            let strain = resources.max(self.pressure.delayed(self.id, micros));
            let before = self.strain.replace(strain);
            if resources.ends_connections() {
                self.pools.clear();
            }
            if strain.ends_connections() && !before.ends_connections() {
                // Those that are idle look at the world again, and leave.
                self.deadlines.wake_all();
            }
        }
    }

    /// Why connections end after their exchange now, if they do.
    pub(crate) fn parting(&self) -> Option<&'static str> {
        if self.is_draining() {
            Some("draining")
        } else if self.strain().ends_connections() {
            Some("overload")
        } else {
            None
        }
    }

    /// Whether connections shall end when their exchanges have.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether exchanges are being cut off.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// Ends idle connections now and the others after their exchange.
    pub(crate) fn drain(&self) {
        self.draining.set(true);
        self.pools.clear();
        self.deadlines.wake_all();
        if self.connections.get() == 0 {
            self.empty.notify_one();
        }
    }

    /// From now on, what is dropped was cut off.
    pub(crate) fn stop(&self) {
        self.stopping.set(true);
    }

    /// Waits until the last connection of a draining worker has ended.
    pub(crate) async fn emptied(&self) {
        while !self.draining.get() || self.connections.get() > 0 {
            self.empty.notified().await;
        }
    }

    /// Hands records over to the log's writer, soon after the first of them.
    pub(crate) async fn deliver_records(self: Rc<Self>) {
        loop {
            self.log_wanted.notified().await;
            pause(LOG_DELAY).await;
            self.flush_records();
        }
    }

    /// Hands records over now.
    pub(crate) fn flush_records(&self) {
        self.log_pending.set(false);
        self.log.borrow_mut().flush();
    }

    /// Closes idle connections that other workers wait for.
    pub(crate) async fn yield_connections(self: Rc<Self>) {
        loop {
            poll_fn(|cx| self.bell.poll_rung(cx)).await;
            self.pools.close_wanted();
        }
    }

    /// Looks kept connections over from time to time.
    pub(crate) async fn reap(self: Rc<Self>) {
        loop {
            pause(REAP).await;
            // Where no requests come, nobody else lets go of a world that has been replaced.
            let world = self.snapshot();
            let mut known = HashSet::new();
            for upstream in &world.upstreams {
                let pool = upstream.pool.load();
                known.extend(pool.endpoints().iter().map(|endpoint| endpoint.connection));
            }
            self.pools.reap(Instant::now(), &known);
        }
    }
}

impl Open {
    /// Whose connection it is.
    pub(crate) fn worker(&self) -> &Worker {
        &self.0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let left = self.0.connections.get().saturating_sub(1);
        self.0.connections.set(left);
        if left == 0 && self.0.draining.get() {
            self.0.empty.notify_one();
        }
    }
}

/// Lets time pass.
#[expect(
    clippy::disallowed_methods,
    reason = "the passing of time is the event that housekeeping waits for"
)]
pub(crate) async fn pause(time: Duration) {
    tokio::time::sleep(time).await;
}
