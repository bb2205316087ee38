//! An exchange and its heads, together with the promise that exactly one record is written of it: also when its
//! connection dies, its future is dropped or it panics.

use std::{rc::Rc, sync::Arc, time::Instant};

use super::{exchange::Scratch, worker::Worker};
use crate::gateway::{Connection, Exchange, Fault};

/// An exchange that is under way. Dropping it writes its record.
pub(crate) struct Recorded<'a> {
    worker: &'a Rc<Worker>,
    pub(crate) exchange: Exchange,
    pub(crate) scratch: &'a mut Scratch,
}

impl<'a> Recorded<'a> {
    /// Begins an exchange in the current world.
    pub(crate) fn begin(
        worker: &'a Rc<Worker>,
        connection: &Rc<Connection>,
        scratch: &'a mut Scratch,
        started: Instant,
    ) -> Self {
        let mut exchange = Exchange::begin(
            worker.snapshot(),
            Rc::clone(connection),
            started,
            Instant::now(),
        )
        .under(worker.strain());
        exchange.swap_workspace(&mut scratch.workspace);
        Self {
            exchange,
            worker,
            scratch,
        }
    }
}

impl Drop for Recorded<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.exchange.failed(Fault::Internal);
        } else if self.worker.is_stopping() {
            // What had come to its end before has been recorded before.
            self.exchange.failed(Fault::Drained);
        } else if !self.exchange.has_outcome() {
            self.exchange.failed(Fault::ClientGone);
        }
        let worker = self.worker;
        let log = self.exchange.snapshot().access_log.as_ref().map(Arc::clone);
        self.exchange
            .record(&self.scratch.request, |record, touched| {
                worker.record(log.as_deref(), record, touched);
            });
        self.exchange.swap_workspace(&mut self.scratch.workspace);
    }
}
