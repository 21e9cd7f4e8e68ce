//! `faregate serve`: start, run, stop.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::api::admin::{Admin, Tokens};
use crate::api::customer::Customer;
use crate::clock::SystemClock;
use crate::config::{Config, LogFormat};
use crate::proxy::{self, Making, OUTCOMES, Own, Parts, Server, Tls};
use crate::service::gate::{Gate, GateOptions};
use crate::service::request_ids::{RequestIds, kernel_entropy};
use crate::service::{memory, sweeper};
use crate::telemetry::access::{AccessLog, Format, Sink};
use crate::telemetry::metrics::Metrics;

use super::own::OwnEndpoints;
use super::running::Running;
use super::store::Store;
use super::stripe::Counter;
use super::{AppError, admin_listener, load, sync};

/// How often the configuration file and the certificates are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Beyond `shutdown_grace`: for the ledger to answer for what was cut off.
const SETTLE_WITHIN: Duration = Duration::from_secs(5);

/// Serves a configuration file until SIGTERM or SIGINT.
pub fn serve(path: &Path) -> Result<(), AppError> {
    let config = load::read(path)?;
    load::start_log(&config);
    runtime()?.block_on(async {
        let started = Started::new(config, Some(path)).await?;
        tracing::info!(address = %started.address(), admin = %started.admin, durability = started.durability(), "serving");
        started.run().await
    })
}

/// The runtime of everything but requests: the admin listener, timers, signals.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, AppError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(AppError::failed)
}

/// Everything, started.
pub(super) struct Started {
    running: Arc<Running>,
    pub(super) admin: std::net::SocketAddr,
    address: std::net::SocketAddr,
    gates: Arc<Mutex<Vec<Arc<Gate>>>>,
    tasks: tokio::task::JoinSet<()>,
}

impl Started {
    /// Opens the ledger, binds both listeners, starts the workers.
    pub(super) async fn new(config: Config, path: Option<&Path>) -> Result<Started, AppError> {
        let listener = admin_listener::bind(config.admin.listen).await?;
        let admin_tls = config.admin.tls.as_ref();
        let admin_tls = admin_tls.map(|files| Tls::read(files, &["http/1.1"])).transpose();
        let admin_tls = admin_tls.map_err(AppError::failed)?.map(Arc::new);
        let store = Store::open(&config).await?;
        let ledger = store.ledger();
        let metrics = Arc::new(Metrics::new(OUTCOMES).map_err(AppError::failed)?);
        let plans = load::plans(&config);
        let stripe = Counter::open(&config, Arc::clone(&ledger), store.memos(), &metrics).await?;
        let running = Arc::new(Running {
            path: path.map(Path::to_owned),
            config: Arc::new(ArcSwap::from_pointee(config.clone())),
            server: Mutex::new(None),
            store,
            stripe,
            ledger: Arc::clone(&ledger),
            metrics: Arc::clone(&metrics),
            log: OnceLock::new(),
            draining: AtomicBool::new(false),
            admin_tls: admin_tls.clone(),
        });
        let admin = listener.local_addr().map_err(AppError::failed)?;
        let gates = Arc::new(Mutex::new(Vec::new()));
        let server = start_workers(&config, &running, &gates, &plans)?;
        let address = server.address();
        *running.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
        running.note_loaded();
        let mut tasks = tokio::task::JoinSet::new();
        let api = Admin::new(
            Arc::clone(&ledger),
            Arc::clone(&running) as Arc<dyn crate::api::admin::Operations>,
            Tokens::new(config.admin.tokens.clone()),
            kernel_entropy(),
        );
        let api = api.over_tls(admin_tls.is_some());
        let api = api.selling(running.stripe.as_ref().map(|stripe| Arc::clone(&stripe.sales)));
        tasks.spawn(admin_listener::run(listener, admin_tls, Arc::new(api)));
        tasks.spawn(sweeper::run(
            ledger,
            config.ledger.on_expiry,
            Arc::clone(&metrics.ledger),
        ));
        tasks.spawn(memory::watch(
            Arc::clone(&running.ledger),
            Arc::clone(&metrics.ledger),
        ));
        if let Some(stripe) = &running.stripe {
            tasks.spawn(Arc::clone(&stripe.desk).run());
            tasks.spawn(Arc::clone(&stripe.desk).run_usage());
            tasks.spawn(Arc::clone(&stripe.desk).run_top_ups());
            tasks.spawn(sync::run(Arc::clone(&stripe.desk), Arc::clone(&metrics.stripe)));
        }
        tasks.spawn(watch_files(Arc::clone(&running)));
        Ok(Started {
            running,
            admin,
            address,
            gates,
            tasks,
        })
    }

    /// Where the data plane listens.
    pub(super) fn address(&self) -> std::net::SocketAddr {
        self.address
    }

    /// What can be lost.
    pub(super) fn durability(&self) -> String {
        self.running.ledger.durability()
    }

    /// The ledger.
    pub(super) fn ledger(&self) -> &Arc<dyn crate::ledger::Ledger> {
        &self.running.ledger
    }

    /// Serves until a signal says stop: takes no more, finishes what runs, settles, ends. A second signal ends at once.
    pub(super) async fn run(mut self) -> Result<(), AppError> {
        let hang_up = |kind| signal(kind).map_err(AppError::failed);
        let mut signals = [
            hang_up(SignalKind::terminate())?,
            hang_up(SignalKind::interrupt())?,
            hang_up(SignalKind::hangup())?,
        ];
        while next(&mut signals).await == HANG_UP {
            // What it came to is logged: whoever sends a signal looks there.
            let _ = self.running.load_again();
        }
        tracing::info!("stopping: finishing what runs");
        self.running.draining.store(true, Ordering::Relaxed);
        self.running.metrics.draining.set(1);
        let grace = self.running.config.load().server.shutdown_grace;
        let server = self
            .running
            .server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let Some(mut server) = server else { return Ok(()) };
        server.drain(grace);
        let ended = async {
            tokio::select! {
                () = server.ended() => return,
                _ = async { while next(&mut signals).await == HANG_UP {} } => {}
            }
            tracing::warn!("second signal: stopping now");
            server.stop();
            server.ended().await;
        };
        let in_time = tokio::time::timeout(grace + SETTLE_WITHIN, ended).await.is_ok();
        self.tasks.shutdown().await;
        let unsettled: usize = self
            .gates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .map(|g| g.under_way())
            .sum();
        if in_time && unsettled == 0 {
            tracing::info!("stopped; everything is settled");
            return Ok(());
        }
        Err(AppError::Failed(format!(
            "stopped with {unsettled} requests not settled; their holds end by time"
        )))
    }
}

/// The signal that asks for the configuration to be loaded again.
const HANG_UP: usize = 2;

/// The index of the next signal.
async fn next(signals: &mut [Signal; 3]) -> usize {
    let [terminate, interrupt, hang_up] = signals;
    tokio::select! {
        _ = terminate.recv() => 0,
        _ = interrupt.recv() => 1,
        _ = hang_up.recv() => HANG_UP,
    }
}

fn start_workers(
    config: &Config,
    running: &Arc<Running>,
    gates: &Arc<Mutex<Vec<Arc<Gate>>>>,
    plans: &Arc<crate::service::plans::Plans>,
) -> Result<Server, AppError> {
    let workers = proxy::workers(config);
    let format = match config.log.format {
        LogFormat::Json => Format::Json,
        LogFormat::Text => Format::Text,
    };
    let log = AccessLog::start(format, std::io::stdout()).map_err(AppError::failed)?;
    // Set once: workers are started once.
    let _ = running.log.set(Arc::downgrade(&log));
    let mut customer = Customer::new(Arc::clone(&running.ledger));
    if let Some(stripe) = &running.stripe {
        customer = customer.selling(Arc::clone(&stripe.sales), tokio::runtime::Handle::current());
    }
    let own: Arc<dyn Own> = Arc::new(OwnEndpoints {
        customer,
        webhook: running.stripe.as_ref().map(|stripe| Arc::clone(&stripe.webhook)),
        aside: tokio::runtime::Handle::current(),
    });
    let data_plane = Arc::clone(&running.metrics.data_plane);
    let options = GateOptions {
        hold_ttl: config.ledger.hold_ttl,
        deadline: config.ledger.timeout,
        requests_max: config.server.requests_max.div_ceil(workers),
    };
    let shared = Arc::new((
        running.store.clone(),
        Arc::clone(gates),
        Arc::clone(&running.metrics.ledger),
        log,
        own,
        running.stripe.as_ref().map(|stripe| Arc::clone(&stripe.watch)),
    ));
    let make = move |number| -> Making {
        let (shared, data_plane) = (Arc::clone(&shared), Arc::clone(&data_plane));
        Box::pin(async move {
            let (store, gates, meters, log, own, watch) = &*shared;
            let ledger = store.for_worker().await.map_err(|error| error.to_string())?;
            let ids = Arc::new(RequestIds::new(Arc::new(SystemClock), kernel_entropy()));
            let gate = Gate::new(ledger, options, ids, Arc::clone(meters));
            let gate = Arc::new(gate.watched(watch.clone().unwrap_or_default()));
            gates
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(Arc::clone(&gate));
            Ok(Parts {
                number,
                workers,
                gate,
                data_plane,
                log: Sink::new(Arc::clone(log)),
                clock: Arc::new(SystemClock),
                own: Some(Arc::clone(own)),
            })
        })
    };
    Server::start(config, plans, make).map_err(AppError::failed)
}

/// Loads the configuration and the certificates again when their files change.
async fn watch_files(running: Arc<Running>) {
    let written =
        |path: &Path| -> Option<SystemTime> { std::fs::metadata(path).and_then(|file| file.modified()).ok() };
    let mut seen = running.path.as_deref().map(written);
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = running.path.as_deref().map(written);
        if now != seen {
            seen = now;
            // What it says is logged; who edits a file looks there.
            let _ = running.load_again();
        }
        let tls = running
            .server
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .and_then(|s| s.tls().cloned());
        let count = |result| {
            running
                .metrics
                .certificate_reloads
                .with_label_values(&[result])
                .inc()
        };
        for tls in tls.iter().chain(&running.admin_tls) {
            match tls.refresh() {
                Ok(true) => {
                    count("ok");
                    tracing::info!("certificate loaded again");
                }
                Err(error) => {
                    count("refused");
                    tracing::error!(%error, "certificate not loaded; the one before goes on");
                }
                Ok(false) => {}
            }
        }
    }
}
