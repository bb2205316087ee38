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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr, TcpStream};

    use socket2::SockRef;

    use super::*;

    const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    fn workers(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    #[test]
    fn every_worker_has_a_socket_on_the_port_the_kernel_chose() {
        let bound = bind("web", LOOPBACK, workers(3)).unwrap();
        assert_ne!(bound.local.port(), 0);
        assert_eq!(bound.sockets.len(), 3);
        for socket in &bound.sockets {
            assert_eq!(socket.local_addr().unwrap(), bound.local);
            assert!(SockRef::from(socket).nonblocking().unwrap());
        }
    }

    #[test]
    fn the_sockets_share_the_connections_and_lose_none() {
        let bound = bind("web", LOOPBACK, workers(2)).unwrap();
        let clients: Vec<TcpStream> = (0..64)
            .map(|_| TcpStream::connect(bound.local).unwrap())
            .collect();
        let accepted = bound.sockets.iter().map(|socket| {
            let connections = std::iter::from_fn(|| socket.accept().ok());
            connections.count()
        });
        let accepted: Vec<usize> = accepted.collect();
        assert_eq!(accepted.iter().sum::<usize>(), clients.len());
        assert!(accepted.iter().all(|&count| count > 0), "{accepted:?}");
    }

    #[test]
    fn a_port_of_another_program_is_refused_and_the_listener_named() {
        let other = TcpListener::bind(LOOPBACK).unwrap();
        let taken = other.local_addr().unwrap();
        let error = bind("web", taken, workers(2)).unwrap_err();
        assert!(matches!(error.cause, BindCause::InUse));
        let text = error.to_string();
        assert!(
            text.starts_with(&format!("listener `web`: cannot listen on {taken}: ")),
            "{text}"
        );
        assert!(text.contains("in use"), "{text}");
    }

    #[test]
    fn a_port_that_another_program_would_share_is_refused_too() {
        let other = bind("theirs", LOOPBACK, workers(2)).unwrap();
        assert!(SockRef::from(&other.sockets[0]).reuse_port().unwrap());
        let error = bind("ours", other.local, workers(2)).unwrap_err();
        assert!(matches!(error.cause, BindCause::InUse));
    }

    #[test]
    fn a_port_is_free_again_once_its_sockets_are_closed() {
        let bound = bind("web", LOOPBACK, workers(2)).unwrap();
        let client = TcpStream::connect(bound.local).unwrap();
        let address = bound.local;
        drop(bound);
        assert_eq!(bind("web", address, workers(2)).unwrap().local, address);
        drop(client);
    }

    #[test]
    fn ipv4_and_ipv6_stand_beside_each_other_on_one_port() {
        let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        // A machine may have no IPv6 at all.
        let Ok(v6) = bind("v6", v6, workers(2)) else {
            return;
        };
        assert!(SockRef::from(&v6.sockets[0]).only_v6().unwrap());
        let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, v6.local.port()));
        assert_eq!(bind("v4", v4, workers(2)).unwrap().local, v4);
    }

    #[test]
    fn an_address_of_another_machine_is_told_as_such() {
        let elsewhere: SocketAddr = "192.0.2.1:0".parse().unwrap();
        let error = bind("web", elsewhere, workers(1)).unwrap_err();
        assert!(matches!(error.cause, BindCause::NoSuchAddress));
    }

    #[test]
    fn accepted_connections_inherit_the_options() {
        let bound = bind("web", LOOPBACK, workers(1)).unwrap();
        let _client = TcpStream::connect(bound.local).unwrap();
        bound.sockets[0].set_nonblocking(false).unwrap();
        let (accepted, _) = bound.sockets[0].accept().unwrap();
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap().as_secs(), 60);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
    }
}
