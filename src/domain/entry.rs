//! The journal: one immutable entry per change.

use std::sync::Arc;

use super::account::Balance;
use super::credits::Credits;
use super::ids::AccountId;
use super::time::Timestamp;

/// What an entry tells of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EntryKind {
    /// A grant was told of, changed, started or came back: `amount` became granted (zero when nothing did).
    Grant,
    /// A hold was opened: `amount` became held.
    Hold,
    /// A hold was extended: `amount` became held.
    Extend,
    /// A hold ended with a charge: `amount` was charged, `held` ceased to be held.
    Capture,
    /// A hold ended without a charge: `held` ceased to be held; `amount` (zero or less) takes back an earlier charge.
    Release,
    /// A grant expired: `amount` of it went.
    Expire,
    /// A grant was voided: `amount` of it went.
    Void,
    /// Credits were given (above zero) or taken (below) by hand.
    Adjust,
    /// Settings or keys changed; no money moved.
    Status,
}

impl EntryKind {
    /// All kinds, with their numbers in stored entries (never reuse one) and their names.
    pub const ALL: [(EntryKind, u8, &'static str); 9] = [
        (EntryKind::Grant, 1, "grant"),
        (EntryKind::Hold, 2, "hold"),
        (EntryKind::Extend, 3, "extend"),
        (EntryKind::Capture, 4, "capture"),
        (EntryKind::Release, 5, "release"),
        (EntryKind::Expire, 6, "expire"),
        (EntryKind::Void, 7, "void"),
        (EntryKind::Adjust, 8, "adjust"),
        (EntryKind::Status, 9, "status"),
    ];

    /// The name people see.
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(kind, ..)| *kind == self)
            .map_or("", |(.., name)| name)
    }

    /// The number in stored entries.
    pub fn code(self) -> u8 {
        Self::ALL
            .iter()
            .find(|(kind, ..)| *kind == self)
            .map_or(0, |(_, code, _)| *code)
    }

    /// The kind with this number.
    pub fn from_code(code: u8) -> Option<EntryKind> {
        Self::ALL
            .iter()
            .find(|(_, c, _)| *c == code)
            .map(|(kind, ..)| *kind)
    }
}

/// More about an entry, for people and for consumers of the journal: a JSON object as text (who, why, route, key, usage, price, a grant's facts). The ledger
/// stores it as it is and never reads it. At most [`Detail::MAX`] bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Detail(Arc<str>);

impl Detail {
    /// The longest detail in bytes.
    pub const MAX: usize = 4096;

    /// From a JSON object's text; one that is too long becomes `{}`, since a charge must not fail for its note.
    pub fn new(json: &str) -> Detail {
        if json.len() > Self::MAX {
            Detail::none()
        } else {
            Detail(json.into())
        }
    }

    /// Nothing more to say.
    pub fn none() -> Detail {
        Detail("{}".into())
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One line of the journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its place in the journal (of the partition, in Redis), from 1, without gaps.
    pub seq: u64,
    /// Its place among the account's entries, from 1, without gaps.
    pub number: u64,
    /// `seq` of the account's entry before it; 0 for none.
    pub previous: u64,
    /// When, by the store's clock.
    pub time: Timestamp,
    /// Whose.
    pub account: AccountId,
    /// What it tells of.
    pub kind: EntryKind,
    /// Which hold, grant, command, key or reason: the id of what changed.
    pub subject: Arc<str>,
    /// The amount, by kind.
    pub amount: Credits,
    /// For [`EntryKind::Capture`] and [`EntryKind::Release`]: what ceased to be held.
    pub held: Credits,
    /// Available just after it.
    pub available: Credits,
    /// More about it.
    pub detail: Detail,
}

impl Balance {
    /// The balance after `entry`: folding an account's entries from the first gives its balance (promise 4).
    #[must_use]
    pub fn after(self, entry: &Entry) -> Balance {
        let mut next = self;
        let amount = entry.amount;
        match entry.kind {
            EntryKind::Grant if amount.is_negative() => next.expired = next.expired.saturating_add(amount),
            EntryKind::Grant | EntryKind::Adjust => next.granted = next.granted.saturating_add(amount),
            EntryKind::Hold | EntryKind::Extend => next.held = next.held.saturating_add(amount),
            EntryKind::Capture | EntryKind::Release => {
                next.held = next.held.saturating_sub(entry.held);
                next.spent = next.spent.saturating_add(amount);
            }
            EntryKind::Expire => next.expired = next.expired.saturating_add(amount),
            EntryKind::Void => next.voided = next.voided.saturating_add(amount),
            EntryKind::Status => {}
        }
        next
    }
}
