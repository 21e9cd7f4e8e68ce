//! L2: the ledger port. One trait, two stores (`embedded`, `redis`), one suite of promises for both.
//!
//! A write is a [`Command`], a value with an id; the same command again gets the first answer, so a caller that got no answer sends it again.
//! No connection, pool or transaction appears here.

pub mod detail;
pub mod embedded;
pub mod memos;
pub mod redis;
mod replay;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::domain::account::Account;
use crate::domain::command::{Command, Outcome};
use crate::domain::credits::Credits;
use crate::domain::engine::Book;
use crate::domain::entry::Entry;
use crate::domain::grant::Grant;
use crate::domain::hold::{Hold, OnExpiry};
use crate::domain::ids::{AccountId, HoldId, KeyDigest};
use crate::domain::key::{Identity, Key};
use crate::domain::time::Timestamp;

/// The answer to come from a ledger.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, LedgerError>> + Send + 'a>>;

/// The most items a page of any read has.
pub const PAGE_MAX: usize = 1_000;

/// A store of credits.
///
/// Dropping the future of [`Ledger::execute`] does not undo the command: it may or may not have been applied, and only the same command again tells.
pub trait Ledger: Send + Sync + fmt::Debug {
    /// Applies a command, at the store's own time. An error means that nothing is known: ask again with the same command.
    fn execute<'a>(&'a self, command: &'a Command) -> Answer<'a, Outcome>;

    /// Whom a key identifies; `None` for a key that is not known.
    fn identify<'a>(&'a self, digest: &'a KeyDigest) -> Answer<'a, Option<Identity>>;

    /// An account and all its grants as they stand now: what is due applied, spending dealt out.
    fn statement<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Option<Statement>>;

    /// The keys of an account, revoked ones included, by public name.
    fn keys<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Vec<Key>>;

    /// A hold, while its id is remembered.
    fn hold<'a>(&'a self, account: &'a AccountId, hold: HoldId) -> Answer<'a, Option<Hold>>;

    /// Accounts, in an order of the store's own; `limit` at most [`PAGE_MAX`]. An account made during the walk may be missed, none comes twice.
    fn accounts<'a>(&'a self, cursor: Option<&'a str>, limit: usize) -> Answer<'a, Page<AccountId>>;

    /// An account's entries, newest first; `limit` at most [`PAGE_MAX`].
    fn entries<'a>(
        &'a self,
        account: &'a AccountId,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, Page<Entry>>;

    /// The entries that tell of one hold, oldest first; empty when there are none.
    fn entries_of_hold<'a>(&'a self, account: &'a AccountId, hold: HoldId) -> Answer<'a, Vec<Entry>>;

    /// What an account was charged per UTC day, from and to including (days since the epoch), oldest first, days without charges left out. At most 400 days.
    fn usage_by_day<'a>(&'a self, account: &'a AccountId, from: i64, to: i64) -> Answer<'a, Vec<DayUsage>>;

    /// Entries of a journal partition after `seq`, in order, for consumers; `limit` at most [`PAGE_MAX`].
    fn journal(&self, partition: u32, after: u64, limit: usize) -> Answer<'_, Vec<Entry>>;

    /// How many partitions the journal has.
    fn partitions(&self) -> u32;

    /// The partition of an account: what is stored of the accounts of one is reached, or not, together.
    fn partition_of(&self, _account: &AccountId) -> u32 {
        0
    }

    /// Ends holds that ran out, and forgets ended ones that need not be remembered; returns how many ended. Bounded work per call; any proxy may
    /// call it at any time.
    fn sweep(&self, on_expiry: OnExpiry) -> Answer<'_, u64>;

    /// Proves promises 2 and 4 over all accounts, while the ledger is in use.
    fn verify(&self) -> Answer<'_, VerifyReport>;

    /// Rebuilds all balances from the journal, and says what was different. Whatever else is asked meanwhile waits or is refused as
    /// [`LedgerError::Unavailable`], by whichever proxy.
    fn rebuild(&self) -> Answer<'_, VerifyReport>;

    /// Whether it would answer now; `Ok` tells its time.
    fn ready(&self) -> Answer<'_, Timestamp>;

    /// How full the store is: the fullest of its servers. None for a store without memory of its own.
    fn memory(&self) -> Answer<'_, Option<Memory>> {
        Box::pin(async { Ok(None) })
    }

    /// What can be lost with the settings it found, in a sentence for the operator.
    fn durability(&self) -> String;
}

/// How full a store is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    /// Bytes in use.
    pub used: u64,
    /// The most that it may use; 0 where nothing but the machine bounds it.
    pub max: u64,
}

impl Memory {
    /// More than four fifths are in use: somebody should see to it before it is full.
    pub fn is_filling(&self) -> bool {
        self.max > 0 && u128::from(self.used) * 5 > u128::from(self.max) * 4
    }

    /// Which of two is fuller; one without a bound never is.
    fn by_fullness(&self, other: &Memory) -> std::cmp::Ordering {
        let part = |this: &Memory, other: &Memory| match this.max {
            0 => 0,
            _ => u128::from(this.used) * u128::from(other.max.max(1)),
        };
        part(self, other).cmp(&part(other, self))
    }
}

/// An account as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// The account.
    pub account: Account,
    /// All its grants, in burn order.
    pub grants: Vec<Grant>,
    /// As of when, by the store's clock.
    pub time: Timestamp,
}

/// Some items, and where the next ones begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Give this to get the next page; `None` at the end. Opaque.
    pub next: Option<String>,
}

/// What an account was charged in one UTC day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DayUsage {
    /// Days since the epoch.
    pub day: i64,
    /// Requests that were charged.
    pub requests: u64,
    /// Their charges.
    pub charged: Credits,
}

/// What `verify` or `rebuild` found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct VerifyReport {
    /// Accounts looked at.
    pub accounts: u64,
    /// Journal entries read.
    pub entries: u64,
    /// What does not hold, for people: account, law, what was found. At most 1,000 are listed.
    pub differences: Vec<String>,
}

/// The most differences that a report lists.
const DIFFERENCES_MAX: usize = 1_000;

/// A report that stops growing.
#[derive(Debug, Default)]
struct Findings(VerifyReport);

impl Findings {
    fn add(&mut self, what: String) {
        if self.0.differences.len() < DIFFERENCES_MAX {
            self.0.differences.push(what);
        }
    }
}

/// The ledger did not answer (when it answered no, that is a refusal).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// It cannot be reached, or cannot write now (full, read-only, loading); not applied, or not known to be.
    #[error("the ledger cannot be used now: {0}")]
    Unavailable(String),
    /// It did not answer in time; the command may have been applied.
    #[error("the ledger did not answer within {0} ms")]
    TimedOut(u64),
    /// What is stored for this account is not what was written: the account is left alone until an operator has looked.
    #[error(
        "the record of account {account} is damaged: {what}. Nothing was changed; see `faregate ledger verify`"
    )]
    Quarantined {
        /// Which account.
        account: String,
        /// What was found.
        what: String,
    },
    /// The store is not the one that was used before: wiped, another database, or gone back in time.
    #[error(
        "the ledger has lost its history: {0}. Nothing is served until `faregate ledger rebuild` or a restore"
    )]
    LostHistory(String),
    /// The store cannot be used as it is set up; what, and what to do.
    #[error("{0}")]
    Misconfigured(String),
    /// What was asked cannot be done, whatever the state of the store; nothing was changed.
    #[error("{0}")]
    Invalid(String),
}

impl LedgerError {
    /// Asking again later may help without anyone's doing.
    pub fn is_transient(&self) -> bool {
        matches!(self, LedgerError::Unavailable(_) | LedgerError::TimedOut(_))
    }
}

/// Says in which parts two books of an account differ.
fn compare(one: &Book, other: &Book, one_is: &str, other_is: &str, mut differ: impl FnMut(String)) {
    if one == other {
        return;
    }
    let id = &one.account.id;
    let (a, b) = (&one.account, &other.account);
    if a.balance() != b.balance() {
        differ(format!(
            "account {id}: {one_is} says {:?}, {other_is} {:?}",
            a.balance(),
            b.balance()
        ));
    } else if a != b {
        differ(format!("account {id}: {one_is} says {a:?}, {other_is} {b:?}"));
    }
    for (part, same) in [
        ("grants", one.grants == other.grants),
        ("keys", one.keys == other.keys),
        ("holds", one.holds == other.holds),
        ("adjustments", one.commands == other.commands),
    ] {
        if !same {
            differ(format!(
                "account {id}: the {part} in {one_is} are not those in {other_is}"
            ));
        }
    }
}
