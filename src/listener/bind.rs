//! Bind: one listening socket for each worker, all on one address.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;

use socket2::{Domain, Protocol, Socket, Type};

use super::accept;

/// The length of the kernel's queue of connections that are not accepted yet, for each socket. The kernel cuts it to
/// `net.core.somaxconn`, which is 4096 by default.
pub const BACKLOG: i32 = 4096;

/// The sockets of one listener.
#[derive(Debug)]
pub struct Bound {
    /// The address as the kernel gave it: with the real port where port 0 was asked for.
    pub local: SocketAddr,
    /// One non-blocking socket for each worker. The kernel spreads new connections over them.
    pub sockets: Vec<TcpListener>,
}

/// Why a listener has no sockets.
#[derive(Debug, thiserror::Error)]
#[error("listener `{listener}`: cannot listen on {address}: {cause}")]
pub struct BindError {
    /// The listener's name in the configuration.
    pub listener: String,
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the kernel had against it.
    pub cause: BindCause,
}

/// What the kernel has against an address.
#[derive(Debug, thiserror::Error)]
pub enum BindCause {
    /// Another socket, of this process or another one, listens there.
    #[error("the address is in use; stop the program that listens there or choose another port")]
    InUse,
    /// The process may not use this port.
    #[error(
        "permission denied; a port below 1024 needs CAP_NET_BIND_SERVICE \
         (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE)"
    )]
    Permission,
    /// No network interface of this machine has the address.
    #[error("no interface of this machine has the address")]
    NoSuchAddress,
    /// Anything else the kernel said.
    #[error("{0}")]
    Other(io::Error),
}

impl From<io::Error> for BindCause {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse,
            io::ErrorKind::PermissionDenied => Self::Permission,
            io::ErrorKind::AddrNotAvailable => Self::NoSuchAddress,
            _ => Self::Other(error),
        }
    }
}

/// Opens one listening socket for each worker on `address`; with port 0 all of them share the port the kernel chose.
///
/// # Errors
/// The address is in use (also by a process that would share it), not permitted or not of this machine.
pub fn bind(
    listener: &str,
    address: SocketAddr,
    workers: NonZeroUsize,
) -> Result<Bound, BindError> {
    open_all(address, workers).map_err(|error| BindError {
        listener: listener.to_owned(),
        address,
        cause: error.into(),
    })
}

fn open_all(address: SocketAddr, workers: NonZeroUsize) -> io::Result<Bound> {
    // The first socket binds alone: with SO_REUSEPORT set the kernel would let it join the sockets of another process
    // of the same user, and each would get a part of the connections. Sharing starts once the port is ours.
    let first = open(address)?;
    first.bind(&address.into())?;
    first.set_reuse_port(true)?;
    first.listen(BACKLOG)?;
    let first = TcpListener::from(first);
    let local = first.local_addr()?;

    let mut sockets = Vec::with_capacity(workers.get());
    sockets.push(first);
    for _ in 1..workers.get() {
        let socket = open(local)?;
        socket.set_reuse_port(true)?;
        socket.bind(&local.into())?;
        socket.listen(BACKLOG)?;
        sockets.push(socket.into());
    }
    Ok(Bound { local, sockets })
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // `[::]` means IPv6 whatever the machine's default is, so that `0.0.0.0` can stand beside it and a client's
        // IPv4 address has one spelling only.
        socket.set_only_v6(true)?;
    }
    // Without it a restart fails while connections of the process before are in TIME-WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    accept::tune(&socket)?;
    Ok(socket)
}
