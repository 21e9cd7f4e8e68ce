//! The charge task: one per request, it owns the hold from before the ledger is asked until the ledger has answered for its end.
//!
//! No ledger call lives in the request's future, which is dropped when the client leaves. The request only has a [`Held`], whose drop is a message.

mod grow;
mod line;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::domain::command::{Admit, Capture, Command, Outcome, Receipt, Release, Renew};
use crate::domain::credits::Credits;
use crate::domain::entry::Detail;
use crate::domain::ids::HoldId;
use crate::domain::refusal::Refusal;
use crate::ledger::LedgerError;
use crate::telemetry::metrics::{LedgerMeters, Operation};

use super::denial::Denial;
use super::gate::{Admission, Gate, Known, millis};
use super::panics::caught;
use line::{Far, Near, Said, Wish, line};

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

/// What became of a question for more.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Growth {
    /// So much is held now, in all.
    To(Credits),
    /// The ledger says no, or the account or its key has been shut: nothing was added. What is held stays held. Never a failure of the ledger.
    Refused(Denial),
    /// The ledger has not answered for as long as a request waits for it, or cannot answer. What is held stays held; ask again after a while.
    Failed,
}

/// Proof that a request is paid: its hold is open, and stays open until this is settled or dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the hold"]
pub struct Held {
    request: HoldId,
    amount: Credits,
    available: Credits,
    /// None when there is nothing to settle: a free request, or one that was settled.
    line: Option<Near>,
    /// A question is under way.
    growing: bool,
    on_drop: Ending,
}

impl Held {
    /// The request's id.
    pub fn request(&self) -> HoldId {
        self.request
    }

    /// What is held, as far as this was told: it grows when [`Held::poll_grown`] says so. Zero for a free request.
    pub fn amount(&self) -> Credits {
        self.amount
    }

    /// What the account has left beside the hold, as of the ledger's last answer: to the admission, or to a question for more.
    pub fn available(&self) -> Credits {
        self.available
    }

    /// Asks for at least `least` (one micro-credit is the least there is) and at most `most` more than is held. Does not wait: [`Held::poll_grown`] has the
    /// answer. While a question is under way another is not heard.
    pub fn grow(&mut self, least: Credits, most: Credits) {
        if let Some(line) = &self.line
            && !self.growing
        {
            self.growing = true;
            let least = least.max(Credits::MICRO);
            line.ask(Wish { least, most });
        }
    }

    /// Whether a question is under way, whose answer was not taken yet.
    pub fn is_growing(&self) -> bool {
        self.growing
    }

    /// The answer to the question under way. Pending when there is none; then nobody is woken either.
    pub fn poll_grown(&mut self, cx: &mut Context<'_>) -> Poll<Growth> {
        let Some(line) = self.line.as_ref().filter(|_| self.growing) else {
            return Poll::Pending;
        };
        let grown = std::task::ready!(line.poll_answer(cx));
        self.growing = false;
        let Some(grown) = grown else {
            return Poll::Ready(Growth::Failed);
        };
        self.available = grown.available;
        if let Growth::To(amount) = grown.growth {
            self.amount = amount;
        }
        Poll::Ready(grown.growth)
    }

    /// From now on, a drop ends the hold this way (the client left, a panic, a broken body). Until this is said a drop releases.
    pub fn on_drop(&mut self, ending: Ending) {
        self.on_drop = ending;
    }

    /// Ends the hold. Does not wait: the charge task sees to it, and to what becomes of a question that is still under way.
    pub fn settle(mut self, ending: Ending) {
        self.on_drop = ending;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            line.end(std::mem::replace(
                &mut self.on_drop,
                Ending::Release(Detail::none()),
            ));
        }
    }
}

/// What it knows of the hold is as of the ledger's last answer.
pub(super) struct Task {
    gate: Arc<Gate>,
    known: Arc<Known>,
    request: HoldId,
    amount: Credits,
    available: Credits,
    /// Number of the last extension that was answered.
    extensions: u64,
    /// An extension was asked for and not answered: it may have been made.
    in_doubt: bool,
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
    pub(super) fn new(
        gate: &Arc<Gate>,
        known: &Arc<Known>,
        request: HoldId,
        permit: OwnedSemaphorePermit,
    ) -> Task {
        Task {
            gate: Arc::clone(gate),
            known: Arc::clone(known),
            request,
            amount: Credits::ZERO,
            available: Credits::ZERO,
            extensions: 0,
            in_doubt: false,
            place: Place(Some(permit)),
        }
    }

    fn meters(&self) -> &LedgerMeters {
        &self.gate.meters
    }

    /// Admit, tell the request, keep the hold alive, settle.
    pub(super) async fn run(mut self, admit: Box<Admit>, answer: oneshot::Sender<Result<Admission, Denial>>) {
        // The parts of it are only as long in memory as they last: most of its life a task waits for its request to end.
        if let Some(far) = Box::pin(self.open(admit, answer)).await {
            let ending = self.keep_alive(&far).await;
            drop(far);
            Box::pin(self.settle(ending)).await;
            self.meters().open_holds.dec();
        }
        self.place.give_back();
    }

    /// Opens the hold; none where there is nothing to settle.
    async fn open(
        &mut self,
        admit: Box<Admit>,
        answer: oneshot::Sender<Result<Admission, Denial>>,
    ) -> Option<Far> {
        let command = Command::Admit(*admit);
        let mut in_doubt = false;
        let receipt = match self.admitted(&command, &answer, &mut in_doubt).await {
            Ok(receipt) => receipt,
            Err(denial) => {
                self.note_refusal(&denial);
                let in_doubt = in_doubt && may_still_open(&denial);
                // Nobody may be waiting any more; then there is nobody to tell.
                let _ = answer.send(Err(denial));
                if in_doubt {
                    self.release_stragglers().await;
                }
                return None;
            }
        };
        self.gate.ids.observe(receipt.time);
        (self.amount, self.available) = (receipt.amount, receipt.available);
        let (near, far) = line();
        let holds = !receipt.amount.is_zero();
        if holds {
            self.meters().opened(receipt.amount);
            self.meters().open_holds.inc();
        }
        let held = Held {
            request: self.request,
            amount: receipt.amount,
            available: receipt.available,
            line: holds.then_some(near),
            growing: false,
            on_drop: Ending::Release(Detail::new(r#"{"cause":"not_forwarded"}"#)),
        };
        // If the request is gone, the admission is dropped here, and with it the hold released.
        let _ = answer.send(Ok(Admission {
            held,
            available: receipt.available,
        }));
        holds.then_some(far)
    }

    /// One question to the ledger. If that panics, whether it was done is as little known as when there was no answer.
    async fn ask(&self, operation: Operation, command: &Command) -> Result<Outcome, LedgerError> {
        let asked = Instant::now();
        let answer = caught(async { self.gate.ledger.execute(command).await }).await;
        let answer = answer.unwrap_or_else(|| {
            tracing::error!(request = %self.request, ?operation, "asking the ledger panicked");
            Err(LedgerError::TimedOut(millis(asked.elapsed())))
        });
        self.meters().asked(operation, asked.elapsed(), answer.is_ok());
        let partition = self.gate.ledger.partition_of(&self.known.caller().account);
        self.gate.breaker.heard(partition, &answer);
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
            hold: self.request,
            caller: Arc::clone(self.known.caller()),
            detail: Detail::new(r#"{"cause":"straggler"}"#),
        });
        for pause in STRAGGLERS {
            tokio::time::sleep(pause).await;
            if let Ok(Outcome::Applied(_)) = self.gate.ledger.execute(&release).await {
                return tracing::warn!(request = %self.request, "released a hold that a late message had opened");
            }
        }
    }

    /// Renews the hold every third of its life, and extends it when it is asked to, until the request ends.
    async fn keep_alive(&mut self, far: &Far) -> Ending {
        let every = Duration::from(self.gate.options.hold_ttl) / 3;
        let mut due = Instant::now() + every;
        loop {
            match tokio::time::timeout_at(due, far.next()).await {
                Ok(Said::Ended(ending)) => return ending,
                Ok(Said::More(wish)) => {
                    if Box::pin(self.grow(far, wish)).await {
                        due = Instant::now() + every;
                    }
                }
                Err(_) => {}
            }
            // Looked at each time round, so that nobody who asks and is refused again and again puts it off.
            if Instant::now() >= due {
                Box::pin(self.renew()).await;
                due = Instant::now() + every;
            }
        }
    }

    /// A renewal that is not answered is tried again in good time; one refused means that the hold ran out, which settling will find.
    async fn renew(&self) {
        let renew = Command::Renew(Renew {
            hold: self.request,
            account: self.known.caller().account.clone(),
            ttl: self.gate.options.hold_ttl,
        });
        if let Err(error) = self.ask(Operation::Renew, &renew).await {
            tracing::warn!(request = %self.request, %error, "hold not renewed");
        }
    }

    /// Captures or releases, until the ledger has answered. All that is held then goes, also what an extension added whose answer was lost; one that comes
    /// later finds the hold ended.
    async fn settle(&mut self, ending: Ending) {
        let (hold, caller) = (self.request, Arc::clone(self.known.caller()));
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
                    self.clear_doubt().await;
                    self.note_available(done.available);
                    return self.meters().ended(self.amount, done.amount);
                }
                Ok(Outcome::Refused(refusal)) => return self.lost(&refusal),
                Err(error) => tracing::warn!(request = %hold, %error, "hold not settled yet"),
            }
            back_off.wait().await;
        }
    }

    /// Who is refused for want of credits runs low.
    fn note_refusal(&self, denial: &Denial) {
        if let Denial::Refused(Refusal::InsufficientCredits { available, .. }) = denial {
            self.note_available(available.saturating_sub(self.known.caller().credit_line));
        }
    }

    /// The account has so much.
    fn note_available(&self, available: Credits) {
        let account = &self.known.caller().account;
        self.gate.watch.saw(account, available);
        let owes = |every: Credits| available <= every.negated();
        if available.is_negative() && self.known.own_plan().bill_every.is_some_and(owes) {
            self.gate.watch.saw_debt(account);
        }
    }

    /// The ledger decided against the end of a hold that it had opened: money may be wrong, a person must look.
    fn lost(&self, refusal: &Refusal) {
        self.meters().lost.inc();
        tracing::error!(request = %self.request, account = %self.known.caller().account, ?refusal, "hold could not be settled");
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

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, B, C, F: Future>(_: impl Fn(A, B, C) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_task_that_waits_takes_little_memory() {
        let sizes = (size(Task::run), size_of::<Held>());
        assert!(sizes.0 <= 448 && sizes.1 <= 96, "{sizes:?}");
    }
}
