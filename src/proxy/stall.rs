//! Notices that something which should move stands still.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A limit on the time between two movements, and on the time in all. Costs nothing until something has to be waited for, and then one timer, which is
/// set anew only when it rings.
pub(super) struct Stall {
    span: Duration,
    /// Whatever moves, it is over by then.
    end: Option<Instant>,
    moved: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// When the timer rings, and for whom.
    set: Option<(Instant, Waker)>,
    /// It has moved since it was last asked.
    fresh: bool,
}

impl Stall {
    /// At most `span` between two movements.
    pub(super) fn new(span: Duration) -> Stall {
        Stall {
            span,
            end: None,
            moved: None,
            timer: None,
            set: None,
            fresh: false,
        }
    }

    /// And all of it before `end`.
    pub(super) fn until(mut self, end: Option<Instant>) -> Stall {
        self.end = end;
        self
    }

    /// Leaves another in its place that has not begun to wait.
    pub(super) fn take(&mut self) -> Stall {
        let fresh = Stall::new(self.span).until(self.end);
        std::mem::replace(self, fresh)
    }

    /// It moved.
    pub(super) fn moved(&mut self) {
        if self.timer.is_some() {
            self.moved = Some(Instant::now());
            self.fresh = true;
        }
    }

    /// Whether the timer is going to ring for this task, so that it need not be looked at: it moved just now, which was before.
    fn is_set(&mut self, cx: &Context<'_>) -> bool {
        let fresh = std::mem::take(&mut self.fresh);
        let (Some(moved), Some((rings, waker))) = (self.moved, &self.set) else {
            return false;
        };
        fresh && moved < *rings && waker.will_wake(cx.waker())
    }

    /// Ready when it has stood still for too long. To be polled when there is nothing else to do.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_set(cx) {
            return Poll::Pending;
        }
        let (span, end) = (self.span, self.end);
        let due = |since: Instant| end.map_or(since + span, |end| end.min(since + span));
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due(Instant::now()))));
        loop {
            if timer.as_mut().poll(cx).is_pending() {
                self.set = Some((timer.deadline(), cx.waker().clone()));
                return Poll::Pending;
            }
            match self.moved.take().map(due) {
                Some(later) if later > Instant::now() => timer.as_mut().reset(later),
                _ => return Poll::Ready(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn ends(stall: &mut Stall) -> Duration {
        let started = Instant::now();
        poll_fn(|cx| stall.poll(cx)).await;
        started.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_a_span_after_the_last_movement() {
        let mut stall = Stall::new(Duration::from_secs(10));
        let waited = tokio::time::timeout(Duration::from_secs(4), ends(&mut stall)).await;
        assert!(waited.is_err());
        stall.moved();
        assert_eq!(ends(&mut stall).await.as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_for_whoever_asked_last() {
        let mut stall = Stall::new(Duration::from_secs(10));
        assert!(poll_fn(|cx| Poll::Ready(stall.poll(cx))).await.is_pending());
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(9)).await;
            stall.moved();
            // Asked twice, since the first time it is known to be set.
            for _ in 0..2 {
                assert!(poll_fn(|cx| Poll::Ready(stall.poll(cx))).await.is_pending());
            }
        }
        tokio::time::advance(Duration::from_secs(4)).await;
        stall.moved();
        assert!(poll_fn(|cx| Poll::Ready(stall.poll(cx))).await.is_pending());
        // Another task, which nobody has set the timer for.
        let moved = Instant::now();
        stall.moved();
        let other = tokio::spawn(async move {
            poll_fn(|cx| stall.poll(cx)).await;
            Instant::now()
        });
        assert_eq!((other.await.unwrap() - moved).as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_in_all_whatever_moves() {
        let end = Instant::now() + Duration::from_secs(15);
        let mut stall = Stall::new(Duration::from_secs(10)).until(Some(end));
        for _ in 0..3 {
            let waited = tokio::time::timeout(Duration::from_secs(4), ends(&mut stall)).await;
            assert!(waited.is_err());
            stall.moved();
        }
        assert_eq!(ends(&mut stall).await.as_secs(), 3);
    }
}
