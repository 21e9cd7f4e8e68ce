//! What goes on when the client has left: bounded in number, cut off when the worker stops.

use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use super::worker::Worker;

/// Requests of one worker that may go on without their client. Those beyond are cut off as if the route did not say `finish`.
const ABANDONED_MAX: usize = 1_000;

/// A worker's requests that can go on without their client.
#[derive(Debug)]
pub(super) struct Outliving {
    abandoned: AtomicUsize,
    running: watch::Sender<usize>,
    stopped: watch::Sender<bool>,
}

impl Default for Outliving {
    fn default() -> Outliving {
        Outliving {
            abandoned: AtomicUsize::new(0),
            running: watch::Sender::new(0),
            stopped: watch::Sender::new(false),
        }
    }
}

impl Outliving {
    /// Cuts all of them off, and those to come.
    pub(super) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    /// Whether they were cut off, and all requests with them.
    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Waits until none runs.
    pub(super) async fn none(&self) {
        // We hold the sender.
        let _ = self.running.subscribe().wait_for(|running| *running == 0).await;
    }

    /// A place among those without a client, if there is one.
    fn place(worker: &Arc<Worker>) -> Option<Abandoned> {
        let place = Abandoned(Arc::clone(worker));
        (worker.outliving.abandoned.fetch_add(1, Ordering::Relaxed) < ABANDONED_MAX).then_some(place)
    }
}

struct Abandoned(Arc<Worker>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.outliving.abandoned.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs a future that goes on when this one is dropped.
pub(super) async fn run<F>(worker: &Arc<Worker>, future: F) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    let mut waiting = Waiting {
        worker: Arc::clone(worker),
        task: Some(tokio::spawn(future)),
    };
    let ended = match &mut waiting.task {
        Some(task) => task.await,
        None => std::future::pending().await,
    };
    waiting.task = None;
    match ended {
        Ok(output) => output,
        Err(error) => match error.try_into_panic() {
            // The panic is the request's.
            Ok(panic) => resume_unwind(panic),
            // Cut off with the runtime, and so is whoever waits.
            Err(_) => std::future::pending().await,
        },
    }
}

/// Whoever waits for a task; when dropped, the task goes on for itself.
struct Waiting<T: Send + 'static> {
    worker: Arc<Worker>,
    task: Option<tokio::task::JoinHandle<T>>,
}

impl<T: Send + 'static> Drop for Waiting<T> {
    fn drop(&mut self) {
        let Some(task) = self.task.take() else { return };
        match Outliving::place(&self.worker) {
            Some(place) => carry(&self.worker, watch_over(place, task)),
            None => task.abort(),
        }
    }
}

/// Waits for a task, and aborts it when that is dropped.
async fn watch_over<T: Send + 'static>(place: Abandoned, task: tokio::task::JoinHandle<T>) {
    let mut task = AbortOnDrop(task);
    let _ = (&mut task.0).await;
    drop(place);
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sees something through without anyone waiting, where there is room for it.
pub(super) fn see_through(worker: &Arc<Worker>, future: impl Future<Output = ()> + Send + 'static) {
    if let Some(place) = Outliving::place(worker) {
        carry(worker, async move {
            let _place = place;
            future.await;
        });
    }
}

/// Runs something in a task of its own, until it ends or the worker stops.
pub(super) fn carry(worker: &Arc<Worker>, future: impl Future<Output = ()> + Send + 'static) {
    let running = Running::new(worker);
    tokio::spawn(async move {
        let mut stopped = running.0.outliving.stopped.subscribe();
        tokio::select! {
            () = future => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    });
}

/// A task that the worker waits for when it drains.
struct Running(Arc<Worker>);

impl Running {
    fn new(worker: &Arc<Worker>) -> Running {
        worker.outliving.running.send_modify(|running| *running += 1);
        Running(Arc::clone(worker))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.outliving.running.send_modify(|running| *running -= 1);
    }
}
