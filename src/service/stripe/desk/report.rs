//! Usage to Stripe: the journal is read on from where it was read to, and each account's part is counted in its memo.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::domain::entry::{Entry, EntryKind};
use crate::domain::ids::AccountId;
use crate::domain::time::Timestamp;
use crate::ledger::memos::{Kept, Memo, MemoName};
use crate::ledger::{LedgerError, PAGE_MAX};

use super::super::memo::Document;
use super::super::usage::Used;
use super::Desk;

/// What was used longer ago Stripe does not take: 35 days, less a margin.
const AGE_MAX: i64 = 34 * 86_400;

/// The most pages of one partition's journal that are read in one go.
const PAGES_MAX: usize = 1_000;

/// How often it is looked whether anything is to be reported, where nothing is.
const IDLE: Duration = Duration::from_secs(60);

#[derive(Default, Serialize, Deserialize)]
struct Cursor {
    after: u64,
}

impl Desk {
    /// Counts what was used since the last time; how many entries were read. Any proxy may call it at any time.
    pub async fn count_usage(&self) -> Result<u64, LedgerError> {
        let mut read = 0;
        for partition in 0..self.ledger.partitions() {
            for _ in 0..PAGES_MAX {
                let page = self.count_page(partition).await?;
                read += page;
                if page < PAGE_MAX as u64 {
                    break;
                }
            }
        }
        if read > 0 {
            self.wake.notify_one();
        }
        Ok(read)
    }

    async fn count_page(&self, partition: u32) -> Result<u64, LedgerError> {
        let name = MemoName::new("usage_cursor", &partition.to_string())
            .map_err(|error| LedgerError::Invalid(error.to_string()))?;
        let kept = self.memos.memo(&name).await?;
        let cursor = kept.as_ref().map(cursor_of).transpose()?.unwrap_or_default();
        let entries = self.ledger.journal(partition, cursor.after, PAGE_MAX).await?;
        let Some(last) = entries.last() else {
            return Ok(0);
        };
        let now = self.seconds();
        for (account, used) in by_account(&entries, now) {
            self.count_account(&account, &used, now).await?;
        }
        let memo = Memo {
            text: serde_json::to_string(&Cursor { after: last.seq })
                .unwrap_or_default()
                .into(),
            due: Timestamp::NEVER,
            forget_at: Timestamp::NEVER,
        };
        // Where another proxy was faster, it has counted the same.
        self.memos
            .write_memo(&name, kept.map_or(0, |kept| kept.version), &memo)
            .await?;
        Ok(entries.len() as u64)
    }

    async fn count_account(&self, account: &AccountId, used: &[Used], now: i64) -> Result<(), LedgerError> {
        let Ok(name) = MemoName::new("usage", account.as_str()) else {
            return Ok(());
        };
        if self.memos.memo(&name).await?.is_none() {
            // No customer of Stripe's.
            return Ok(());
        }
        self.rewrite(&name, |document| {
            if let Document::Usage(usage) = document {
                usage.count(used, now);
            }
        })
        .await
    }

    /// From now on what this account uses is this customer's.
    pub(super) async fn usage_is_of(&self, account: &str, customer: &str) -> Result<(), LedgerError> {
        let Ok(name) = MemoName::new("usage", account) else {
            return Ok(());
        };
        self.rewrite(&name, |document| {
            if let Document::Usage(usage) = document {
                usage.of(customer);
            }
        })
        .await
    }

    /// Counts usage until the task is dropped, as often as the configuration says.
    pub async fn run_usage(self: Arc<Self>) {
        loop {
            let every = self.rules().stripe.usage.as_ref().map(|usage| usage.every);
            tokio::time::sleep(every.unwrap_or(IDLE)).await;
            if every.is_none() {
                continue;
            }
            if let Err(error) = self.count_usage().await {
                tracing::warn!(%error, "could not count what is to be reported to Stripe");
            }
        }
    }
}

fn cursor_of(kept: &Kept) -> Result<Cursor, LedgerError> {
    serde_json::from_str(&kept.memo.text)
        .map_err(|error| LedgerError::Invalid(format!("the cursor of usage cannot be read: {error}")))
}

/// What was charged, and taken back of it, by account.
fn by_account(entries: &[Entry], now: i64) -> HashMap<AccountId, Vec<Used>> {
    let mut all: HashMap<AccountId, Vec<Used>> = HashMap::new();
    for entry in entries {
        let charges = matches!(entry.kind, EntryKind::Capture | EntryKind::Release);
        let at = entry.time.micros() / 1_000_000;
        if charges && !entry.amount.is_zero() && at > now - AGE_MAX {
            all.entry(entry.account.clone()).or_default().push(Used {
                entry: entry.seq,
                micros: entry.amount.micros(),
                at,
            });
        }
    }
    all
}
