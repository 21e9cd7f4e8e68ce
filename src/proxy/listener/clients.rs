//! How many connections each client has: one address must not take all places (H12).

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How often it is said that clients are turned away.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The connections of all workers, by client.
#[derive(Debug)]
pub(in super::super) struct Clients {
    /// 0: as many as they like.
    max: AtomicUsize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    by_client: HashMap<IpAddr, usize>,
    said: Option<Instant>,
}

impl Clients {
    pub(in super::super) fn new(max: usize) -> Arc<Clients> {
        Arc::new(Clients {
            max: AtomicUsize::new(max),
            open: Mutex::default(),
        })
    }

    /// From now on each may have so many. Those that are open stay.
    pub(in super::super) fn allow(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// One more connection from there, unless those are too many.
    pub(super) fn enter(self: &Arc<Self>, from: IpAddr) -> Option<Visit> {
        let max = self.max.load(Ordering::Relaxed);
        let client = client(from);
        let mut open = self.lock();
        let connections = open.by_client.entry(client).or_default();
        if max > 0 && *connections >= max {
            open.say(client, max);
            return None;
        }
        *connections += 1;
        Some(Visit {
            clients: Arc::clone(self),
            client,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn say(&mut self, client: IpAddr, max: usize) {
        if self.said.is_some_and(|said| said.elapsed() < SAY_EVERY) {
            return;
        }
        self.said = Some(Instant::now());
        tracing::warn!(
            %client,
            max,
            "connections of a client are closed, since it has as many as server.connections_per_client_max allows; 0 lifts the cap, as for a load balancer"
        );
    }
}

/// Whoever has an IPv6 address has a network of them.
fn client(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

/// One connection of a client, until it is dropped.
#[derive(Debug)]
pub(super) struct Visit {
    clients: Arc<Clients>,
    client: IpAddr,
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut open = self.clients.lock();
        if let Some(connections) = open.by_client.get_mut(&self.client) {
            *connections -= 1;
            if *connections == 0 {
                open.by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h12_each_client_has_its_own_share_and_an_ipv6_network_is_one() {
        let clients = Clients::new(2);
        let enter = |address: &str| clients.enter(address.parse().unwrap());
        let first = [enter("10.0.0.1"), enter("::ffff:10.0.0.1")];
        assert!(first.iter().all(Option::is_some));
        assert!(enter("10.0.0.1").is_none());
        assert!(enter("10.0.0.2").is_some());
        let network = [enter("2001:db8:0:1::1"), enter("2001:db8:0:1:ffff::2")];
        assert!(network.iter().all(Option::is_some));
        assert!(enter("2001:db8:0:1::3").is_none());
        assert!(enter("2001:db8:0:2::3").is_some());
        drop(first);
        assert!(enter("10.0.0.1").is_some());
        drop(network);
        assert!(
            clients.lock().by_client.is_empty(),
            "nothing is kept of those that left"
        );
        clients.allow(0);
        let many: Vec<_> = (0..100).map(|_| enter("10.0.0.1")).collect();
        assert!(many.iter().all(Option::is_some));
    }
}
