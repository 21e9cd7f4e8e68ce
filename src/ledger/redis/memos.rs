//! Memos: a record each, in the partition of its name, and three sorted sets per partition that list them by name, by when they are due and by when they are
//! to be forgotten. They are no part of the books: a rebuild leaves them as they are.

use std::sync::Arc;

use super::find::{Found, Reader};
use super::keys::{Keys, partition_of_name};
use super::layout::{self, Writer};
use super::script::Script;
use super::{LedgerError, RedisLedger};
use crate::domain::time::Timestamp;
use crate::ledger::memos::{DUE_MAX, Kept, MEMOS_PAGE_BYTES, Memo, MemoName, Memos, Wrote, check_kind};
use crate::ledger::{Answer, PAGE_MAX, Page};

/// The most memos of one call, and bytes from which on it reads no more: a call stays a matter of milliseconds.
const READ_MAX: usize = 100;
const READ_BYTES: usize = 1 << 20;

/// The most memos that one sweep of a partition forgets, [`READ_MAX`] per call.
const FORGET_CALLS: usize = 10;

/// A memo as it is stored.
pub(super) fn record(kept: &Kept) -> Vec<u8> {
    let memo = &kept.memo;
    Writer(Vec::with_capacity(layout::MEMO.len() + memo.text.len()))
        .number(kept.version.cast_signed(), 7)
        .number(memo.due.micros(), 7)
        .number(memo.forget_at.micros(), 7)
        .bytes(memo.text.as_bytes())
        .0
}

/// Reads what [`record`] wrote; `None` when it cannot be that.
fn kept(mut stored: &[u8]) -> Option<Kept> {
    let head = layout::MEMO.read(&mut stored)?;
    Some(Kept {
        version: head.count("version"),
        memo: Memo {
            text: std::str::from_utf8(stored).ok()?.into(),
            due: Timestamp::from_micros(head.number("due")),
            forget_at: Timestamp::from_micros(head.number("forget_at")),
        },
    })
}

fn damaged(name: &MemoName) -> LedgerError {
    about(name)(LedgerError::Quarantined {
        account: String::new(),
        what: "it cannot be read".to_owned(),
    })
}

/// Names the memo whose record is damaged, where only what read it knows.
fn about(name: &MemoName) -> impl Fn(LedgerError) -> LedgerError + use<> {
    let name = format!("(none: it is of memo {name})");
    move |error| match error {
        LedgerError::Quarantined { account, what } if account.is_empty() => LedgerError::Quarantined {
            account: name.clone(),
            what,
        },
        error => error,
    }
}

/// Where a list goes on: in which partition, after which name.
fn cursor(kind: &str, cursor: Option<&str>) -> Result<(u32, Option<MemoName>), LedgerError> {
    check_kind(kind).map_err(|error| LedgerError::Invalid(format!("{kind:?}: {error}")))?;
    let Some(text) = cursor else {
        return Ok((0, None));
    };
    let read = || {
        let (partition, name) = text.split_once(' ')?;
        let name: MemoName = name.parse().ok()?;
        (name.kind() == kind).then_some((partition.parse().ok()?, Some(name)))
    };
    read().ok_or_else(|| LedgerError::Invalid("not a cursor of this list".to_owned()))
}

fn names(found: &Found) -> Vec<MemoName> {
    let name = |text| std::str::from_utf8(text).ok()?.parse().ok();
    found.texts().filter_map(name).collect()
}

impl RedisLedger {
    fn place_of(&self, name: &MemoName) -> Keys {
        Keys(partition_of_name(name, self.partitions))
    }

    async fn read_memo(&self, name: &MemoName) -> Result<Option<Kept>, LedgerError> {
        let keys = self.place_of(name);
        let read = [keys.memo(name).into_bytes()];
        let found = self.find(Script::Lookup, keys, &read, &[]).await;
        let found = found.map_err(about(name))?;
        if found.is_missing(0) {
            return Ok(None);
        }
        let kept = kept(found.text(0)).ok_or_else(|| damaged(name))?;
        Ok(Some(kept).filter(|kept| kept.memo.forget_at > found.time))
    }

    async fn put_memo(&self, name: &MemoName, expected: u64, memo: &Memo) -> Result<Wrote, LedgerError> {
        memo.check(expected)?;
        let keys = self.place_of(name);
        let written = [
            keys.memo(name),
            keys.memos(),
            keys.memos_due(),
            keys.memos_to_forget(),
        ];
        let version = expected + 1;
        let new = Kept {
            memo: memo.clone(),
            version,
        };
        let args = [record(&new), name.as_str().as_bytes().to_vec()];
        let written = written.map(String::into_bytes);
        let found = self.find(Script::MemoWrite, keys, &written, &args).await;
        let found = found.map_err(about(name))?;
        if found.text(0) == b"done" {
            return Ok(Wrote::Done { version });
        }
        if found.is_missing(1) {
            return Ok(Wrote::Changed(None));
        }
        let there = kept(found.text(1)).ok_or_else(|| damaged(name))?;
        Ok(Wrote::Changed(Some(there)))
    }

    /// Those of all partitions that can be reached; an error only where nothing is found and a server is away.
    async fn read_due_memos(&self, limit: usize) -> Result<Vec<MemoName>, LedgerError> {
        let limit = limit.clamp(1, DUE_MAX);
        let args = [limit.to_string().into_bytes()];
        let (mut due, mut failed, mut away) = (Vec::new(), None, Vec::new());
        for n in 0..self.partitions {
            let keys = Keys(n);
            let node = self.router.of(n).ok();
            if let Some(node) = &node
                && away.iter().any(|gone| Arc::ptr_eq(gone, node))
            {
                continue;
            }
            let read = [keys.memos_due(), keys.memos_to_forget()].map(String::into_bytes);
            match self.find(Script::MemosDue, keys, &read, &args).await {
                Ok(found) => {
                    let texts: Vec<_> = found.texts().map(String::from_utf8_lossy).collect();
                    let (pairs, _) = texts.as_chunks::<2>();
                    due.extend(
                        pairs
                            .iter()
                            .filter_map(|[at, name]| Some((at.parse::<i64>().ok()?, name.parse().ok()?))),
                    );
                }
                Err(error) => {
                    away.extend(node.filter(|_| error.is_transient()));
                    failed = Some(error);
                }
            }
        }
        match failed {
            Some(error) if due.is_empty() => Err(error),
            _ => {
                due.sort();
                Ok(due.into_iter().take(limit).map(|(_, name)| name).collect())
            }
        }
    }

    /// Names of a partition's memos, after one and of a kind if they are given.
    async fn named(
        &self,
        keys: Keys,
        kind: Option<&str>,
        after: Option<&MemoName>,
        limit: usize,
    ) -> Result<Vec<MemoName>, LedgerError> {
        let from = match (after, kind) {
            (Some(name), _) => format!("({name}"),
            (None, Some(kind)) => format!("({kind}:"),
            (None, None) => "-".to_owned(),
        };
        // The character after the colon.
        let to = kind.map_or_else(|| "+".to_owned(), |kind| format!("({kind};"));
        let args = [from, to, limit.to_string()].map(String::into_bytes);
        let read = [keys.memos().into_bytes()];
        let found = self
            .find_for(Reader::Person, Script::MemosNamed, keys, &read, &args)
            .await?;
        Ok(names(&found))
    }

    /// The first of these memos of a partition, at least one: none for one that is not there.
    pub(super) async fn read_some(
        &self,
        keys: Keys,
        names: &[MemoName],
    ) -> Result<(Vec<Option<Kept>>, Timestamp), LedgerError> {
        let names = &names[..names.len().min(READ_MAX)];
        let read: Vec<_> = names.iter().map(|name| keys.memo(name).into_bytes()).collect();
        let bytes = [READ_BYTES.to_string().into_bytes()];
        let found = self
            .find_for(Reader::Person, Script::MemosRead, keys, &read, &bytes)
            .await?;
        let some = names.iter().zip(found.texts()).map(|(name, text)| {
            let none = text.is_empty().then_some(None);
            none.or_else(|| kept(text).map(Some)).ok_or_else(|| damaged(name))
        });
        Ok((some.collect::<Result<_, _>>()?, found.time))
    }

    async fn read_memos(
        &self,
        kind: &str,
        from: Option<&str>,
        limit: usize,
    ) -> Result<Page<(MemoName, Kept)>, LedgerError> {
        let (mut partition, mut after) = cursor(kind, from)?;
        let limit = limit.clamp(1, PAGE_MAX);
        let (mut items, mut bytes) = (Vec::new(), 0);
        while partition < self.partitions {
            let keys = Keys(partition);
            let most = limit - items.len();
            let names = self.named(keys, Some(kind), after.as_ref(), most).await?;
            let last = names.len() < most;
            let mut rest = names.as_slice();
            while !rest.is_empty() && bytes < MEMOS_PAGE_BYTES {
                let (some, time) = self.read_some(keys, rest).await?;
                let Some((read, later)) = rest.split_at_checked(some.len().max(1)) else {
                    break;
                };
                for (name, kept) in read.iter().zip(some) {
                    let kept = kept.filter(|kept| kept.memo.forget_at > time);
                    bytes += kept.as_ref().map_or(0, |kept| kept.memo.text.len());
                    items.extend(kept.map(|kept| (name.clone(), kept)));
                }
                (after, rest) = (read.last().cloned(), later);
            }
            let full = items.len() >= limit || bytes >= MEMOS_PAGE_BYTES;
            if let Some(name) = after.as_ref().filter(|_| full) {
                let next = Some(format!("{partition} {name}"));
                return Ok(Page { items, next });
            }
            if last && rest.is_empty() {
                (partition, after) = (partition + 1, None);
            }
        }
        Ok(Page { items, next: None })
    }

    /// Forgets a partition's memos whose time has come.
    pub(super) async fn forget_memos(&self, keys: Keys) -> Result<(), LedgerError> {
        let most = [READ_MAX.to_string().into_bytes()];
        for _ in 0..FORGET_CALLS {
            let by_time = [keys.memos_to_forget().into_bytes()];
            let found = self.find(Script::MemosDue, keys, &by_time, &most).await?;
            // The times between them are no names.
            let names: Vec<MemoName> = names(&found);
            if names.is_empty() {
                break;
            }
            let mut written: Vec<_> = [keys.memos(), keys.memos_due(), keys.memos_to_forget()]
                .map(String::into_bytes)
                .into();
            written.extend(names.iter().map(|name| keys.memo(name).into_bytes()));
            let args: Vec<_> = names
                .iter()
                .map(|name| name.as_str().as_bytes().to_vec())
                .collect();
            self.find(Script::MemosForget, keys, &written, &args).await?;
            if names.len() < READ_MAX {
                break;
            }
        }
        Ok(())
    }
}

impl Memos for RedisLedger {
    fn memo<'a>(&'a self, name: &'a MemoName) -> Answer<'a, Option<Kept>> {
        Box::pin(self.read_memo(name))
    }

    fn write_memo<'a>(&'a self, name: &'a MemoName, expected: u64, memo: &'a Memo) -> Answer<'a, Wrote> {
        Box::pin(self.put_memo(name, expected, memo))
    }

    fn due_memos(&self, limit: usize) -> Answer<'_, Vec<MemoName>> {
        Box::pin(self.read_due_memos(limit))
    }

    fn memos<'a>(
        &'a self,
        kind: &'a str,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, Page<(MemoName, Kept)>> {
        Box::pin(self.read_memos(kind, cursor, limit))
    }
}
