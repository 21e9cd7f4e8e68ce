//! Answers kept by idempotency key.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::ApiError;

/// How long a key is remembered, in seconds.
const KEPT: i64 = 24 * 3600;

/// An answer as it was given.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kept {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

#[derive(Debug)]
struct Entry {
    what: String,
    at: i64,
    /// None while the first call runs.
    answer: Option<Kept>,
}

/// All keys.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    entries: BTreeMap<String, Entry>,
}

impl Keys {
    /// Begins a call: the kept answer if there is one, none if the call is to be made. `what` is everything
    /// that makes two calls the same.
    pub(crate) fn begin(&mut self, key: &str, what: &str, now: i64) -> Result<Option<Kept>, ApiError> {
        self.entries
            .retain(|_, entry| entry.answer.is_none() || entry.at + KEPT > now);
        if key.chars().count() > 255 {
            return Err(ApiError::invalid(
                "An idempotency key has at most 255 characters.",
            ));
        }
        match self.entries.get(key) {
            Some(entry) if entry.what != what => Err(ApiError::new(
                400,
                "idempotency_error",
                format!("The key {key:?} was used with other parameters, or for another call."),
            )),
            Some(Entry { answer: None, .. }) => {
                let message = format!("Another request with the key {key:?} is under way.");
                Err(ApiError::new(409, "idempotency_error", message).code("idempotency_key_in_use"))
            }
            Some(entry) => Ok(entry.answer.clone()),
            None => {
                let entry = Entry {
                    what: what.to_owned(),
                    at: now,
                    answer: None,
                };
                self.entries.insert(key.to_owned(), entry);
                Ok(None)
            }
        }
    }

    /// Ends a call with an answer to keep.
    pub(crate) fn keep(&mut self, key: &str, answer: Kept) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.answer = Some(answer);
        }
    }

    /// Ends a call of which nothing is to be known.
    pub(crate) fn forget(&mut self, key: &str) {
        self.entries.remove(key);
    }
}
