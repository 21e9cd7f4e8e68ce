//! `awaited:acme`: what was told of an account before there is one, so that it counts when an operator makes it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::domain::ids::AccountId;
use crate::domain::time::Timestamp;
use crate::ledger::LedgerError;
use crate::ledger::memos::{Memo, MemoName, Wrote};

use super::{Desk, TRIES};

/// The most memos that wait for one account: its customers, and payments without one.
const AWAITED_MAX: usize = 200;

/// Memos that are looked at again when there is an account of this name.
#[derive(Default, Serialize, Deserialize)]
struct Awaited {
    memos: BTreeSet<String>,
}

impl Desk {
    /// Has a memo looked at again when the account is made; whether it was made meanwhile.
    pub(super) async fn await_account(
        &self,
        account: &AccountId,
        memo: &MemoName,
    ) -> Result<bool, LedgerError> {
        let add = |awaited: &mut Awaited| {
            if awaited.memos.len() < AWAITED_MAX {
                awaited.memos.insert(memo.to_string());
            } else if !awaited.memos.contains(memo.as_str()) {
                tracing::error!(%account, %memo, "too much waits for this account to be made");
            }
        };
        self.change_awaited(account, add).await?;
        // Whoever made it after it was looked for, and before this was written, has not seen it.
        Ok(self.ledger.statement(account).await?.is_some())
    }

    /// There is an account now: what was told of it before counts.
    ///
    /// Errors: the ledger does not answer; it may be called again.
    pub async fn account_is_made(&self, account: &AccountId) -> Result<(), LedgerError> {
        let mut waited = BTreeSet::new();
        self.change_awaited(account, |awaited| waited.clone_from(&awaited.memos))
            .await?;
        if waited.is_empty() {
            return Ok(());
        }
        let names: Vec<MemoName> = waited.iter().filter_map(|memo| memo.parse().ok()).collect();
        for name in &names {
            self.make_due(name).await?;
        }
        self.change_awaited(account, |awaited| {
            awaited.memos.retain(|memo| !waited.contains(memo))
        })
        .await?;
        for name in &names {
            self.settle(name, false).await?;
        }
        self.wake.notify_one();
        Ok(())
    }

    async fn change_awaited(
        &self,
        account: &AccountId,
        mut change: impl FnMut(&mut Awaited),
    ) -> Result<(), LedgerError> {
        let Ok(name) = MemoName::new("awaited", account.as_str()) else {
            return Ok(());
        };
        for _ in 0..TRIES {
            let kept = self.memos.memo(&name).await?;
            let mut awaited: Awaited = kept
                .as_ref()
                .and_then(|kept| serde_json::from_str(&kept.memo.text).ok())
                .unwrap_or_default();
            let before = awaited.memos.clone();
            change(&mut awaited);
            if awaited.memos == before {
                return Ok(());
            }
            let memo = Memo {
                text: serde_json::to_string(&awaited).unwrap_or_default().into(),
                due: Timestamp::NEVER,
                forget_at: if awaited.memos.is_empty() {
                    Timestamp::ZERO
                } else {
                    Timestamp::NEVER
                },
            };
            let version = kept.map_or(0, |kept| kept.version);
            if let Wrote::Done { .. } = self.memos.write_memo(&name, version, &memo).await? {
                return Ok(());
            }
        }
        Err(LedgerError::Unavailable(format!(
            "{name} is written by others all the time"
        )))
    }
}
