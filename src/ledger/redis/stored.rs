//! All that is stored of an account, as far as it can be read: for a rebuild, which puts the rest right.

use std::collections::BTreeMap;
use std::sync::Arc;

use redis::Value;

use super::answer::credits;
use super::decode;
use super::find::{Reader, text_of};
use super::keys::Keys;
use super::layout;
use super::put::Tale;
use super::records::Day;
use super::script::Script;
use super::{LedgerError, RedisLedger};
use crate::domain::account::{Account, Settings};
use crate::domain::command::Receipt;
use crate::domain::credits::Credits;
use crate::domain::engine::{Book, CommandRecord};
use crate::domain::ids::{AccountId, CommandId, KeyId};
use crate::domain::limits::{Gauge, Limits};
use crate::domain::time::Timestamp;

/// An account's records.
#[derive(Debug)]
pub(super) struct Stored {
    /// What of them can be read.
    pub(super) book: Book,
    /// The account's own counters are among that.
    pub(super) counted: bool,
    /// The deepest credit line that anything was asked with.
    pub(super) line: Credits,
    /// Charges by UTC day.
    pub(super) days: BTreeMap<i64, Day>,
    /// What cannot be read.
    pub(super) unreadable: Vec<String>,
}

/// Fields and their values.
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// What was read, before it is understood.
struct Raw {
    hot: Vec<u8>,
    cold: Vec<u8>,
    ended: Pairs,
    days: Pairs,
    settings: Pairs,
    adjusted: Pairs,
    texts: Vec<Vec<u8>>,
}

fn pairs(item: &Value) -> Pairs {
    let Value::Array(items) = item else {
        return Vec::new();
    };
    let texts: Vec<Vec<u8>> = items.iter().map(|item| text_of(item).to_vec()).collect();
    let (pairs, _) = texts.as_chunks::<2>();
    pairs
        .iter()
        .map(|[name, value]| (name.clone(), value.clone()))
        .collect()
}

impl Raw {
    fn read(items: &[Value]) -> Option<Raw> {
        let [hot, cold, ended, days, settings, adjusted, Value::Array(texts)] = items else {
            return None;
        };
        Some(Raw {
            hot: text_of(hot).to_vec(),
            cold: text_of(cold).to_vec(),
            ended: pairs(ended),
            days: pairs(days),
            settings: pairs(settings),
            adjusted: pairs(adjusted),
            texts: texts.iter().map(|text| text_of(text).to_vec()).collect(),
        })
    }

    fn setting(&self, name: &[u8]) -> &[u8] {
        let found = self.settings.iter().find(|(field, _)| field == name);
        found.map_or(&[], |(_, value)| value)
    }
}

impl RedisLedger {
    pub(super) async fn read_stored(
        &self,
        keys: Keys,
        id: &AccountId,
        tale: &Tale,
    ) -> Result<Stored, LedgerError> {
        let holds: Vec<_> = tale.holds().collect();
        let hold_keys: Vec<_> = holds.iter().map(|hold| keys.hold(id, *hold)).collect();
        let raw = self.raw(keys, id, &hold_keys).await?;
        let mut stored = Stored {
            book: Book::new(Account::new(id.clone(), None, Timestamp::ZERO)),
            counted: true,
            line: tale.line,
            days: BTreeMap::new(),
            unreadable: Vec::new(),
        };
        stored.read_account(id, &raw);
        stored.read_hashes(&raw);
        let capped: Vec<KeyId> = stored
            .book
            .keys
            .values()
            .filter(|key| key.limits != Limits::NONE)
            .map(|key| key.id.clone())
            .collect();
        if !capped.is_empty() {
            let gauges: Vec<_> = capped
                .iter()
                .map(|key| keys.gauge(id, key).into_bytes())
                .collect();
            let found = self.raw(keys, id, &gauges).await?.texts;
            stored.read_gauges(&capped, &found);
        }
        let known: Vec<KeyId> = stored.book.keys.keys().cloned().collect();
        for (hold, text) in holds.into_iter().zip(&raw.texts) {
            match decode::hold(hold, id, text, known.iter()) {
                Ok(read) => {
                    stored.book.holds.insert(hold, read);
                }
                Err(_) if text.is_empty() => {}
                Err(what) => stored
                    .unreadable
                    .push(format!("hold {hold}: {what} could not be read")),
            }
        }
        Ok(stored)
    }

    async fn raw(&self, keys: Keys, id: &AccountId, texts: &[Vec<u8>]) -> Result<Raw, LedgerError> {
        let mut read: Vec<Vec<u8>> = [
            keys.account(id),
            keys.grants(id),
            keys.ended(id),
            keys.days(id),
            keys.settings(id),
            keys.adjusted(id),
        ]
        .map(String::into_bytes)
        .into();
        read.extend_from_slice(texts);
        let found = self
            .find_for(Reader::Job, Script::Whole, keys, &read, &[])
            .await?;
        Raw::read(&found.items)
            .ok_or_else(|| LedgerError::Unavailable("the script's answer cannot be read".to_owned()))
    }
}

impl Stored {
    fn damaged(&mut self, what: &str) {
        self.unreadable.push(format!("{what} could not be read"));
    }

    fn read_account(&mut self, id: &AccountId, raw: &Raw) {
        let settings = decode::settings(raw.setting(b"p"), raw.setting(b"l"), raw.setting(b"r"));
        let settings: Settings = settings.unwrap_or_else(|_| {
            self.damaged("its settings");
            Settings::default()
        });
        match decode::book(id, &raw.hot, &raw.cold, settings.clone()) {
            Ok(book) => {
                self.book = book;
                self.line = decode::credit_line(&raw.hot);
            }
            Err(what) => {
                self.damaged(what);
                self.counted = false;
                self.book.account.settings = Arc::new(settings);
            }
        }
        if let Some(hot) = layout::ACCOUNT.read_all(&raw.hot) {
            let day = Day {
                requests: hot.count("day_count"),
                charged: credits(hot.number("day_charged")),
            };
            if !day.is_nothing() {
                self.days.insert(hot.number("day"), day);
            }
        }
    }

    fn read_hashes(&mut self, raw: &Raw) {
        for (_, stored) in &raw.ended {
            match decode::grant(&mut stored.as_slice()) {
                Ok(grant) => {
                    self.book.grants.insert(grant.facts.id.as_str().to_owned(), grant);
                }
                Err(what) => self.damaged(what),
            }
        }
        for (day, stored) in &raw.days {
            let day = std::str::from_utf8(day).ok().and_then(|day| day.parse().ok());
            match (day, layout::DAY.read_all(stored)) {
                (Some(day), Some(sum)) => {
                    let kept = self.days.entry(day).or_default();
                    kept.requests += sum.count("count");
                    kept.charged = kept.charged.saturating_add(credits(sum.number("charged")));
                }
                _ => self.damaged("a day's charges"),
            }
        }
        for (name, stored) in &raw.settings {
            let Some(name) = name.strip_prefix(b"k") else {
                continue;
            };
            let id = std::str::from_utf8(name).ok().and_then(|id| KeyId::new(id).ok());
            match id.map(|id| decode::key(id, stored, Gauge::default())) {
                Some(Ok(key)) => {
                    self.book.keys.insert(key.id.clone(), key);
                }
                _ => self.damaged("a key"),
            }
        }
        for (name, stored) in &raw.adjusted {
            let id = std::str::from_utf8(name)
                .ok()
                .and_then(|id| CommandId::new(id).ok());
            match (id, layout::ADJUSTED.read_all(stored)) {
                (Some(id), Some(record)) => {
                    let receipt = Receipt {
                        time: Timestamp::from_micros(record.number("time")),
                        amount: Credits::ZERO,
                        available: credits(record.number("available")),
                        expires_at: Timestamp::NEVER,
                    };
                    let amount = credits(record.number("amount"));
                    self.book.commands.insert(id, CommandRecord { amount, receipt });
                }
                _ => self.damaged("an adjustment"),
            }
        }
    }

    fn read_gauges(&mut self, keys: &[KeyId], texts: &[Vec<u8>]) {
        for (key, text) in keys.iter().zip(texts) {
            match (decode::gauge(text), self.book.keys.get_mut(key)) {
                (Ok(gauge), Some(key)) => key.gauge = gauge,
                (_, Some(_)) => self
                    .unreadable
                    .push(format!("the gauge of key {key} could not be read")),
                (_, None) => {}
            }
        }
    }
}
