//! Serves a connection: TLS, HTTP/1.1 or HTTP/2, and what it is told meanwhile.

use std::error::Error;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use ::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tower::ServiceExt;

use crate::http::framing::GuardedIo;

use super::super::stack::stack;
use super::super::stage::{Received, Whole};
use super::super::tls::Tls;
use super::super::worker::Worker;
use super::clients::Visit;
use super::conn::{Conn, Order};
use super::conns::Conns;
use super::opening::Opened;
use super::streams::PerStream;
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
/// HTTP/2: requests that were reset before they were looked at, and those that the library had to reset for their frames' sake, after which the connection is
/// closed (H10). Those that were reset later are judged by [`Conn::left_early`].
const RESETS_MAX: (usize, usize) = (20, 100);
/// HTTP/2: how often a quiet connection is asked whether it lives, and how long it has to answer.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// Headers that hyper reads without asking for memory.
const HEADERS_USUAL: usize = 100;

/// Serves connections.
pub(super) struct Server<S> {
    worker: Arc<Worker>,
    conns: Arc<Conns>,
    stack: S,
    builders: Arc<Builders>,
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
            builders: Arc::new(Builders::new(limits)),
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
    pub(super) fn spawn(&self, socket: TcpStream, place: Option<OwnedSemaphorePermit>, visit: Visit) {
        let Some(place) = place else { return };
        // Latency counts for more than a few packets.
        let _ = socket.set_nodelay(true);
        let conn = self.conns.begin((place, visit));
        let open = Open::new(&conn, &self.conns, &self.worker);
        let (worker, stack, builders) = (
            Arc::clone(&self.worker),
            self.stack.clone(),
            Arc::clone(&self.builders),
        );
        let socket = Watched::new(socket, Arc::clone(&conn));
        match &self.tls {
            None => drop(tokio::spawn(async move {
                let served = pin!(serve(GuardedIo::new(socket), &worker, &conn, stack, &builders));
                conn.obey(served).await;
                drop(open);
            })),
            Some(tls) => {
                // Boxed: it is over soon, and a connection that goes on need not keep room for it.
                let handshake = Box::pin(tokio::time::timeout(
                    self.tls_timeout,
                    tls.acceptor().accept(socket),
                ));
                drop(tokio::spawn(async move {
                    let served = pin!(async {
                        let Ok(Ok(stream)) = handshake.await else {
                            return worker.meters.turned_away.one();
                        };
                        serve(GuardedIo::new(stream), &worker, &conn, stack, &builders).await;
                    });
                    conn.obey(served).await;
                    drop(open);
                }));
            }
        }
    }
}

async fn serve<T, S>(io: GuardedIo<T>, worker: &Arc<Worker>, conn: &Arc<Conn>, stack: S, builders: &Builders)
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Whole,
{
    conn.may_upgrade(io.upgrade_gate());
    let mut io = Opened::new(io);
    let is_http2 = tokio::select! {
        biased;
        () = conn.told_to_finish() => return,
        is_http2 = io.is_http2() => is_http2,
    };
    let is_http2 = match is_http2 {
        Ok(is_http2) => is_http2,
        Err(error) => return broke_off(worker, &error),
    };
    let io = TokioIo::new(io);
    let service = service_fn(|request: Request<Incoming>| {
        let in_flight = conn.begin(request.version());
        stack.clone().oneshot(Received::new(worker, in_flight, request))
    });
    if is_http2 {
        // Boxed: an HTTP/1 connection need not keep room for it.
        let mut connection = Box::pin(builders.http2.serve_connection(io, service));
        drive(
            worker,
            conn,
            connection.as_mut(),
            http2::Connection::graceful_shutdown,
        )
        .await;
    } else {
        let connection = pin!(builders.http1.serve_connection(io, service).with_upgrades());
        drive(
            worker,
            conn,
            connection,
            http1::UpgradeableConnection::graceful_shutdown,
        )
        .await;
    }
}

/// Runs a connection to its end, which comes with the requests under way once it is told to finish.
async fn drive<C>(worker: &Worker, conn: &Conn, mut connection: Pin<&mut C>, finish: impl Fn(Pin<&mut C>))
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut finishing = false;
    let ended = std::future::poll_fn(|cx| {
        if !finishing && conn.told() == Order::Finish {
            finishing = true;
            finish(connection.as_mut());
        }
        connection.as_mut().poll(cx)
    });
    if let Err(error) = ended.await {
        broke_off(worker, &error);
    }
}

fn broke_off(worker: &Worker, error: &(dyn Error + 'static)) {
    if is_the_clients_doing(error) {
        worker.meters.turned_away.one();
    }
    tracing::debug!(%error, "a client's connection broke off");
}

/// Whether a connection was closed for what its client sent (not HTTP, a flood), and not because one end or the network ended it.
fn is_the_clients_doing(error: &(dyn Error + 'static)) -> bool {
    if let Some(error) = error.downcast_ref::<hyper::Error>()
        && (error.is_incomplete_message()
            || error.is_user()
            || error.is_canceled()
            || error.is_closed()
            || error.is_body_write_aborted())
    {
        return false;
    }
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            // The guard's verdict over HTTP/2, or TLS that is none any more.
            return error.kind() == io::ErrorKind::InvalidData;
        }
        next = error.source();
    }
    true
}

/// How connections are served.
struct Builders {
    http1: http1::Builder,
    http2: http2::Builder<PerStream>,
}

impl Builders {
    fn new(limits: Limits) -> Builders {
        let mut http1 = http1::Builder::new();
        // Heads are timed by `Conns::look_over`, without a timer per request.
        http1
            .header_read_timeout(None)
            .max_buf_size(BUFFER_MAX.max(2 * limits.header_max));
        if limits.headers_max > HEADERS_USUAL {
            http1.max_headers(limits.headers_max);
        }
        let mut http2 = http2::Builder::new(PerStream);
        http2
            .timer(TokioTimer::new())
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1)
            .max_concurrent_streams(limits.streams_max)
            .max_header_list_size(u32::try_from(limits.header_max).unwrap_or(u32::MAX))
            .max_pending_accept_reset_streams(RESETS_MAX.0)
            .max_local_error_reset_streams(RESETS_MAX.1)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(BUFFER_MAX);
        Builders { http1, http2 }
    }
}

/// A connection that counts as open while this lives.
struct Open {
    conn: Arc<Conn>,
    conns: Arc<Conns>,
    worker: Arc<Worker>,
}

impl Open {
    fn new(conn: &Arc<Conn>, conns: &Arc<Conns>, worker: &Arc<Worker>) -> Open {
        worker.meters.accepted.one();
        worker.meters.connections.up();
        Open {
            conn: Arc::clone(conn),
            conns: Arc::clone(conns),
            worker: Arc::clone(worker),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker.meters.connections.down();
        self.conns.end(&self.conn);
    }
}
