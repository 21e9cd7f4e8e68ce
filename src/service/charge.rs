//! The charge task: one per request, it owns the hold from before the ledger is asked until the ledger has answered for its end.
//!
//! No ledger call lives in the request's future, which is dropped when the client leaves. The request only has a [`Held`], whose drop is a message.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::domain::command::{Admit, Capture, Command, Outcome, Receipt, Release, Renew};
use crate::domain::credits::Credits;
use crate::domain::entry::Detail;
use crate::domain::ids::HoldId;
use crate::domain::refusal::Refusal;
use crate::ledger::{Ledger, LedgerError};

use super::breaker::Breaker;
use super::denial::Denial;
use super::gate::{Admission, Gate, millis};
use super::panics::caught;
use super::request_ids::RequestIds;
use crate::telemetry::metrics::{LedgerMeters, Operation};

/// First and longest pause between two tries to reach a ledger that does not answer.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// When to look for a hold that a straggler may have opened: the admit was refused, but an earlier sending of it, whose answer was lost, may still arrive.
const STRAGGLERS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// How a request ended, for its hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Charge this much.
    Capture(Credits, Detail),
    /// Charge nothing.
    Release(Detail),
}

/// Proof that a request is paid: its hold is open, and stays open until this is settled or dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the hold"]
pub struct Held {
    request: HoldId,
    amount: Credits,
    /// None when there is nothing to settle: a free request, or one that was settled.
    ends: Option<oneshot::Sender<Ending>>,
    on_drop: Ending,
}

impl Held {
    /// The request's id.
    pub fn request(&self) -> HoldId {
        self.request
    }

    /// What is held; zero for a free request.
    pub fn amount(&self) -> Credits {
        self.amount
    }

    /// From now on, a drop ends the hold this way (the client left, a panic, a broken body). Until this is said a drop releases.
    pub fn on_drop(&mut self, ending: Ending) {
        self.on_drop = ending;
    }

    /// Ends the hold. Does not wait: the charge task sees to it.
    pub fn settle(mut self, ending: Ending) {
        self.on_drop = ending;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(ends) = self.ends.take() {
            let ending = std::mem::replace(&mut self.on_drop, Ending::Release(Detail::none()));
            // The task lives until it has this message; it is only gone when the whole runtime is.
            let _ = ends.send(ending);
        }
    }
}

pub(super) struct Task {
    ledger: Arc<dyn Ledger>,
    ids: Arc<RequestIds>,
    meters: Arc<LedgerMeters>,
    breaker: Arc<Breaker>,
    admit: Admit,
    place: Place,
}

/// A request's place at the gate. Given back when all is settled: what waits for the ledger is bounded with what runs. A task that is dropped
/// before (its runtime ends) keeps it, so that the gate can tell how many are not settled.
struct Place(Option<OwnedSemaphorePermit>);

impl Place {
    fn give_back(&mut self) {
        self.0 = None;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(permit) = self.0.take()
            && !std::thread::panicking()
        {
            permit.forget();
        }
    }
}

impl Task {
    pub(super) fn new(gate: &Gate, admit: Admit, permit: OwnedSemaphorePermit) -> Task {
        Task {
            ledger: Arc::clone(&gate.ledger),
            ids: Arc::clone(&gate.ids),
            meters: Arc::clone(&gate.meters),
            breaker: Arc::clone(&gate.breaker),
            admit,
            place: Place(Some(permit)),
        }
    }

    /// Admit, tell the request, keep the hold alive, settle.
    pub(super) async fn run(mut self, answer: oneshot::Sender<Result<Admission, Denial>>) {
        self.see_through(answer).await;
        self.place.give_back();
    }

    async fn see_through(&self, answer: oneshot::Sender<Result<Admission, Denial>>) {
        let command = Command::Admit(self.admit.clone());
        let mut in_doubt = false;
        let receipt = match self.admitted(&command, &answer, &mut in_doubt).await {
            Ok(receipt) => receipt,
            Err(denial) => {
                let in_doubt = in_doubt && may_still_open(&denial);
                // Nobody may be waiting any more; then there is nobody to tell.
                let _ = answer.send(Err(denial));
                if in_doubt {
                    self.release_stragglers().await;
                }
                return;
            }
        };
        self.ids.observe(receipt.time);
        let (ends, ended) = oneshot::channel();
        let holds = !receipt.amount.is_zero();
        let held = Held {
            request: self.admit.hold,
            amount: receipt.amount,
            ends: holds.then_some(ends),
            on_drop: Ending::Release(Detail::new(r#"{"cause":"not_forwarded"}"#)),
        };
        // If the request is gone, the admission is dropped here, and with it the hold released.
        let _ = answer.send(Ok(Admission {
            held,
            available: receipt.available,
        }));
        if holds {
            self.meters.opened(receipt.amount);
            self.meters.open_holds.inc();
            let ending = self.keep_alive_until(ended).await;
            self.settle(ending, receipt.amount).await;
            self.meters.open_holds.dec();
        }
    }

    /// One question to the ledger. If that panics, whether it was done is as little known as when there was no answer.
    async fn ask(&self, operation: Operation, command: &Command) -> Result<Outcome, LedgerError> {
        let asked = Instant::now();
        let answer = caught(async { self.ledger.execute(command).await }).await;
        let answer = answer.unwrap_or_else(|| {
            tracing::error!(request = %self.admit.hold, ?operation, "asking the ledger panicked");
            Err(LedgerError::TimedOut(millis(asked.elapsed())))
        });
        self.meters.asked(operation, asked.elapsed(), answer.is_ok());
        let partition = self.ledger.partition_of(&self.admit.caller.account);
        self.breaker.heard(partition, &answer);
        answer
    }

    /// Asks the ledger until it has decided. Once the request has given up waiting this goes on, since the hold may have been opened all the same;
    /// only an error that asking again cannot heal ends it. `in_doubt` afterwards: one sending was never answered.
    async fn admitted(
        &self,
        command: &Command,
        answer: &oneshot::Sender<Result<Admission, Denial>>,
        in_doubt: &mut bool,
    ) -> Result<Receipt, Denial> {
        let mut back_off = BackOff::new();
        loop {
            match self.ask(Operation::Admit, command).await {
                Ok(outcome) => return outcome.receipt().map_err(Denial::Refused),
                Err(error) if !error.is_transient() => return Err(Denial::Failed(error)),
                Err(error) => {
                    *in_doubt |= matches!(error, LedgerError::TimedOut(_));
                    if answer.is_closed() && !*in_doubt {
                        return Err(Denial::Failed(error));
                    }
                }
            }
            back_off.wait().await;
        }
    }

    /// Ends the hold of a request that was refused, should there be one after all. If this misses it too, it ends by time.
    async fn release_stragglers(&self) {
        let release = Command::Release(Release {
            hold: self.admit.hold,
            caller: Arc::clone(&self.admit.caller),
            detail: Detail::new(r#"{"cause":"straggler"}"#),
        });
        for pause in STRAGGLERS {
            tokio::time::sleep(pause).await;
            if let Ok(Outcome::Applied(_)) = self.ledger.execute(&release).await {
                return tracing::warn!(request = %self.admit.hold, "released a hold that a late message had opened");
            }
        }
    }

    /// Renews the hold every third of its life until the request ends.
    async fn keep_alive_until(&self, mut ended: oneshot::Receiver<Ending>) -> Ending {
        let ttl = Duration::from(self.admit.ttl);
        let renew = Command::Renew(Renew {
            hold: self.admit.hold,
            account: self.admit.caller.account.clone(),
            ttl: self.admit.ttl,
        });
        loop {
            match tokio::time::timeout(ttl / 3, &mut ended).await {
                Ok(Ok(ending)) => return ending,
                Ok(Err(_)) => return Ending::Release(Detail::none()),
                Err(_) => {}
            }
            // A renewal that is not answered is tried again in good time; one refused means that the hold ran out, which settling will find.
            if let Err(error) = self.ask(Operation::Renew, &renew).await {
                tracing::warn!(request = %self.admit.hold, %error, "hold not renewed");
            }
        }
    }

    /// Captures or releases, until the ledger has answered.
    async fn settle(&self, ending: Ending, held: Credits) {
        let (hold, caller) = (self.admit.hold, Arc::clone(&self.admit.caller));
        let operation = match ending {
            Ending::Capture(..) => Operation::Capture,
            Ending::Release(_) => Operation::Release,
        };
        let command = match ending {
            Ending::Capture(used, detail) => Command::Capture(Capture {
                hold,
                caller,
                used,
                detail,
            }),
            Ending::Release(detail) => Command::Release(Release { hold, caller, detail }),
        };
        let mut back_off = BackOff::new();
        loop {
            match self.ask(operation, &command).await {
                Ok(Outcome::Applied(done) | Outcome::Replayed(done)) => {
                    return self.meters.ended(held, done.amount);
                }
                Ok(Outcome::Refused(refusal)) => return self.lost(&refusal),
                Err(error) => tracing::warn!(request = %hold, %error, "hold not settled yet"),
            }
            back_off.wait().await;
        }
    }

    /// The ledger decided against the end of a hold that it had opened: money may be wrong, a person must look.
    fn lost(&self, refusal: &Refusal) {
        self.meters.lost.inc();
        tracing::error!(request = %self.admit.hold, account = %self.admit.caller.account, ?refusal, "hold could not be settled");
    }
}

/// Whether the same admit could open a hold later. What time or a change of the account refused stays refused, and the gate may have sent the request's id again.
fn may_still_open(denial: &Denial) -> bool {
    !matches!(
        denial,
        Denial::Refused(Refusal::Stale | Refusal::KeyExpired | Refusal::TooOld)
    )
}

struct BackOff {
    next: Duration,
    started: Instant,
}

impl BackOff {
    fn new() -> BackOff {
        BackOff {
            next: BACK_OFF.0,
            started: Instant::now(),
        }
    }

    async fn wait(&mut self) {
        tokio::time::sleep_until(self.started + self.next).await;
        self.next = (self.next * 2).min(BACK_OFF.1);
        self.started = Instant::now();
    }
}
