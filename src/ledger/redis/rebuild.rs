//! Balances from the journal alone, put in the place of what differs. The store is closed to all its users meanwhile: they refuse requests (503), and go
//! on with the next generation when it is done. One that was begun and not ended leaves the store closed until the next one has ended.

use std::collections::{BTreeSet, HashMap};

use redis::Value;

use super::decode::Group;
use super::find::Reader;
use super::keys::{Keys, partition_of_digest};
use super::layout;
use super::meta::{Meta, State};
use super::put::{self, Put, Tale};
use super::records;
use super::script::Script;
use super::stored::Stored;
use super::write::claim_of;
use super::{LedgerError, RedisLedger};
use crate::domain::engine::Book;
use crate::domain::ids::AccountId;
use crate::domain::time::Timestamp;
use crate::ledger::replay::{Replay, adopt, settled};
use crate::ledger::{Findings, VerifyReport, compare};

/// Accounts that are rebuilt in one pass over the journal: what is in memory at once.
const AT_ONCE: usize = 50_000;

/// Entries of the journal read at a time.
const ENTRIES: usize = 1_000;

/// The end of a partition's journal.
struct End {
    seq: u64,
    chain: Vec<u8>,
    time: Timestamp,
}

impl RedisLedger {
    /// Rebuilds all balances. Once begun it goes on also when nobody waits for it any more: half of it would leave the store closed.
    pub(super) async fn rebuild_all(&self) -> Result<VerifyReport, LedgerError> {
        let (alone, closed) = self.close(State::Rebuilding).await?;
        let work = tokio::spawn(async move {
            let mut wrote = false;
            let result = alone.rebuild_closed(closed, &mut wrote).await;
            if result.is_ok() || !wrote {
                alone.open_up(closed).await?;
            }
            result
        });
        work.await
            .unwrap_or_else(|e| Err(LedgerError::Unavailable(format!("the rebuild ended early: {e}"))))
    }

    async fn rebuild_closed(&self, closed: Meta, wrote: &mut bool) -> Result<VerifyReport, LedgerError> {
        let mut findings = Findings::default();
        let mut parts = Vec::new();
        for n in 0..self.partitions {
            parts.push(self.fence(Keys(n), closed).await?);
        }
        let mut journals = Vec::new();
        for n in 0..self.partitions {
            journals.push(self.whole_journal(Keys(n)).await?);
        }
        for ((n, part), (end, told)) in (0..).zip(parts).zip(journals) {
            self.rebuild_partition(Keys(n), told, wrote, &mut findings)
                .await?;
            self.rebuild_part(Keys(n), (closed, &part), &end, wrote, &mut findings)
                .await?;
        }
        Ok(findings.0)
    }

    /// Gives a partition the stamp that only this ledger knows. The record that was there.
    async fn fence(&self, keys: Keys, closed: Meta) -> Result<Vec<u8>, LedgerError> {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(self.scripts.hash(Script::Fence))
            .arg(1)
            .arg(keys.part())
            .arg(self.context().head(1, 1))
            .arg(closed.empty_part());
        let answer = self.router.call(keys.0, Script::Fence, &cmd).await;
        match answer.map_err(|fault| fault.for_caller("", self.millis()))? {
            Value::Array(items) => Ok(items.first().map_or(&[][..], super::find::text_of).to_vec()),
            _ => Err(LedgerError::Unavailable(
                "somebody else has begun to rebuild the ledger".to_owned(),
            )),
        }
    }

    /// Follows a journal's chain to its end; the accounts that it tells of.
    async fn whole_journal(&self, keys: Keys) -> Result<(End, BTreeSet<AccountId>), LedgerError> {
        let mut end = End {
            seq: 0,
            chain: vec![b'0'; 16],
            time: Timestamp::ZERO,
        };
        let mut told = BTreeSet::new();
        let damaged = |what: String| {
            LedgerError::Misconfigured(format!(
                "the journal itself is damaged, nothing can be rebuilt from it: partition {}: {what}. Nothing was changed; restore Redis' files",
                keys.0
            ))
        };
        loop {
            let groups = self.groups(Reader::Job, keys, end.seq, ENTRIES).await;
            let groups = groups.map_err(|error| match error {
                LedgerError::LostHistory(what) => damaged(what),
                error => error,
            })?;
            if groups.is_empty() {
                return Ok((end, told));
            }
            for group in groups {
                follow(&mut end, &group).map_err(damaged)?;
                told.extend(group.entries.into_iter().map(|entry| entry.account));
            }
        }
    }

    async fn rebuild_partition(
        &self,
        keys: Keys,
        told: BTreeSet<AccountId>,
        wrote: &mut bool,
        findings: &mut Findings,
    ) -> Result<(), LedgerError> {
        let listed = self.listed(keys, findings).await?;
        let known: BTreeSet<&AccountId> = listed.iter().flatten().collect();
        let unlisted = told.iter().filter(|id| !known.contains(id));
        for (place, id) in (listed.len()..).zip(unlisted) {
            findings.add(format!("account {id} was not in the list of accounts"));
            let push = Put::Push(place, id.as_str().as_bytes().to_vec());
            *wrote = true;
            self.put(keys, vec![(keys.accounts().into_bytes(), push)]).await?;
        }
        let mut all: BTreeSet<AccountId> = listed.into_iter().flatten().collect();
        all.extend(told);
        let all: Vec<_> = all.into_iter().collect();
        for ids in all.chunks(AT_ONCE) {
            self.rebuild_accounts(keys, ids, wrote, findings).await?;
        }
        Ok(())
    }

    /// The list of accounts, with its places; what is none is noted.
    async fn listed(
        &self,
        keys: Keys,
        findings: &mut Findings,
    ) -> Result<Vec<Option<AccountId>>, LedgerError> {
        let mut listed = Vec::new();
        loop {
            let names = self.accounts_from(keys, listed.len(), ENTRIES).await?;
            if names.is_empty() {
                return Ok(listed);
            }
            listed.extend(
                names
                    .iter()
                    .map(|name| super::verify::known(keys, name, findings)),
            );
        }
    }

    async fn rebuild_accounts(
        &self,
        keys: Keys,
        ids: &[AccountId],
        wrote: &mut bool,
        findings: &mut Findings,
    ) -> Result<(), LedgerError> {
        let now = self.time_of(keys).await?;
        let mut tales: HashMap<&AccountId, Tale> = ids.iter().map(|id| (id, Tale::default())).collect();
        self.each_group(keys, |group| {
            for entry in &group.entries {
                if let Some(tale) = tales.get_mut(&entry.account) {
                    tale.take(entry);
                }
            }
        })
        .await?;
        let mut stored = HashMap::new();
        for (id, tale) in &tales {
            stored.insert(*id, self.read_stored(keys, id, tale).await?);
        }
        let mut replays = HashMap::new();
        for (id, old) in &stored {
            let replay = Replay::new((*id).clone(), Some(&old.book), old.line);
            replays.insert(*id, Ok(replay));
        }
        let mut entries = 0;
        self.each_group(keys, |group| {
            for entry in group.entries {
                let Some(replay) = replays.get_mut(&entry.account) else {
                    continue;
                };
                entries += 1;
                if let Ok(running) = replay
                    && let Err(why) = running.take(entry)
                {
                    *replay = Err(why);
                }
            }
        })
        .await?;
        findings.0.entries += entries;
        for id in ids {
            let (Some(replay), Some(old), Some(tale)) = (replays.remove(id), stored.get(id), tales.get(id))
            else {
                continue;
            };
            findings.0.accounts += 1;
            match replay.and_then(Replay::finish) {
                Ok(book) => {
                    let book = old.adopted(book, now);
                    *wrote |= self.replace((keys, old), &book, tale, now, findings).await?;
                }
                Err(why) => findings.add(format!("account {id} is left as it is: {why}")),
            }
        }
        Ok(())
    }

    /// Puts an account's records in the place of those that differ; whether any did.
    async fn replace(
        &self,
        (keys, old): (Keys, &Stored),
        book: &Book,
        tale: &Tale,
        now: Timestamp,
        findings: &mut Findings,
    ) -> Result<bool, LedgerError> {
        let id = &book.account.id;
        let before = findings.0.differences.len();
        for what in &old.unreadable {
            findings.add(format!("account {id}: {what}"));
        }
        if old.unreadable.is_empty() {
            compare(
                &settled(book, now),
                &settled(&old.book, now),
                "the journal",
                "its record",
                |what| findings.add(what),
            );
            if old.days != tale.days {
                findings.add(format!(
                    "account {id}: its charges by day are not those in the journal"
                ));
            }
        }
        let mut wrote = findings.0.differences.len() > before;
        if wrote {
            self.put(keys, put::account(keys, book, old.line, tale)).await?;
        }
        for key in book.keys.values() {
            let owner = (id.clone(), key.id.clone());
            if self.read_owner(&key.digest).await.ok().flatten() == Some(owner) {
                continue;
            }
            findings.add(format!(
                "account {id}: key {} was not found by its digest",
                key.id
            ));
            let place = Keys(partition_of_digest(&key.digest, self.partitions));
            let text = Put::Text(claim_of(id, &key.id));
            self.put(place, vec![(place.digest(&key.digest), text)]).await?;
            wrote = true;
        }
        Ok(wrote)
    }

    /// Puts the partition's own record, and lets the sweep begin anew where it is past the journal's end.
    async fn rebuild_part(
        &self,
        keys: Keys,
        (closed, stored): (Meta, &[u8]),
        end: &End,
        wrote: &mut bool,
        findings: &mut Findings,
    ) -> Result<(), LedgerError> {
        let n = keys.0;
        let old = layout::PART.read_all(stored);
        match &old {
            None => findings.add(format!("partition {n}: its record could not be read")),
            Some(old) if (old.count("seq"), old.bytes("chain")) != (end.seq, &end.chain) => {
                findings.add(format!(
                    "partition {n}: the journal ends at entry {}, its record at entry {}, or with another chain",
                    end.seq,
                    old.count("seq")
                ));
            }
            Some(_) => {}
        }
        let whole = old
            .as_ref()
            .is_some_and(|old| (old.count("seq"), old.bytes("chain")) == (end.seq, end.chain.as_slice()));
        if whole && !*wrote {
            return Ok(());
        }
        *wrote = true;
        let time = old.map_or(Timestamp::ZERO, |old| Timestamp::from_micros(old.number("time")));
        let part = records::part(closed.stamp(), (end.seq, &end.chain), time.max(end.time));
        let mut puts = vec![(keys.part().into_bytes(), Put::Text(part))];
        if !self.swept_within(keys, end.seq).await? {
            puts.push((keys.swept().into_bytes(), Put::Remove));
            puts.push((keys.open_holds().into_bytes(), Put::Remove));
        }
        self.put(keys, puts).await
    }

    /// Whether the record of the sweep can be read, and is not past the journal's end.
    async fn swept_within(&self, keys: Keys, end: u64) -> Result<bool, LedgerError> {
        let read = [keys.swept().into_bytes()];
        let found = self.find_for(Reader::Job, Script::Lookup, keys, &read, &[]).await;
        Ok(match found {
            Ok(found) if found.text(0).is_empty() => true,
            Ok(found) => layout::SWEPT.read_all(found.text(0)).is_some_and(|swept| {
                ["examined", "target", "forgotten"]
                    .iter()
                    .all(|field| swept.count(field) <= end)
            }),
            Err(LedgerError::Quarantined { .. }) => false,
            Err(error) => return Err(error),
        })
    }

    async fn time_of(&self, keys: Keys) -> Result<Timestamp, LedgerError> {
        let read = [keys.part().into_bytes()];
        let found = self.find_for(Reader::Job, Script::Lookup, keys, &read, &[]);
        Ok(found.await?.time)
    }

    /// Every item of a partition's journal, in order.
    async fn each_group(&self, keys: Keys, mut take: impl FnMut(Group)) -> Result<(), LedgerError> {
        let mut seq = 0;
        loop {
            let groups = self.groups(Reader::Job, keys, seq, ENTRIES).await?;
            let last = groups.last().and_then(|group| group.entries.last());
            let Some(last) = last.map(|entry| entry.seq).filter(|last| *last > seq) else {
                return Ok(());
            };
            seq = last;
            groups.into_iter().for_each(&mut take);
        }
    }
}

/// Takes a journal's next item: it must follow.
fn follow(end: &mut End, group: &Group) -> Result<(), String> {
    if group.before != end.chain {
        return Err(format!(
            "it was changed at or before entry {}: the chain is broken",
            end.seq + 1
        ));
    }
    end.chain.clone_from(&group.after);
    if group.entries.is_empty() {
        return Err(format!("the item after entry {} has no entries", end.seq));
    }
    for entry in &group.entries {
        if entry.seq != end.seq + 1 {
            return Err(format!("entry {} follows entry {}", entry.seq, end.seq));
        }
        (end.seq, end.time) = (entry.seq, end.time.max(entry.time));
    }
    Ok(())
}

impl Stored {
    /// The book from the journal with what only the records tell.
    fn adopted(&self, book: Book, now: Timestamp) -> Book {
        let derived = book.account.clone();
        let mut book = adopt(book, Some(&self.book), self.line, now);
        if !self.counted {
            // What stands there for the account is not what was counted.
            book.account.version = derived.version;
            book.account.gauge = derived.gauge;
            book.account.exceptions = derived.exceptions;
        }
        book
    }
}
