//! One connection of a client, and all of a worker's.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use ::http::{Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tower::ServiceExt;

use crate::http::framing::{GuardedIo, UpgradeGate};

use super::super::stack::stack;
use super::super::stage::{Received, Whole};
use super::super::tls::Tls;
use super::super::worker::Worker;
use super::watched::Watched;

/// What connections may be at most.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Limits {
    /// At once, for this worker.
    pub(in super::super) connections_max: usize,
    /// HTTP/2 requests at once on one connection.
    pub(in super::super) streams_max: u32,
    /// Bytes of a head.
    pub(in super::super) header_max: usize,
    /// Lines of a head.
    pub(in super::super) headers_max: usize,
    /// For the TLS handshake.
    pub(in super::super) tls_timeout: Duration,
}

/// Bytes of requests and answers that wait in memory on an HTTP/1 connection, and per request on an HTTP/2 connection.
const BUFFER_MAX: usize = 64 * 1024;
/// HTTP/2: bytes of bodies that a client may send ahead of the upstream, per request and in all.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// HTTP/2: requests that were reset before they were looked at, after which the connection is closed (H10).
const RESETS_MAX: usize = 20;
/// HTTP/2: how often a quiet connection is asked whether it lives, and how long it has to answer.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// Headers that hyper reads without asking for memory.
const HEADERS_USUAL: usize = 100;

/// What is known of a connection, in whole seconds of its worker's time.
pub(in super::super) struct Conn {
    conns: Arc<Conns>,
    number: u64,
    in_flight: AtomicU32,
    /// When the last request ended, or the next one began to come.
    since: AtomicU32,
    /// Something of the next head has come.
    reading: AtomicBool,
    h2: AtomicBool,
    /// Since when nothing goes out that should, plus one; 0 when it does.
    blocked: AtomicU32,
    order: AtomicU8,
    task: OnceLock<Waker>,
    upgrades: OnceLock<UpgradeGate>,
    _place: OwnedSemaphorePermit,
}

const GO_ON: u8 = 0;
const FINISH: u8 = 1;
const STOP: u8 = 2;

impl Conn {
    pub(super) fn has_read(&self) {
        if self.in_flight.load(Ordering::Relaxed) == 0 && !self.reading.load(Ordering::Relaxed) {
            self.reading.store(true, Ordering::Relaxed);
            self.since.store(self.conns.now(), Ordering::Relaxed);
        }
    }

    pub(super) fn writes(&self) {
        if self.blocked.load(Ordering::Relaxed) != 0 {
            self.blocked.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn is_blocked(&self) {
        if self.blocked.load(Ordering::Relaxed) == 0 {
            self.blocked.store(self.conns.now() + 1, Ordering::Relaxed);
        }
    }

    fn begin(self: &Arc<Self>, version: Version) -> InFlight {
        if version == Version::HTTP_2 {
            self.h2.store(true, Ordering::Relaxed);
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.reading.store(false, Ordering::Relaxed);
        InFlight(Arc::clone(self))
    }

    fn order(&self, order: u8) {
        if self.order.fetch_max(order, Ordering::Relaxed) < order
            && let Some(task) = self.task.get()
        {
            task.wake_by_ref();
        }
    }

    /// Whether it has passed a limit.
    fn is_over(&self, now: u32, header: u32, idle: u32) -> bool {
        let blocked = self.blocked.load(Ordering::Relaxed);
        if blocked != 0 && now.saturating_sub(blocked - 1) > idle {
            return true;
        }
        let limit = if self.reading.load(Ordering::Relaxed) && !self.h2.load(Ordering::Relaxed) {
            header
        } else {
            idle
        };
        self.in_flight.load(Ordering::Relaxed) == 0
            && now.saturating_sub(self.since.load(Ordering::Relaxed)) > limit
    }
}

/// A request on a connection, until its answer has ended.
pub(in super::super) struct InFlight(Arc<Conn>);

impl InFlight {
    /// Lets the connection leave HTTP, before 101 is answered. `false`: it must not, since the client did not wait.
    pub(in super::super) fn open_upgrade_gate(&self) -> bool {
        self.0.upgrades.get().is_some_and(UpgradeGate::open)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.since.store(self.0.conns.now(), Ordering::Relaxed);
        }
    }
}

/// All connections of a worker.
pub(in super::super) struct Conns {
    places: Arc<Semaphore>,
    open: Mutex<HashMap<u64, Arc<Conn>>>,
    /// Seconds since the worker began.
    clock: AtomicU32,
    numbers: AtomicU32,
    changed: Notify,
}

impl Conns {
    pub(super) fn new(max: usize) -> Conns {
        Conns {
            places: Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS))),
            open: Mutex::default(),
            clock: AtomicU32::new(0),
            numbers: AtomicU32::new(0),
            changed: Notify::new(),
        }
    }

    /// Waits until one more connection may be open.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        // Never closed.
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    fn now(&self) -> u32 {
        self.clock.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Conn>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Once a second: closes those that stand still.
    pub(super) fn look_over(&self, worker: &Worker) {
        let now = self.clock.fetch_add(1, Ordering::Relaxed) + 1;
        let live = worker.live();
        let seconds = |span: Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
        let (header, idle) = (seconds(live.header_timeout), seconds(live.idle_timeout));
        for conn in self.lock().values() {
            if conn.is_over(now, header, idle) {
                let idle = conn.blocked.load(Ordering::Relaxed) == 0 && !conn.reading.load(Ordering::Relaxed);
                if !idle {
                    worker.meters.turned_away.one();
                }
                // One that had its chance to finish and did not is cut off.
                let finishing = conn.order.load(Ordering::Relaxed) == FINISH;
                conn.order(if idle && !finishing { FINISH } else { STOP });
            }
        }
    }

    /// Each may finish what runs, and closes then.
    pub(super) fn finish_all(&self) {
        self.lock().values().for_each(|conn| conn.order(FINISH));
    }

    /// All are cut off.
    pub(super) fn stop_all(&self) {
        self.lock().values().for_each(|conn| conn.order(STOP));
    }

    /// Waits until there is none.
    pub(super) async fn empty(&self) {
        loop {
            let changed = self.changed.notified();
            if self.lock().is_empty() {
                return;
            }
            changed.await;
        }
    }
}

/// Serves connections.
pub(super) struct Server<S> {
    worker: Arc<Worker>,
    conns: Arc<Conns>,
    stack: S,
    builder: Arc<auto::Builder<TokioExecutor>>,
    tls: Option<Arc<Tls>>,
    tls_timeout: Duration,
}

impl Server<()> {
    pub(super) fn new(
        worker: Arc<Worker>,
        conns: Arc<Conns>,
        limits: Limits,
        tls: Option<Arc<Tls>>,
    ) -> Server<impl Whole> {
        Server {
            worker,
            conns,
            stack: stack(),
            builder: Arc::new(builder(limits)),
            tls,
            tls_timeout: limits.tls_timeout,
        }
    }
}

impl<S: Whole> Server<S> {
    pub(super) fn conns(&self) -> &Conns {
        &self.conns
    }

    /// Serves a new connection in a task of its own.
    pub(super) fn spawn(&self, socket: TcpStream, place: Option<OwnedSemaphorePermit>) {
        let Some(place) = place else { return };
        // Latency counts for more than a few packets.
        let _ = socket.set_nodelay(true);
        let number = u64::from(self.conns.numbers.fetch_add(1, Ordering::Relaxed));
        let conn = Arc::new(Conn {
            conns: Arc::clone(&self.conns),
            number,
            in_flight: AtomicU32::new(0),
            since: AtomicU32::new(self.conns.now()),
            reading: AtomicBool::new(true),
            h2: AtomicBool::new(false),
            blocked: AtomicU32::new(0),
            order: AtomicU8::new(GO_ON),
            task: OnceLock::new(),
            upgrades: OnceLock::new(),
            _place: place,
        });
        let open = Open::new(&conn, &self.worker);
        let (worker, stack, builder) = (
            Arc::clone(&self.worker),
            self.stack.clone(),
            Arc::clone(&self.builder),
        );
        match &self.tls {
            None => drop(tokio::spawn(async move {
                let io = GuardedIo::new(Watched::new(socket, Arc::clone(&conn)));
                serve(io, &worker, &conn, stack, &builder).await;
                drop(open);
            })),
            Some(tls) => {
                let (acceptor, timeout) = (tls.acceptor(), self.tls_timeout);
                drop(tokio::spawn(async move {
                    let handshake = tokio::time::timeout(
                        timeout,
                        acceptor.accept(Watched::new(socket, Arc::clone(&conn))),
                    );
                    match handshake.await {
                        Ok(Ok(stream)) => {
                            let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                            let io = if h2 {
                                GuardedIo::transparent(stream)
                            } else {
                                GuardedIo::new(stream)
                            };
                            serve(io, &worker, &conn, stack, &builder).await;
                        }
                        Ok(Err(_)) | Err(_) => worker.meters.turned_away.one(),
                    }
                    drop(open);
                }));
            }
        }
    }
}

async fn serve<T, S>(
    io: GuardedIo<T>,
    worker: &Arc<Worker>,
    conn: &Arc<Conn>,
    stack: S,
    builder: &auto::Builder<TokioExecutor>,
) where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Whole,
{
    conn.upgrades.get_or_init(|| io.upgrade_gate());
    let service = service_fn(|request: Request<Incoming>| {
        let in_flight = conn.begin(request.version());
        stack.clone().oneshot(Received::new(worker, in_flight, request))
    });
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
    let mut finishing = false;
    let ended = std::future::poll_fn(|cx| {
        // The waker of a task is the same at each poll.
        conn.task.get_or_init(|| cx.waker().clone());
        match conn.order.load(Ordering::Relaxed) {
            STOP => return Poll::Ready(Ok(())),
            FINISH if !finishing => {
                finishing = true;
                connection.as_mut().graceful_shutdown();
            }
            _ => {}
        }
        connection.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "a client's connection broke off");
    }
}

fn builder(limits: Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Heads are timed by `Conns::look_over`, without a timer per request.
    builder
        .http1()
        .header_read_timeout(None)
        .max_buf_size(BUFFER_MAX.max(2 * limits.header_max));
    if limits.headers_max > HEADERS_USUAL {
        builder.http1().max_headers(limits.headers_max);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1)
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(u32::try_from(limits.header_max).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(RESETS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(BUFFER_MAX);
    builder
}

/// A connection that counts as open while this lives.
struct Open {
    conn: Arc<Conn>,
    worker: Arc<Worker>,
}

impl Open {
    fn new(conn: &Arc<Conn>, worker: &Arc<Worker>) -> Open {
        worker.meters.accepted.one();
        worker.meters.connections.up();
        conn.conns.lock().insert(conn.number, Arc::clone(conn));
        Open {
            conn: Arc::clone(conn),
            worker: Arc::clone(worker),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker.meters.connections.down();
        self.conn.conns.lock().remove(&self.conn.number);
        self.conn.conns.changed.notify_waiters();
    }
}
