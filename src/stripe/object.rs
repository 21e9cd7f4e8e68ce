//! Reading one of Stripe's objects, part by part. What is read must be there and of its kind; nothing else is looked at, so that new fields and new
//! values do no harm.

use std::fmt::Display;

use serde_json::Value;

/// Why an object cannot be read: which part of it is not what it should be. For the operator.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{part}` of the {object} {found}")]
pub struct Unreadable {
    object: &'static str,
    part: String,
    found: String,
}

/// An object, or a part of one.
#[derive(Clone, Copy)]
pub(super) struct Object<'a> {
    value: &'a Value,
    name: &'static str,
}

impl<'a> Object<'a> {
    pub(super) fn new(value: &'a Value, name: &'static str) -> Object<'a> {
        Object { value, name }
    }

    /// A part by its path (`amount/monetary/value`); nothing where it is null or absent.
    fn get(self, path: &str) -> Option<&'a Value> {
        path.split('/')
            .try_fold(self.value, |value, key| value.get(key))
            .filter(|value| !value.is_null())
    }

    pub(super) fn wrong(self, path: &str, found: impl Display) -> Unreadable {
        Unreadable {
            object: self.name,
            part: path.replace('/', "."),
            found: found.to_string(),
        }
    }

    /// What has to be there.
    fn need<T>(self, path: &str, read: Option<T>) -> Result<T, Unreadable> {
        read.ok_or_else(|| self.wrong(path, "is not there"))
    }

    /// An id: the text itself, or the `id` of the object that stands in its place when it was asked to be expanded.
    pub(super) fn maybe_id(self, path: &str) -> Result<Option<&'a str>, Unreadable> {
        let Some(value) = self.get(path) else {
            return Ok(None);
        };
        let id = value.as_str().or_else(|| value.get("id")?.as_str());
        let id = id.filter(|id| is_id(id));
        id.map(Some).ok_or_else(|| self.wrong(path, "is no id"))
    }

    pub(super) fn id(self, path: &str) -> Result<&'a str, Unreadable> {
        self.need(path, self.maybe_id(path)?)
    }

    pub(super) fn maybe_text(self, path: &str) -> Result<Option<&'a str>, Unreadable> {
        let text = self.get(path).map(|value| value.as_str());
        match text {
            Some(None) => Err(self.wrong(path, "is no text")),
            found => Ok(found.flatten()),
        }
    }

    pub(super) fn text(self, path: &str) -> Result<&'a str, Unreadable> {
        self.need(path, self.maybe_text(path)?)
    }

    /// A whole number; one with a fraction or beyond 64 bits is none.
    pub(super) fn maybe_number(self, path: &str) -> Result<Option<i64>, Unreadable> {
        match self.get(path).map(Value::as_i64) {
            Some(None) => Err(self.wrong(path, "is no whole number")),
            found => Ok(found.flatten()),
        }
    }

    pub(super) fn number(self, path: &str) -> Result<i64, Unreadable> {
        self.need(path, self.maybe_number(path)?)
    }

    pub(super) fn flag(self, path: &str) -> Result<bool, Unreadable> {
        let flag = self.get(path).map(|value| value.as_bool());
        flag.unwrap_or(Some(false))
            .ok_or_else(|| self.wrong(path, "is neither true nor false"))
    }

    /// The first of a list.
    pub(super) fn first(self, path: &str) -> Option<Object<'a>> {
        let first = self.get(path)?.as_array()?.first()?;
        Some(Object::new(first, self.name))
    }

    /// Whether there is something.
    pub(super) fn has(self, path: &str) -> bool {
        self.get(path).is_some()
    }
}

/// Stripe's ids are letters, digits and `_`, 255 at most.
fn is_id(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
