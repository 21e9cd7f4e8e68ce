//! The line between a request and its charge task. The request asks for more, one question at a time, and says how it ended; the task says what became
//! of the question. One allocation for each open hold; neither waits for the other with the lock taken.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::domain::credits::Credits;

use super::{Ending, Growth};

/// More is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Wish {
    pub(super) least: Credits,
    pub(super) most: Credits,
}

/// What a hold has come to, and what the account has left beside it.
#[derive(Debug)]
pub(super) struct Grown {
    pub(super) growth: Growth,
    pub(super) available: Credits,
}

/// What the task is told.
#[derive(Debug)]
pub(super) enum Said {
    Ended(Ending),
    More(Wish),
}

#[derive(Debug, Default)]
struct Line {
    wish: Option<Wish>,
    grown: Option<Grown>,
    ending: Option<Ending>,
    /// The task is no more.
    dead: bool,
    /// Whom to wake: the request, the task.
    request: Option<Waker>,
    task: Option<Waker>,
}

/// The request's end.
#[derive(Debug)]
pub(super) struct Near(Arc<Mutex<Line>>);

/// The task's end.
#[derive(Debug)]
pub(super) struct Far(Arc<Mutex<Line>>);

pub(super) fn line() -> (Near, Far) {
    let line = Arc::default();
    (Near(Arc::clone(&line)), Far(line))
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remember(waker: &mut Option<Waker>, cx: &Context<'_>) {
    match waker {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *waker = Some(cx.waker().clone()),
    }
}

/// Changes something, then wakes whoever waits for it.
fn tell(line: &Mutex<Line>, change: impl FnOnce(&mut Line) -> Option<Waker>) {
    let waker = change(&mut lock(line));
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Near {
    /// Asks. The answer to the question before has been taken.
    pub(super) fn ask(&self, wish: Wish) {
        tell(&self.0, |line| {
            line.wish = Some(wish);
            line.task.take()
        });
    }

    /// The answer. A task that is no more has none to give.
    pub(super) fn poll_answer(&self, cx: &Context<'_>) -> Poll<Option<Grown>> {
        let mut line = lock(&self.0);
        match line.grown.take() {
            Some(grown) => Poll::Ready(Some(grown)),
            None if line.dead => Poll::Ready(None),
            None => {
                remember(&mut line.request, cx);
                Poll::Pending
            }
        }
    }

    /// Says how the request ended. The task lives until it has heard it; it is only gone when the whole runtime is.
    pub(super) fn end(self, ending: Ending) {
        tell(&self.0, |line| {
            line.ending = Some(ending);
            line.request = None;
            line.task.take()
        });
    }
}

impl Far {
    /// What is said next; the end goes before anything else.
    pub(super) async fn next(&self) -> Said {
        poll_fn(|cx| {
            let mut line = lock(&self.0);
            if let Some(ending) = line.ending.take() {
                return Poll::Ready(Said::Ended(ending));
            }
            if let Some(wish) = line.wish.take() {
                return Poll::Ready(Said::More(wish));
            }
            remember(&mut line.task, cx);
            Poll::Pending
        })
        .await
    }

    /// Waits until the end has been said, and leaves it to [`Far::next`].
    pub(super) async fn ended(&self) {
        poll_fn(|cx| {
            let mut line = lock(&self.0);
            if line.ending.is_some() {
                return Poll::Ready(());
            }
            remember(&mut line.task, cx);
            Poll::Pending
        })
        .await;
    }

    pub(super) fn answer(&self, grown: Grown) {
        tell(&self.0, |line| {
            line.grown = Some(grown);
            line.request.take()
        });
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        tell(&self.0, |line| {
            line.dead = true;
            line.request.take()
        });
    }
}
