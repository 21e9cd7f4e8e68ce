//! Closed loop: each connection sends its next request when its last answer has come.

use super::wire::Connection;
use super::{Tally, Target, runtime};
use crate::roles;
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Instant;
use tokio::task::{JoinSet, LocalSet};

/// Exchanges on every connection before the runner says go.
const WARM_UP: u64 = 20;

pub(super) fn run(target: &Target, connections: usize, requests: u64) -> io::Result<()> {
    runtime()?.block_on(LocalSet::new().run_until(async {
        let opening = (0..connections).map(|_| Connection::open(target.address));
        let mut kept = Vec::with_capacity(connections);
        for connection in opening {
            kept.push(connection.await?);
        }
        let (kept, warm) = all(target, kept, WARM_UP * connections as u64).await?;
        if let Some(wrong) = warm.first_wrong {
            return Err(io::Error::other(format!("while warming up: {wrong}")));
        }
        roles::say("ready")?;
        roles::wait_for_go()?;
        let start = Instant::now();
        let (_, tally) = all(target, kept, requests).await?;
        tally.say(start.elapsed().as_secs_f64())
    }))
}

/// What the connections of one run share.
struct Shared {
    target: Target,
    left: Cell<u64>,
    tally: RefCell<Tally>,
}

/// Sends `requests` over all connections, each as many as it manages.
async fn all(target: &Target, kept: Vec<Connection>, requests: u64) -> io::Result<(Vec<Connection>, Tally)> {
    let shared = Rc::new(Shared {
        target: target.clone(),
        left: Cell::new(requests),
        tally: RefCell::default(),
    });
    let mut tasks = JoinSet::new();
    for (number, mut connection) in kept.into_iter().enumerate() {
        let (request, shared) = (target.request(number), Rc::clone(&shared));
        tasks.spawn_local(async move {
            while let Some(left) = shared.left.get().checked_sub(1) {
                shared.left.set(left);
                let start = Instant::now();
                let answer = connection.exchange(&request).await?;
                let elapsed = start.elapsed().as_secs_f64() * 1e6;
                shared
                    .tally
                    .borrow_mut()
                    .count(shared.target.check(&answer), elapsed);
            }
            io::Result::Ok(connection)
        });
    }
    let mut kept = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        kept.push(ended.map_err(io::Error::other)??);
    }
    Ok((kept, shared.tally.take()))
}
