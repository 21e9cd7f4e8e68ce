//! What the scripts are asked and answer.

use super::Type::{Bytes, I, Text8, Text16, U};
use super::{Layout, placed, plain};

/// An answer that is no line of the journal.
pub(in crate::ledger::redis) const DONE: Layout = Layout {
    name: "done",
    table: None,
    placed: false,
    fields: &[
        ("code", U(1)),
        ("seq", U(6)),
        ("time", U(7)),
        ("amount", I(7)),
        ("available", I(7)),
        ("expires_at", U(7)),
    ],
};

/// Arguments: the head of every call.
pub(in crate::ledger::redis) const HEAD: Layout = plain(
    "head",
    &[("stamp", U(7)), ("partitions", U(2)), ("records", U(2))],
);
/// Arguments: the time, after the head, where a test sets it.
pub(in crate::ledger::redis) const HEAD_TIME: Layout = plain("head_time", &[("time", U(7))]);
/// What the reads' answers begin with.
pub(in crate::ledger::redis) const NOW: Layout = plain("now", &[("time", U(7)), ("seq", U(6))]);
/// How far the sweep has come in the journal: entries examined for open holds, up to which this pass goes, before when none of those runs out, and
/// entries whose holds are forgotten.
pub(in crate::ledger::redis) const SWEPT: Layout = plain(
    "swept",
    &[
        ("examined", U(6)),
        ("target", U(6)),
        ("soon", U(7)),
        ("forgotten", U(6)),
    ],
);
/// Arguments: how holds are visited, and from where to where the cursor goes.
pub(in crate::ledger::redis) const VISIT: Layout =
    plain("visit", &[("mode", U(1)), ("expected", U(6)), ("cursor", U(6))]);
/// Arguments: part of the journal.
pub(in crate::ledger::redis) const RANGE: Layout = plain(
    "range",
    &[("from", U(6)), ("upto", U(6)), ("before", U(7)), ("most", U(2))],
);
/// A place in the journal.
pub(in crate::ledger::redis) const CURSOR: Layout = plain("cursor", &[("seq", U(6))]);
/// Arguments of admit.
pub(in crate::ledger::redis) const ADMIT: Layout = placed(
    "admit",
    &[
        ("version", U(4)),
        ("limited", U(1)),
        ("claims", U(1)),
        ("least", U(7)),
        ("most", U(7)),
        ("ttl", U(7)),
        ("made", U(6)),
        ("valid_until", U(7)),
        ("line", I(7)),
        ("content", Bytes(8)),
        ("key", Bytes(8)),
    ],
);
/// Arguments: caps of the account, then of the key.
pub(in crate::ledger::redis) const LIMITS: Layout = plain(
    "limits",
    &[
        ("requests", U(7)),
        ("tokens", U(7)),
        ("concurrent", I(4)),
        ("day", I(7)),
        ("month", I(7)),
        ("key_requests", U(7)),
        ("key_tokens", U(7)),
        ("key_concurrent", I(4)),
        ("key_day", I(7)),
        ("key_month", I(7)),
    ],
);
/// Arguments: a claim, at the end of admit's: digest of what is asked for; where among KEYS its record is, and that of the hold that is thought to have it
/// (0: not known).
pub(in crate::ledger::redis) const CLAIM: Layout = plain(
    "claim",
    &[("content", Bytes(8)), ("record", U(2)), ("holder", U(2))],
);
/// Arguments of extend.
pub(in crate::ledger::redis) const EXTEND: Layout = placed(
    "extend",
    &[
        ("version", U(4)),
        ("limited", U(1)),
        ("number", U(4)),
        ("least", U(7)),
        ("most", U(7)),
        ("ttl", U(7)),
        ("valid_until", U(7)),
        ("line", I(7)),
    ],
);
/// Arguments of renew.
pub(in crate::ledger::redis) const RENEW: Layout = placed("renew", &[("ttl", U(7))]);
/// Arguments of capture, release and expire.
pub(in crate::ledger::redis) const SETTLE: Layout =
    placed("settle", &[("used", I(7)), ("line", I(7)), ("key", Bytes(8))]);
/// Arguments: what every operation begins with: its kind, and where among KEYS its records are (0: none); the last entry its sender knows of.
pub(in crate::ledger::redis) const PLACE: Layout = plain(
    "place",
    &[
        ("kind", U(1)),
        ("partition", U(2)),
        ("account", U(2)),
        ("hold", U(2)),
        ("gauge", U(2)),
        ("seen", U(6)),
    ],
);
/// Arguments of adjust; `grant` is the one that carries a gift, `from` the one that is taken from first (empty: none).
pub(in crate::ledger::redis) const ADJUST: Layout = placed(
    "adjust",
    &[("amount", I(7)), ("id", Text8), ("grant", Text8), ("from", Text8)],
);
/// Arguments of set_account, before the value: one more than the version that the account must have (0: any).
pub(in crate::ledger::redis) const SET_ACCOUNT: Layout = placed("set_account", &[("expected", U(5))]);
/// Arguments of put_key.
pub(in crate::ledger::redis) const KEY: Layout =
    placed("key", &[("id", Text8), ("fixed", Text16), ("other", Text8)]);
/// Refusals with numbers.
pub(in crate::ledger::redis) const RATE_LIMITED: Layout =
    plain("rate_limited", &[("code", U(1)), ("scope", U(1)), ("wait", U(7))]);
/// Refusals with numbers.
pub(in crate::ledger::redis) const TOO_MANY: Layout = plain("too_many", &[("code", U(1)), ("scope", U(1))]);
/// Refusals with numbers.
pub(in crate::ledger::redis) const SPEND_LIMIT: Layout = plain(
    "spend_limit",
    &[
        ("code", U(1)),
        ("scope", U(1)),
        ("window", U(1)),
        ("spent", I(7)),
        ("now", U(7)),
    ],
);
/// Refusals with numbers.
pub(in crate::ledger::redis) const INSUFFICIENT: Layout = plain(
    "insufficient",
    &[("code", U(1)), ("available", I(7)), ("required", I(7))],
);
