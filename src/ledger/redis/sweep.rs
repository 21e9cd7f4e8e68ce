//! The sweep: ends holds that ran out, and forgets those whose ids need not be remembered. Any proxy may do it at any time, several at once.
//!
//! It follows the journal with two cursors. The first examines holds that were opened since the last pass: most have ended already, the others wait in
//! a list by their end. The second comes half an hour later and takes the records of ended holds away. So admit needs no index by expiry, and a
//! partition where nothing can have run out costs one look.

use std::sync::Arc;

use super::codes::Visit;
use super::keys::Keys;
use super::layout::{self, Writer};
use super::script::Script;
use super::{LedgerError, RedisLedger};
use crate::domain::command::{Command, HOLDS_REMEMBERED, Outcome};
use crate::domain::hold::OnExpiry;
use crate::domain::ids::{AccountId, HoldId};
use crate::domain::time::Timestamp;

/// Entries of the journal that one step looks at, and at most those of one item more: a fraction of a millisecond of Redis.
const ENTRIES_MAX: i64 = 400;

/// The most steps of each kind in one sweep of a partition; the next sweep goes on.
const STEPS_MAX: usize = 100;

/// A hold as the list of holds to visit names it.
#[derive(Clone, Debug)]
struct Name {
    text: Vec<u8>,
    account: AccountId,
    hold: HoldId,
}

impl Name {
    fn read(text: &[u8]) -> Option<Name> {
        let (account, id) = text.split_at_checked(text.len().checked_sub(17)?)?;
        let account = AccountId::new(std::str::from_utf8(account).ok()?).ok()?;
        let hold = HoldId::from_bytes(id.strip_prefix(b":")?.try_into().ok()?);
        Some(Name {
            text: text.to_vec(),
            account,
            hold,
        })
    }
}

/// How far the sweep of a partition has come.
struct Swept {
    now: Timestamp,
    examined: u64,
    /// The last entry of the pass that goes on; none goes on when it is examined.
    target: u64,
    forgotten: u64,
    due: Vec<Name>,
}

impl RedisLedger {
    /// Sweeps all partitions. A server that is away, or a partition that is damaged, must not keep the others' holds open: it is said at the end.
    pub(super) async fn sweep_all(&self, on_expiry: OnExpiry) -> Result<u64, LedgerError> {
        let (mut ended, mut failed, mut away) = (0, None, Vec::new());
        for n in 0..self.partitions {
            let node = self.router.of(n).ok();
            if node
                .as_ref()
                .is_some_and(|node| away.iter().any(|gone| Arc::ptr_eq(gone, node)))
            {
                continue;
            }
            match self.sweep_partition(Keys(n), on_expiry).await {
                Ok(some) => ended += some,
                Err(error) => {
                    away.extend(node.filter(|_| error.is_transient()));
                    failed = Some(error);
                }
            }
        }
        failed.map_or(Ok(ended), Err)
    }

    async fn sweep_partition(&self, keys: Keys, on_expiry: OnExpiry) -> Result<u64, LedgerError> {
        let swept = self.begin(keys).await?;
        self.examine(keys, &swept).await?;
        let mut ended = 0;
        let mut due = swept.due;
        if swept.examined < swept.target {
            due = self.begin(keys).await?.due;
        }
        for _ in 0..STEPS_MAX {
            if due.is_empty() {
                break;
            }
            let ran_out = self.visit(keys, Visit::Revisit, (0, 0), &due).await?;
            let mut ended_now = 0;
            for name in &ran_out {
                ended_now += u64::from(self.end(name, on_expiry).await?);
            }
            self.visit(keys, Visit::Revisit, (0, 0), &ran_out).await?;
            ended += ended_now;
            if ended_now == 0 && ran_out.len() == due.len() {
                // None of them can be ended now, and they would come again.
                break;
            }
            due = self.begin(keys).await?.due;
        }
        self.forget(keys, swept.forgotten, swept.now).await?;
        self.forget_memos(keys).await?;
        Ok(ended)
    }

    /// Ends a hold that ran out, unless it was renewed or settled meanwhile.
    async fn end(&self, name: &Name, on_expiry: OnExpiry) -> Result<bool, LedgerError> {
        let command = Command::ExpireHold {
            account: name.account.clone(),
            hold: name.hold,
            on_expiry,
        };
        match self.decide(&command).await {
            Ok(outcome) => Ok(matches!(outcome, Outcome::Applied(_))),
            // One account that is damaged must not keep the others' holds open.
            Err(error @ LedgerError::Quarantined { .. }) => {
                tracing::error!(account = %name.account, hold = %name.hold, %error, "hold that ran out cannot be ended");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn begin(&self, keys: Keys) -> Result<Swept, LedgerError> {
        let read = [keys.swept().into_bytes(), keys.open_holds().into_bytes()];
        let found = self.find(Script::Begin, keys, &read, &[]).await?;
        let record = layout::SWEPT.read_all(found.text(0));
        let record =
            record.ok_or_else(|| self.lost(keys.0, "has a record of its sweep that cannot be read"))?;
        Ok(Swept {
            now: found.time,
            examined: record.count("examined"),
            target: if record.number("soon") < Timestamp::NEVER.micros() {
                record.count("target")
            } else {
                record.count("examined")
            },
            forgotten: record.count("forgotten"),
            due: found.texts().skip(1).filter_map(Name::read).collect(),
        })
    }

    /// Goes on with the pass over holds opened since the last one.
    async fn examine(&self, keys: Keys, swept: &Swept) -> Result<(), LedgerError> {
        let mut examined = swept.examined;
        for _ in 0..STEPS_MAX {
            if examined >= swept.target {
                break;
            }
            let (cursor, names) = self
                .opened(keys, examined, swept.target, Timestamp::NEVER)
                .await?;
            // Nothing there: the journal was trimmed.
            let cursor = if cursor == examined { swept.target } else { cursor };
            self.visit(keys, Visit::Examine, (examined, cursor), &names)
                .await?;
            examined = cursor;
        }
        Ok(())
    }

    /// Forgets ended holds that were opened long ago.
    async fn forget(&self, keys: Keys, mut forgotten: u64, now: Timestamp) -> Result<(), LedgerError> {
        let before = Timestamp::from_micros(now.micros() - HOLDS_REMEMBERED.micros());
        for _ in 0..STEPS_MAX {
            let (cursor, names) = self.opened(keys, forgotten, u64::MAX >> 16, before).await?;
            if cursor == forgotten {
                break;
            }
            self.visit(keys, Visit::Forget, (forgotten, cursor), &names)
                .await?;
            forgotten = cursor;
        }
        Ok(())
    }

    /// Holds that entries after one tell of; and the last entry looked at.
    async fn opened(
        &self,
        keys: Keys,
        after: u64,
        upto: u64,
        before: Timestamp,
    ) -> Result<(u64, Vec<Name>), LedgerError> {
        let range = Writer::default()
            .number(after as i64 + 1, 6)
            .number(upto as i64, 6)
            .number(before.micros(), 7)
            .number(ENTRIES_MAX, 2)
            .0;
        let found = self
            .find(Script::Opened, keys, &[keys.journal().into_bytes()], &[range])
            .await?;
        let cursor = layout::CURSOR
            .read_all(found.text(0))
            .map_or(after, |record| record.count("seq"));
        Ok((cursor, found.texts().skip(1).filter_map(Name::read).collect()))
    }

    /// Visits holds; those that ran out.
    async fn visit(
        &self,
        keys: Keys,
        mode: Visit,
        cursor: (u64, u64),
        names: &[Name],
    ) -> Result<Vec<Name>, LedgerError> {
        if names.is_empty() && mode == Visit::Revisit {
            return Ok(Vec::new());
        }
        let mut read = vec![keys.swept().into_bytes(), keys.open_holds().into_bytes()];
        read.extend(names.iter().map(|name| keys.hold(&name.account, name.hold)));
        let visit = Writer::default()
            .number(mode as i64, 1)
            .number(cursor.0 as i64, 6)
            .number(cursor.1 as i64, 6)
            .0;
        let args: Vec<_> = std::iter::once(visit)
            .chain(names.iter().map(|name| name.text.clone()))
            .collect();
        let found = self.find(Script::Visit, keys, &read, &args).await?;
        Ok(found.texts().filter_map(Name::read).collect())
    }
}
