//! Extends a hold: one question at a time, each with the number that follows the last one answered, so that a question whose answer was lost is asked again
//! and counts once.

use tokio::time::Instant;

use crate::domain::command::{Command, Extend, Outcome};
use crate::domain::refusal::Refusal;
use crate::telemetry::metrics::Operation;

use super::line::{Far, Grown, Wish};
use super::{BackOff, Growth, Task};
use crate::service::denial::Denial;
use crate::service::gate::STALE_MAX;

impl Task {
    /// Extends the hold as far as is wished, or says why not. Whether the hold lives on from now by that.
    pub(super) async fn grow(&mut self, far: &Far, wish: Wish) -> bool {
        let before = self.extensions;
        let growth = self.extended(far, wish).await;
        far.answer(Grown {
            growth,
            available: self.available,
        });
        self.extensions > before
    }

    /// Asks until the ledger has decided, the request has ended, or it has waited as long as a request may wait for the ledger.
    async fn extended(&mut self, far: &Far, wish: Wish) -> Growth {
        let give_up = Instant::now() + self.gate.options.deadline;
        let goal = self.amount.saturating_add(wish.least);
        let top = self.amount.saturating_add(wish.most.max(wish.least));
        let mut back_off = BackOff::new();
        let mut stale = 0;
        while Instant::now() < give_up {
            let extend = Command::Extend(Extend {
                hold: self.request,
                caller: self.known.caller().clone(),
                number: self.extensions + 1,
                least: goal.saturating_sub(self.amount),
                most: top.saturating_sub(self.amount),
                ttl: self.gate.options.hold_ttl,
            });
            match self.ask(Operation::Extend, &extend).await {
                Ok(Outcome::Applied(done) | Outcome::Replayed(done)) => {
                    self.meters().opened(done.amount.saturating_sub(self.amount));
                    (self.amount, self.available) = (done.amount, done.available);
                    (self.extensions, self.in_doubt) = (self.extensions + 1, false);
                    self.note_available(done.available);
                    // What an earlier question, given up, has brought after all may be less.
                    if self.amount >= goal {
                        return Growth::To(self.amount);
                    }
                }
                // The account has changed under the stream: a caller that still counts goes on.
                Ok(Outcome::Refused(Refusal::Stale)) if stale < STALE_MAX => {
                    stale += 1;
                    match self.gate.again(&self.known, give_up).await {
                        Ok(known) => self.known = known,
                        Err(Denial::Failed(_)) => return Growth::Failed,
                        Err(denial) => return Growth::Refused(denial),
                    }
                }
                Ok(Outcome::Refused(Refusal::Stale)) => return Growth::Failed,
                Ok(Outcome::Refused(Refusal::KeyExpired)) => return Growth::Refused(Denial::InvalidKey),
                Ok(Outcome::Refused(refusal)) => {
                    let denial = Denial::Refused(refusal);
                    self.note_refusal(&denial);
                    return Growth::Refused(denial);
                }
                Err(error) => {
                    // That the ledger is silent the breaker says once, for all who ask.
                    tracing::debug!(request = %self.request, %error, "hold not extended yet");
                    self.in_doubt |= error.is_transient();
                    if !error.is_transient() || self.ended_before(far, &mut back_off, give_up).await {
                        return Growth::Failed;
                    }
                }
            }
        }
        Growth::Failed
    }

    /// Waits before the same is asked again; whether the request has ended first.
    async fn ended_before(&self, far: &Far, back_off: &mut BackOff, give_up: Instant) -> bool {
        let pause = async {
            let ended = tokio::time::timeout_at(give_up, far.ended());
            ended.await.is_ok()
        };
        tokio::select! {
            biased;
            ended = pause => ended,
            () = back_off.wait() => false,
        }
    }

    /// A question whose answer was lost may have added to the hold that has ended by now: finds out, so that what is counted as given back was held before.
    pub(super) async fn clear_doubt(&mut self) {
        if !self.in_doubt {
            return;
        }
        let hold = self.gate.ledger.hold(&self.known.caller().account, self.request);
        if let Ok(Some(hold)) = hold.await {
            self.meters().opened(hold.amount.saturating_sub(self.amount));
            self.amount = self.amount.max(hold.amount);
        }
    }
}
