//! The records of what never became an exchange: streams that HTTP/2 itself refused, and connections that broke it.

use std::{cell::Cell, rc::Rc, time::Instant};

use super::{exchange::Scratch, h2::Http2, record::Recorded, worker::Worker};
use crate::{
    gateway::{Connection, Fault, Violation},
    http::{BodyLength, HeadError, Method, Version},
};

/// Writes a record for every stream that was opened and refused. Dropping it ends the connection.
pub(crate) struct Refusals {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    http2: Rc<Http2>,
    /// What the streams end for that nobody has looked at when the connection ends.
    fault: Cell<Fault>,
    /// What the connection was ended for, as long as no record tells of it.
    untold: Cell<Option<Fault>>,
    count: Cell<u64>,
    /// Whether a request that nobody has looked at tells of the connection's end.
    told: Cell<bool>,
}

impl Refusals {
    pub(crate) fn new(worker: &Rc<Worker>, connection: &Rc<Connection>, http2: &Rc<Http2>) -> Self {
        Self {
            worker: Rc::clone(worker),
            connection: Rc::clone(connection),
            http2: Rc::clone(http2),
            fault: Cell::new(Fault::ClientGone),
            untold: Cell::new(None),
            count: Cell::new(0),
            told: Cell::new(false),
        }
    }

    /// A stream that nobody can tell more of.
    pub(crate) fn record(&self, fault: Fault) {
        let mut scratch = self.worker.scratch();
        scratch.request.clear();
        scratch.request.version = Version::Http2;
        scratch.request.method = Method::Other(Box::default());
        self.record_request(scratch, fault);
    }

    /// A request that is not looked at any more: it ends here.
    pub(crate) fn record_request(&self, mut scratch: Box<Scratch>, fault: Fault) {
        self.untold.set(None);
        self.count.set(self.count.get() + 1);
        self.begin(&mut scratch).exchange.failed(fault);
        self.worker.reuse(scratch);
    }

    /// A request that ended before anybody looked at it. It is recorded, and counts, as what it was.
    pub(crate) fn record_given_up(
        &self,
        mut scratch: Box<Scratch>,
        length: Result<BodyLength, HeadError>,
        fault: Fault,
    ) {
        self.told.set(matches!(fault, Fault::Http2(_)));
        let mut recorded = self.begin(&mut scratch);
        if let Ok(length) = length {
            let worker = &self.worker;
            recorded
                .exchange
                .decide(&mut recorded.scratch.request, length, &mut || {
                    worker.random()
                });
        }
        recorded.exchange.failed(fault);
        drop(recorded);
        self.worker.reuse(scratch);
    }

    fn begin<'a>(&'a self, scratch: &'a mut Scratch) -> Recorded<'a> {
        Recorded::begin(&self.worker, &self.connection, scratch, Instant::now())
    }

    /// How many there have been.
    pub(crate) fn count(&self) -> u64 {
        self.count.get()
    }

    /// The connection ends, and this is why.
    pub(crate) fn ends_for(&self, fault: Fault) {
        self.fault.set(fault);
    }

    /// The connection is ended for this while `streams` of its requests were under way, which tell of it.
    pub(crate) fn broken_off(&self, violation: Violation, streams: usize) {
        self.fault.set(Fault::Http2(violation));
        if streams == 0 && !self.told.get() {
            self.untold.set(Some(Fault::Http2(violation)));
        }
        self.tell();
    }

    /// Records what nobody else tells of.
    fn tell(&self) {
        let fault = self.fault.get();
        for _ in 0..self.http2.forget() {
            self.record(fault);
        }
        if let Some(fault) = self.untold.take() {
            self.record(fault);
        }
    }

    /// The connection failed before its first frame.
    pub(crate) fn never_began(&self, fault: Fault) {
        if self.http2.has_heard() {
            self.untold.set(Some(fault));
        } else if matches!(fault, Fault::HeadTimeout) {
            // Nobody has asked for anything, so there is no record that would tell of it.
            let metrics = &self.connection.listener.metrics;
            metrics.connection_ended(self.worker.id, fault.reason());
        }
    }
}

impl Drop for Refusals {
    fn drop(&mut self) {
        self.tell();
        self.http2.abandon();
    }
}
