//! The workers: one thread and one runtime each, all on one address.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::config::Config;
use crate::http::body::Room;
use crate::service::plans::Plans;

use super::answers::Answers;
use super::descriptors;
use super::listener::{self, Clients, Limits, Phase};
use super::live::LiveError;
use super::tls::{Tls, TlsError};
use super::worker::{Parts, Shared, Worker};

/// The data plane as it runs.
pub struct Server {
    address: SocketAddr,
    workers: Vec<Arc<Worker>>,
    threads: Vec<Thread>,
    phase: watch::Sender<Phase>,
    tls: Option<Arc<Tls>>,
    shared: Shared,
    clients: Arc<Clients>,
}

/// Holds that are open when everything has been cut off have at least this long to be settled.
const SETTLING: Duration = Duration::from_secs(1);

struct Thread {
    handle: JoinHandle<()>,
    ended: Option<oneshot::Receiver<()>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address)
            .field("workers", &self.workers.len())
            .finish_non_exhaustive()
    }
}

/// The data plane cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nobody can listen there.
    #[error("{address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// No thread or no runtime.
    #[error("a worker could not be started: {0}")]
    Worker(io::Error),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The configuration.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// What a worker is made of could not be had; why.
    #[error("{0}")]
    Made(String),
}

/// The parts of a worker to come, or why they cannot be had.
pub type Making = Pin<Box<dyn Future<Output = Result<Parts, String>>>>;

/// How many workers a configuration asks for: one per core unless it says otherwise.
pub fn workers(config: &Config) -> usize {
    match config.server.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    }
}

impl Server {
    /// Binds, and serves from then on. `make` is called once per worker, in its thread and inside its runtime.
    ///
    /// # Errors
    /// Any of the workers cannot serve; then none does.
    pub fn start(
        config: &Config,
        plans: &Arc<Plans>,
        make: impl Fn(usize) -> Making + Send + Sync + 'static,
    ) -> Result<Server, StartError> {
        let count = workers(config);
        let connections = descriptors::room_for(config.server.connections_max);
        let tls = config
            .server
            .tls
            .as_ref()
            .map(|files| Tls::read(files, &["h2", "http/1.1"]))
            .transpose()?
            .map(Arc::new);
        let listen = |error| StartError::Listen {
            address: config.server.listen,
            error,
        };
        let sockets = listener::bind(config.server.listen, count).map_err(listen)?;
        let address = sockets
            .first()
            .ok_or(io::ErrorKind::AddrNotAvailable.into())
            .and_then(|socket| socket.local_addr())
            .map_err(listen)?;
        let (phase, _) = watch::channel(Phase::Running);
        let mut server = Server {
            address,
            workers: Vec::new(),
            threads: Vec::new(),
            phase,
            tls,
            shared: Shared {
                room: Room::new(config.server.bodies_max),
                answers_room: Room::new(config.server.bodies_max),
                answers: Answers::new(config.server.answers_max),
            },
            clients: Clients::new(config.server.connections_per_client_max),
        };
        let make: Arc<dyn Fn(usize) -> Making + Send + Sync> = Arc::new(make);
        for (number, socket) in sockets.into_iter().enumerate() {
            let begin = Begin {
                number,
                socket,
                config: config.clone(),
                plans: Arc::clone(plans),
                make: Arc::clone(&make),
                limits: limits(config, connections, count),
                shared: server.shared.clone(),
                clients: Arc::clone(&server.clients),
            };
            // What was started before stops with the server that is dropped.
            server.add(begin)?;
        }
        Ok(server)
    }

    fn add(&mut self, begin: Begin) -> Result<(), StartError> {
        let (ready, is_ready) = std::sync::mpsc::sync_channel(1);
        let (end, ended) = oneshot::channel();
        let (phase, tls) = (self.phase.subscribe(), self.tls.clone());
        let thread = std::thread::Builder::new().name(format!("worker-{}", begin.number));
        let handle = thread
            .spawn(move || {
                begin.run(&ready, tls, phase);
                // Whoever waits may have gone.
                let _ = end.send(());
            })
            .map_err(StartError::Worker)?;
        self.threads.push(Thread {
            handle,
            ended: Some(ended),
        });
        let gone = || StartError::Worker(io::Error::other("it ended at once"));
        let worker = is_ready.recv().map_err(|_| gone())??;
        self.workers.push(worker);
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its workers.
    pub fn workers(&self) -> &[Arc<Worker>] {
        &self.workers
    }

    /// The certificate, to be refreshed on a timer.
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        self.tls.as_ref()
    }

    /// Bytes of requests' bodies that are held in memory now, of the `bodies_max` there are for them.
    pub fn bodies_held(&self) -> usize {
        self.shared.room.taken()
    }

    /// Bytes of answers that are held in memory now, of as much again.
    pub fn answers_held(&self) -> usize {
        self.shared.answers_room.taken()
    }

    /// From now on new requests come under this configuration; listener, TLS files, workers and what is allotted to them stay as they are.
    ///
    /// # Errors
    /// The configuration cannot be used; everything stays as it was.
    pub fn reload(&self, config: &Config, plans: &Arc<Plans>) -> Result<(), LiveError> {
        let prepared: Result<Vec<_>, _> = self
            .workers
            .iter()
            .map(|worker| worker.prepare(config, plans))
            .collect();
        for (worker, prepared) in self.workers.iter().zip(prepared?) {
            worker.adopt(prepared);
        }
        self.shared.room.resize(config.server.bodies_max);
        self.shared.answers_room.resize(config.server.bodies_max);
        self.shared.answers.resize(config.server.answers_max);
        self.clients.allow(config.server.connections_per_client_max);
        Ok(())
    }

    /// Takes no new connections; what runs may go on for `grace`.
    pub fn drain(&self, grace: Duration) {
        self.phase.send_if_modified(|phase| {
            let drains = *phase == Phase::Running;
            if drains {
                *phase = Phase::Draining(Instant::now() + grace);
            }
            drains
        });
    }

    /// Cuts everything off.
    pub fn stop(&self) {
        self.phase.send_replace(Phase::Stopping);
    }

    /// Waits until every worker has ended, after [`Server::drain`] or [`Server::stop`]. Holds that the ledger did not let settle by then end by
    /// themselves when their time is over; their gates still count them as under way.
    pub async fn ended(&mut self) {
        for thread in &mut self.threads {
            if let Some(ended) = thread.ended.take() {
                // An error is a thread that is gone.
                let _ = ended.await;
            }
        }
        for thread in self.threads.drain(..) {
            if thread.handle.join().is_err() {
                tracing::error!("a worker panicked");
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn limits(config: &Config, connections: usize, workers: usize) -> Limits {
    Limits {
        connections_max: connections.div_ceil(workers.max(1)),
        streams_max: config.server.streams_max,
        header_max: config.server.header_max,
        headers_max: config.server.headers_max,
        tls_timeout: config.server.tls_timeout,
    }
}

/// What a worker's thread begins with.
struct Begin {
    number: usize,
    socket: std::net::TcpListener,
    config: Config,
    plans: Arc<Plans>,
    make: Arc<dyn Fn(usize) -> Making + Send + Sync>,
    limits: Limits,
    shared: Shared,
    clients: Arc<Clients>,
}

type Ready = std::sync::mpsc::SyncSender<Result<Arc<Worker>, StartError>>;

impl Begin {
    fn run(self, ready: &Ready, tls: Option<Arc<Tls>>, phase: watch::Receiver<Phase>) {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(ready.send(Err(StartError::Worker(error)))),
        };
        runtime.block_on(async move {
            let made = (self.make)(self.number).await.map_err(StartError::Made);
            let shared = self.shared.clone();
            let worker = made.and_then(|parts| {
                Worker::new(parts, &self.config, &self.plans, shared).map_err(StartError::Live)
            });
            let listener = tokio::net::TcpListener::from_std(self.socket).map_err(StartError::Worker);
            match worker.and_then(|worker| listener.map(|listener| (worker, listener))) {
                Ok((worker, listener)) => {
                    // The starter waits for it.
                    let _ = ready.send(Ok(Arc::clone(&worker)));
                    let gate = Arc::clone(&worker.gate);
                    listener::run(worker, listener, tls, self.limits, self.clients, phase.clone()).await;
                    let now = Instant::now();
                    let until = match *phase.borrow() {
                        Phase::Draining(until) => until,
                        Phase::Running | Phase::Stopping => now,
                    };
                    // Whoever started the server asks the gate what is left.
                    let _ = tokio::time::timeout_at(until.max(now + SETTLING), gate.settled()).await;
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        });
    }
}
