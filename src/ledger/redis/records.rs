//! Values of the domain as stored records: what [`super::decode`] reads. For rebuilding and copying only; what requests change the scripts write.

use super::codes;
use super::encode::{fixed, key_digest, limits_bytes};
use super::layout::Writer;
use crate::domain::account::{Account, Settings};
use crate::domain::claim::Claim;
use crate::domain::command::NewKey;
use crate::domain::credits::Credits;
use crate::domain::engine::{Book, CommandRecord};
use crate::domain::entry::{Entry, EntryKind};
use crate::domain::grant::{Grant, GrantState};
use crate::domain::hold::Hold;
use crate::domain::ids::HoldId;
use crate::domain::key::Key;
use crate::domain::limits::Gauge;
use crate::domain::time::Timestamp;

/// Charges of one day: how many requests, and their sum.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Day {
    pub(super) requests: u64,
    pub(super) charged: Credits,
}

impl Day {
    pub(super) fn is_nothing(self) -> bool {
        self == Day::default()
    }

    fn fields(self, record: Writer) -> Writer {
        record.count(self.requests, 4).amount(self.charged)
    }

    /// One that is over.
    pub(super) fn record(self) -> Vec<u8> {
        self.fields(Writer::default()).0
    }
}

/// Fields as records have them. Counts are far from their fields' ends.
impl Writer {
    fn amount(self, amount: Credits) -> Writer {
        self.number(amount.micros(), 7)
    }

    fn time(self, at: Timestamp) -> Writer {
        self.number(at.micros(), 7)
    }

    /// One more than the time, 0 for none.
    fn maybe(self, at: Option<Timestamp>) -> Writer {
        self.number(at.map_or(0, |at| at.micros() + 1), 7)
    }

    fn count(self, count: u64, len: usize) -> Writer {
        self.number(i64::try_from(count).unwrap_or(i64::MAX), len)
    }
}

fn gauge_fields(record: Writer, gauge: &Gauge) -> Writer {
    record
        .count(gauge.open, 4)
        .amount(gauge.held)
        .time(gauge.requests_at)
        .time(gauge.tokens_at)
        .number(gauge.day, 3)
        .amount(gauge.day_spent)
        .number(gauge.month, 2)
        .amount(gauge.month_spent)
}

/// A key's gauge.
pub(super) fn gauge(gauge: &Gauge) -> Vec<u8> {
    gauge_fields(Writer::default(), gauge).0
}

/// An account's hot record; `day` has the charges of its gauge's day.
pub(super) fn account(account: &Account, line: Credits, day: Day) -> Vec<u8> {
    let bound = account
        .granted
        .saturating_sub(account.expired)
        .saturating_sub(account.voided);
    let record = gauge_fields(Writer::default(), &account.gauge).amount(account.spent);
    day.fields(record)
        .count(account.entries, 6)
        .count(account.last_entry, 6)
        .count(account.version, 4)
        .time(account.next_due)
        .number(i64::from(account.ending), 1)
        .amount(bound)
        .amount(line)
        .0
}

/// The record of an account's other counters and of its grants that are not over.
pub(super) fn grants(book: &Book) -> Vec<u8> {
    let account = &book.account;
    let mut record = Writer::default()
        .amount(account.granted)
        .amount(account.expired)
        .amount(account.voided)
        .amount(account.taken)
        .amount(account.dealt)
        .amount(account.exceptions.overrun)
        .amount(account.exceptions.late)
        .amount(account.exceptions.clawback)
        .time(account.created_at);
    let live = book.grants.values().filter(|g| g.state != GrantState::Ended);
    let mut live: Vec<&Grant> = live.collect();
    live.sort_by(|a, b| a.burns_before(b));
    for live in live {
        record = record.bytes(&grant(live));
    }
    record.0
}

/// A grant.
pub(super) fn grant(grant: &Grant) -> Vec<u8> {
    let facts = &grant.facts;
    let note = facts
        .note
        .as_deref()
        .map_or_else(Vec::new, |note| [b"n", note.as_bytes()].concat());
    Writer::default()
        .amount(facts.amount)
        .number(i64::from(facts.priority), 1)
        .number(i64::from(codes::number_of(codes::CATEGORIES, facts.category)), 1)
        .number(i64::from(codes::number_of(codes::GRANT_STATES, grant.state)), 1)
        .time(facts.effective_at)
        .time(facts.expires_at)
        .time(facts.created_at)
        .time(facts.updated_at)
        .maybe(facts.voided_at)
        .amount(grant.drawn)
        .amount(grant.expired)
        .amount(grant.voided)
        .amount(grant.guarded)
        .count(grant.ended, 6)
        .text8(facts.id.as_str().as_bytes())
        .text16(&note)
        .0
}

/// A hold; `last` is the seq of its last entry, `capped` says that its key has caps.
pub(super) fn hold(hold: &Hold, capped: bool, last: u64) -> Vec<u8> {
    Writer::default()
        .number(i64::from(codes::number_of(codes::HOLD_STATES, hold.state)), 1)
        .number(i64::from(capped), 1)
        .amount(hold.amount)
        .amount(hold.opened)
        .amount(hold.charged)
        .time(hold.opened_at)
        .time(hold.expires_at)
        .count(hold.number, 6)
        .count(hold.extensions, 4)
        .amount(hold.available)
        .count(last, 6)
        .bytes(&hold.content.to_le_bytes())
        .bytes(&key_digest(&hold.key))
        .0
}

/// The settings' fields of a plan, caps and reasons.
pub(super) fn settings(settings: &Settings) -> [(Vec<u8>, Vec<u8>); 3] {
    let plan = settings.plan.as_ref().map_or("", |plan| plan.as_str());
    let reasons: String = settings.reasons.iter().map(|r| format!("{r}\n")).collect();
    [
        (b"p".to_vec(), plan.as_bytes().to_vec()),
        (b"l".to_vec(), limits_bytes(&settings.limits)),
        (b"r".to_vec(), reasons.into_bytes()),
    ]
}

/// The settings' field of a key, without its gauge.
pub(super) fn key(key: &Key) -> (Vec<u8>, Vec<u8>) {
    let new = NewKey {
        id: key.id.clone(),
        digest: key.digest,
        name: key.name.clone(),
        expires_at: key.expires_at,
        limits: key.limits,
    };
    let dates = Writer::default().time(key.created_at).maybe(key.revoked_at);
    (format!("k{}", key.id).into_bytes(), dates.bytes(&fixed(&new)).0)
}

/// A claim that a hold has.
pub(super) fn claimed(claim: &Claim, hold: HoldId) -> Vec<u8> {
    Writer::default()
        .bytes(&claim.content.to_le_bytes())
        .bytes(hold.as_bytes())
        .0
}

/// An adjustment that was made.
pub(super) fn adjusted(record: &CommandRecord) -> Vec<u8> {
    Writer::default()
        .amount(record.amount)
        .time(record.receipt.time)
        .amount(record.receipt.available)
        .0
}

/// A line of the journal; `link` is the seq of the line before it that tells of the same hold.
pub(super) fn line(entry: &Entry, link: u64) -> Vec<u8> {
    Writer::default()
        .number(i64::from(entry.kind.code()), 1)
        .count(entry.seq, 6)
        .count(entry.number, 6)
        .count(entry.previous, 6)
        .time(entry.time)
        .amount(entry.amount)
        .amount(entry.held)
        .amount(entry.available)
        .count(link, 6)
        .0
}

/// What of an entry is in its line's text.
pub(super) fn tail(entry: &Entry) -> Vec<u8> {
    let hold = of_hold(entry);
    let subject = hold
        .as_ref()
        .map_or(entry.subject.as_bytes(), |hold| hold.as_bytes().as_slice());
    super::calls::tail(&entry.account, subject, &entry.detail)
}

/// The hold that an entry tells of.
pub(super) fn of_hold(entry: &Entry) -> Option<HoldId> {
    let about_hold = matches!(
        entry.kind,
        EntryKind::Hold | EntryKind::Extend | EntryKind::Capture | EntryKind::Release
    );
    about_hold.then(|| entry.subject.parse().ok()).flatten()
}

/// The record of a partition, but for its stamp.
pub(super) fn part(stamp: i64, (seq, chain): (u64, &[u8]), time: Timestamp) -> Vec<u8> {
    // Nothing is known of when holds end: the next sweep looks.
    Writer::default()
        .number(stamp, 7)
        .count(seq, 6)
        .time(time)
        .number(0, 7)
        .bytes(chain)
        .0
}
