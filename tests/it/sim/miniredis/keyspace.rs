//! What is stored, in orders that do not depend on chance.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A key's value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(Vec<u8>),
    Hash(Fields),
    List(VecDeque<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    Sorted(Sorted),
    Stream(Stream),
}

impl Value {
    /// As `TYPE` says it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Value::Text(_) => "string",
            Value::Hash(_) => "hash",
            Value::List(_) => "list",
            Value::Set(_) => "set",
            Value::Sorted(_) => "zset",
            Value::Stream(_) => "stream",
        }
    }

    /// Nothing is left in it, so the key goes too. A stream stays.
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Value::Text(_) | Value::Stream(_) => false,
            Value::Hash(fields) => fields.len() == 0,
            Value::List(items) => items.is_empty(),
            Value::Set(members) => members.is_empty(),
            Value::Sorted(members) => members.scores.is_empty(),
        }
    }
}

/// A hash, its fields in the order in which they were added: what Redis does as long as it is small.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Fields {
    places: BTreeMap<Vec<u8>, u64>,
    fields: BTreeMap<u64, (Vec<u8>, Vec<u8>)>,
    next: u64,
}

impl Fields {
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    pub(crate) fn get(&self, field: &[u8]) -> Option<&Vec<u8>> {
        let place = self.places.get(field)?;
        self.fields.get(place).map(|(_, value)| value)
    }

    /// Whether the field is new.
    pub(crate) fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let new = !self.places.contains_key(field);
        if new {
            self.places.insert(field.to_vec(), self.next);
            self.next += 1;
        }
        let place = self.places[field];
        self.fields.insert(place, (field.to_vec(), value.to_vec()));
        new
    }

    pub(crate) fn remove(&mut self, field: &[u8]) -> bool {
        match self.places.remove(field) {
            Some(place) => self.fields.remove(&place).is_some(),
            None => false,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
        self.fields.values().map(|(field, value)| (field, value))
    }
}

/// A sorted set: by score, then by member.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sorted {
    pub(crate) scores: BTreeMap<Vec<u8>, f64>,
}

impl Sorted {
    pub(crate) fn in_order(&self) -> Vec<(&Vec<u8>, f64)> {
        let mut all: Vec<_> = self
            .scores
            .iter()
            .map(|(member, score)| (member, *score))
            .collect();
        all.sort_by(|a, b| a.1.total_cmp(&b.1).then_with(|| a.0.cmp(b.0)));
        all
    }
}

/// An entry's place in a stream: milliseconds and a number.
pub(crate) type StreamId = (u64, u64);

/// A stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Stream {
    pub(crate) entries: BTreeMap<StreamId, Vec<Vec<u8>>>,
    /// The highest id there ever was.
    pub(crate) last: StreamId,
}

/// A logical database.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Db {
    pub(crate) values: BTreeMap<Vec<u8>, Value>,
    /// When a key goes, in milliseconds since the epoch.
    pub(crate) expires: BTreeMap<Vec<u8>, i64>,
}
