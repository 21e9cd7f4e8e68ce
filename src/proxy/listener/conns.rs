//! All connections of a worker, looked over once a second: no request sets a timer for its client's sake.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::super::worker::Worker;
use super::conn::{Conn, Order, Place};

/// All connections of a worker.
pub(in super::super) struct Conns {
    places: Arc<Semaphore>,
    open: Mutex<HashMap<u64, Arc<Conn>>>,
    /// Seconds since the worker began.
    clock: AtomicU32,
    numbers: AtomicU64,
    changed: Notify,
}

impl Conns {
    pub(super) fn new(max: usize) -> Conns {
        Conns {
            places: Arc::new(Semaphore::new(max.clamp(1, Semaphore::MAX_PERMITS))),
            open: Mutex::default(),
            clock: AtomicU32::new(0),
            numbers: AtomicU64::new(0),
            changed: Notify::new(),
        }
    }

    /// Waits until one more connection may be open.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        // Never closed.
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// A connection is open from now on.
    pub(super) fn begin(self: &Arc<Self>, place: Place) -> Arc<Conn> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let conn = Conn::new(self, number, place);
        self.lock().insert(number, Arc::clone(&conn));
        conn
    }

    /// It has ended.
    pub(super) fn end(&self, conn: &Conn) {
        self.lock().remove(&conn.number());
        self.changed.notify_waiters();
    }

    /// Seconds since the worker began.
    pub(super) fn now(&self) -> u32 {
        self.clock.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Conn>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Once a second: closes those that stand still.
    pub(super) fn look_over(&self, worker: &Worker) {
        let now = self.clock.fetch_add(1, Ordering::Relaxed) + 1;
        let live = worker.live();
        // Up: a limit of half a second is not none.
        let seconds = |span: Duration| u32::try_from(span.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX);
        let (header, idle) = (seconds(live.header_timeout), seconds(live.idle_timeout));
        for conn in self.lock().values() {
            for _ in 0..conn.end_stuck_streams(now, idle) {
                worker.meters.turned_away.one();
            }
            if conn.is_over(now, header, idle) {
                let idle = !conn.is_stuck(now, idle) && !conn.is_reading();
                if !idle {
                    worker.meters.turned_away.one();
                }
                // One that had its chance to finish and did not is cut off.
                let finish = idle && conn.told() == Order::GoOn;
                conn.tell(if finish { Order::Finish } else { Order::Stop });
            }
        }
    }

    /// Each may finish what runs, and closes then.
    pub(super) fn finish_all(&self) {
        self.tell_all(Order::Finish);
    }

    /// All are cut off.
    pub(super) fn stop_all(&self) {
        self.tell_all(Order::Stop);
    }

    fn tell_all(&self, order: Order) {
        for conn in self.lock().values() {
            conn.tell(order);
        }
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
