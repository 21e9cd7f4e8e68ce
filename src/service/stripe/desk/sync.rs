//! Catching up with Stripe, and proving that nothing differs (`faregate stripe sync`, and every `sync_every`).
//!
//! Events that were not delivered are read from the API and taken as if they had been. Events that Stripe failed to make are in no list, so the objects
//! themselves are read too: grants and the lines of Stripe's own ledger of credits, subscriptions, open invoices, payments. All of it goes through the same
//! memos as a webhook, which is why it may be repeated, come in any order, and be stopped at any point.
//!
//! # What is proven
//!
//! Per customer and currency, in minor units, with `G` what was granted, `U` what requests used, `A` what Stripe applied to invoices, `C` what was clawed
//! back, and `E` what of a lot expired or was voided here, the balance is `G - U - C - E`, and what is used and not invoiced yet is `P = U - A`. The identity
//!
//! ```text
//! Lst - P == balance + (what of C + E Stripe does not know)
//! ```
//!
//! becomes, with both put in, `Lst == G - A - (what of C + E Stripe does know)`: what requests used is on neither side. So it is proven here without asking
//! how far the export of usage has come: `drift = Lst - (G - A - what Stripe's own lines say expired or was voided)`, where `Lst` is Stripe's
//! ledger balance, `G` sums only the lots that are really in our ledger with the credits they are worth, and `A` is what our memos have heard. `U`, `C` and
//! `E` are our ledger's own matter, which `ledger verify` proves: the balance is what its journal says. Not zero means that a grant is here and not there, or
//! the other way round, or is of another size, or that a line of Stripe's ledger was missed.

mod books;
mod customer;
mod events;
mod lease;
mod objects;
mod troubles;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::memos::{Memo, MemoName, Wrote};
use crate::stripe::call::Call;
use crate::stripe::client::{ApiError, Stripe, list_newest};

use super::super::memo::Rules;
use super::{Desk, TRIES};
pub use books::Drift;

/// The most problems and differences that a report lists.
const LISTED_MAX: usize = 1_000;

/// The kind of what is parked.
const PARKED: &str = "parked";

/// After so many customers in a row about whom Stripe did not answer, the rest waits for the next run.
const SILENT_MAX: u32 = 5;

/// What a look at everything came to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SyncReport {
    /// Nothing differs, nothing is parked, and nothing failed.
    pub ok: bool,
    /// `grants` or `ledger`.
    pub mode: String,
    /// Events that were read.
    pub events: usize,
    /// Those that had not been dealt with.
    pub events_new: usize,
    /// Objects that were read: grants, lines of Stripe's ledger, subscriptions, invoices, payments.
    pub objects: usize,
    /// Customers that were looked at.
    pub customers: usize,
    /// Those that Stripe does not have any more.
    pub gone: usize,
    /// Customers whose books differ, also those that earlier runs found and this one did not come to.
    pub differing: usize,
    /// Where the sums differ.
    pub drift: Vec<Drift>,
    /// Which grants are not in the ledger as they are at Stripe. At most 1,000.
    pub differences: Vec<String>,
    /// What could not be read or asked; the rest was done all the same. At most 1,000.
    pub problems: Vec<String>,
    /// What is parked, after it was tried again.
    pub parked: usize,
    /// All was looked at; otherwise the next run goes on where this one stopped.
    pub complete: bool,
}

/// Why there was no look.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// `[stripe] api_key` is not there.
    #[error("without `api_key` in [stripe] Stripe cannot be asked")]
    NoKey,
    /// Another proxy, or another call, is at it.
    #[error("another sync is running; try again when it is done")]
    Busy,
    /// The lease was lost: this proxy was not heard of for too long.
    #[error("another proxy took over in the middle of it; try again")]
    Overtaken,
    /// The ledger does not answer.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// How things stand, as the last run left them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SyncStanding {
    /// When a run last got through to the end without a problem, in seconds since the epoch; 0 for never.
    pub through_at: i64,
    /// When a run last ended, however.
    pub ended_at: i64,
    /// The last run had no problem, and left nothing to the next.
    pub is_through: bool,
    /// Customers whose books differ.
    pub differing: usize,
    /// What is parked now.
    pub parked: usize,
}

/// How far a list that is read newest first has been read.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Reached {
    /// Everything before was read, in seconds since the epoch.
    since: i64,
    /// When the reading that is not finished began.
    head: i64,
    /// After which item it goes on.
    resume: Option<String>,
}

/// What is remembered between runs.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    events: Vec<Reached>,
    payments: Reached,
    /// Disputes, reviews and warnings from before are of before the gate, in seconds since the epoch.
    troubles_from: i64,
    /// After which grant the next run goes on.
    grants: Option<String>,
    /// Where walks over memos go on, by kind.
    walks: BTreeMap<String, String>,
    differing: BTreeSet<String>,
    through_at: i64,
    ended_at: i64,
    is_through: bool,
}

/// One run.
struct Run {
    desk: Arc<Desk>,
    stripe: Arc<dyn Stripe>,
    rules: Arc<Rules>,
    state: State,
    report: SyncReport,
}

impl Desk {
    /// Looks at everything at Stripe, makes up for what was missed, and says what differs. One run at a time, on whichever proxy; another is waited for
    /// as long as `patience`.
    pub async fn sync(self: &Arc<Self>, patience: Duration) -> Result<SyncReport, SyncError> {
        let stripe = self.stripe().ok_or(SyncError::NoKey)?;
        let lease = self.take_lease(patience).await?;
        let mut run = Run {
            desk: Arc::clone(self),
            stripe,
            rules: self.rules(),
            state: self.sync_state().await?,
            report: SyncReport::default(),
        };
        let text = lease.text.clone();
        let done = tokio::select! {
            done = run.go() => done,
            lost = self.keep_lease(lease) => Err(lost),
        };
        // What was reached counts, also where it failed in the middle.
        if !matches!(done, Err(SyncError::Overtaken)) {
            self.write_state(&run.state).await?;
            self.drop_lease(&text).await?;
        }
        done.map(|()| run.report)
    }

    /// How things stand.
    pub async fn standing(&self) -> Result<SyncStanding, LedgerError> {
        let state = self.sync_state().await?;
        Ok(SyncStanding {
            through_at: state.through_at,
            ended_at: state.ended_at,
            is_through: state.is_through,
            differing: state.differing.len(),
            parked: self.count_parked().await?,
        })
    }

    async fn sync_state(&self) -> Result<State, LedgerError> {
        let kept = self.memos.memo(&named("state")?).await?;
        // One that cannot be read is as none: everything is read again.
        Ok(kept
            .and_then(|kept| serde_json::from_str(&kept.memo.text).ok())
            .unwrap_or_default())
    }

    async fn write_state(&self, state: &State) -> Result<(), LedgerError> {
        let name = named("state")?;
        let memo = Memo {
            text: serde_json::to_string(state).unwrap_or_default().into(),
            due: Timestamp::NEVER,
            forget_at: Timestamp::NEVER,
        };
        for _ in 0..TRIES {
            let version = self.memos.memo(&name).await?.map_or(0, |kept| kept.version);
            if let Wrote::Done { .. } = self.memos.write_memo(&name, version, &memo).await? {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Run {
    async fn go(&mut self) -> Result<(), SyncError> {
        self.rules.stripe.mode.as_str().clone_into(&mut self.report.mode);
        self.report.complete = true;
        self.events().await?;
        self.objects().await?;
        let from = self.state.walks.remove(PARKED);
        let (parked, next) = self.desk.try_parked(from).await?;
        self.report.parked = parked;
        if let Some(next) = next {
            self.report.complete = false;
            self.state.walks.insert(PARKED.to_owned(), next);
        }
        let now = self.desk.seconds();
        self.state.ended_at = now;
        let report = &mut self.report;
        self.state.is_through = report.complete && report.problems.is_empty();
        if report.problems.is_empty() {
            self.state.through_at = now;
        }
        report.differing = self.state.differing.len();
        report.ok = report.differing == 0 && report.parked == 0 && report.problems.is_empty();
        Ok(())
    }

    fn problem(&mut self, what: impl Into<String>) {
        let what = what.into();
        tracing::warn!(what, "sync with Stripe");
        if self.report.problems.len() < LISTED_MAX {
            self.report.problems.push(what);
        }
    }

    /// A ledger that does not answer ends the run; what it cannot do about one thing does not.
    fn unless_transient(&mut self, what: &str, error: LedgerError) -> Result<(), LedgerError> {
        if error.is_transient() {
            return Err(error);
        }
        self.problem(format!("{what}: {error}"));
        Ok(())
    }
}

/// A list that is read page by page, newest first.
struct Pager {
    call: Call,
    after: Option<String>,
    left: usize,
    more: bool,
}

impl Pager {
    fn new(call: Call, after: Option<String>, max: usize) -> Pager {
        Pager {
            call,
            after,
            left: max,
            more: true,
        }
    }

    /// The next page, unless the list, or what may be read of it, is at its end.
    async fn next(&mut self, stripe: &dyn Stripe) -> Result<Option<Vec<Value>>, ApiError> {
        if !self.more || self.left == 0 {
            return Ok(None);
        }
        let call = match &self.after {
            Some(after) => self.call.with("starting_after", after),
            None => self.call.clone(),
        };
        let (items, more) = list_newest(stripe, &call, 1).await?;
        self.left = self.left.saturating_sub(items.len());
        let last = items.last().and_then(|item| item["id"].as_str());
        self.more = more && last.is_some();
        self.after = last.map(str::to_owned).or(self.after.take());
        Ok(Some(items))
    }

    /// Where to go on another time, if it is not at its end.
    fn rest(self) -> Option<String> {
        self.after.filter(|_| self.more)
    }
}

fn named(id: &str) -> Result<MemoName, LedgerError> {
    MemoName::new("sync", id).map_err(|error| LedgerError::Invalid(error.to_string()))
}
