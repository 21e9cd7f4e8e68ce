//! A ledger that counts what is asked of it: around any store, for the metrics.

mod meters;

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use crate::domain::command::{Command, Outcome, Receipt};
use crate::domain::credits::Credits;
use crate::domain::entry::Entry;
use crate::domain::hold::{Hold, OnExpiry};
use crate::domain::ids::{AccountId, HoldId, KeyDigest};
use crate::domain::key::{Identity, Key};
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;

use super::{Answer, DayUsage, Ledger, LedgerError, Page, Statement, VerifyReport};
pub use meters::LedgerMeters;
use meters::{Operation, Outcome as Ended, Shard};

/// A ledger around a ledger. Its answers are those of the inner one.
pub struct Metered {
    inner: Arc<dyn Ledger>,
    shard: Arc<Shard>,
}

impl Metered {
    /// Counts what is asked of `inner` through it, in a shard of its own: one per worker, so that none waits for another.
    pub fn new(inner: Arc<dyn Ledger>, meters: &LedgerMeters) -> Metered {
        Metered {
            inner,
            shard: meters.shard(),
        }
    }

    fn read<'a, T: Send + 'a>(&'a self, operation: Operation, answer: Answer<'a, T>) -> Answer<'a, T> {
        self.count(operation, answer, |_| Ended::Ok)
    }

    fn count<'a, T: Send + 'a>(
        &'a self,
        operation: Operation,
        answer: Answer<'a, T>,
        ended: impl FnOnce(&T) -> Ended + Send + 'a,
    ) -> Answer<'a, T> {
        let asked = Asked::new(&self.shard, operation);
        Box::pin(async move {
            let answer = answer.await;
            asked.ended(match &answer {
                Ok(answer) => ended(answer),
                Err(error) => failure(error),
            });
            answer
        })
    }
}

impl fmt::Debug for Metered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// An operation that was asked for. Dropped before it has ended, it is one whose caller did not wait for the answer.
struct Asked<'a> {
    shard: &'a Shard,
    operation: Operation,
    since: Instant,
    outcome: Ended,
}

impl<'a> Asked<'a> {
    fn new(shard: &'a Shard, operation: Operation) -> Asked<'a> {
        shard.asked();
        Asked {
            shard,
            operation,
            since: Instant::now(),
            outcome: Ended::Abandoned,
        }
    }

    fn ended(mut self, outcome: Ended) {
        self.outcome = outcome;
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.shard
            .ended(self.operation, self.outcome, self.since.elapsed());
    }
}

impl Ledger for Metered {
    fn execute<'a>(&'a self, command: &'a Command) -> Answer<'a, Outcome> {
        let answer = self.inner.execute(command);
        self.count(operation(command), answer, |outcome| match outcome {
            Outcome::Applied(receipt) => {
                self.applied(command, receipt);
                Ended::Applied
            }
            Outcome::Replayed(_) => Ended::Replayed,
            Outcome::Refused(why) => refusal(why),
        })
    }

    fn identify<'a>(&'a self, digest: &'a KeyDigest) -> Answer<'a, Option<Identity>> {
        self.read(Operation::Identify, self.inner.identify(digest))
    }

    fn statement<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Option<Statement>> {
        self.read(Operation::Read, self.inner.statement(account))
    }

    fn keys<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Vec<Key>> {
        self.read(Operation::Read, self.inner.keys(account))
    }

    fn hold<'a>(&'a self, account: &'a AccountId, hold: HoldId) -> Answer<'a, Option<Hold>> {
        self.read(Operation::Read, self.inner.hold(account, hold))
    }

    fn accounts<'a>(&'a self, cursor: Option<&'a str>, limit: usize) -> Answer<'a, Page<AccountId>> {
        self.read(Operation::Read, self.inner.accounts(cursor, limit))
    }

    fn entries<'a>(
        &'a self,
        account: &'a AccountId,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, Page<Entry>> {
        self.read(Operation::Read, self.inner.entries(account, cursor, limit))
    }

    fn entries_of_hold<'a>(&'a self, account: &'a AccountId, hold: HoldId) -> Answer<'a, Vec<Entry>> {
        self.read(Operation::Read, self.inner.entries_of_hold(account, hold))
    }

    fn usage_by_day<'a>(&'a self, account: &'a AccountId, from: i64, to: i64) -> Answer<'a, Vec<DayUsage>> {
        self.read(Operation::Read, self.inner.usage_by_day(account, from, to))
    }

    fn journal(&self, partition: u32, after: u64, limit: usize) -> Answer<'_, Vec<Entry>> {
        self.read(Operation::Read, self.inner.journal(partition, after, limit))
    }

    fn partitions(&self) -> u32 {
        self.inner.partitions()
    }

    fn sweep(&self, on_expiry: OnExpiry) -> Answer<'_, u64> {
        let answer = self.inner.sweep(on_expiry);
        self.count(Operation::Sweep, answer, |ended| {
            self.shard.holds_expired.add(*ended);
            Ended::Ok
        })
    }

    fn verify(&self) -> Answer<'_, VerifyReport> {
        self.read(Operation::Verify, self.inner.verify())
    }

    fn rebuild(&self) -> Answer<'_, VerifyReport> {
        self.read(Operation::Rebuild, self.inner.rebuild())
    }

    fn ready(&self) -> Answer<'_, Timestamp> {
        self.read(Operation::Ready, self.inner.ready())
    }

    fn durability(&self) -> String {
        self.inner.durability()
    }
}

impl Metered {
    /// What an applied command says about money.
    fn applied(&self, command: &Command, receipt: &Receipt) {
        let floor = match command {
            Command::Admit(_) => {
                self.shard.held_micros.add(micros(receipt.amount));
                return;
            }
            Command::Capture(capture) => {
                self.shard.captured_micros.add(micros(receipt.amount));
                capture.caller.credit_line.negated()
            }
            Command::PutGrant { .. } | Command::Adjust { .. } => Credits::ZERO,
            _ => return,
        };
        if receipt.available < floor {
            self.shard.below_floor(operation(command));
        }
    }
}

fn micros(amount: Credits) -> u64 {
    u64::try_from(amount.micros()).unwrap_or(0)
}

fn operation(command: &Command) -> Operation {
    match command {
        Command::Admit(_) => Operation::Admit,
        Command::Extend(_) => Operation::Extend,
        Command::Renew(_) => Operation::Renew,
        Command::Capture(_) => Operation::Capture,
        Command::Release(_) => Operation::Release,
        Command::ExpireHold { .. } => Operation::ExpireHold,
        Command::PutGrant { .. } => Operation::PutGrant,
        Command::Adjust { .. } => Operation::Adjust,
        Command::SetAccount { .. } => Operation::SetAccount,
        Command::PutKey { .. } => Operation::PutKey,
        Command::RevokeKey { .. } => Operation::RevokeKey,
        Command::ApplyDue { .. } => Operation::ApplyDue,
    }
}

fn refusal(why: &Refusal) -> Ended {
    match why {
        Refusal::UnknownAccount => Ended::UnknownAccount,
        Refusal::UnknownHold => Ended::UnknownHold,
        Refusal::HoldEnded => Ended::HoldEnded,
        Refusal::IdConflict => Ended::IdConflict,
        Refusal::TooOld => Ended::TooOld,
        Refusal::Stale => Ended::Stale,
        Refusal::KeyExpired => Ended::KeyExpired,
        Refusal::RateLimited { .. } => Ended::RateLimited,
        Refusal::TooManyConcurrent { .. } => Ended::TooManyConcurrent,
        Refusal::SpendLimitReached { .. } => Ended::SpendLimitReached,
        Refusal::InsufficientCredits { .. } => Ended::InsufficientCredits,
        Refusal::UnknownKey => Ended::UnknownKey,
        Refusal::OutOfRange(_) => Ended::OutOfRange,
    }
}

fn failure(error: &LedgerError) -> Ended {
    match error {
        LedgerError::Unavailable(_) => Ended::Unavailable,
        LedgerError::TimedOut(_) => Ended::TimedOut,
        LedgerError::Quarantined { .. } => Ended::Quarantined,
        LedgerError::LostHistory(_) => Ended::LostHistory,
        LedgerError::Misconfigured(_) => Ended::Misconfigured,
    }
}

#[cfg(test)]
mod tests;
