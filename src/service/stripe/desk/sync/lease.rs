//! One proxy at a time: whoever writes `sync:lease` first, and goes on writing it.

use std::time::Duration;

use crate::domain::time::{Span, Timestamp};
use crate::ledger::LedgerError;
use crate::ledger::memos::{Memo, MemoName, Wrote};

use super::super::Desk;
use super::{SyncError, named};

/// A proxy that has not written it for so long is taken to be gone.
const LEASE: Span = Span::from_secs(60);

/// How often it is written.
const RENEW: Duration = Duration::from_secs(15);

/// How often somebody who waits looks whether it is free.
const LOOK: Duration = Duration::from_millis(200);

/// That this proxy is the one.
pub(super) struct Lease {
    name: MemoName,
    /// Nobody else writes the same.
    pub(super) text: String,
    version: u64,
}

impl Lease {
    fn memo(&self, until: Timestamp) -> Memo {
        Memo {
            text: self.text.as_str().into(),
            due: Timestamp::NEVER,
            forget_at: until,
        }
    }
}

impl Desk {
    pub(super) async fn take_lease(&self, patience: Duration) -> Result<Lease, SyncError> {
        let by = getrandom::u64().unwrap_or_else(|_| self.clock.now().micros().unsigned_abs());
        let mut lease = Lease {
            name: named("lease")?,
            text: format!("{{\"by\":\"{by:016x}\"}}"),
            version: 0,
        };
        let since = tokio::time::Instant::now();
        loop {
            if self.memos.memo(&lease.name).await?.is_none() {
                let memo = lease.memo(self.clock.now().plus(LEASE));
                if let Wrote::Done { version } = self.memos.write_memo(&lease.name, 0, &memo).await? {
                    lease.version = version;
                    return Ok(lease);
                }
            }
            if since.elapsed() >= patience {
                return Err(SyncError::Busy);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Keeps it until the task is dropped; how it was lost. A ledger that does not answer for a while loses it only when it is over.
    pub(super) async fn keep_lease(&self, mut lease: Lease) -> SyncError {
        let mut held = tokio::time::Instant::now();
        loop {
            tokio::time::sleep(RENEW).await;
            let memo = lease.memo(self.clock.now().plus(LEASE));
            match self.memos.write_memo(&lease.name, lease.version, &memo).await {
                Ok(Wrote::Done { version }) => {
                    lease.version = version;
                    held = tokio::time::Instant::now();
                }
                Ok(Wrote::Changed(_)) => return SyncError::Overtaken,
                Err(error) if held.elapsed() > Duration::from_secs(45) => return SyncError::Ledger(error),
                Err(_) => {}
            }
        }
    }

    /// Gives it back, if nobody else has it.
    pub(super) async fn drop_lease(&self, text: &str) -> Result<(), LedgerError> {
        let name = named("lease")?;
        if let Some(kept) = self.memos.memo(&name).await?
            && &*kept.memo.text == text
        {
            let memo = Memo {
                forget_at: Timestamp::ZERO,
                ..kept.memo
            };
            self.memos.write_memo(&name, kept.version, &memo).await?;
        }
        Ok(())
    }
}
