//! Connections to endpoints that wait for their next request. One set a worker, so taking one needs no lock.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use ::h2::client::SendRequest;
use bytes::Bytes;
use tokio::sync::Notify;

use super::socket::Socket;
use crate::balance::ConnectionId;

/// Streams that one HTTP/2 connection carries at the same time, if the endpoint allows so many.
pub(crate) const MOST_STREAMS: usize = 100;

/// Everything that makes two connections different: address, transport and the name that was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PoolKey {
    pub(crate) connection: ConnectionId,
    pub(crate) address: SocketAddr,
}

/// The idle HTTP/1 and all HTTP/2 connections of one worker.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    h1: RefCell<HashMap<PoolKey, Vec<Idle>>>,
    h2: RefCell<HashMap<PoolKey, Rc<Shared>>>,
}

#[derive(Debug)]
struct Idle {
    socket: Socket,
    until: Instant,
}

/// The HTTP/2 connections to one endpoint.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    connections: RefCell<Vec<Rc<Multiplexed>>>,
    /// Whether somebody is connecting; the others wait for the outcome instead of connecting too.
    connecting: Cell<bool>,
    outcome: Notify,
}

/// The turn to connect; giving it up, with whatever outcome, wakes those who wait.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Shared);

/// One HTTP/2 connection to an endpoint.
#[derive(Debug)]
pub(crate) struct Multiplexed {
    pub(crate) send: SendRequest<Bytes>,
    /// Exchanges that use it now.
    pub(crate) streams: Cell<usize>,
    /// Set by the connection's task when it ends, and by who finds it unusable.
    pub(crate) closed: Rc<Cell<bool>>,
    until: Cell<Instant>,
    idle: Duration,
}

/// The use of a multiplexed connection by one exchange.
#[derive(Debug)]
pub(crate) struct StreamSlot(pub(crate) Rc<Multiplexed>);

impl Pools {
    /// An idle HTTP/1 connection that is still open, the one used last first.
    pub(crate) fn take(&self, key: PoolKey, now: Instant) -> Option<Socket> {
        let mut all = self.h1.borrow_mut();
        let idle = all.get_mut(&key)?;
        while let Some(mut candidate) = idle.pop() {
            if candidate.until > now && candidate.socket.is_quiet() {
                return Some(candidate.socket);
            }
        }
        None
    }

    /// Keeps an HTTP/1 connection for the next request, unless there are enough.
    pub(crate) fn put(&self, key: PoolKey, socket: Socket, until: Instant, most: usize) {
        let mut all = self.h1.borrow_mut();
        let idle = all.entry(key).or_default();
        if idle.len() < most {
            idle.push(Idle { socket, until });
        }
    }

    /// The HTTP/2 connections to an endpoint.
    pub(crate) fn shared(&self, key: PoolKey) -> Rc<Shared> {
        Rc::clone(self.h2.borrow_mut().entry(key).or_default())
    }

    /// Closes what nobody used for too long and what the other end has closed.
    pub(crate) fn reap(&self, now: Instant) {
        self.h1.borrow_mut().retain(|_, idle| {
            idle.retain_mut(|idle| idle.until > now && idle.socket.is_quiet());
            !idle.is_empty()
        });
        self.h2.borrow_mut().retain(|_, shared| {
            shared.connections.borrow_mut().retain(|connection| {
                !connection.closed.get()
                    && (connection.streams.get() > 0 || connection.until.get() > now)
            });
            shared.connecting.get()
                || !shared.connections.borrow().is_empty()
                || Rc::strong_count(shared) > 1
        });
    }

    /// Closes everything that is idle.
    pub(crate) fn clear(&self) {
        self.h1.borrow_mut().clear();
        self.h2.borrow_mut().clear();
    }
}

impl Shared {
    /// The turn to connect, unless somebody has it.
    pub(crate) fn turn(&self) -> Option<Turn<'_>> {
        // Made only when it is ours: dropping one wakes those who wait.
        (!self.connecting.replace(true)).then(|| Turn(self))
    }

    /// Waits until whoever connects is done with it.
    pub(crate) async fn outcome(&self) {
        self.outcome.notified().await;
    }

    /// A connection that takes one more stream.
    pub(crate) fn usable(&self) -> Option<StreamSlot> {
        self.connections
            .borrow()
            .iter()
            .find(|connection| {
                let most = connection.send.current_max_send_streams().min(MOST_STREAMS);
                !connection.closed.get() && connection.streams.get() < most
            })
            .map(|connection| StreamSlot::new(Rc::clone(connection)))
    }

    /// Adds a new connection and takes its first stream.
    pub(crate) fn add(
        &self,
        send: SendRequest<Bytes>,
        closed: Rc<Cell<bool>>,
        idle: Duration,
    ) -> StreamSlot {
        let connection = Rc::new(Multiplexed {
            send,
            streams: Cell::new(0),
            closed,
            until: Cell::new(Instant::now() + idle),
            idle,
        });
        self.connections.borrow_mut().push(Rc::clone(&connection));
        StreamSlot::new(connection)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.connecting.set(false);
        self.0.outcome.notify_waiters();
    }
}

impl StreamSlot {
    fn new(connection: Rc<Multiplexed>) -> Self {
        connection.streams.set(connection.streams.get() + 1);
        Self(connection)
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let streams = self.0.streams.get().saturating_sub(1);
        self.0.streams.set(streams);
        if streams == 0 {
            self.0.until.set(Instant::now() + self.0.idle);
        }
    }
}
