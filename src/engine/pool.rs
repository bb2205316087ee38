//! Connections to endpoints that wait for their next request. One set a worker, so taking one needs no lock.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{h2::Http2, socket::Socket};
use crate::balance::{ConnectionId, OpenConnection};

/// Streams that one HTTP/2 connection carries at the same time, if the endpoint allows so many.
pub(crate) const MOST_STREAMS: usize = 100;

/// Everything that makes two connections different: the endpoint of its upstream and how it is reached.
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
    /// After the socket: it is closed before it is no longer counted.
    open: OpenConnection,
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
    pub(crate) http2: Rc<Http2>,
    /// Exchanges that use it now.
    pub(crate) streams: Cell<usize>,
    until: Cell<Instant>,
    idle: Duration,
    open: OpenConnection,
}

/// The use of a multiplexed connection by one exchange.
#[derive(Debug)]
pub(crate) struct StreamSlot(pub(crate) Rc<Multiplexed>);

impl Pools {
    /// An idle HTTP/1 connection that is still open, the one used last first.
    pub(crate) fn take(&self, key: PoolKey, now: Instant) -> Option<(Socket, OpenConnection)> {
        let mut all = self.h1.borrow_mut();
        let idle = all.get_mut(&key)?;
        while let Some(mut candidate) = idle.pop() {
            if candidate.until > now && candidate.socket.is_quiet() {
                return Some((candidate.socket, candidate.open));
            }
        }
        None
    }

    /// Keeps an HTTP/1 connection for the next request, unless there are enough.
    pub(crate) fn put(
        &self,
        key: PoolKey,
        (socket, open): (Socket, OpenConnection),
        until: Instant,
        most: usize,
    ) {
        // Somebody waits for this one to be closed.
        if open.wanted_by() > 0 {
            return;
        }
        let mut all = self.h1.borrow_mut();
        let idle = all.entry(key).or_default();
        if idle.len() < most {
            idle.push(Idle {
                socket,
                until,
                open,
            });
        }
    }

    /// Closes an idle connection of which this holds, the one used longest ago of its endpoint; whether there was one.
    pub(crate) fn close_one(&self, holds: impl Fn(&OpenConnection) -> bool) -> bool {
        for idle in self.h1.borrow_mut().values_mut() {
            if let Some(place) = idle.iter().position(|one| holds(&one.open)) {
                idle.remove(place);
                return true;
            }
        }
        for shared in self.h2.borrow().values() {
            let mut connections = shared.connections.borrow_mut();
            let idle = |one: &Rc<Multiplexed>| one.streams.get() == 0 && holds(&one.open);
            if let Some(place) = connections.iter().position(idle) {
                connections.remove(place);
                return true;
            }
        }
        false
    }

    /// Closes idle connections that others wait for, as many as they are.
    pub(crate) fn close_wanted(&self) {
        let mut closed = 0;
        while self.close_one(|open| closed < open.wanted_by()) {
            closed += 1;
        }
    }

    /// The HTTP/2 connections to an endpoint.
    pub(crate) fn shared(&self, key: PoolKey) -> Rc<Shared> {
        Rc::clone(self.h2.borrow_mut().entry(key).or_default())
    }

    /// Closes what nobody used for too long, what the other end has closed, and what is idle and not `known`: an
    /// endpoint that is gone, or settings that are, and no request will ask for that again.
    pub(crate) fn reap(&self, now: Instant, known: &HashSet<ConnectionId>) {
        self.h1.borrow_mut().retain(|key, idle| {
            let is_known = known.contains(&key.connection);
            idle.retain_mut(|idle| is_known && idle.until > now && idle.socket.is_quiet());
            !idle.is_empty()
        });
        self.h2.borrow_mut().retain(|key, shared| {
            let is_known = known.contains(&key.connection);
            shared.connections.borrow_mut().retain(|connection| {
                !connection.http2.is_closed()
                    && (connection.streams.get() > 0 || (is_known && connection.until.get() > now))
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
                let most = connection.http2.most_streams().min(MOST_STREAMS);
                connection.streams.get() < most
            })
            .map(|connection| StreamSlot::new(Rc::clone(connection)))
    }

    /// Whether there is no connection, or none that still takes streams.
    pub(crate) fn is_empty(&self) -> bool {
        let connections = self.connections.borrow();
        connections.iter().all(|one| one.http2.is_closed())
    }

    /// Adds a new connection and takes its first stream.
    pub(crate) fn add(&self, http2: Rc<Http2>, open: OpenConnection, idle: Duration) -> StreamSlot {
        let connection = Rc::new(Multiplexed {
            http2,
            streams: Cell::new(0),
            until: Cell::new(Instant::now() + idle),
            idle,
            open,
        });
        let mut connections = self.connections.borrow_mut();
        // Those that nobody uses and nobody can use are in nobody's way for their idle time.
        connections.retain(|one| one.streams.get() > 0 || one.http2.most_streams() > 0);
        connections.push(Rc::clone(&connection));
        drop(connections);
        StreamSlot::new(connection)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.connecting.set(false);
        self.0.outcome.notify_waiters();
    }
}

impl Drop for Multiplexed {
    fn drop(&mut self) {
        self.http2.leave();
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
