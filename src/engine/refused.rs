//! The records of what never became an exchange: streams that HTTP/2 itself refused, and connections that broke it.

use std::{cell::Cell, rc::Rc, time::Instant};

use super::{record::Recorded, watch::Watch, worker::Worker};
use crate::{
    gateway::{Connection, Fault, Violation},
    http::{Method, Version},
};

/// Writes a record for every stream that was opened and refused. Dropping it ends the connection for its watch.
pub(crate) struct Refusals {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    pub(crate) watch: Rc<Watch>,
    /// What the streams end for that nobody has looked at when the connection ends.
    fault: Cell<Fault>,
    /// What the connection was ended for, as long as no record tells of it.
    untold: Cell<Option<Fault>>,
    count: Cell<u64>,
}

impl Refusals {
    pub(crate) fn new(worker: &Rc<Worker>, connection: &Rc<Connection>) -> Self {
        Self {
            worker: Rc::clone(worker),
            connection: Rc::clone(connection),
            watch: Rc::new(Watch::new(&connection.listener)),
            fault: Cell::new(Fault::ClientGone),
            untold: Cell::new(None),
            count: Cell::new(0),
        }
    }

    /// A stream has become a request.
    pub(crate) fn asked(&self, stream: u32) {
        self.watch.asked(stream, |fault| self.record(fault));
    }

    /// There is no request at the moment that has not been taken.
    pub(crate) fn settled(&self) {
        self.watch.settled(|fault| self.record(fault));
    }

    /// A request that is not looked at any more: it ends here.
    pub(crate) fn record(&self, fault: Fault) {
        self.untold.set(None);
        self.count.set(self.count.get() + 1);
        let mut scratch = self.worker.scratch();
        scratch.request.clear();
        scratch.request.version = Version::Http2;
        scratch.request.method = Method::Other(Box::default());
        let mut recorded =
            Recorded::begin(&self.worker, &self.connection, &mut scratch, Instant::now());
        recorded.exchange.failed(fault);
        drop(recorded);
        self.worker.reuse(scratch);
    }

    /// How many there have been.
    pub(crate) fn count(&self) -> u64 {
        self.count.get()
    }

    /// The connection ends, and this is why.
    pub(crate) fn ends_for(&self, fault: Fault) {
        self.fault.set(fault);
    }

    /// The connection has failed while `streams` of its requests were under way, which tell of it.
    pub(crate) fn failed(&self, error: &::h2::Error, streams: usize) {
        let told = error
            .reason()
            .filter(|_| error.is_go_away() && !error.is_remote())
            .and_then(|reason| Violation::of_connection(reason.into()));
        if let Some(violation) = told.or_else(|| self.watch.ended_for()) {
            self.broken_off(violation, streams);
        }
    }

    /// The connection is ended for this while `streams` of its requests were under way, which tell of it.
    pub(crate) fn broken_off(&self, violation: Violation, streams: usize) {
        self.fault.set(Fault::Http2(violation));
        if streams == 0 {
            self.untold.set(Some(Fault::Http2(violation)));
        }
    }

    /// The connection failed before its first frame.
    pub(crate) fn never_began(&self, fault: Fault) {
        if self.watch.has_heard() {
            self.untold.set(Some(fault));
        }
    }
}

impl Drop for Refusals {
    fn drop(&mut self) {
        let fault = self.fault.get();
        self.watch.ended(fault, |fault| self.record(fault));
        if let Some(fault) = self.untold.take() {
            self.record(fault);
        }
    }
}
