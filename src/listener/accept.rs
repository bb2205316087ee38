//! Accept: what an accept error means, how long to wait after it, and the options of a connection's socket.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// What an error of `accept(2)` means for the loop that calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptFault {
    /// The connection ended before it was accepted, or its network did: accept the next one at once.
    Gone,
    /// The process or the machine is out of descriptors or memory, or the error is one nobody expected: pause (see
    /// [`AcceptPause`]), then go on. The kernel keeps the waiting connections.
    Exhausted,
    /// The socket itself is of no use any more: end the loop and say so.
    Broken,
}

// Linux's numbers of what the standard library has no stable `ErrorKind` for.
const EBADF: i32 = 9;
const ENONET: i32 = 64;
const EPROTO: i32 = 71;
const ENOTSOCK: i32 = 88;
const ENOPROTOOPT: i32 = 92;
const EHOSTDOWN: i32 = 112;

impl AcceptFault {
    /// What `error` means. accept(2) lists the errors that belong to the connection and not to the socket.
    #[must_use]
    pub fn of(error: &io::Error) -> Self {
        use io::ErrorKind as K;
        match error.raw_os_error() {
            Some(EBADF | ENOTSOCK) => return Self::Broken,
            Some(ENONET | EPROTO | ENOPROTOOPT | EHOSTDOWN) => return Self::Gone,
            Some(_) | None => {}
        }
        match error.kind() {
            K::InvalidInput => Self::Broken,
            K::ConnectionAborted
            | K::ConnectionReset
            | K::HostUnreachable
            | K::Interrupted
            | K::NetworkDown
            | K::NetworkUnreachable
            | K::PermissionDenied
            | K::TimedOut
            | K::Unsupported
            | K::WouldBlock => Self::Gone,
            _ => Self::Exhausted,
        }
    }

    /// The stable word for logs and metrics.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Gone => "connection_gone",
            Self::Exhausted => "accept_paused",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_apart_by_what_they_are_about() {
        let error = io::Error::from_raw_os_error;
        // EPERM, EINTR, EAGAIN, ENONET, EPROTO, ENOPROTOOPT, EOPNOTSUPP, ENETDOWN, ENETUNREACH, ECONNABORTED,
        // ECONNRESET, ETIMEDOUT, EHOSTDOWN, EHOSTUNREACH.
        for code in [1, 4, 11, 64, 71, 92, 95, 100, 101, 103, 104, 110, 112, 113] {
            assert_eq!(AcceptFault::of(&error(code)), AcceptFault::Gone, "{code}");
        }
        // ENOMEM, ENFILE, EMFILE, ENOSPC, ENOBUFS, and what accept(2) does not know.
        for code in [12, 23, 24, 28, 105, 9999] {
            assert_eq!(
                AcceptFault::of(&error(code)),
                AcceptFault::Exhausted,
                "{code}"
            );
        }
        // EBADF, EINVAL, ENOTSOCK.
        for code in [9, 22, 88] {
            assert_eq!(AcceptFault::of(&error(code)), AcceptFault::Broken, "{code}");
        }
    }

    #[test]
    fn a_pause_grows_to_a_second_and_starts_over() {
        let mut pause = AcceptPause::new();
        let lengths: Vec<u128> = (0..10).map(|_| pause.lengthen().as_millis()).collect();
        assert_eq!(lengths, [5, 10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        pause.reset();
        assert_eq!(pause.lengthen(), FIRST_PAUSE);
    }
}
