//! One server of an upstream, and this worker's connections to it.
//!
//! HTTP/1 connections that are free lie on a stack, the one used last on top, so that those too many grow old at the bottom and are closed. HTTP/2
//! connections carry many requests each.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::http::HeaderValue;
use ::http::uri::{Authority, Scheme};
use hyper::client::conn::{http1, http2};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::telemetry::metrics::UpstreamMeters;

use super::super::upload::Upload;
use super::connect::{Dial, Fresh};

/// A free connection is closed after this time. Servers close theirs after 5 s (uvicorn) to 75 s (nginx); one that was closed in the very moment of its use
/// is noticed, and the request sent on another.
const FREE_MAX: Duration = Duration::from_secs(30);

/// How long a server that cannot be reached is passed over: first, and at most.
const PASSED_OVER: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// See the module.
pub(super) struct Endpoint {
    dial: Dial,
    pub(super) scheme: Scheme,
    pub(super) authority: Authority,
    pub(super) host: HeaderValue,
    /// Put before each path; may be empty.
    pub(super) path: Arc<str>,
    pub(super) meters: Arc<UpstreamMeters>,
    free: Mutex<Vec<Free>>,
    h2: Mutex<Vec<Shared>>,
    /// What the last new connection spoke.
    speaks_h2: AtomicBool,
    /// Held while connecting, where one new connection may serve all who wait.
    connecting: tokio::sync::Mutex<()>,
    /// One per connection that may be in use.
    slots: Semaphore,
    waiting: AtomicUsize,
    waiting_max: usize,
    in_flight: AtomicU32,
    health: Mutex<Health>,
}

struct Free {
    sender: http1::SendRequest<Upload>,
    since: Instant,
}

struct Shared {
    sender: http2::SendRequest<Upload>,
    in_flight: Arc<AtomicU32>,
    streams_max: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Health {
    failures: u32,
    passed_over_until: Option<Instant>,
}

/// A place on a connection, for one request and its answer.
pub(in super::super) struct Lease {
    endpoint: Arc<Endpoint>,
    pub(super) sender: Sender,
    /// It has taken one of the endpoint's slots.
    slot: bool,
    /// It carried a request before: the server may have closed it meanwhile.
    pub(super) used: bool,
}

/// How a request gets onto a connection.
pub(super) enum Sender {
    H1(http1::SendRequest<Upload>),
    H2(http2::SendRequest<Upload>, Arc<AtomicU32>),
    /// Not connected yet, or given back.
    None,
}

/// No connection.
#[derive(Debug)]
pub(super) enum NoLease {
    /// It cannot be made; the log says why.
    Unreachable,
    /// As many as there may be are in use, and too many wait or have waited too long.
    Busy,
}

impl Endpoint {
    pub(super) fn new(
        dial: Dial,
        authority: Authority,
        host: HeaderValue,
        path: Arc<str>,
        connections_max: usize,
        meters: Arc<UpstreamMeters>,
    ) -> Endpoint {
        Endpoint {
            scheme: if dial.tls.is_some() {
                Scheme::HTTPS
            } else {
                Scheme::HTTP
            },
            authority,
            host,
            path,
            meters,
            free: Mutex::default(),
            h2: Mutex::default(),
            speaks_h2: AtomicBool::new(dial.http2),
            connecting: tokio::sync::Mutex::default(),
            slots: Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS)),
            waiting: AtomicUsize::new(0),
            waiting_max: connections_max,
            in_flight: AtomicU32::new(0),
            health: Mutex::default(),
            dial,
        }
    }

    /// Requests on their way or being answered.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Could not be reached a short while ago.
    pub(super) fn is_passed_over(&self) -> bool {
        let until = lock(&self.health).passed_over_until;
        until.is_some_and(|until| until > Instant::now())
    }

    /// A place on a connection: one that is free, else a new one. `fresh` asks for one that carried no request yet.
    pub(super) async fn lease(self: &Arc<Self>, fresh: bool) -> Result<Lease, NoLease> {
        if self.speaks_h2.load(Ordering::Relaxed) {
            self.lease_h2().await
        } else {
            self.lease_h1(fresh).await
        }
    }

    /// A new connection that speaks HTTP/1.1 and is not used again.
    pub(super) async fn lease_alone(self: &Arc<Self>) -> Result<Lease, NoLease> {
        self.slot().await?;
        let mut lease = self.begin(Sender::None, true);
        match self.connect(false).await? {
            Fresh::H1(sender) => lease.sender = Sender::H1(sender),
            // It was not offered.
            Fresh::H2(..) => return Err(NoLease::Unreachable),
        }
        Ok(lease)
    }

    async fn lease_h1(self: &Arc<Self>, fresh: bool) -> Result<Lease, NoLease> {
        self.slot().await?;
        let mut lease = self.begin(Sender::None, true);
        if !fresh && let Some(sender) = self.pop() {
            lease.sender = Sender::H1(sender);
            lease.used = true;
            return Ok(lease);
        }
        match self.connect(true).await? {
            Fresh::H1(sender) => {
                lease.sender = Sender::H1(sender);
                Ok(lease)
            }
            Fresh::H2(sender, streams_max) => {
                self.speaks_h2.store(true, Ordering::Relaxed);
                Ok(self.share(sender, streams_max))
            }
        }
    }

    /// One new connection serves all who wait for one; where it cannot be made, none of them tries again at once.
    async fn lease_h2(self: &Arc<Self>) -> Result<Lease, NoLease> {
        if let Some(lease) = self.shared() {
            return Ok(lease);
        }
        let turn = tokio::time::timeout(self.dial.timeout, self.connecting.lock()).await;
        let _turn = turn.map_err(|_| NoLease::Unreachable)?;
        if let Some(lease) = self.shared() {
            return Ok(lease);
        }
        if self.is_passed_over() {
            return Err(NoLease::Unreachable);
        }
        match self.connect(true).await? {
            Fresh::H2(sender, streams_max) => Ok(self.share(sender, streams_max)),
            Fresh::H1(sender) => {
                self.speaks_h2.store(false, Ordering::Relaxed);
                Ok(self.begin(Sender::H1(sender), false))
            }
        }
    }

    fn begin(self: &Arc<Self>, sender: Sender, slot: bool) -> Lease {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Lease {
            endpoint: Arc::clone(self),
            sender,
            slot,
            used: false,
        }
    }

    /// Puts a new HTTP/2 connection where others find it.
    fn share(self: &Arc<Self>, sender: http2::SendRequest<Upload>, streams_max: Arc<AtomicUsize>) -> Lease {
        let in_flight = Arc::new(AtomicU32::new(1));
        lock(&self.h2).push(Shared {
            sender: sender.clone(),
            in_flight: Arc::clone(&in_flight),
            streams_max,
        });
        self.begin(Sender::H2(sender, in_flight), false)
    }

    async fn connect(&self, h2: bool) -> Result<Fresh, NoLease> {
        // Boxed, as everything that few requests need: the room for it would be part of every request's future.
        let made = Box::pin(self.dial.connect(h2, &self.meters)).await;
        let mut health = lock(&self.health);
        match &made {
            Ok(_) => *health = Health::default(),
            Err(error) => {
                let pause = PASSED_OVER.0 * 2_u32.saturating_pow(health.failures.min(16));
                health.failures = health.failures.saturating_add(1);
                health.passed_over_until = Some(Instant::now() + pause.min(PASSED_OVER.1));
                tracing::warn!(server = %self.authority, %error, "upstream cannot be reached");
            }
        }
        made.map_err(|_| NoLease::Unreachable)
    }

    /// Waits for a slot, if not too many do already, for as long as connecting may take.
    async fn slot(&self) -> Result<(), NoLease> {
        if let Ok(slot) = self.slots.try_acquire() {
            slot.forget();
            return Ok(());
        }
        self.meters.waited.one();
        let _waiting = Waiting::new(&self.waiting, self.waiting_max).ok_or(NoLease::Busy)?;
        match tokio::time::timeout(self.dial.timeout, self.slots.acquire()).await {
            Ok(Ok(slot)) => {
                slot.forget();
                Ok(())
            }
            _ => Err(NoLease::Busy),
        }
    }

    /// The free connection that was used last.
    fn pop(&self) -> Option<http1::SendRequest<Upload>> {
        let mut free = lock(&self.free);
        let mut at = free.len();
        while at > 0 {
            at -= 1;
            let Some(top) = free.get(at) else { break };
            if top.sender.is_closed() {
                free.remove(at);
            } else if top.sender.is_ready() {
                return Some(free.remove(at).sender);
            }
            // One that is neither is still busy with the end of its last request.
        }
        None
    }

    /// A place on an HTTP/2 connection that has one.
    fn shared(self: &Arc<Self>) -> Option<Lease> {
        let mut connections = lock(&self.h2);
        if connections.is_empty() {
            return None;
        }
        connections.retain(|shared| !shared.sender.is_closed());
        let room = |shared: &&Shared| {
            (shared.in_flight.load(Ordering::Relaxed) as usize) < shared.streams_max.load(Ordering::Relaxed)
        };
        let shared = connections.iter().find(room)?;
        shared.in_flight.fetch_add(1, Ordering::Relaxed);
        let sender = Sender::H2(shared.sender.clone(), Arc::clone(&shared.in_flight));
        let mut lease = self.begin(sender, false);
        lease.used = true;
        Some(lease)
    }

    /// Closes connections that have been free for long.
    pub(super) fn tidy(&self) {
        let mut free = lock(&self.free);
        let now = Instant::now();
        free.retain(|free| !free.sender.is_closed() && now.duration_since(free.since) < FREE_MAX);
        if free.is_empty() {
            *free = Vec::new();
        }
    }
}

impl Lease {
    /// Counters of the upstream.
    pub(in super::super) fn meters(&self) -> &UpstreamMeters {
        &self.endpoint.meters
    }

    /// The server.
    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// The answer has ended well: the connection can carry another request.
    pub(in super::super) fn give_back(mut self) {
        match std::mem::replace(&mut self.sender, Sender::None) {
            Sender::H1(sender) if !sender.is_closed() => {
                lock(&self.endpoint.free).push(Free {
                    sender,
                    since: Instant::now(),
                });
            }
            other => self.sender = other,
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
        if let Sender::H2(_, in_flight) = &self.sender {
            in_flight.fetch_sub(1, Ordering::Relaxed);
        }
        if self.slot {
            self.endpoint.slots.add_permits(1);
        }
    }
}

/// One who waits for a slot.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize, max: usize) -> Option<Waiting<'a>> {
        let waiting = Waiting(count);
        (count.fetch_add(1, Ordering::Relaxed) < max).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
