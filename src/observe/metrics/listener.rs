//! The metrics of one listener.

use std::sync::Arc;

use super::cells::{Cell, Sharded};
use super::families;
use super::histogram::{Histogram, OVERHEAD, Total};
use super::labels::ListenerId;
use super::page::Page;
use super::table::{Table, count, sums};
use super::words::{WordId, Words};
use crate::observe::record::AccessRecord;

/// The metrics of one listener, kept across reloads as long as a listener of that name is configured.
#[derive(Debug)]
pub struct ListenerMetrics {
    name: Box<str>,
    pub(super) id: ListenerId,
    words: Arc<Words>,
    cells: Sharded<Cells>,
}

#[derive(Debug, Default)]
struct Cells {
    accepted: Cell,
    open: Cell,
    received: Cell,
    sent: Cell,
    overhead: Histogram,
    refused: Table<Cell>,
    ended: Table<Cell>,
    handshakes: Table<Cell>,
    failed_handshakes: Table<Cell>,
    defences: Table<Cell>,
}

impl ListenerMetrics {
    pub(super) fn new(name: &str, id: ListenerId, words: Arc<Words>, workers: usize) -> Self {
        Self {
            name: name.into(),
            id,
            words,
            cells: Sharded::new(workers),
        }
    }

    /// The listener's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Counts an admitted connection, which is open until what this gives is dropped.
    pub fn connection_opened(self: &Arc<Self>, worker: usize) -> OpenConnection {
        self.cells.write(worker, |cells| {
            cells.accepted.add(1);
            cells.open.add(1);
        });
        OpenConnection {
            listener: Arc::clone(self),
            worker,
        }
    }

    /// Counts a connection that the gateway ended in order.
    pub fn connection_ended(&self, worker: usize, reason: &'static str) {
        let key = self.words.id(reason) + 1;
        self.cells.write(worker, |cells| count(&cells.ended, key));
    }

    /// Counts a connection that was closed before it was served.
    pub fn connection_refused(&self, worker: usize, reason: &'static str) {
        let key = self.words.id(reason) + 1;
        self.cells.write(worker, |cells| count(&cells.refused, key));
    }

    /// Counts a TLS handshake that succeeded.
    pub fn tls_handshake(&self, worker: usize, version: &'static str, resumed: Resumed) {
        let key = handshake_key(self.words.id(version), resumed);
        self.cells
            .write(worker, |cells| count(&cells.handshakes, key));
    }

    /// Counts a TLS handshake that failed.
    pub fn tls_handshake_failed(&self, worker: usize, reason: &'static str) {
        let key = self.words.id(reason) + 1;
        self.cells
            .write(worker, |cells| count(&cells.failed_handshakes, key));
    }

    /// Counts an HTTP/2 connection that was ended by a defence.
    pub fn http2_defended(&self, worker: usize, defence: &'static str) {
        let key = self.words.id(defence) + 1;
        self.cells
            .write(worker, |cells| count(&cells.defences, key));
    }

    pub(super) fn record(&self, worker: usize, record: &AccessRecord<'_>) {
        self.cells.write(worker, |cells| {
            cells.received.add(record.bytes_received);
            cells.sent.add(record.bytes_sent);
            cells.overhead.observe(&OVERHEAD, record.timings.overhead);
        });
    }
}

/// Counts a connection as open until it is dropped, by whatever ends it.
#[derive(Debug)]
#[must_use = "the connection counts as open as long as this lives"]
pub struct OpenConnection {
    listener: Arc<ListenerMetrics>,
    worker: usize,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let cells = &self.listener.cells;
        cells.write(self.worker, |cells| cells.open.subtract(1));
    }
}

/// Whether a TLS session was taken up again, which saves the costly part of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// A session of an earlier connection.
    Yes,
    /// A full handshake.
    No,
}

/// Writes the families that have one listener's label.
pub(super) fn encode(listeners: &[Arc<ListenerMetrics>], page: &mut Page) {
    let mut numbers = |family, part: fn(&Cells) -> &Cell| {
        let mut series = page.family(family);
        for listener in listeners {
            series.number(&[listener.name()], listener.cells.sum(part));
        }
    };
    numbers(&families::CONNECTIONS, |cells| &cells.accepted);
    numbers(&families::CONNECTIONS_OPEN, |cells| &cells.open);
    numbers(&families::RECEIVED_BYTES, |cells| &cells.received);
    numbers(&families::SENT_BYTES, |cells| &cells.sent);
    let mut reasons = |family, part: fn(&Cells) -> &Table<Cell>| {
        let mut series = page.family(family);
        for listener in listeners {
            for (key, amount) in sums(&listener.cells, part) {
                let reason = listener.words.word(key - 1);
                series.number(&[listener.name(), reason], amount);
            }
        }
    };
    reasons(&families::CONNECTIONS_REFUSED, |cells| &cells.refused);
    reasons(&families::CONNECTIONS_ENDED, |cells| &cells.ended);
    reasons(&families::DEFENCES, |cells| &cells.defences);
    reasons(&families::TLS_HANDSHAKE_FAILURES, |cells| {
        &cells.failed_handshakes
    });
    let mut series = page.family(&families::TLS_HANDSHAKES);
    for listener in listeners {
        for (key, amount) in sums(&listener.cells, |cells| &cells.handshakes) {
            let (version, resumed) = handshake_of(key);
            let version = listener.words.word(version);
            series.number(&[listener.name(), version, resumed], amount);
        }
    }
    drop(series);
    let mut series = page.family(&families::GATEWAY_OVERHEAD);
    for listener in listeners {
        let mut total = Total::default();
        for cells in listener.cells.written() {
            total.add(&cells.overhead);
        }
        series.histogram(&[listener.name()], &total, &OVERHEAD);
    }
}

fn handshake_key(version: WordId, resumed: Resumed) -> u64 {
    let resumed = match resumed {
        Resumed::No => 1,
        Resumed::Yes => 2,
    };
    (version << 2) | resumed
}

fn handshake_of(key: u64) -> (WordId, &'static str) {
    (key >> 2, if key & 2 == 0 { "false" } else { "true" })
}
