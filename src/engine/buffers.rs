//! Buffers that go from connection to connection, so that an idle one holds none and a busy one allocates none.

use std::cell::RefCell;

use bytes::BytesMut;

use super::h1::{H1, SMALL};

/// How many of each kind wait for use; more go back to the allocator.
const KEPT: usize = 256;
/// A buffer that grew beyond this for one large message is not kept.
const LARGEST: usize = 64 * 1024 + SMALL;

/// The spare buffers of one worker.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    inbound: RefCell<Vec<BytesMut>>,
    outbound: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty buffer to read into.
    pub(crate) fn inbound(&self) -> BytesMut {
        self.inbound
            .borrow_mut()
            .pop()
            .unwrap_or_else(|| BytesMut::with_capacity(SMALL))
    }

    /// An empty buffer to write from.
    pub(crate) fn outbound(&self) -> Vec<u8> {
        self.outbound.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes the buffers of a connection back.
    pub(crate) fn recycle(&self, connection: &mut H1) {
        self.reuse_inbound(std::mem::take(&mut connection.inbound));
        self.reuse(std::mem::take(&mut connection.outbound));
    }

    /// Takes a buffer back that was read into.
    pub(crate) fn reuse_inbound(&self, mut inbound: BytesMut) {
        inbound.clear();
        let mut spare = self.inbound.borrow_mut();
        if inbound.capacity() >= SMALL / 2 && inbound.capacity() <= LARGEST && spare.len() < KEPT {
            spare.push(inbound);
        }
    }

    /// Takes a buffer back that was written from.
    pub(crate) fn reuse(&self, mut outbound: Vec<u8>) {
        outbound.clear();
        let mut spare = self.outbound.borrow_mut();
        if outbound.capacity() > 0 && outbound.capacity() <= LARGEST && spare.len() < KEPT {
            spare.push(outbound);
        }
    }
}
