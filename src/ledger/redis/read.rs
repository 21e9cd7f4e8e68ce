//! Reads: scripts that change nothing, so that what belongs together is of one instant.

use std::collections::BTreeMap;

use redis::Value;

use super::decode::{self, Group, Unreadable};
use super::find::{Found, Reader, about};
use super::keys::{Keys, partition_of, partition_of_digest};
use super::layout;
use super::script::Script;
use super::write::quarantined;
use super::{LedgerError, RedisLedger};
use crate::domain::account::Settings;
use crate::domain::credits::Credits;
use crate::domain::engine::Book;
use crate::domain::entry::Entry;
use crate::domain::hold::Hold;
use crate::domain::ids::{AccountId, HoldId, KeyDigest, KeyId};
use crate::domain::key::{Identity, Key};
use crate::domain::limits::{Gauge, Limits};
use crate::domain::time::Timestamp;
use crate::ledger::{DayUsage, PAGE_MAX, Page, Statement};

/// The most entries that one call follows from one to the one before: each is a look-up.
const STEPS_MAX: usize = 100;

/// The most days of usage that are told at once.
const DAYS_MAX: i64 = 400;

fn damaged(account: &AccountId) -> impl Fn(Unreadable) -> LedgerError + use<> {
    let account = account.clone();
    move |what| quarantined(&account, format!("{what} cannot be read"))
}

/// Whether an account is there, by its record and its settings, which come first in what was found. One without the other is a loss, never an account that
/// nobody made.
fn is_there(account: &AccountId, found: &Found) -> Result<bool, LedgerError> {
    // The caps of a real account are never an empty text.
    match (found.is_missing(0), found.text(2).is_empty()) {
        (true, true) => Ok(false),
        (false, false) => Ok(true),
        (true, false) => Err(quarantined(account, "its record is missing".to_owned())),
        (false, true) => Err(quarantined(account, "its settings are missing".to_owned())),
    }
}

impl RedisLedger {
    pub(super) fn place(&self, account: &AccountId) -> Keys {
        Keys(partition_of(account, self.partitions))
    }

    /// The servers' time, when all that the ledger needs is there. Of a cluster one server is enough: its accounts are served while others are away.
    pub(super) async fn read_time(&self) -> Result<Timestamp, LedgerError> {
        let mut failed = LedgerError::Unavailable("no server is known".to_owned());
        for (_, partition) in self.router.shards() {
            let keys = Keys(partition);
            let read = [keys.swept().into_bytes()];
            match self.find(Script::Lookup, keys, &read, &[]).await {
                Ok(found) => return Ok(found.time),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Whose a digest is claimed to be.
    pub(super) async fn read_owner(
        &self,
        digest: &KeyDigest,
    ) -> Result<Option<(AccountId, KeyId)>, LedgerError> {
        let keys = Keys(partition_of_digest(digest, self.partitions));
        let found = self
            .find(Script::Lookup, keys, &[keys.digest(digest)], &[])
            .await?;
        if found.is_missing(0) {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(found.text(0)).into_owned();
        let owner = text
            .split_once('\n')
            .and_then(|(account, key)| AccountId::new(account).ok().zip(KeyId::new(key).ok()));
        let unreadable = || LedgerError::Quarantined {
            account: String::new(),
            what: "whose a key is cannot be read".to_owned(),
        };
        owner.ok_or_else(unreadable).map(Some)
    }

    pub(super) async fn identity(&self, digest: &KeyDigest) -> Result<Option<Identity>, LedgerError> {
        let Some((account, key)) = self.read_owner(digest).await? else {
            return Ok(None);
        };
        let keys = self.place(&account);
        let read = [
            keys.account(&account).into_bytes(),
            keys.settings(&account).into_bytes(),
        ];
        let field = format!("k{key}").into_bytes();
        let found = self.find(Script::Account, keys, &read, &[field]).await;
        let found = found.map_err(about(&account))?;
        if !is_there(&account, &found)? || found.text(4).is_empty() {
            return Ok(None);
        }
        let bad = damaged(&account);
        let record = layout::ACCOUNT
            .read_all(found.text(0))
            .ok_or("the account's record")
            .map_err(&bad)?;
        let settings = decode::settings(found.text(1), found.text(2), found.text(3)).map_err(&bad)?;
        let key = decode::key(key, found.text(4), Gauge::default()).map_err(&bad)?;
        if key.digest != *digest {
            return Ok(None);
        }
        Ok(Some(Identity {
            key: key.id,
            key_expires_at: key.expires_at,
            key_revoked_at: key.revoked_at,
            key_limits: key.limits,
            plan: settings.plan,
            reasons: settings.reasons.into_iter().collect(),
            limits: settings.limits,
            version: record.count("version"),
            account,
        }))
    }

    /// An account with all its grants, as stored; and as of when.
    pub(super) async fn read_book(
        &self,
        account: &AccountId,
    ) -> Result<Option<(Book, Timestamp)>, LedgerError> {
        let keys = self.place(account);
        let read = [
            keys.account(account),
            keys.settings(account),
            keys.grants(account),
            keys.ended(account),
        ];
        let read = read.map(String::into_bytes);
        let found = self
            .find_for(Reader::Person, Script::Statement, keys, &read, &[])
            .await
            .map_err(about(account))?;
        if !is_there(account, &found)? {
            return Ok(None);
        }
        let bad = damaged(account);
        let settings: Settings =
            decode::settings(found.text(1), found.text(2), found.text(3)).map_err(&bad)?;
        let mut book = decode::book(account, found.text(0), found.text(4), settings).map_err(&bad)?;
        for mut ended in found.texts().skip(5) {
            let grant = decode::grant(&mut ended).map_err(&bad)?;
            book.grants.insert(grant.facts.id.as_str().to_owned(), grant);
        }
        Ok(Some((book, found.time)))
    }

    pub(super) async fn read_statement(&self, account: &AccountId) -> Result<Option<Statement>, LedgerError> {
        let Some((book, time)) = self.read_book(account).await? else {
            return Ok(None);
        };
        let (account, grants) = book.statement(time);
        Ok(Some(Statement {
            account,
            grants,
            time,
        }))
    }

    /// The settings' hash of an account, keys and all.
    async fn read_fields(&self, account: &AccountId) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, LedgerError> {
        let keys = self.place(account);
        let read = [keys.settings(account), keys.account(account)].map(String::into_bytes);
        let found = self
            .find(Script::Keys, keys, &read, &[])
            .await
            .map_err(about(account))?;
        let texts: Vec<_> = found.texts().map(<[u8]>::to_vec).collect();
        let (pairs, _) = texts.as_chunks::<2>();
        Ok(pairs
            .iter()
            .map(|[field, value]| (field.clone(), value.clone()))
            .collect())
    }

    /// The public names of an account's keys.
    pub(super) async fn read_key_ids(&self, account: &AccountId) -> Result<Vec<KeyId>, LedgerError> {
        let fields = self.read_fields(account).await?;
        let keys = decode::key_fields(&fields).map_err(damaged(account))?;
        Ok(keys.into_iter().map(|(id, _)| id).collect())
    }

    pub(super) async fn read_keys(&self, account: &AccountId) -> Result<Vec<Key>, LedgerError> {
        let fields = self.read_fields(account).await?;
        let bad = damaged(account);
        let stored = decode::key_fields(&fields).map_err(&bad)?;
        let read = |(id, stored): (KeyId, &[u8])| decode::key(id, stored, Gauge::default());
        let mut keys = stored
            .into_iter()
            .map(read)
            .collect::<Result<Vec<_>, _>>()
            .map_err(&bad)?;
        let place = self.place(account);
        for key in keys.iter_mut().filter(|key| key.limits != Limits::NONE) {
            let gauge = self
                .ask(place.0, redis::cmd("GET").arg(place.gauge(account, &key.id)))
                .await
                .map_err(about(account))?;
            let Value::BulkString(gauge) = gauge else {
                return Err(quarantined(
                    account,
                    format!("the gauge of key {} is missing", key.id),
                ));
            };
            key.gauge = decode::gauge(&gauge).map_err(&bad)?;
        }
        keys.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(keys)
    }

    pub(super) async fn read_hold(
        &self,
        account: &AccountId,
        hold: HoldId,
    ) -> Result<Option<Hold>, LedgerError> {
        let keys = self.place(account);
        let read = [keys.settings(account).into_bytes(), keys.hold(account, hold)];
        let found = self.find(Script::Hold, keys, &read, &[]).await;
        let found = found.map_err(about(account))?;
        if found.is_missing(0) {
            return Ok(None);
        }
        let fields: BTreeMap<_, _> = found
            .texts()
            .skip(1)
            .map(|field| (field.to_vec(), Vec::new()))
            .collect();
        let bad = damaged(account);
        let ids: Vec<_> = decode::key_fields(&fields)
            .map_err(&bad)?
            .into_iter()
            .map(|(id, _)| id)
            .collect();
        decode::hold(hold, account, found.text(0), ids.iter())
            .map(Some)
            .map_err(&bad)
    }

    pub(super) async fn read_accounts(
        &self,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<AccountId>, LedgerError> {
        let begin = || {
            let (partition, place) = cursor.unwrap_or("0:0").split_once(':')?;
            Some((partition.parse::<u32>().ok()?, place.parse::<usize>().ok()?))
        };
        let (mut partition, mut place) =
            begin().ok_or_else(|| LedgerError::Invalid("not a cursor of this list".to_owned()))?;
        let limit = limit.clamp(1, PAGE_MAX);
        let mut items = Vec::new();
        while partition < self.partitions {
            let keys = Keys(partition);
            let last = place + limit - items.len() - 1;
            let args = [place.to_string().into_bytes(), last.to_string().into_bytes()];
            let list = [keys.accounts().into_bytes()];
            let found = self
                .find_for(Reader::Person, Script::Accounts, keys, &list, &args)
                .await?;
            place += found.items.len();
            items.extend(
                found
                    .texts()
                    .filter_map(|id| AccountId::new(std::str::from_utf8(id).ok()?).ok()),
            );
            if items.len() >= limit {
                let next = Some(format!("{partition}:{place}"));
                return Ok(Page { items, next });
            }
            (partition, place) = (partition + 1, 0);
        }
        Ok(Page { items, next: None })
    }

    fn entries_in(&self, found: &Found, account: &AccountId) -> Result<Vec<(Entry, u64)>, LedgerError> {
        let texts: Vec<_> = found.texts().collect();
        let (pairs, _) = texts.as_chunks::<2>();
        let read = pairs.iter().map(|[line, tail]| decode::entry(line, tail));
        read.collect::<Result<_, _>>().map_err(damaged(account))
    }

    pub(super) async fn read_entries(
        &self,
        account: &AccountId,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<Entry>, LedgerError> {
        let keys = self.place(account);
        let limit = limit.clamp(1, PAGE_MAX);
        let read = [keys.account(account), keys.journal(), keys.settings(account)].map(String::into_bytes);
        let mut next = cursor.unwrap_or("0").parse::<u64>();
        let mut items: Vec<Entry> = Vec::new();
        loop {
            let from = *next
                .as_ref()
                .map_err(|_| LedgerError::Invalid("not a cursor of this list".to_owned()))?;
            let most = (limit - items.len()).min(STEPS_MAX);
            let args = [from.to_string().into_bytes(), most.to_string().into_bytes()];
            let found = self
                .find_for(Reader::Person, Script::Entries, keys, &read, &args)
                .await
                .map_err(about(account))?;
            items.extend(
                self.entries_in(&found, account)?
                    .into_iter()
                    .map(|(entry, _)| entry),
            );
            let before = items.last().map_or(0, |entry| entry.previous);
            if before == 0 || items.len() >= limit {
                let next = (before > 0).then(|| before.to_string());
                return Ok(Page { items, next });
            }
            next = Ok(before);
        }
    }

    pub(super) async fn read_entries_of_hold(
        &self,
        account: &AccountId,
        hold: HoldId,
    ) -> Result<Vec<Entry>, LedgerError> {
        let keys = self.place(account);
        let read = [keys.hold(account, hold), keys.journal().into_bytes()];
        let found = self.find(Script::OfHold, keys, &read, &[]).await;
        let found = found.map_err(about(account))?;
        let mut entries: Vec<_> = self
            .entries_in(&found, account)?
            .into_iter()
            .map(|(entry, _)| entry)
            .collect();
        entries.reverse();
        Ok(entries)
    }

    pub(super) async fn read_days(
        &self,
        account: &AccountId,
        from: i64,
        to: i64,
    ) -> Result<Vec<DayUsage>, LedgerError> {
        let keys = self.place(account);
        let days: Vec<i64> = (from..=to.min(from.saturating_add(DAYS_MAX - 1))).collect();
        if days.is_empty() {
            return Ok(Vec::new());
        }
        let read = [
            keys.account(account).into_bytes(),
            keys.days(account).into_bytes(),
        ];
        let args: Vec<_> = days.iter().map(|day| day.to_string().into_bytes()).collect();
        let found = self.find(Script::Days, keys, &read, &args).await;
        let found = found.map_err(about(account))?;
        let Some(record) = layout::ACCOUNT.read_all(found.text(0)) else {
            return Ok(Vec::new());
        };
        let mut usage = Vec::new();
        for (day, stored) in days.into_iter().zip(found.texts().skip(1)) {
            let kept = layout::DAY.read_all(stored);
            let (mut requests, mut charged) =
                kept.map_or((0, 0), |kept| (kept.count("count"), kept.number("charged")));
            if day == record.number("day") {
                requests += record.count("day_count");
                charged += record.number("day_charged");
            }
            if requests > 0 || charged != 0 {
                let charged = Credits::from_micros(charged).unwrap_or(Credits::ZERO);
                usage.push(DayUsage {
                    day,
                    requests,
                    charged,
                });
            }
        }
        Ok(usage)
    }

    pub(super) async fn read_journal(
        &self,
        partition: u32,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, LedgerError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let mut entries: Vec<Entry> = Vec::new();
        let mut after = after;
        while entries.len() < limit {
            let groups = self.groups(Reader::Person, Keys(partition), after, limit).await?;
            // The first item may begin before.
            let new = groups.into_iter().flat_map(|group| group.entries);
            entries.extend(new.filter(|entry| entry.seq > after));
            match entries.last() {
                Some(last) if last.seq > after => after = last.seq,
                _ => break,
            }
        }
        entries.truncate(limit);
        Ok(entries)
    }

    /// Items of a partition's journal, from that on which has the entry after `after`, until they have `most` entries; none at the journal's end.
    pub(super) async fn groups(
        &self,
        reader: Reader,
        keys: Keys,
        after: u64,
        most: usize,
    ) -> Result<Vec<Group>, LedgerError> {
        let args = [
            (after + 1).to_string().into_bytes(),
            most.to_string().into_bytes(),
        ];
        let found = self
            .find_for(
                reader,
                Script::Journal,
                keys,
                &[keys.journal().into_bytes()],
                &args,
            )
            .await?;
        let read = found.items.iter().skip(1).map(decode::group);
        read.collect::<Result<_, _>>()
            .map_err(|what| self.lost(keys.0, what))
    }
}
