//! Records put in the place of what is there, in a store that is closed to everybody else: an account's as its book has them, lines of the journal.

use std::collections::{BTreeMap, VecDeque};

use super::find::Reader;
use super::keys::Keys;
use super::layout::Writer;
use super::records::{self, Day};
use super::script::Script;
use super::{LedgerError, RedisLedger};
use crate::domain::claim::ClaimKey;
use crate::domain::command::HOLDS_REMEMBERED;
use crate::domain::credits::Credits;
use crate::domain::engine::Book;
use crate::domain::entry::{Entry, EntryKind};
use crate::domain::grant::GrantState;
use crate::domain::hold::HoldState;
use crate::domain::ids::HoldId;
use crate::domain::limits::Limits;
use crate::domain::time::{Span, Timestamp};

/// The most records of one call, and the most bytes but for the last record's: a call stays a matter of milliseconds.
const RECORDS_MAX: usize = 200;
const BYTES_MAX: usize = 256 * 1024;

/// How long after its end a hold is told of: twice as long as its id is remembered, since a late capture may come at the end of that.
const TOLD_FOR: Span = Span::from_secs(2 * HOLDS_REMEMBERED.secs_ceil());

/// How a record is put.
#[derive(Debug)]
pub(super) enum Put {
    /// It goes.
    Remove,
    /// A text.
    Text(Vec<u8>),
    /// A text that Redis itself forgets when it counts for nothing any more: a claim.
    Passing(Vec<u8>),
    /// A hash of exactly these fields and values.
    Hash(Vec<(Vec<u8>, Vec<u8>)>),
    /// An item of a list, at this place, which is the list's end.
    Push(usize, Vec<u8>),
    /// Members of a sorted set.
    Scores(Vec<(i64, Vec<u8>)>),
    /// An item of a stream under this number, with its fields and values.
    Item(u64, Vec<Vec<u8>>),
}

impl Put {
    fn arg(&self) -> Vec<u8> {
        let field = |written: Writer, text: &[u8]| written.number(text.len() as i64, 4).bytes(text);
        let kind = |kind: u8| Writer::default().bytes(&[kind]);
        let number = |n: String| n.into_bytes();
        match self {
            Put::Remove => kind(b'-').0,
            Put::Text(text) => kind(b'=').bytes(text).0,
            Put::Passing(text) => kind(b'~').bytes(text).0,
            Put::Hash(pairs) => {
                let put = |written, (name, value): &(Vec<u8>, Vec<u8>)| field(field(written, name), value);
                pairs.iter().fold(kind(b'#'), put).0
            }
            Put::Push(place, item) => field(field(kind(b'>'), &number(place.to_string())), item).0,
            Put::Scores(members) => {
                let put = |written, (score, member): &(i64, Vec<u8>)| {
                    field(field(written, &number(score.to_string())), member)
                };
                members.iter().fold(kind(b'@'), put).0
            }
            Put::Item(seq, fields) => {
                let begun = field(kind(b'+'), &number(seq.to_string()));
                fields.iter().fold(begun, |written, text| field(written, text)).0
            }
        }
    }
}

/// A hash, which is not there when it has no fields.
fn hash(pairs: Vec<(Vec<u8>, Vec<u8>)>) -> Put {
    if pairs.is_empty() {
        Put::Remove
    } else {
        Put::Hash(pairs)
    }
}

/// What an account's journal tells beside its book.
#[derive(Debug, Default)]
pub(super) struct Tale {
    /// Charges by UTC day.
    pub(super) days: BTreeMap<i64, Day>,
    /// Holds that are open, or ended so lately that they may be remembered; the last entry that tells of each, and when.
    holds: BTreeMap<HoldId, (u64, Timestamp)>,
    ended: VecDeque<(Timestamp, HoldId)>,
    /// How far below zero holds were opened: at least so much credit there was.
    pub(super) line: Credits,
}

impl Tale {
    /// Takes the account's next entry; the seq of the entry before it that tells of the same hold.
    pub(super) fn take(&mut self, entry: &Entry) -> u64 {
        let Some(hold) = records::of_hold(entry) else {
            return 0;
        };
        let before = self.holds.insert(hold, (entry.seq, entry.time));
        match entry.kind {
            EntryKind::Capture | EntryKind::Release => {
                if !entry.amount.is_zero() {
                    let day = self.days.entry(entry.time.day()).or_default();
                    day.requests +=
                        u64::from(entry.kind == EntryKind::Capture && entry.amount > Credits::ZERO);
                    day.charged = day.charged.saturating_add(entry.amount);
                }
                self.ended.push_back((entry.time, hold));
            }
            _ => {
                let below = Credits::ZERO.saturating_sub(entry.available);
                self.line = self.line.max(below);
            }
        }
        let over = |at: Timestamp| entry.time.since(at) > TOLD_FOR;
        while let Some((at, hold)) = self.ended.front()
            && over(*at)
        {
            if self.holds.get(hold).is_some_and(|(_, at)| over(*at)) {
                self.holds.remove(hold);
            }
            self.ended.pop_front();
        }
        before.map_or(0, |(seq, _)| seq)
    }

    /// The holds it tells of.
    pub(super) fn holds(&self) -> impl Iterator<Item = HoldId> + '_ {
        self.holds.keys().copied()
    }

    /// The last entry that tells of a hold.
    fn last(&self, hold: HoldId) -> u64 {
        self.holds.get(&hold).map_or(0, |(seq, _)| *seq)
    }
}

/// All records of an account; nothing else of it may be there.
pub(super) fn account(keys: Keys, book: &Book, line: Credits, tale: &Tale) -> Vec<(Vec<u8>, Put)> {
    let id = &book.account.id;
    let today = book.account.gauge.day;
    let day = tale.days.get(&today).copied().unwrap_or_default();
    let past = tale
        .days
        .iter()
        .filter(|(d, sum)| **d != today && !sum.is_nothing());
    let ended = book.grants.values().filter(|g| g.state == GrantState::Ended);
    let ended = ended.map(|g| (g.facts.id.as_str().as_bytes().to_vec(), records::grant(g)));
    let settings = records::settings(&book.account.settings).into_iter();
    let adjusted = book.commands.iter().map(|(id, record)| {
        let id = id.as_str().as_bytes().to_vec();
        (id, records::adjusted(record))
    });
    let past = past.map(|(day, sum)| (day.to_string().into_bytes(), sum.record()));
    let mut puts: Vec<(Vec<u8>, Put)> = [
        (
            keys.account(id),
            Put::Text(records::account(&book.account, line, day)),
        ),
        (keys.grants(id), Put::Text(records::grants(book))),
        (keys.ended(id), hash(ended.collect())),
        (keys.days(id), hash(past.collect())),
        (
            keys.settings(id),
            hash(settings.chain(book.keys.values().map(records::key)).collect()),
        ),
        (keys.adjusted(id), hash(adjusted.collect())),
    ]
    .map(|(key, put)| (key.into_bytes(), put))
    .into();
    for key in book.keys.values().filter(|key| key.limits != Limits::NONE) {
        let gauge = keys.gauge(id, &key.id).into_bytes();
        puts.push((gauge, Put::Text(records::gauge(&key.gauge))));
    }
    let mut visits = Vec::new();
    for hold in book.holds.values() {
        let capped = book.keys.get(&hold.key).is_some_and(|k| k.limits != Limits::NONE);
        let last = tale.last(hold.id);
        puts.push((
            keys.hold(id, hold.id),
            Put::Text(records::hold(hold, capped, last)),
        ));
        // The sweep may be past them in the journal.
        let at = match hold.state {
            HoldState::Open => hold.expires_at,
            _ => hold.expires_at.plus(HOLDS_REMEMBERED),
        };
        let name = [id.as_str().as_bytes(), b":", hold.id.as_bytes()].concat();
        visits.push((at.micros(), name));
    }
    puts.extend(claims(keys, book));
    if !visits.is_empty() {
        puts.push((keys.open_holds().into_bytes(), Put::Scores(visits)));
    }
    puts
}

/// Of the holds under each idempotency key, the last one has it.
fn claims(keys: Keys, book: &Book) -> impl Iterator<Item = (Vec<u8>, Put)> {
    let mut last: BTreeMap<ClaimKey, (u64, Vec<u8>)> = BTreeMap::new();
    for hold in book.holds.values() {
        let Some(claim) = &hold.claim else { continue };
        let holder = last.entry(claim.key).or_default();
        if holder.0 < hold.number {
            *holder = (hold.number, records::claimed(claim, hold.id));
        }
    }
    let id = book.account.id.clone();
    last.into_iter()
        .map(move |(key, (_, record))| (keys.claim(&id, key), Put::Passing(record)))
}

impl RedisLedger {
    /// Puts records of a partition, in calls of bounded size.
    pub(super) async fn put(&self, keys: Keys, puts: Vec<(Vec<u8>, Put)>) -> Result<(), LedgerError> {
        let (mut names, mut args, mut bytes) = (Vec::new(), Vec::new(), 0);
        for (key, put) in puts {
            let arg = put.arg();
            bytes += key.len() + arg.len();
            names.push(key);
            args.push(arg);
            if names.len() >= RECORDS_MAX || bytes >= BYTES_MAX {
                self.find_for(Reader::Job, Script::Put, keys, &names, &args)
                    .await?;
                (names, args, bytes) = (Vec::new(), Vec::new(), 0);
            }
        }
        if !names.is_empty() {
            self.find_for(Reader::Job, Script::Put, keys, &names, &args)
                .await?;
        }
        Ok(())
    }
}
