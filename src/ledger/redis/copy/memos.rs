//! The memos of a ledger that is copied.

use std::collections::BTreeMap;

use redis::Value;

use super::{Copy, LedgerError, Put, WAITING_MAX, differs};
use crate::domain::time::Timestamp;
use crate::ledger::memos::{Kept, MemoName};
use crate::ledger::redis::keys::{Keys, partition_of_name};
use crate::ledger::redis::memos::record;

/// How many memos there are in all, how many that are due at some time, and how many that are to be forgotten at some time.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Counts {
    pub(super) all: u64,
    due: u64,
    to_forget: u64,
}

impl Copy<'_> {
    /// Writes all memos; how many.
    pub(super) async fn write_memos(&mut self) -> Result<Counts, LedgerError> {
        let (mut after, mut counts) = (None, Counts::default());
        loop {
            let memos = self.source.export_memos(after.as_ref()).await?;
            let Some((last, _)) = memos.last() else {
                break;
            };
            after = Some(last.clone());
            for (name, kept) in memos {
                self.write_memo(&name, &kept, &mut counts).await?;
            }
        }
        for n in 0..self.parts.len() {
            self.send(n, 1).await?;
        }
        Ok(counts)
    }

    async fn write_memo(
        &mut self,
        name: &MemoName,
        kept: &Kept,
        counts: &mut Counts,
    ) -> Result<(), LedgerError> {
        let n = partition_of_name(name, self.target.partitions);
        let keys = Keys(n);
        let listed = |score| Put::Scores(vec![(score, name.as_str().as_bytes().to_vec())]);
        let waiting = &mut self.parts[n as usize].waiting;
        waiting.push((keys.memo(name).into_bytes(), Put::Text(record(kept))));
        waiting.push((keys.memos().into_bytes(), listed(0)));
        counts.all += 1;
        for (key, time, count) in [
            (keys.memos_due(), kept.memo.due, &mut counts.due),
            (keys.memos_to_forget(), kept.memo.forget_at, &mut counts.to_forget),
        ] {
            if time < Timestamp::NEVER {
                waiting.push((key.into_bytes(), listed(time.micros())));
                *count += 1;
            }
        }
        self.send(n as usize, WAITING_MAX).await
    }

    /// There must be as many as were written, and each as it is in the source.
    pub(super) async fn compare_memos(&self, written: &Counts) -> Result<(), LedgerError> {
        let mut found = Counts::default();
        for part in &self.parts {
            found.all += self.members(part.keys, part.keys.memos()).await?;
            found.due += self.members(part.keys, part.keys.memos_due()).await?;
            found.to_forget += self.members(part.keys, part.keys.memos_to_forget()).await?;
        }
        if found != *written {
            return Err(differs(&format!(
                "the memos were to be {written:?}, and are {found:?}"
            )));
        }
        let mut after = None;
        loop {
            let memos = self.source.export_memos(after.as_ref()).await?;
            let Some((last, _)) = memos.last() else {
                return Ok(());
            };
            after = Some(last.clone());
            let mut by_part: BTreeMap<u32, Vec<(MemoName, Kept)>> = BTreeMap::new();
            for (name, kept) in memos {
                let n = partition_of_name(&name, self.target.partitions);
                by_part.entry(n).or_default().push((name, kept));
            }
            for (n, memos) in by_part {
                self.compare_some(Keys(n), &memos).await?;
            }
        }
    }

    async fn compare_some(&self, keys: Keys, memos: &[(MemoName, Kept)]) -> Result<(), LedgerError> {
        let names: Vec<_> = memos.iter().map(|(name, _)| name.clone()).collect();
        let mut at = 0;
        while at < memos.len() {
            let (some, _) = self.target.read_some(keys, &names[at..]).await?;
            for ((name, kept), there) in memos[at..].iter().zip(&some) {
                if there.as_ref() != Some(kept) {
                    return Err(differs(&format!("memo {name} is not the same")));
                }
            }
            at += some.len().max(1);
        }
        Ok(())
    }

    async fn members(&self, keys: Keys, set: String) -> Result<u64, LedgerError> {
        match self.target.ask(keys.0, redis::cmd("ZCARD").arg(set)).await? {
            Value::Int(count) => Ok(count.unsigned_abs()),
            other => Err(differs(&format!("a list of memos is {other:?}"))),
        }
    }
}
