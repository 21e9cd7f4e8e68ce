//! The records' layouts, each declared once: Lua's format strings and field numbers are rendered from them, and Rust reads by them.
//!
//! Integers are little-endian, of as many bytes as are needed for what Redis' Lua still counts exactly (below 2^53); times are microseconds,
//! amounts micro-credits. A new field goes to the end of a record and raises [`VERSION`].

mod messages;
mod records;

pub(super) use messages::*;
pub(super) use records::*;

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
#[derive(Clone, Copy, Debug)]
enum Field<'a> {
    Number(i64),
    Bytes(&'a [u8]),
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

/// All layouts, for the scripts.
pub(super) const ALL: &[&Layout] = &[
    &PART,
    &GAUGE,
    &ACCOUNT,
    &COLD,
    &GRANT,
    &HOLD,
    &ENTRY,
    &DONE,
    &DAY,
    &ADJUSTED,
    &CLAIMED,
    &KEY_DATES,
    &MEMO,
    &HEAD,
    &HEAD_TIME,
    &NOW,
    &SWEPT,
    &VISIT,
    &RANGE,
    &CURSOR,
    &ADMIT,
    &LIMITS,
    &CLAIM,
    &EXTEND,
    &RENEW,
    &SETTLE,
    &PLACE,
    &ADJUST,
    &SET_ACCOUNT,
    &KEY,
    &RATE_LIMITED,
    &TOO_MANY,
    &SPEND_LIMIT,
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
    pub(super) fn read<'a>(&'static self, bytes: &mut &'a [u8]) -> Option<Record<'a>> {
        let mut values = Vec::with_capacity(self.fields.len());
        for (_, kind) in self.all_fields() {
            values.push(read_field(*kind, bytes)?);
        }
        Some(Record { layout: self, values })
    }

    /// Reads one record that is all of `bytes`.
    pub(super) fn read_all<'a>(&'static self, mut bytes: &'a [u8]) -> Option<Record<'a>> {
        let record = self.read(&mut bytes)?;
        bytes.is_empty().then_some(record)
    }
}

fn read_field<'a>(kind: Type, bytes: &mut &'a [u8]) -> Option<Field<'a>> {
    match kind {
        U(n) | I(n) => {
            let raw = bytes.split_off(..usize::from(n))?;
            let number = number(raw, matches!(kind, I(_)));
            (number.unsigned_abs() <= 1 << 53).then_some(Field::Number(number))
        }
        Bytes(n) => bytes.split_off(..usize::from(n)).map(Field::Bytes),
        Text8 | Text16 => {
            let raw = bytes.split_off(..if kind == Text8 { 1 } else { 2 })?;
            let len = usize::try_from(number(raw, false)).ok()?;
            bytes.split_off(..len).map(Field::Bytes)
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
    layout: &'static Layout,
    values: Vec<Field<'a>>,
}

impl std::fmt::Debug for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl<'a> Record<'a> {
    fn field(&self, name: &str) -> Option<Field<'a>> {
        let at = self.layout.all_fields().position(|(n, _)| *n == name);
        debug_assert!(at.is_some(), "{} has no field {name}", self.layout.name);
        self.values.get(at?).copied()
    }

    /// A number; 0 for a field that is none.
    pub(super) fn number(&self, name: &str) -> i64 {
        match self.field(name) {
            Some(Field::Number(n)) => n,
            _ => 0,
        }
    }

    /// A number that is never below zero.
    pub(super) fn count(&self, name: &str) -> u64 {
        self.number(name).unsigned_abs()
    }

    /// Bytes; none for a field that is a number.
    pub(super) fn bytes(&self, name: &str) -> &'a [u8] {
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
        assert_eq!(ADJUST.format(), "<BHHHHI6i7Bc0Bc0Bc0");
        assert_eq!(ACCOUNT.len(), 100);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let written = Writer::default()
            .number(-3, 7)
            .text8(b"id-1")
            .text8(b"")
            .text8(b"g")
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
        let mut stored = [0xff; 16];
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
