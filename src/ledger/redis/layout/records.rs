//! What is stored.

use super::Type::{Bytes, I, Text8, Text16, U};
use super::{Layout, Type, plain};

/// A partition: `stamp` is epoch and generation, `soon` is not later than the end of any open hold, `chain` the end of the journal's hash chain.
pub(in crate::ledger::redis) const PART: Layout = Layout {
    name: "part",
    table: Some('P'),
    placed: false,
    fields: &[
        ("stamp", U(7)),
        ("seq", U(6)),
        ("time", U(7)),
        ("soon", U(7)),
        ("chain", Bytes(16)),
    ],
};

/// What of a key's caps is used up.
pub(in crate::ledger::redis) const GAUGE: Layout = Layout {
    name: "gauge",
    table: None,
    placed: false,
    fields: GAUGE_FIELDS,
};

const GAUGE_FIELDS: &[(&str, Type)] = &[
    ("open", U(4)),
    ("held", I(7)),
    ("requests_at", U(7)),
    ("tokens_at", U(7)),
    ("day", U(3)),
    ("day_spent", U(7)),
    ("month", U(2)),
    ("month_spent", U(7)),
];

/// An account's hot record. It begins with its gauge. `bound` is granted less expired and voided; `day_count` and `day_charged` are
/// the charges of `day`; `line` is the deepest credit line that anything was asked with.
pub(in crate::ledger::redis) const ACCOUNT: Layout = Layout {
    name: "account",
    table: Some('A'),
    placed: false,
    fields: &[
        GAUGE_FIELDS[0],
        GAUGE_FIELDS[1],
        GAUGE_FIELDS[2],
        GAUGE_FIELDS[3],
        GAUGE_FIELDS[4],
        GAUGE_FIELDS[5],
        GAUGE_FIELDS[6],
        GAUGE_FIELDS[7],
        ("spent", U(7)),
        ("day_count", U(4)),
        ("day_charged", I(7)),
        ("entries", U(6)),
        ("last_entry", U(6)),
        ("version", U(4)),
        ("next_due", U(7)),
        ("ending", U(1)),
        ("bound", I(7)),
        ("line", U(7)),
    ],
};

/// The account's counters that requests do not need, before its live grants in one record.
pub(in crate::ledger::redis) const COLD: Layout = Layout {
    name: "cold",
    table: None,
    placed: false,
    fields: &[
        ("granted", I(7)),
        ("expired", U(7)),
        ("voided", U(7)),
        ("taken", U(7)),
        ("dealt", U(7)),
        ("overrun", U(7)),
        ("late", U(7)),
        ("clawback", U(7)),
        ("created_at", U(7)),
    ],
};

/// A grant; `voided_at` is one more than the time, 0 for none; `note` is empty for none, else begins with one byte that says nothing.
pub(in crate::ledger::redis) const GRANT: Layout = Layout {
    name: "grant",
    table: Some('G'),
    placed: false,
    fields: &[
        ("amount", I(7)),
        ("priority", U(1)),
        ("category", U(1)),
        ("state", U(1)),
        ("effective_at", U(7)),
        ("expires_at", U(7)),
        ("created_at", U(7)),
        ("updated_at", U(7)),
        ("voided_at", U(7)),
        ("drawn", U(7)),
        ("expired", U(7)),
        ("voided", U(7)),
        ("guarded", I(7)),
        ("ended", U(6)),
        ("id", Text8),
        ("note", Text16),
    ],
};

/// A hold; `last` is the seq of its last entry, `content` and `key` are digests.
pub(in crate::ledger::redis) const HOLD: Layout = Layout {
    name: "hold",
    table: Some('H'),
    placed: false,
    fields: &[
        ("state", U(1)),
        ("capped", U(1)),
        ("amount", U(7)),
        ("opened", U(7)),
        ("charged", U(7)),
        ("opened_at", U(7)),
        ("expires_at", U(7)),
        ("number", U(6)),
        ("extensions", U(4)),
        ("available", I(7)),
        ("last", U(6)),
        ("content", Bytes(8)),
        ("key", Bytes(8)),
    ],
};

/// A line of the journal but for account, subject and detail; `link` is the seq of the line before it that tells of the same hold.
pub(in crate::ledger::redis) const ENTRY: Layout = Layout {
    name: "entry",
    table: None,
    placed: false,
    fields: &[
        ("kind", U(1)),
        ("seq", U(6)),
        ("number", U(6)),
        ("previous", U(6)),
        ("time", U(7)),
        ("amount", I(7)),
        ("held", U(7)),
        ("available", I(7)),
        ("link", U(6)),
    ],
};

/// An account's charges of one day.
pub(in crate::ledger::redis) const DAY: Layout = plain("day", &[("count", U(4)), ("charged", I(7))]);
/// An adjustment's answer.
pub(in crate::ledger::redis) const ADJUSTED: Layout = plain(
    "adjusted",
    &[("amount", I(7)), ("time", U(7)), ("available", I(7))],
);
/// A claim: digest of what was asked for, and the last hold that was opened under it.
pub(in crate::ledger::redis) const CLAIMED: Layout =
    plain("claimed", &[("content", Bytes(8)), ("hold", Bytes(16))]);
/// When a key was made and revoked (one more than the time, 0: not).
pub(in crate::ledger::redis) const KEY_DATES: Layout =
    plain("key_dates", &[("made_at", U(7)), ("revoked_at", U(7))]);
/// A memo, before its text.
pub(in crate::ledger::redis) const MEMO: Layout =
    plain("memo", &[("version", U(7)), ("due", U(7)), ("forget_at", U(7))]);
