//! What is wrong with a configuration: all of it at once, each with its place and what to do.

use std::fmt;

/// No more problems than this are listed; the rest is counted.
pub const LISTED_MAX: usize = 100;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize)]
pub struct Problem {
    /// Line in the file, from 1.
    pub line: usize,
    /// The key, as a path (`server.body_max`, `routes[POST /v1/rerank].cost`); empty when the file is no TOML there.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub advice: String,
}

/// All that is wrong with a configuration, in the order of the file. Never empty.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, thiserror::Error)]
pub struct Problems {
    /// The file's name, for people.
    pub file: String,
    /// The problems; at most [`LISTED_MAX`].
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub more: usize,
}

impl Problems {
    /// Sorted, without repeats, cut at [`LISTED_MAX`]; `None` when there are none.
    pub(super) fn new(mut problems: Vec<Problem>) -> Option<Problems> {
        problems.sort();
        problems.dedup();
        let more = problems.len().saturating_sub(LISTED_MAX);
        problems.truncate(LISTED_MAX);
        (!problems.is_empty()).then(|| Problems {
            file: "config.toml".to_owned(),
            problems,
            more,
        })
    }

    /// The same problems, said of a file of this name.
    pub fn in_file(self, file: &str) -> Problems {
        Problems {
            file: file.to_owned(),
            ..self
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:{problem}", self.file)?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    /// `line: key: what; advice`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.line)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        write!(f, "{}", self.what)?;
        if !self.advice.is_empty() {
            write!(f, "; {}", self.advice)?;
        }
        Ok(())
    }
}
