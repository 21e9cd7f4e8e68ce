//! The records' layouts, each declared once: Lua's format strings and field numbers are rendered from them, and Rust reads by them.
//!
//! Integers are little-endian, of as many bytes as are needed for what Redis' Lua still counts exactly (below 2^53); times are microseconds,
//! amounts micro-credits. A new field goes to the end of a record and raises [`VERSION`].

/// Version of all layouts; a store of another one is refused.
pub(super) const VERSION: u32 = 1;

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Type {
    /// An integer from 0, of so many bytes.
    U(u8),
    /// An integer with a sign, of so many bytes.
    I(u8),
    /// So many bytes.
    Bytes(u8),
    /// A text, its length in one byte before it.
    Text8,
    /// A text, its length in two bytes before it.
    Text16,
}

/// A field as read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Field {
    Number(i64),
    Bytes(Vec<u8>),
}

/// A record's fields, in order.
pub(super) struct Layout {
    /// Its name in the scripts: `F.name` is its format, `L.name` its length where that is fixed.
    pub(super) name: &'static str,
    /// In which table the scripts find its fields' numbers (`A`, `P`, ...); none for records that are only unpacked into locals.
    pub(super) table: Option<char>,
    /// [`PLACE`]'s fields come before its own.
    pub(super) placed: bool,
    pub(super) fields: &'static [(&'static str, Type)],
}

use Type::{Bytes, I, Text8, Text16, U};

/// A partition: `stamp` is epoch and generation, `soon` is not later than the end of any open hold, `chain` the end of the journal's hash chain.
pub(super) const PART: Layout = Layout {
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
pub(super) const GAUGE: Layout = Layout {
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
pub(super) const ACCOUNT: Layout = Layout {
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
pub(super) const COLD: Layout = Layout {
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
pub(super) const GRANT: Layout = Layout {
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
pub(super) const HOLD: Layout = Layout {
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
pub(super) const ENTRY: Layout = Layout {
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

/// An answer that is no line of the journal.
pub(super) const DONE: Layout = Layout {
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

const fn plain(name: &'static str, fields: &'static [(&'static str, Type)]) -> Layout {
    Layout {
        name,
        table: None,
        placed: false,
        fields,
    }
}

const fn placed(name: &'static str, fields: &'static [(&'static str, Type)]) -> Layout {
    Layout {
        placed: true,
        ..plain(name, fields)
    }
}

/// An account's charges of one day.
pub(super) const DAY: Layout = plain("day", &[("count", U(4)), ("charged", I(7))]);
/// An adjustment's answer.
pub(super) const ADJUSTED: Layout = plain("adjusted", &[("amount", I(7)), ("time", U(7)), ("available", I(7))]);
/// When a key was made and revoked (one more than the time, 0: not).
pub(super) const KEY_DATES: Layout = plain("key_dates", &[("made_at", U(7)), ("revoked_at", U(7))]);

/// Arguments: the head of every call.
pub(super) const HEAD: Layout = plain("head", &[("stamp", U(7)), ("partitions", U(2)), ("records", U(2))]);
/// Arguments: the time, after the head, where a test sets it.
pub(super) const HEAD_TIME: Layout = plain("head_time", &[("time", U(7))]);
/// What the reads' answers begin with.
pub(super) const NOW: Layout = plain("now", &[("time", U(7)), ("seq", U(6))]);
/// How far the sweep has come in the journal: entries examined for open holds, up to which this pass goes, before when none of those runs out, and
/// entries whose holds are forgotten.
pub(super) const SWEPT: Layout = plain(
    "swept",
    &[("examined", U(6)), ("target", U(6)), ("soon", U(7)), ("forgotten", U(6))],
);
/// Arguments: how holds are visited, and from where to where the cursor goes.
pub(super) const VISIT: Layout = plain("visit", &[("mode", U(1)), ("expected", U(6)), ("cursor", U(6))]);
/// Arguments: part of the journal.
pub(super) const RANGE: Layout = plain(
    "range",
    &[("from", U(6)), ("upto", U(6)), ("before", U(7)), ("most", U(2))],
);
/// A place in the journal.
pub(super) const CURSOR: Layout = plain("cursor", &[("seq", U(6))]);
/// Arguments of admit.
pub(super) const ADMIT: Layout = placed(
    "admit",
    &[
        ("version", U(4)),
        ("limited", U(1)),
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
pub(super) const LIMITS: Layout = plain(
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
/// Arguments of extend.
pub(super) const EXTEND: Layout = placed(
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
pub(super) const RENEW: Layout = placed(
    "renew",
    &[
        ("ttl", U(7)),
    ],
);
/// Arguments of capture, release and expire.
pub(super) const SETTLE: Layout = placed(
    "settle",
    &[
        ("used", I(7)),
        ("line", I(7)),
        ("key", Bytes(8)),
    ],
);
/// Arguments: what every operation begins with: its kind, and where among KEYS its records are (0: none); the last entry its sender knows of.
pub(super) const PLACE: Layout = plain(
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
/// Arguments of adjust.
pub(super) const ADJUST: Layout = placed("adjust", &[("amount", I(7)), ("id", Text8), ("grant", Text8)]);
/// Arguments of put_key.
pub(super) const KEY: Layout = placed("key", &[("id", Text8), ("fixed", Text16), ("other", Text8)]);
/// Refusals with numbers.
pub(super) const RATE_LIMITED: Layout = plain("rate_limited", &[("code", U(1)), ("scope", U(1)), ("wait", U(7))]);
/// Refusals with numbers.
pub(super) const TOO_MANY: Layout = plain("too_many", &[("code", U(1)), ("scope", U(1))]);
/// Refusals with numbers.
pub(super) const SPEND_LIMIT: Layout = plain(
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
pub(super) const INSUFFICIENT: Layout =
    plain("insufficient", &[("code", U(1)), ("available", I(7)), ("required", I(7))]);

/// All layouts, for the scripts.
pub(super) const ALL: &[&Layout] = &[
    &PART, &GAUGE, &ACCOUNT, &COLD, &GRANT, &HOLD, &ENTRY, &DONE, &DAY, &ADJUSTED, &KEY_DATES, &HEAD, &HEAD_TIME, &NOW, &SWEPT, &VISIT, &RANGE, &CURSOR,
    &ADMIT, &LIMITS, &EXTEND, &RENEW, &SETTLE, &PLACE, &ADJUST, &KEY, &RATE_LIMITED, &TOO_MANY, &SPEND_LIMIT,
    &INSUFFICIENT,
];

impl Type {
    fn format(self) -> String {
        match self {
            U(1) => "B".to_owned(),
            U(2) => "H".to_owned(),
            U(n) => format!("I{n}"),
            I(n) => format!("i{n}"),
            Bytes(n) => format!("c{n}"),
            Text8 => "Bc0".to_owned(),
            Text16 => "Hc0".to_owned(),
        }
    }

    fn len(self) -> Option<usize> {
        match self {
            U(n) | I(n) | Bytes(n) => Some(usize::from(n)),
            Text8 | Text16 => None,
        }
    }
}

impl Layout {
    fn all_fields(&self) -> impl Iterator<Item = &(&'static str, Type)> {
        let place: &[_] = if self.placed { PLACE.fields } else { &[] };
        place.iter().chain(self.fields)
    }

    /// As Lua's `struct` takes it.
    pub(super) fn format(&self) -> String {
        let fields = self.all_fields().map(|(_, kind)| kind.format());
        std::iter::once("<".to_owned()).chain(fields).collect()
    }

    /// How many bytes it has, at least where it ends in a text.
    pub(super) fn len(&self) -> usize {
        self.all_fields().filter_map(|(_, kind)| kind.len()).sum()
    }

    /// How many fields it has.
    pub(super) fn count(&self) -> usize {
        self.all_fields().count()
    }

    /// Reads one record from the front of `bytes`; `None` when they are too short or a number is beyond what the ledger writes.
    pub(super) fn read(&self, bytes: &mut &[u8]) -> Option<Record<'_>> {
        let mut values = Vec::with_capacity(self.fields.len());
        for (_, kind) in self.all_fields() {
            values.push(read_field(*kind, bytes)?);
        }
        Some(Record { layout: self, values })
    }

    /// Reads one record that is all of `bytes`.
    pub(super) fn read_all(&self, mut bytes: &[u8]) -> Option<Record<'_>> {
        let record = self.read(&mut bytes)?;
        bytes.is_empty().then_some(record)
    }
}

fn read_field(kind: Type, bytes: &mut &[u8]) -> Option<Field> {
    match kind {
        U(n) | I(n) => {
            let raw = bytes.split_off(..usize::from(n))?;
            let number = number(raw, matches!(kind, I(_)));
            (number.unsigned_abs() <= 1 << 53).then_some(Field::Number(number))
        }
        Bytes(n) => bytes
            .split_off(..usize::from(n))
            .map(|raw| Field::Bytes(raw.to_vec())),
        Text8 | Text16 => {
            let raw = bytes.split_off(..if kind == Text8 { 1 } else { 2 })?;
            let len = usize::try_from(number(raw, false)).ok()?;
            bytes.split_off(..len).map(|raw| Field::Bytes(raw.to_vec()))
        }
    }
}

/// A little-endian integer of at most eight bytes.
fn number(raw: &[u8], signed: bool) -> i64 {
    let negative = signed && raw.last().is_some_and(|high| high & 0x80 != 0);
    let mut bytes = [if negative { 0xff } else { 0 }; 8];
    bytes[..raw.len()].copy_from_slice(raw);
    i64::from_le_bytes(bytes)
}

/// A record as read.
#[derive(Debug)]
pub(super) struct Record<'a> {
    layout: &'a Layout,
    values: Vec<Field>,
}

impl std::fmt::Debug for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Record<'_> {
    fn field(&self, name: &str) -> Option<&Field> {
        let at = self.layout.all_fields().position(|(n, _)| *n == name);
        debug_assert!(at.is_some(), "{} has no field {name}", self.layout.name);
        self.values.get(at?)
    }

    /// A number; 0 for a field that is none.
    pub(super) fn number(&self, name: &str) -> i64 {
        match self.field(name) {
            Some(Field::Number(n)) => *n,
            _ => 0,
        }
    }

    /// A number that is never below zero.
    pub(super) fn count(&self, name: &str) -> u64 {
        self.number(name).unsigned_abs()
    }

    /// Bytes; none for a field that is a number.
    pub(super) fn bytes(&self, name: &str) -> &[u8] {
        match self.field(name) {
            Some(Field::Bytes(bytes)) => bytes,
            _ => &[],
        }
    }
}

/// Writes records, field by field, in the order of a layout.
#[derive(Clone, Default, Debug)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    /// The low `len` bytes of a number.
    pub(super) fn number(mut self, number: i64, len: usize) -> Writer {
        self.0.extend_from_slice(&number.to_le_bytes()[..len.min(8)]);
        self
    }

    /// Bytes as they are.
    pub(super) fn bytes(mut self, bytes: &[u8]) -> Writer {
        self.0.extend_from_slice(bytes);
        self
    }

    /// A text of at most 255 bytes, after its length.
    pub(super) fn text8(self, text: &[u8]) -> Writer {
        let len = text.len().min(255);
        self.number(len as i64, 1).bytes(&text[..len])
    }

    /// A text of at most 65,535 bytes, after its length.
    pub(super) fn text16(self, text: &[u8]) -> Writer {
        let len = text.len().min(65_535);
        self.number(len as i64, 2).bytes(&text[..len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_what_lua_takes() {
        assert_eq!(PART.format(), "<I7I6I7I7c16");
        assert_eq!(RENEW.format(), "<BHHHHI6I7");
        assert_eq!(ADJUST.format(), "<BHHHHI6i7Bc0Bc0");
        assert_eq!(ACCOUNT.len(), 100);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let written = Writer::default()
            .number(-3, 7)
            .text8(b"id-1")
            .text8(b"")
            .0;
        let full = Writer::default().number(9, 1).bytes(&[0; 14]).bytes(&written).0;
        let record = ADJUST.read_all(&full).unwrap();
        assert_eq!(record.number("amount"), -3);
        assert_eq!(record.bytes("id"), b"id-1");
        assert_eq!(record.number("kind"), 9);
        for cut in 0..full.len() {
            assert!(ADJUST.read_all(&full[..cut]).is_none(), "{cut}");
        }
    }

    #[test]
    fn a_number_that_lua_could_not_hold_is_not_read() {
        let mut stored = vec![0xff; 16];
        assert!(KEY_DATES.read_all(&stored[..14]).is_none());
        stored.fill(0);
        assert!(KEY_DATES.read_all(&stored[..14]).is_some());
    }

    #[test]
    fn names_are_unique_and_an_account_begins_with_its_gauge() {
        let mut names: Vec<_> = ALL.iter().map(|l| l.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        assert_eq!(ACCOUNT.fields[..GAUGE.fields.len()], *GAUGE.fields);
    }
}
