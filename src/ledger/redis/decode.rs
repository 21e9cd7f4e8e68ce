//! Stored records as values of the domain.

use std::collections::BTreeMap;
use std::sync::Arc;

use redis::Value;

use super::answer::credits;
use super::codes;
use super::encode::key_digest;
use super::layout::{self, Record};
use crate::domain::account::{Account, Exceptions, Settings};
use crate::domain::credits::Credits;
use crate::domain::engine::Book;
use crate::domain::entry::{Detail, Entry, EntryKind};
use crate::domain::grant::{Grant, GrantFacts};
use crate::domain::hold::Hold;
use crate::domain::ids::{AccountId, GrantId, HoldId, KeyDigest, KeyId, PlanId, Reason};
use crate::domain::key::Key;
use crate::domain::limits::{Gauge, Limits};
use crate::domain::time::Timestamp;

/// What is stored cannot be read; what.
pub(super) type Unreadable = &'static str;

fn micros(record: &Record<'_>, name: &str) -> Timestamp {
    Timestamp::from_micros(record.number(name))
}

fn amount(record: &Record<'_>, name: &str) -> Credits {
    credits(record.number(name))
}

/// A time stored as one more than it is, 0 for none.
fn maybe(stored: i64) -> Option<Timestamp> {
    (stored > 0).then(|| Timestamp::from_micros(stored - 1))
}

fn text(bytes: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(bytes).map_err(|_| "a text that is not UTF-8")
}

/// A text stored after one byte, nothing for none.
fn maybe_text(bytes: &[u8]) -> Result<Option<Arc<str>>, Unreadable> {
    bytes.get(1..).map(|rest| text(rest).map(Arc::from)).transpose()
}

fn gauge_of(record: &Record<'_>) -> Gauge {
    Gauge {
        open: record.count("open"),
        held: amount(record, "held"),
        requests_at: micros(record, "requests_at"),
        tokens_at: micros(record, "tokens_at"),
        day: record.number("day"),
        day_spent: amount(record, "day_spent"),
        month: record.number("month"),
        month_spent: amount(record, "month_spent"),
    }
}

/// A key's gauge.
pub(super) fn gauge(stored: &[u8]) -> Result<Gauge, Unreadable> {
    let record = layout::GAUGE.read_all(stored).ok_or("a key's gauge")?;
    Ok(gauge_of(&record))
}

/// The book of an account from its hot record, its cold record with the live grants, and its settings; without keys, holds, adjustments and ended grants.
pub(super) fn book(id: &AccountId, hot: &[u8], cold: &[u8], settings: Settings) -> Result<Book, Unreadable> {
    let record = layout::ACCOUNT.read_all(hot).ok_or("the account's record")?;
    let mut rest = cold;
    let other = layout::COLD
        .read(&mut rest)
        .ok_or("the account's other counters")?;
    let account = Account {
        id: id.clone(),
        created_at: micros(&other, "created_at"),
        settings: Arc::new(settings),
        version: record.count("version"),
        granted: amount(&other, "granted"),
        spent: amount(&record, "spent"),
        expired: amount(&other, "expired"),
        voided: amount(&other, "voided"),
        gauge: gauge_of(&record),
        taken: amount(&other, "taken"),
        dealt: amount(&other, "dealt"),
        exceptions: Exceptions {
            overrun: amount(&other, "overrun"),
            late: amount(&other, "late"),
            clawback: amount(&other, "clawback"),
        },
        next_due: micros(&record, "next_due"),
        ending: record.number("ending") == 1,
        entries: record.count("entries"),
        last_entry: record.count("last_entry"),
    };
    let bound = account
        .granted
        .saturating_sub(account.expired)
        .saturating_sub(account.voided);
    if bound != amount(&record, "bound") {
        return Err("the account's records do not belong together");
    }
    let mut book = Book::new(account);
    while !rest.is_empty() {
        let grant = grant(&mut rest)?;
        book.grants.insert(grant.facts.id.as_str().to_owned(), grant);
    }
    Ok(book)
}

/// The deepest credit line that anything was asked with, from an account's hot record.
pub(super) fn credit_line(hot: &[u8]) -> Credits {
    let record = layout::ACCOUNT.read_all(hot);
    record.map_or(Credits::ZERO, |record| amount(&record, "line"))
}

/// A grant, from the front of what is stored.
pub(super) fn grant(stored: &mut &[u8]) -> Result<Grant, Unreadable> {
    let record = layout::GRANT.read(stored).ok_or("a grant")?;
    let facts = GrantFacts {
        id: GrantId::new(text(record.bytes("id"))?).map_err(|_| "a grant's id")?,
        amount: amount(&record, "amount"),
        priority: u8::try_from(record.number("priority")).map_err(|_| "a grant's priority")?,
        category: codes::value_of(codes::CATEGORIES, record.number("category"))
            .ok_or("a grant's category")?,
        effective_at: micros(&record, "effective_at"),
        expires_at: micros(&record, "expires_at"),
        created_at: micros(&record, "created_at"),
        updated_at: micros(&record, "updated_at"),
        voided_at: maybe(record.number("voided_at")),
        note: maybe_text(record.bytes("note"))?,
    };
    Ok(Grant {
        facts,
        state: codes::value_of(codes::GRANT_STATES, record.number("state")).ok_or("a grant's state")?,
        drawn: amount(&record, "drawn"),
        expired: amount(&record, "expired"),
        voided: amount(&record, "voided"),
        guarded: amount(&record, "guarded"),
        ended: record.count("ended"),
    })
}

/// An account's settings from its fields `p`, `l` and `r`.
pub(super) fn settings(plan: &[u8], limits: &[u8], reasons: &[u8]) -> Result<Settings, Unreadable> {
    let plan = text(plan)?;
    let plan = (!plan.is_empty())
        .then(|| PlanId::new(plan))
        .transpose()
        .map_err(|_| "the plan")?;
    let reasons = text(reasons)?.lines().map(Reason::new).collect::<Result<_, _>>();
    let mut rest = limits;
    Ok(Settings {
        plan,
        reasons: reasons.map_err(|_| "a reason")?,
        limits: limits_from(&mut rest)?,
    })
}

/// Caps, from the front of what is stored.
fn limits_from(stored: &mut &[u8]) -> Result<Limits, Unreadable> {
    let which = *stored.split_off_first().ok_or("the caps")?;
    let mut next = |bit: u8| -> Result<Option<u64>, Unreadable> {
        if which & (1 << bit) == 0 {
            return Ok(None);
        }
        let raw = stored.split_off(..8).ok_or("the caps")?;
        Ok(Some(u64::from_le_bytes(raw.try_into().map_err(|_| "the caps")?)))
    };
    let (requests, tokens, concurrent) = (next(0)?, next(1)?, next(2)?);
    let amount = |cap: Option<u64>| cap.map(|micros| credits(micros as i64));
    Ok(Limits {
        requests_per_minute: requests,
        tokens_per_minute: tokens,
        concurrent,
        spend_per_day: amount(next(3)?),
        spend_per_month: amount(next(4)?),
    })
}

/// A key from its field of the settings; its gauge is kept elsewhere.
pub(super) fn key(id: KeyId, stored: &[u8], gauge: Gauge) -> Result<Key, Unreadable> {
    let mut rest = stored;
    let dates = layout::KEY_DATES.read(&mut rest).ok_or("a key's dates")?;
    let digest = rest
        .split_off(..32)
        .and_then(|raw| raw.try_into().ok())
        .ok_or("a key's digest")?;
    let expires_at = match rest.split_off_first() {
        Some(0) => Timestamp::NEVER,
        Some(_) => {
            let raw = rest.split_off(..7).ok_or("a key's end")?;
            let mut bytes = [0; 8];
            bytes[..7].copy_from_slice(raw);
            Timestamp::from_micros(i64::from_le_bytes(bytes))
        }
        None => return Err("a key's end"),
    };
    Ok(Key {
        id,
        digest: KeyDigest(digest),
        limits: limits_from(&mut rest)?,
        name: maybe_text(rest)?,
        created_at: micros(&dates, "made_at"),
        expires_at,
        revoked_at: maybe(dates.number("revoked_at")),
        gauge,
    })
}

/// A hold; `keys` are the account's, among which its own is found.
pub(super) fn hold<'a>(
    id: HoldId,
    account: &AccountId,
    stored: &[u8],
    mut keys: impl Iterator<Item = &'a KeyId>,
) -> Result<Hold, Unreadable> {
    let record = layout::HOLD.read_all(stored).ok_or("the hold")?;
    let key = keys.find(|key| key_digest(key) == record.bytes("key"));
    let content = record
        .bytes("content")
        .try_into()
        .map_err(|_| "the hold's content")?;
    Ok(Hold {
        id,
        account: account.clone(),
        key: key.ok_or("the hold's key")?.clone(),
        state: codes::value_of(codes::HOLD_STATES, record.number("state")).ok_or("the hold's state")?,
        amount: amount(&record, "amount"),
        opened: amount(&record, "opened"),
        charged: amount(&record, "charged"),
        opened_at: micros(&record, "opened_at"),
        expires_at: micros(&record, "expires_at"),
        number: record.count("number"),
        extensions: record.count("extensions"),
        available: amount(&record, "available"),
        content: u64::from_le_bytes(content),
        claim: None,
    })
}

/// A line of the journal from its two fields; also the seq of the line before it that tells of the same hold, 0 for none.
pub(super) fn entry(line: &[u8], tail: &[u8]) -> Result<(Entry, u64), Unreadable> {
    let record = layout::ENTRY.read_all(line).ok_or("an entry")?;
    let mut rest = tail;
    let mut text8 = || -> Result<&[u8], Unreadable> {
        let len = usize::from(*rest.split_off_first().ok_or("an entry's texts")?);
        rest.split_off(..len).ok_or("an entry's texts")
    };
    let (account, subject) = (text8()?, text8()?);
    let code = u8::try_from(record.number("kind")).unwrap_or_default();
    let kind = EntryKind::from_code(code).ok_or("an entry's kind")?;
    let about_hold = matches!(
        kind,
        EntryKind::Hold | EntryKind::Extend | EntryKind::Capture | EntryKind::Release
    );
    let subject = match <[u8; 16]>::try_from(subject) {
        Ok(raw) if about_hold => HoldId::from_bytes(raw).to_string(),
        _ => text(subject)?.to_owned(),
    };
    let entry = Entry {
        seq: record.count("seq"),
        number: record.count("number"),
        previous: record.count("previous"),
        time: micros(&record, "time"),
        account: AccountId::new(text(account)?).map_err(|_| "an entry's account")?,
        kind,
        subject: subject.into(),
        amount: amount(&record, "amount"),
        held: amount(&record, "held"),
        available: amount(&record, "available"),
        detail: if rest.is_empty() {
            Detail::none()
        } else {
            Detail::new(text(rest)?)
        },
    };
    Ok((entry, record.count("link")))
}

/// Keys of the settings' hash by public name, as stored.
pub(super) fn key_fields(fields: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<Vec<(KeyId, &[u8])>, Unreadable> {
    let keys = fields
        .iter()
        .filter_map(|(field, stored)| Some((field.strip_prefix(b"k")?, stored)));
    keys.map(|(id, stored)| {
        Ok((
            KeyId::new(text(id)?).map_err(|_| "a key's id")?,
            stored.as_slice(),
        ))
    })
    .collect()
}

/// An item of the journal: what one call wrote of a partition.
#[derive(Debug)]
pub(super) struct Group {
    /// The end of the hash chain before it.
    pub(super) before: Vec<u8>,
    /// The end of the hash chain after it.
    pub(super) after: Vec<u8>,
    pub(super) entries: Vec<Entry>,
}

/// Reads the fields of an item of the journal: `h`, then `e` and `t` for each entry.
pub(super) fn group(fields: &Value) -> Result<Group, Unreadable> {
    let Value::Array(fields) = fields else {
        return Err("has an item that is no list");
    };
    let texts: Option<Vec<&[u8]>> = fields
        .iter()
        .map(|field| match field {
            Value::BulkString(text) => Some(text.as_slice()),
            _ => None,
        })
        .collect();
    let texts = texts.ok_or("has an item that is no texts")?;
    let [b"h", before, rest @ ..] = texts.as_slice() else {
        return Err("has an item without a hash");
    };
    let (quads, []) = rest.as_chunks::<4>() else {
        return Err("has an item with half an entry");
    };
    let read = quads
        .iter()
        .map(|[_, line, _, tail]| entry(line, tail).map(|(entry, _)| entry));
    Ok(Group {
        entries: read.collect::<Result<_, _>>()?,
        before: before.to_vec(),
        after: chain(before, rest),
    })
}

/// The hash after an item: of the hash before it and its entries' fields, the first sixteen hexadecimal digits of their SHA-1.
pub(super) fn chain(before: &[u8], fields: &[&[u8]]) -> Vec<u8> {
    let mut bytes = before.to_vec();
    bytes.extend(fields.concat());
    let mut hash = sha1_smol::Sha1::from(bytes).digest().to_string().into_bytes();
    hash.truncate(16);
    hash
}
