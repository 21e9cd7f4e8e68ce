//! Disputes, reviews and early fraud warnings, whose events may never have been made.

use crate::ledger::LedgerError;
use crate::stripe::api;
use crate::stripe::call::{BadCall, Call};

use super::super::super::memo::Document;
use super::super::settle::Stored;
use super::objects::{READ_MAX, WALK_MAX};
use super::{Pager, Run, SILENT_MAX};

/// How far back before the first run ever they count: as far as events are kept.
const FIRST: i64 = 30 * 86_400;

/// How far back each run looks, though not before the first: most disputes are over by then.
const LOOK_BACK: i64 = 90 * 86_400;

/// A list by when its items were made.
type List = fn(i64) -> Result<Call, BadCall>;

impl Run {
    pub(super) async fn troubles(&mut self) -> Result<(), LedgerError> {
        let now = self.stripe.their_time(self.desk.seconds());
        if self.state.troubles_from == 0 {
            self.state.troubles_from = now - FIRST;
        }
        let since = self.state.troubles_from.max(now - LOOK_BACK);
        let lists: [(&str, List); 3] = [
            ("disputes", api::list_disputes),
            ("reviews", api::list_reviews),
            ("early fraud warnings", api::list_fraud_warnings),
        ];
        for (what, list) in lists {
            match list(since) {
                Ok(call) => self.list_of_troubles(what, call).await?,
                Err(error) => self.problem(format!("{what}: {error}")),
            }
        }
        self.reviews().await
    }

    async fn list_of_troubles(&mut self, what: &str, call: Call) -> Result<(), LedgerError> {
        let mut pager = Pager::new(call, None, READ_MAX);
        loop {
            let asked_at = self.desk.seconds();
            match pager.next(&*self.stripe).await {
                Ok(Some(page)) => {
                    for trouble in &page {
                        self.tell(trouble, asked_at).await?;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    self.problem(format!("{what}: {error}"));
                    self.report.complete = false;
                    return Ok(());
                }
            }
        }
        if pager.rest().is_some() {
            self.problem(format!(
                "{what}: more than {READ_MAX}; the older ones were not read"
            ));
        }
        Ok(())
    }

    /// Only open reviews are listed: those that are open by what is known are asked for.
    async fn reviews(&mut self) -> Result<(), LedgerError> {
        let mut silent = 0;
        for (name, kept) in self.walk("review", WALK_MAX).await? {
            let stored = match Stored::read(&name, Some(&kept)) {
                Ok(stored) => stored,
                Err(error) => {
                    self.unless_transient(name.as_str(), error)?;
                    continue;
                }
            };
            let open = matches!(stored.document, Document::Mark(mark) if mark.raised && !mark.cleared && !mark.closed);
            let Some(call) = api::get_review(name.id()).ok().filter(|_| open) else {
                continue;
            };
            let asked_at = self.desk.seconds();
            match self.stripe.call(&call).await {
                Ok(reply) => {
                    silent = 0;
                    self.tell(&reply.body, asked_at).await?;
                }
                Err(error) => {
                    silent += u32::from(error.is_unknown());
                    self.problem(format!("{name}: {error}"));
                }
            }
            if silent >= SILENT_MAX {
                self.report.complete = false;
                break;
            }
        }
        Ok(())
    }
}
