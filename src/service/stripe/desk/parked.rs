//! What waits for somebody to change something: shown, and tried again.

use crate::ledger::memos::{Kept, MemoName};
use crate::ledger::{LedgerError, PAGE_MAX, Page};
use crate::stripe::event::{Event, parse};

use super::settle::Settled;
use super::{Desk, Parked, Received};

/// The most that is tried again in one go, and that is counted.
const PARKED_AGAIN_MAX: usize = 2_000;

impl Desk {
    /// What is parked, by what it is of: a memo's name, or an event's id.
    pub async fn parked(
        &self,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<(String, Parked)>, LedgerError> {
        let page = self.memos.memos("parked", cursor, limit).await?;
        let read = |(name, kept): (MemoName, Kept)| {
            let parked = serde_json::from_str(&kept.memo.text).ok()?;
            Some((name.id().to_owned(), parked))
        };
        Ok(Page {
            items: page.items.into_iter().filter_map(read).collect(),
            next: page.next,
        })
    }

    /// An operator has dealt with it: it is neither shown nor counted any more, unless something else is found to be wrong with it. What can be done about
    /// it after all is done. Whether it was parked.
    pub async fn dismiss(&self, what: &str) -> Result<bool, LedgerError> {
        let dismissed = self.unpark(what).await?;
        if dismissed {
            tracing::info!(what, "dismissed what was parked");
        }
        Ok(dismissed)
    }

    /// Takes an event that an operator has in a file: as if it were delivered, but without a signature, and also where it was dealt with before.
    pub async fn replay(&self, event: &Event, raw: &[u8]) -> Result<Received, LedgerError> {
        let received = self.receive_or_repeat(event, raw, true).await?;
        if received == Received::Applied {
            self.unpark(&event.id).await?;
        }
        Ok(received)
    }

    /// Tries again what is parked, 2,000 at a time; how much is parked still, and where the next time goes on.
    pub(super) async fn try_parked(
        &self,
        from: Option<String>,
    ) -> Result<(usize, Option<String>), LedgerError> {
        let (parked, next) = self.all_parked(from).await?;
        for (what, parked) in parked {
            match self.try_one(&what, &parked).await {
                Ok(true) => {
                    self.unpark(&what).await?;
                }
                Ok(false) => {}
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => tracing::error!(what, %error, "could not try again what is parked"),
            }
        }
        Ok((self.count_parked().await?, next))
    }

    /// How much is parked; of more than 2,000 that many.
    pub(super) async fn count_parked(&self) -> Result<usize, LedgerError> {
        Ok(self.all_parked(None).await?.0.len())
    }

    async fn all_parked(
        &self,
        mut cursor: Option<String>,
    ) -> Result<(Vec<(String, Parked)>, Option<String>), LedgerError> {
        let mut all = Vec::new();
        while all.len() < PARKED_AGAIN_MAX {
            let page = self.parked(cursor.as_deref(), PAGE_MAX).await?;
            all.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok((all, cursor))
    }

    /// Whether it is not parked any more.
    async fn try_one(&self, what: &str, parked: &Parked) -> Result<bool, LedgerError> {
        if let Some(body) = &parked.body {
            let Ok(event) = parse(body.as_bytes()) else {
                return Ok(false);
            };
            let received = self.receive_or_repeat(&event, body.as_bytes(), true).await?;
            return Ok(received == Received::Applied);
        }
        let Ok(name) = what.parse::<MemoName>() else {
            return Ok(false);
        };
        Ok(self.settle(&name, true).await? == Settled::Done)
    }
}
