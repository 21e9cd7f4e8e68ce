//! HTTP/2: each request's answer in a task that can be ended by itself. A connection may be a load balancer's and carry the requests of many clients, of
//! which one that does not take its answer must not hurt the others (A9).

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Poll, Waker};

use hyper::rt::Executor;

/// An answer on its way.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Since when its client takes nothing of what there is, in seconds of the worker's time plus one; 0 while it takes all.
    stuck: AtomicU32,
    cut: AtomicBool,
    task: OnceLock<Waker>,
}

tokio::task_local! {
    /// The one that the task at work brings.
    static CURRENT: Arc<Stream>;
}

impl Stream {
    /// The one that this task brings.
    pub(super) fn current() -> Option<Arc<Stream>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Something was handed over at this second, and waits for the client. `task` is the one at work.
    pub(super) fn gave(&self, now: u32, task: &Waker) {
        self.task.get_or_init(|| task.clone());
        self.stuck.store(now + 1, Ordering::Relaxed);
    }

    /// The client has taken it.
    pub(super) fn taken(&self) {
        self.stuck.store(0, Ordering::Relaxed);
    }

    /// Ends it if nothing was taken for so many seconds; says whether it was ended now.
    pub(super) fn end_if_stuck(&self, now: u32, limit: u32) -> bool {
        let since = self.stuck.load(Ordering::Relaxed);
        let ends =
            since != 0 && now.saturating_sub(since - 1) > limit && !self.cut.swap(true, Ordering::Relaxed);
        if ends && let Some(task) = self.task.get() {
            task.wake_by_ref();
        }
        ends
    }
}

/// Gives each answer a task of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct PerStream;

impl<F> Executor<F> for PerStream
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        let stream = Arc::<Stream>::default();
        let current = Arc::clone(&stream);
        tokio::spawn(CURRENT.scope(current, async move {
            let mut future = pin!(future);
            // Dropped, it resets the stream.
            poll_fn(|cx| {
                if stream.cut.load(Ordering::Relaxed) {
                    return Poll::Ready(());
                }
                future.as_mut().poll(cx).map(drop)
            })
            .await;
        }));
    }
}
