//! Listening sockets: one per worker on the same address, so that the kernel deals connections out and no worker wakes another.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1_024;

/// As many sockets as asked for; for port 0 all on one free port.
///
/// # Errors
/// The address is not ours, or in use: also by another process that shares its port as we do, which would otherwise take half of the connections.
pub(in super::super) fn bind(address: SocketAddr, sockets: usize) -> io::Result<Vec<TcpListener>> {
    let alone = open(address, false)?;
    let address = alone
        .local_addr()?
        .as_socket()
        .ok_or(io::ErrorKind::AddrNotAvailable)?;
    if sockets <= 1 {
        alone.listen(BACKLOG)?;
        return Ok(vec![alone.into()]);
    }
    drop(alone);
    let shared = (0..sockets).map(|_| {
        let socket = open(address, true)?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    });
    shared.collect()
}

fn open(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `[::]` means both, whatever the system's setting.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_port_that_nobody_else_gets() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let sockets = bind(any, 3).unwrap();
        let address = sockets[0].local_addr().unwrap();
        assert!(
            sockets
                .iter()
                .all(|socket| socket.local_addr().unwrap() == address)
        );
        assert_eq!(bind(address, 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(bind(address, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
