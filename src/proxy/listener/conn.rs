//! One connection of a client: what is known of it, and what it is told.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use ::http::Version;
use tokio::sync::OwnedSemaphorePermit;

use crate::http::framing::UpgradeGate;

use super::clients::Visit;
use super::conns::Conns;
use super::streams::Stream;

/// HTTP/2: so many requests may be taken back before they were answered, and beyond that half of all.
const LEFT_EARLY_MAX: u32 = 200;

/// A request that was taken back later than this may have tried its client's patience.
const EARLY: Duration = Duration::from_secs(1);

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
    /// HTTP/2: requests so far, and those of them that their client took back at once.
    begun: AtomicU32,
    left_early: AtomicU32,
    /// HTTP/2: the answers of which something was handed over.
    streams: Mutex<Vec<Arc<Stream>>>,
    _place: Place,
}

/// A place among the worker's connections, and among those of its client.
pub(super) type Place = (OwnedSemaphorePermit, Visit);

/// What a connection is told. Only ever moves down this list.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Order {
    GoOn,
    /// What runs may end, nothing new begins.
    Finish,
    /// It is cut off.
    Stop,
}

impl Conn {
    pub(super) fn new(conns: &Arc<Conns>, number: u64, place: Place) -> Arc<Conn> {
        Arc::new(Conn {
            conns: Arc::clone(conns),
            number,
            in_flight: AtomicU32::new(0),
            since: AtomicU32::new(conns.now()),
            reading: AtomicBool::new(true),
            h2: AtomicBool::new(false),
            blocked: AtomicU32::new(0),
            order: AtomicU8::new(Order::GoOn as u8),
            task: OnceLock::new(),
            upgrades: OnceLock::new(),
            begun: AtomicU32::new(0),
            left_early: AtomicU32::new(0),
            streams: Mutex::default(),
            _place: place,
        })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The gate through which it may leave HTTP.
    pub(super) fn may_upgrade(&self, gate: UpgradeGate) {
        self.upgrades.get_or_init(|| gate);
    }

    /// What it has been told.
    pub(super) fn told(&self) -> Order {
        match self.order.load(Ordering::Relaxed) {
            0 => Order::GoOn,
            1 => Order::Finish,
            _ => Order::Stop,
        }
    }

    /// Ends when it is told to finish or to stop; the task at work is the connection's.
    pub(super) async fn told_to_finish(&self) {
        poll_fn(|_| match self.told() {
            Order::GoOn => Poll::Pending,
            Order::Finish | Order::Stop => Poll::Ready(()),
        })
        .await;
    }

    /// Runs the connection's task, until that ends or is told to stop.
    pub(super) async fn obey(&self, mut task: Pin<&mut impl Future<Output = ()>>) {
        poll_fn(|cx| {
            // The waker of a task is the same at each poll.
            self.task.get_or_init(|| cx.waker().clone());
            if self.told() == Order::Stop {
                Poll::Ready(())
            } else {
                task.as_mut().poll(cx)
            }
        })
        .await;
    }

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

    /// Whether something of a head has come.
    pub(super) fn is_reading(&self) -> bool {
        self.reading.load(Ordering::Relaxed)
    }

    pub(super) fn is_blocked(&self) {
        if self.blocked.load(Ordering::Relaxed) == 0 {
            self.blocked.store(self.conns.now() + 1, Ordering::Relaxed);
        }
    }

    pub(super) fn begin(self: &Arc<Self>, version: Version) -> InFlight {
        let h2 = version == Version::HTTP_2;
        if h2 {
            self.h2.store(true, Ordering::Relaxed);
            self.begun.fetch_add(1, Ordering::Relaxed);
        }
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.reading.store(false, Ordering::Relaxed);
        InFlight {
            conn: Arc::clone(self),
            h2,
            stream: None,
        }
    }

    /// A request was taken back before it was answered. On HTTP/2 that ends no connection, makes room for the next request, and each may have been asked of
    /// the ledger (H10): a client that does little else is cut off. Says whether that was now.
    fn left_early(&self) -> bool {
        let left = self.left_early.fetch_add(1, Ordering::Relaxed) + 1;
        left >= LEFT_EARLY_MAX && left > self.begun.load(Ordering::Relaxed) / 2 && self.tell(Order::Stop)
    }

    fn streams(&self) -> MutexGuard<'_, Vec<Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether it is news.
    pub(super) fn tell(&self, order: Order) -> bool {
        let order = order as u8;
        let news = self.order.fetch_max(order, Ordering::Relaxed) < order;
        if news && let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
        news
    }

    /// Whether it has passed a limit.
    pub(super) fn is_over(&self, now: u32, header: u32, idle: u32) -> bool {
        if self.is_stuck(now, idle) {
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

    /// Whether its client has not taken for too long what there is to take.
    pub(super) fn is_stuck(&self, now: u32, idle: u32) -> bool {
        match self.blocked.load(Ordering::Relaxed) {
            0 => false,
            since => now.saturating_sub(since - 1) > idle,
        }
    }

    /// HTTP/2: ends the answers that have not been taken for too long; how many.
    pub(super) fn end_stuck_streams(&self, now: u32, idle: u32) -> usize {
        if !self.h2.load(Ordering::Relaxed) {
            return 0;
        }
        let streams = self.streams();
        streams
            .iter()
            .filter(|stream| stream.end_if_stuck(now, idle))
            .count()
    }
}

/// A request on a connection, until its answer has ended.
pub(in super::super) struct InFlight {
    conn: Arc<Conn>,
    h2: bool,
    /// HTTP/2, once something was handed over: an HTTP/1 connection whose client takes nothing is blocked as a whole.
    stream: Option<Arc<Stream>>,
}

impl InFlight {
    /// Lets the connection leave HTTP, before 101 is answered. `false`: it must not, since the client did not wait.
    pub(in super::super) fn open_upgrade_gate(&self) -> bool {
        self.conn.upgrades.get().is_some_and(UpgradeGate::open)
    }

    /// Whether it wants to be told of what is given and taken.
    pub(in super::super) fn watches(&self) -> bool {
        self.h2
    }

    /// The client took the request back before it was answered, after such a time. Says whether its connection was cut off for that.
    pub(in super::super) fn left_unanswered(&self, after: Duration) -> bool {
        self.h2 && after < EARLY && self.conn.left_early()
    }

    /// Something of the answer was handed over, and waits for the client. `task` is the one at work.
    pub(in super::super) fn gave(&mut self, task: &Waker) {
        if !self.h2 {
            return;
        }
        if self.stream.is_none()
            && let Some(stream) = Stream::current()
        {
            self.conn.streams().push(Arc::clone(&stream));
            self.stream = Some(stream);
        }
        if let Some(stream) = &self.stream {
            stream.gave(self.conn.conns.now(), task);
        }
    }

    /// The client has taken it, and more is asked for.
    pub(in super::super) fn taken(&self) {
        if let Some(stream) = &self.stream {
            stream.taken();
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(own) = &self.stream {
            self.conn.streams().retain(|stream| !Arc::ptr_eq(stream, own));
        }
        if self.conn.in_flight.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.conn.since.store(self.conn.conns.now(), Ordering::Relaxed);
        }
    }
}
