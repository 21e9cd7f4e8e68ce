//! An answer whose client has left in the middle.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::config::OnDisconnect;

use super::super::outcome::Outcome;
use super::super::outlive;
use super::Passed;

/// For an upstream to tell what an answer used whose text is all there, when its client has left. It keeps its hold and its place meanwhile.
const LAST_WORDS: Duration = Duration::from_millis(500);

impl Passed {
    /// The client has left in the middle.
    pub(super) fn abandoned(&mut self) {
        let (Some(patience), Some(tail)) = (self.patience(), &mut self.tail) else {
            return self.ended(Some(Outcome::ClientGone));
        };
        tail.exchange.outcome = Outcome::ClientGone;
        let worker = Arc::clone(&tail.exchange.worker);
        if let Some(metered) = self.metered.as_mut().filter(|_| patience == LAST_WORDS) {
            metered.mute();
        }
        let mut rest = Passed {
            begun: Bytes::new(),
            body: self.body.take(),
            stall: self.stall.take(),
            tail: self.tail.take(),
            metered: self.metered.take(),
            trailers: None,
            alone: true,
            over: self.over,
            broken: None,
        };
        outlive::see_through(&worker, async move {
            let end = async { while let Some(Ok(_)) = poll_fn(|cx| rest.poll(cx)).await {} };
            let _ = tokio::time::timeout(patience, end).await;
        });
    }

    /// How long the upstream is read on without a client; `None`: not at all.
    fn patience(&self) -> Option<Duration> {
        let exchange = &self.tail.as_ref()?.exchange;
        let here = !self.alone && self.body.is_some();
        let finish = exchange.route.as_ref()?.on_disconnect == OnDisconnect::Finish;
        let owes_usage = || self.metered.as_ref().is_some_and(|metered| metered.owes_usage());
        match here {
            true if finish => Some(Duration::MAX),
            true if owes_usage() => Some(LAST_WORDS),
            _ => None,
        }
    }
}
