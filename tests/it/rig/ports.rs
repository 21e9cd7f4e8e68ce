//! Loopback ports that stay ours while nobody listens on them.
//!
//! Binding port 0 gives a port from the kernel's ephemeral range; once that listener is closed (a
//! server killed and about to be restarted) any outgoing connection of a parallel test may take it. So
//! these come from below that range, are probed by binding, and are handed out once per test binary.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// Linux's and BSD's ephemeral ranges begin at 32768 and 49152.
const FIRST: u16 = 10_000;
const COUNT: u16 = 20_000;
/// From a Redis Cluster node's port to its bus.
const BUS_DISTANCE: u16 = 10_000;

/// A free port on 127.0.0.1, never handed out twice by this binary. Nobody listens on it yet.
pub(crate) fn reserve() -> u16 {
    reserve_group(|port| vec![port])
}

/// A free port whose number plus 10,000 is free and reserved too: a Redis Cluster node and its bus.
pub(crate) fn reserve_with_bus() -> u16 {
    reserve_group(|port| vec![port, port + BUS_DISTANCE])
}

fn reserve_group(group: impl Fn(u16) -> Vec<u16>) -> u16 {
    static TAKEN: Mutex<Option<(u16, HashSet<u16>)>> = Mutex::new(None);
    let mut guard = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    // Test binaries that run side by side begin at different places.
    let (next, taken) = guard.get_or_insert_with(|| (scatter(std::process::id()), HashSet::new()));
    let is_free = |port: &u16, taken: &HashSet<u16>| {
        (FIRST..FIRST + COUNT).contains(port)
            && !taken.contains(port)
            && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
    };
    for _ in 0..COUNT {
        let port = FIRST + *next;
        *next = (*next + 1) % COUNT;
        let wanted = group(port);
        if wanted.iter().all(|port| is_free(port, taken)) {
            taken.extend(wanted);
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}

/// An address on which every connection is refused.
pub(crate) fn refused() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, reserve()))
}

fn scatter(pid: u32) -> u16 {
    u16::try_from(pid.wrapping_mul(2_654_435_761) % u32::from(COUNT)).expect("below COUNT")
}

#[test]
fn ports_differ_and_can_be_bound() {
    let (a, b) = (reserve(), reserve());
    assert_ne!(a, b);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, a)).unwrap();
    drop(listener);
    TcpListener::bind((Ipv4Addr::LOCALHOST, a)).unwrap();
}

#[test]
fn refused_refuses() {
    let e = std::net::TcpStream::connect(refused()).unwrap_err();
    assert_eq!(e.kind(), std::io::ErrorKind::ConnectionRefused);
}
