//! Doing what a memo wants, until it wants nothing more.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::task::JoinSet;

use crate::domain::time::{Span, Timestamp};
use crate::ledger::LedgerError;
use crate::ledger::memos::{Kept, MemoName};

use super::super::memo::{Document, Done, Parked, Rules, Want};
use super::{Desk, TRIES};

/// What is parked is tried again this often: a rate may have been added.
const PARKED_AGAIN: Span = Span::from_secs(600);

/// The longest wait before Stripe is asked again for what it did not answer.
const ASK_AGAIN_MAX: Span = Span::from_secs(600);

/// What is waited for is looked at again at least this often: it may have been moved.
const WAIT_MAX: Span = Span::from_secs(3_600);

/// While a proxy asks Stripe for a memo, the others leave it alone for so long.
const LEASE: Span = Span::from_secs(90);

/// The most wants that are done for a memo in one go.
const WANTS_MAX: usize = 1_000;

/// How many memos are worked on at the same time.
const AT_ONCE: usize = 8;

/// The most memos that one look takes up.
const BATCH: usize = 100;

/// How a memo was left, the worse after the better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Settled {
    /// It wants nothing.
    Done,
    /// Stripe has to be asked first, which is somebody else's work.
    Asking,
    /// Stripe did not answer.
    Later,
    /// It cannot be done until somebody changes something.
    Parked,
}

/// How the work on a memo ended.
pub(super) enum Ended {
    /// It wants nothing.
    Nothing,
    /// The API is to be asked, which this caller does not.
    Ask,
    /// Not now: Stripe did not answer.
    Unanswered(String),
    /// Not before this time.
    Until(Timestamp),
    /// Not at all, as things are.
    Parked(Parked),
    /// The account or the memo changed meanwhile: from the beginning.
    Again,
}

/// What came of trying to do one want.
pub(super) enum Tried {
    /// It is done, or refused for good.
    Came(Done),
    /// The work on the memo ends here.
    Ends(Ended),
}

/// A memo as it is stored.
pub(super) struct Stored {
    pub(super) document: Document,
    /// Why it cannot go on.
    pub(super) parked: Option<String>,
    /// How often Stripe has not answered, one after the other.
    pub(super) unanswered: u32,
}

#[derive(Serialize, Deserialize)]
struct StoredText {
    of: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parked: Option<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    unanswered: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Stored {
    /// What was written, or an empty one.
    pub(super) fn read(name: &MemoName, kept: Option<&Kept>) -> Result<Stored, LedgerError> {
        let illegible =
            |what: String| LedgerError::Invalid(format!("the memo {name} cannot be read: {what}"));
        let Some(kept) = kept else {
            return Ok(Stored {
                document: Document::read(name, None).map_err(|error| illegible(error.to_string()))?,
                parked: None,
                unanswered: 0,
            });
        };
        let text: StoredText =
            serde_json::from_str(&kept.memo.text).map_err(|error| illegible(error.to_string()))?;
        Ok(Stored {
            document: Document::read(name, Some(text.of.get()))
                .map_err(|error| illegible(error.to_string()))?,
            parked: text.parked,
            unanswered: text.unanswered,
        })
    }

    pub(super) fn text(&self) -> String {
        let of = RawValue::from_string(self.document.text()).unwrap_or_default();
        let text = StoredText {
            of,
            parked: self.parked.clone(),
            unanswered: self.unanswered,
        };
        serde_json::to_string(&text).unwrap_or_default()
    }
}

impl Desk {
    /// Does what a memo wants. With `api`, Stripe is asked too.
    pub(super) async fn settle(&self, name: &MemoName, api: bool) -> Result<Settled, LedgerError> {
        for tried in 0..TRIES {
            give_way(tried).await;
            let rules = self.rules();
            let Some(mut kept) = self.memos.memo(name).await? else {
                return Ok(Settled::Done);
            };
            let mut stored = Stored::read(name, Some(&kept))?;
            if api && kept.memo.due < Timestamp::NEVER {
                let until = self.clock.now().plus(LEASE);
                if !self.write(name, &stored, Some(&kept), until).await? {
                    continue;
                }
                kept.version += 1;
                kept.memo.due = until;
            }
            let was_parked = stored.parked.clone();
            let mut written = stored.document.clone();
            let ended = self
                .work_on(name, &mut kept, &mut stored, &mut written, (&rules, api))
                .await?;
            stored.parked = None;
            let (settled, due) = match ended {
                Ended::Again => continue,
                Ended::Nothing => (Settled::Done, Timestamp::NEVER),
                Ended::Ask => (Settled::Asking, Timestamp::ZERO),
                Ended::Unanswered(why) => {
                    tracing::warn!(memo = %name, why, "Stripe did not answer; it is asked again");
                    stored.unanswered = stored.unanswered.saturating_add(1);
                    stored.document.unanswered();
                    (Settled::Later, self.clock.now().plus(back_off(stored.unanswered)))
                }
                Ended::Until(time) => (Settled::Later, time.min(self.clock.now().plus(WAIT_MAX))),
                Ended::Parked(why) => {
                    if was_parked.as_ref() != Some(&why) {
                        tracing::error!(memo = %name, why, "parked: this waits for somebody to change something");
                        self.park(name.as_str(), &why, None).await?;
                    }
                    stored.parked = Some(why);
                    (Settled::Parked, self.clock.now().plus(PARKED_AGAIN))
                }
            };
            if settled != Settled::Later {
                stored.unanswered = 0;
            }
            if was_parked.is_some() && stored.parked.is_none() && settled == Settled::Done {
                self.unpark(name.as_str()).await?;
            }
            let same = stored.document == written && stored.parked == was_parked && due == kept.memo.due;
            if same || self.write(name, &stored, Some(&kept), due).await? {
                return Ok(settled);
            }
        }
        Err(LedgerError::Unavailable(format!(
            "the memo {name} is written by others all the time"
        )))
    }

    /// Does one want after the other; `written` is the document as it is stored.
    async fn work_on(
        &self,
        name: &MemoName,
        kept: &mut Kept,
        stored: &mut Stored,
        written: &mut Document,
        (rules, api): (&Rules, bool),
    ) -> Result<Ended, LedgerError> {
        for _ in 0..WANTS_MAX {
            let next = stored.document.next(name, rules);
            if let Some(meters) = &self.meters {
                let outcomes = stored.document.outcomes();
                outcomes.into_iter().for_each(|outcome| meters.verified(outcome));
            }
            let want = match next {
                Ok(Some(want)) => want,
                Ok(None) => return Ok(Ended::Nothing),
                Err(why) => return Ok(Ended::Parked(why)),
            };
            if want.is_decided() && stored.document != *written {
                let due = match kept.memo.due {
                    Timestamp::NEVER => self.clock.now(),
                    lease => lease,
                };
                if !self.write(name, stored, Some(kept), due).await? {
                    return Ok(Ended::Again);
                }
                kept.version += 1;
                kept.memo.due = due;
                written.clone_from(&stored.document);
            }
            let document = &mut stored.document;
            let done = match self.attempt(name, kept, &want, rules, api).await? {
                Tried::Came(done) => done,
                Tried::Ends(ended) => return Ok(ended),
            };
            if let Err(why) = document.note(name, &want, done, rules) {
                return Ok(Ended::Parked(why));
            }
            if let (Some(since), Some(meters)) = (document.usable(&want), &self.meters) {
                meters.usable(self.seconds().saturating_sub(since));
            }
        }
        Ok(Ended::Parked(format!("it wants more than {WANTS_MAX} things")))
    }

    /// Goes on with all memos that are due, some at the same time, so that one that Stripe is slow about does not hold up the others; how many there were.
    /// Any proxy may call it at any time.
    pub async fn work(self: &Arc<Self>) -> Result<usize, LedgerError> {
        let names = self.memos.due_memos(BATCH).await?;
        let count = names.len();
        let mut names = names.into_iter();
        let mut working = JoinSet::new();
        let mut failed = None;
        loop {
            while working.len() < AT_ONCE
                && let Some(name) = names.next()
            {
                let desk = Arc::clone(self);
                working.spawn(async move { (desk.settle(&name, true).await, name) });
            }
            match working.join_next().await {
                None => break,
                Some(Ok((Err(error), name))) => {
                    if !error.is_transient() {
                        tracing::error!(memo = %name, %error, "could not go on with what is due");
                    } else {
                        failed = Some(error);
                    }
                }
                Some(_) => {}
            }
        }
        failed.map_or(Ok(count), Err)
    }

    /// Works on what is due until the task is dropped: soon after something was told, and every second.
    pub async fn run(self: Arc<Self>) {
        loop {
            let pause = match self.work().await {
                Ok(BATCH) => std::time::Duration::from_millis(20),
                Ok(_) => std::time::Duration::from_secs(1),
                Err(error) => {
                    tracing::warn!(%error, "could not go on with what Stripe told");
                    std::time::Duration::from_secs(2)
                }
            };
            // Either is a reason to look again.
            let _ = tokio::time::timeout(pause, self.wake.notified()).await;
        }
    }
}

/// Two who work on one memo stand in each other's way: each waits a while, by chance, so that one of them gets through.
async fn give_way(tried: usize) {
    if tried == 0 {
        return;
    }
    let most = 4_u64 << tried.min(5);
    let millis = getrandom::u64().unwrap_or(most) % most;
    tokio::time::sleep(std::time::Duration::from_millis(millis)).await;
}

/// How long to wait after so many silences: 2 s, then twice as long each time.
fn back_off(unanswered: u32) -> Span {
    let doubled = Span::from_secs(2_i64 << unanswered.saturating_sub(1).min(16));
    doubled.min(ASK_AGAIN_MAX)
}

impl Want {
    /// What exactly is to be done was decided by the memo: it is written down first, so that after a crash the very same is done again, or undone.
    fn is_decided(&self) -> bool {
        matches!(
            self,
            Want::Adjust { .. }
                | Want::GiveBack { .. }
                | Want::Change { .. }
                | Want::Call { .. }
                | Want::Make { .. }
                | Want::Charge { .. }
        ) || matches!(self, Want::Verify(step) if step.is_decided())
    }

    /// Stripe has to be asked for it.
    pub(super) fn is_asking(&self) -> bool {
        matches!(
            self,
            Want::Look(_)
                | Want::Call { .. }
                | Want::Make { .. }
                | Want::Means { .. }
                | Want::Charge { .. }
                | Want::Credited(_)
                | Want::PaidOff { .. }
        ) || matches!(self, Want::Verify(step) if step.is_asking())
    }
}
