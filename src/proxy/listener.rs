//! Connections of clients: accepted, watched, drained.

mod clients;
mod conn;
mod conns;
mod opening;
mod serve;
mod socket;
mod streams;
mod watched;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::telemetry::access;

use conns::Conns;
use serve::Server;

use super::tls::Tls;
use super::worker::Worker;

pub(super) use clients::Clients;
pub(super) use conn::InFlight;
pub(super) use serve::Limits;
pub(super) use socket::bind;

/// How far the end has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Phase {
    /// Serving.
    Running,
    /// No new connections; what runs may end until then.
    Draining(Instant),
    /// Everything is cut off.
    Stopping,
}

/// Pauses between two tries to accept when the process has no descriptors left (A22): first, and at most.
const NO_DESCRIPTORS: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How often connections are looked over.
const TICK: Duration = Duration::from_secs(1);

/// Serves one worker's connections until the end.
pub(super) async fn run(
    worker: Arc<Worker>,
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    limits: Limits,
    clients: Arc<Clients>,
    mut phase: watch::Receiver<Phase>,
) {
    let conns = Arc::new(Conns::new(limits.connections_max));
    let server = Server::new(Arc::clone(&worker), Arc::clone(&conns), limits, tls);
    let housekeeping = tokio::spawn(keep_house(Arc::clone(&worker), Arc::clone(&conns)));
    tokio::select! {
        () = accept(&server, listener, &clients, &worker) => {}
        _ = phase.wait_for(|phase| *phase != Phase::Running) => {}
    }
    conns.finish_all();
    loop {
        let now = *phase.borrow_and_update();
        let over = match now {
            Phase::Stopping => break,
            Phase::Draining(until) => until,
            // The sender is gone without a word.
            Phase::Running => Instant::now(),
        };
        tokio::select! {
            () = async { conns.empty().await; worker.outliving.none().await } => break,
            () = tokio::time::sleep_until(over) => break,
            changed = phase.changed() => if changed.is_err() { break },
        }
    }
    worker.outliving.stop();
    conns.stop_all();
    conns.empty().await;
    worker.outliving.none().await;
    housekeeping.abort();
    worker.log.flush();
}

/// Accepts for ever.
async fn accept(
    server: &Server<impl super::stage::Whole>,
    listener: TcpListener,
    clients: &Arc<Clients>,
    worker: &Worker,
) {
    let mut pause = NO_DESCRIPTORS.0;
    loop {
        let place = server.conns().place().await;
        match listener.accept().await {
            Ok((socket, from)) => {
                pause = NO_DESCRIPTORS.0;
                match clients.enter(from.ip()) {
                    Some(visit) => server.spawn(socket, place, visit),
                    None => worker.meters.turned_away.one(),
                }
            }
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted just now");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(NO_DESCRIPTORS.1);
            }
        }
    }
}

/// The client was gone before its connection was accepted.
fn is_the_clients(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

async fn keep_house(worker: Arc<Worker>, conns: Arc<Conns>) {
    let mut ticks = tokio::time::interval(access::FLUSH_AFTER);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looked = Instant::now();
    loop {
        ticks.tick().await;
        worker.log.flush();
        if looked.elapsed() >= TICK {
            looked = Instant::now();
            worker.tidy();
            conns.look_over(&worker);
        }
    }
}
