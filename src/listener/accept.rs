//! Accept: what an accept error means, how long to wait after it, and the options of a connection's socket.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// What an error of `accept(2)` means for the loop that calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptFault {
    /// The connection ended before it was accepted, or its network did: accept the next one at once.
    Gone,
    /// The process or the machine is out of descriptors or memory: pause (see [`AcceptPause`]), then go on. The
    /// kernel keeps the waiting connections.
    Exhausted,
    /// The socket itself is of no use any more: end the loop and say so.
    Broken,
}

// The standard library has no stable `ErrorKind` for these. Descriptor numbers are the same on every Unix, ENOBUFS is
// Linux's.
const ENFILE: i32 = 23;
const EMFILE: i32 = 24;
const ENOBUFS: i32 = 105;
const EBADF: i32 = 9;
const ENOTSOCK: i32 = 88;

impl AcceptFault {
    /// What `error` means. accept(2) hands out errors of the network that belong to one connection, so everything
    /// that does not speak of the listening socket is [`AcceptFault::Gone`].
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(EMFILE | ENFILE | ENOBUFS) => return Self::Exhausted,
            Some(EBADF | ENOTSOCK) => return Self::Broken,
            Some(_) | None => {}
        }
        match error.kind() {
            io::ErrorKind::OutOfMemory => Self::Exhausted,
            io::ErrorKind::InvalidInput => Self::Broken,
            _ => Self::Gone,
        }
    }

    /// The stable word for logs and metrics.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Gone => "connection_gone",
            Self::Exhausted => "out_of_descriptors",
            Self::Broken => "listener_broken",
        }
    }
}

/// The growing pause of an accept loop that is out of descriptors: 5 ms, doubled up to 1 s.
#[derive(Clone, Copy, Debug)]
pub struct AcceptPause {
    next: Duration,
}

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl AcceptPause {
    /// A pause that has not grown.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: FIRST_PAUSE }
    }

    /// How long to wait now; the next time it is longer.
    pub fn lengthen(&mut self) -> Duration {
        let now = self.next;
        self.next = LONGEST_PAUSE.min(now.saturating_mul(2));
        now
    }

    /// Starts over: a connection was accepted.
    pub const fn reset(&mut self) {
        self.next = FIRST_PAUSE;
    }
}

impl Default for AcceptPause {
    fn default() -> Self {
        Self::new()
    }
}

/// How long a connection may be silent before the kernel asks whether the peer is still there.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);
/// The time between two such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// How many of them may stay without an answer.
const KEEPALIVE_RETRIES: u32 = 4;

/// Sets the options of a connection's socket: no delay for small writes, and TCP keep-alive, which finds a dead peer
/// after about two minutes.
///
/// A connection inherits them from the socket that accepted it, so [`super::bind::bind`] sets them once and accepting
/// costs no system call; sockets towards an upstream need their own call.
///
/// # Errors
/// What the kernel says; only for something that is no TCP socket.
pub fn tune<'s>(socket: impl Into<SockRef<'s>>) -> io::Result<()> {
    let socket = socket.into();
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE_TIME)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(KEEPALIVE_RETRIES),
    )
}
