//! The port for memos: named JSON documents beside the accounts' books, for what the gate has to remember of others (Stripe). No money is in them, and no
//! journal entry tells of them.
//!
//! Whoever changes a memo reads it, decides, and writes it back if nobody else has written meanwhile ([`Memos::write_memo`]).

use std::fmt;
use std::sync::Arc;

use super::{Answer, LedgerError, Page};
use crate::domain::ids::NameError;
use crate::domain::time::Timestamp;

/// The longest name of a memo, in bytes, its kind included.
pub const MEMO_NAME_MAX: usize = 300;

/// The longest kind, in bytes.
pub const MEMO_KIND_MAX: usize = 32;

/// The longest text, in bytes.
pub const MEMO_TEXT_MAX: usize = 256 << 10;

/// The most names that one call of [`Memos::due_memos`] gives.
pub const DUE_MAX: usize = 1_000;

/// Bytes of text from which on a page of memos is full, whatever its limit.
pub const MEMOS_PAGE_BYTES: usize = 4 << 20;

/// The version that is never reached.
pub(super) const VERSION_MAX: u64 = (1 << 53) - 1;

/// What an id may not have: what means something in a Redis key or pattern, or is escaped in JSON.
const FORBIDDEN: &str = "{}*?[]\\\"";

/// A memo's name: `kind:id`, such as `invoice:in_1`. The kind is 1 to 32 of `a` to `z` and `_`; the id visible ASCII, colons included.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemoName(Arc<str>);

impl MemoName {
    /// Puts a name together; the error says what is wrong with which character, or that it is too long.
    pub fn new(kind: &str, id: &str) -> Result<MemoName, NameError> {
        check_kind(kind)?;
        let most = MEMO_NAME_MAX - kind.len() - 1;
        if id.is_empty() || id.len() > most {
            return Err(NameError::Size { max: most });
        }
        match id
            .chars()
            .find(|c| !c.is_ascii_graphic() || FORBIDDEN.contains(*c))
        {
            Some(found) => Err(NameError::Character {
                found,
                forbidden: FORBIDDEN,
            }),
            None => Ok(MemoName(format!("{kind}:{id}").into())),
        }
    }

    /// What kind of thing it is of: `invoice`.
    pub fn kind(&self) -> &str {
        self.0.split_once(':').map_or(&*self.0, |(kind, _)| kind)
    }

    /// Which of that kind: `in_1`.
    pub fn id(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, id)| id)
    }

    /// Both: `invoice:in_1`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for MemoName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<MemoName, NameError> {
        let (kind, id) = text
            .split_once(':')
            .ok_or(NameError::Size { max: MEMO_NAME_MAX })?;
        MemoName::new(kind, id)
    }
}

impl fmt::Display for MemoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MemoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a text is a kind.
pub(super) fn check_kind(kind: &str) -> Result<(), NameError> {
    if kind.is_empty() || kind.len() > MEMO_KIND_MAX {
        return Err(NameError::Size { max: MEMO_KIND_MAX });
    }
    match kind.chars().find(|c| !matches!(c, 'a'..='z' | '_')) {
        Some(found) => Err(NameError::Character {
            found,
            forbidden: "anything but a to z and _",
        }),
        None => Ok(()),
    }
}

/// What is remembered.
#[derive(Clone, PartialEq, Eq)]
pub struct Memo {
    /// JSON, at most [`MEMO_TEXT_MAX`] bytes; the store does not look into it.
    pub text: Arc<str>,
    /// When there is something to do about it; [`Timestamp::NEVER`]: nothing.
    pub due: Timestamp,
    /// From when on it is as if it had never been written; [`Timestamp::NEVER`]: kept.
    pub forget_at: Timestamp,
}

impl Memo {
    /// The limits of a memo that is to be written over version `expected`.
    pub(super) fn check(&self, expected: u64) -> Result<(), LedgerError> {
        if self.text.len() > MEMO_TEXT_MAX {
            return Err(LedgerError::Invalid(format!(
                "a memo has at most {MEMO_TEXT_MAX} bytes, this one has {}",
                self.text.len()
            )));
        }
        if expected >= VERSION_MAX {
            return Err(LedgerError::Invalid(format!(
                "{expected} is no version of a memo"
            )));
        }
        Ok(())
    }
}

impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is in it may tell of customers, and logs are read by many.
        f.debug_struct("Memo")
            .field("bytes", &self.text.len())
            .field("due", &self.due)
            .field("forget_at", &self.forget_at)
            .finish()
    }
}

/// A memo as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// The memo.
    pub memo: Memo,
    /// How often it was written, from 1; it starts again when it was forgotten.
    pub version: u64,
}

impl Kept {
    /// What a write over version `expected` of what is there comes to; and what it puts there, if it puts anything.
    pub(super) fn decide(there: Option<Kept>, expected: u64, memo: &Memo) -> (Wrote, Option<Kept>) {
        let version = there.as_ref().map_or(0, |kept| kept.version);
        let new = Kept {
            memo: memo.clone(),
            version: expected + 1,
        };
        if version == expected {
            (Wrote::Done { version: new.version }, Some(new))
        } else if there.as_ref() == Some(&new) {
            (Wrote::Done { version }, None)
        } else {
            (Wrote::Changed(there), None)
        }
    }
}

/// What came of a write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Wrote {
    /// It is written, now or by the same write before, and has this version.
    Done {
        /// One more than was expected.
        version: u64,
    },
    /// It is not written, since the version is another than was expected: somebody else wrote. As it is now; `None` when there is none.
    Changed(Option<Kept>),
}

/// A store of memos: the ledger's own, as durable as its books are. Times are compared with the store's clock.
///
/// Errors are the ledger's. After one of [`Memos::write_memo`] nothing is known: the same write again finds out.
pub trait Memos: Send + Sync + fmt::Debug {
    /// A memo, unless there is none or it is to be forgotten.
    fn memo<'a>(&'a self, name: &'a MemoName) -> Answer<'a, Option<Kept>>;

    /// Writes a memo if its version is still `expected` (0: there is none). The same memo again, when it has version `expected + 1`, is
    /// [`Wrote::Done`] as the first time, so that a lost answer can be asked for again. One whose `forget_at` has come is forgotten at once.
    ///
    /// Errors: also [`LedgerError::Invalid`] for a text that is too long.
    fn write_memo<'a>(&'a self, name: &'a MemoName, expected: u64, memo: &'a Memo) -> Answer<'a, Wrote>;

    /// Names of memos whose due time has come, earliest first, at most `limit` and [`DUE_MAX`]. They stay due until they are written with a later time.
    fn due_memos(&self, limit: usize) -> Answer<'_, Vec<MemoName>>;

    /// All memos of a kind, in an order of the store's own, at most `limit` and [`super::PAGE_MAX`] in a page; fewer, and still not the last, where
    /// they have [`MEMOS_PAGE_BYTES`]. One that is written or forgotten during the walk may be missed, or come as it was; none comes twice.
    fn memos<'a>(
        &'a self,
        kind: &'a str,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, Page<(MemoName, Kept)>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_a_kind_and_an_id_and_no_character_that_could_reach_another_key() {
        let name = MemoName::new("invoice", "in_1").unwrap();
        assert_eq!(
            (name.kind(), name.id(), name.as_str()),
            ("invoice", "in_1", "invoice:in_1")
        );
        let name: MemoName = "usage_day:acme:2026-11-23".parse().unwrap();
        assert_eq!((name.kind(), name.id()), ("usage_day", "acme:2026-11-23"));
        assert!(MemoName::new("k", &"x".repeat(298)).is_ok());
        for (kind, id) in [
            ("", "in_1"),
            ("Invoice", "in_1"),
            ("in-voice", "in_1"),
            ("invoice:x", "in_1"),
            (&"k".repeat(33), "in_1"),
            ("invoice", ""),
            ("invoice", "in 1"),
            ("invoice", "in{1}"),
            ("invoice", "in\n1"),
            ("invoice", "ïn_1"),
            ("k", &"x".repeat(299)),
        ] {
            assert!(MemoName::new(kind, id).is_err(), "{kind:?} {id:?}");
        }
        assert!("invoice".parse::<MemoName>().is_err());
    }

    #[test]
    fn a_memo_shows_nothing_of_its_text_in_a_log() {
        let memo = Memo {
            text: r#"{"email":"a@b.c"}"#.into(),
            due: Timestamp::NEVER,
            forget_at: Timestamp::NEVER,
        };
        assert!(!format!("{memo:?}").contains("a@b.c"));
    }
}
