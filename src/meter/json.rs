//! JSON, checked whole once and then walked where it lies: nothing is built from it, so that a long prompt costs one look at each byte.
//!
//! [`check`] is for what a client sends: whatever two parsers could read in two ways is refused (P3 to P5, H14). [`loose`] is for what an upstream answers.

mod check;
mod ends;
mod names;
mod text;
mod walk;

use std::borrow::Cow;
use std::ops::Range;

pub use ends::Ends;
pub(super) use walk::Around;
pub use walk::{Items, Members};

use super::problem::Problem;

/// The character that an escape stands for which begins these bytes, and the length of what stands for it; in a text that was checked.
pub(super) use text::escape as unescaped;

/// The deepest nesting of what is checked: no upstream's API has 20 levels.
pub const DEPTH_MAX: usize = 64;

/// The most members of one object.
pub const MEMBERS_MAX: usize = 16_384;

/// The most members of all objects that are open at once, one within the other: what is remembered of them stays below 3 MiB.
pub const NAMES_MAX: usize = 4 * MEMBERS_MAX;

/// The highest whole number that is read: beyond it, parsers that know only doubles read another one.
pub const NUMBER_MAX: u64 = 1 << 53;

/// The one value of a text that has a single reading, or why it has none: UTF-8 without a byte order mark, the exact grammar, no name twice in an object
/// (compared decoded), no half of a surrogate pair, no number beyond a double, at most [`DEPTH_MAX`] levels, [`MEMBERS_MAX`] members of an object and [`NAMES_MAX`] of those around it. Work
/// and memory grow with the text's length (but for a logarithm).
pub fn check(bytes: &[u8]) -> Result<Value<'_>, Problem> {
    check::check(bytes, check::STRICT, None)
}

/// The same; walking through it is then quick, however often it is done.
pub fn check_noting<'a>(bytes: &'a [u8], ends: &'a mut Ends) -> Result<Value<'a>, Problem> {
    noting(bytes, check::STRICT, ends)
}

/// The one value of a text as parsers in use read it: names may be there twice (the last one counts), halves of surrogate pairs stand for U+FFFD, `NaN`,
/// `Infinity` and `-Infinity` are numbers (Python writes and reads them).
pub fn loose(bytes: &[u8]) -> Result<Value<'_>, Problem> {
    check::check(bytes, check::LOOSE, None)
}

/// The same; walking through it is then quick.
pub fn loose_noting<'a>(bytes: &'a [u8], ends: &'a mut Ends) -> Result<Value<'a>, Problem> {
    noting(bytes, check::LOOSE, ends)
}

fn noting<'a>(bytes: &'a [u8], rules: check::Rules, ends: &'a mut Ends) -> Result<Value<'a>, Problem> {
    let Value { text, start, end, .. } = check::check(bytes, rules, Some(&mut *ends))?;
    Ok(Value {
        text,
        start,
        end,
        ends,
    })
}

/// Whether some parsers take one name for the other: Go's take any case, and Unicode's two look-alikes of `k` and `s` too.
pub fn is_twin(known: &str, name: &str) -> bool {
    if name.is_ascii() {
        return known.eq_ignore_ascii_case(name);
    }
    let folded = name.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    });
    folded.eq(known.chars().map(|c| c.to_ascii_lowercase()))
}

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// Any number.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

/// A value within a text that was checked.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    text: &'a str,
    start: usize,
    end: usize,
    ends: &'a Ends,
}

impl<'a> Value<'a> {
    /// What it is.
    pub fn kind(&self) -> Kind {
        match self.raw().as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') => Kind::Null,
            _ => Kind::Number,
        }
    }

    /// Where it is in the text, in bytes.
    pub fn span(&self) -> Range<usize> {
        self.start..self.end
    }

    /// As it is written.
    pub fn raw(&self) -> &'a str {
        self.text.get(self.start..self.end).unwrap_or_default()
    }

    /// An object's names and values, in the order of the text; nothing for another kind.
    pub fn members(&self) -> Members<'a> {
        Members::of(*self)
    }

    /// An array's values; nothing for another kind.
    pub fn items(&self) -> Items<'a> {
        Items::of(*self)
    }

    /// The member of this name of an object; the last, should there be several. Looks through all of the object: for more than a few names, walk once.
    pub fn get(&self, name: &str) -> Option<Value<'a>> {
        self.members()
            .filter(|(own, _)| own == name)
            .last()
            .map(|(_, value)| value)
    }

    /// A string's content, decoded.
    pub fn str(&self) -> Option<Cow<'a, str>> {
        (self.kind() == Kind::String).then(|| text::decoded(self.inner()))
    }

    /// What is between the first and the last byte: a string's content as it is written, an array's or object's inside.
    pub fn inner(&self) -> &'a str {
        self.text
            .get(self.start + 1..self.end.saturating_sub(1))
            .unwrap_or_default()
    }

    /// A piece of the text, by its place there.
    pub(super) fn piece(&self, span: Range<usize>) -> &'a str {
        self.text.get(span).unwrap_or_default()
    }

    /// What is around it, where it is the value of a member whose name has no quote in it.
    pub(super) fn around(&self) -> Around {
        walk::around(*self)
    }

    /// Whether there is a string anywhere in it, name or value, that says just this (plain letters of ASCII).
    pub fn says(&self, word: &str) -> bool {
        text::says(self.raw(), word)
    }

    /// A whole number of at most [`NUMBER_MAX`], written in digits alone.
    pub fn plain_u64(&self) -> Option<u64> {
        let digits = self.raw();
        // 2^53 has 16 digits; more would be a number beyond it, since none begins with a zero.
        let plain = (1..=16).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        plain
            .then(|| digits.bytes().fold(0, |sum, b| sum * 10 + u64::from(b - b'0')))
            .filter(|number| *number <= NUMBER_MAX)
    }

    /// `true` or `false`.
    pub fn bool(&self) -> Option<bool> {
        match self.raw() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        self.kind() == Kind::Null
    }
}

#[cfg(test)]
mod tests;
