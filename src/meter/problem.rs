//! What is wrong with a body, for whoever sent it.

use std::borrow::Cow;
use std::fmt;

/// The longest name that is repeated in full.
const NAME_MAX: usize = 60;

/// A sentence for whoever sent the body: what is wrong, where, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem(Cow<'static, str>);

impl Problem {
    /// With this sentence; it begins in lower case, without a full stop.
    pub fn new(what: impl Into<Cow<'static, str>>) -> Problem {
        Problem(what.into())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Problem {}

/// A name as the sender wrote it, between backticks: made harmless, and not longer than it is useful.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`")?;
        for c in self.0.chars().take(NAME_MAX) {
            write!(f, "{}", c.escape_debug())?;
        }
        if self.0.chars().nth(NAME_MAX).is_some() {
            f.write_str("...")?;
        }
        f.write_str("`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_repeated_without_harm() {
        assert_eq!(Quoted("model").to_string(), "`model`");
        assert_eq!(Quoted("a\n\u{1b}").to_string(), "`a\\n\\u{1b}`");
        assert_eq!(Quoted(&"x".repeat(1000)).to_string().len(), NAME_MAX + 5);
    }
}
