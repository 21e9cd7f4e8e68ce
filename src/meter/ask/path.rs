//! Where in a body something is.

use std::fmt;

use crate::meter::problem::{Problem, Quoted};

/// The way from the body to a value; shown as `messages[2].content`.
#[derive(Clone, Copy)]
pub(super) struct Path<'p> {
    above: Option<&'p Path<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Body,
    Name(&'p str),
    Index(usize),
}

impl<'p> Path<'p> {
    pub(super) const BODY: Path<'static> = Path {
        above: None,
        step: Step::Body,
    };

    pub(super) fn name(&'p self, name: &'p str) -> Path<'p> {
        Path {
            above: Some(self),
            step: Step::Name(name),
        }
    }

    pub(super) fn index(&'p self, index: usize) -> Path<'p> {
        Path {
            above: Some(self),
            step: Step::Index(index),
        }
    }

    /// The names alone, as a route allows them: `messages.audio`.
    pub(super) fn names(&self) -> String {
        let above = self.above.map(Path::names).unwrap_or_default();
        match self.step {
            Step::Body | Step::Index(_) => above,
            Step::Name(name) if above.is_empty() => name.to_owned(),
            Step::Name(name) => format!("{above}.{name}"),
        }
    }

    /// What is wrong with what is here.
    pub(super) fn problem(&self, what: impl fmt::Display) -> Problem {
        match self.step {
            Step::Body => Problem::new(format!("the body {what}")),
            _ => Problem::new(format!("{} {what}", Quoted(&self.to_string()))),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            above.fmt(f)?;
        }
        match self.step {
            Step::Body => Ok(()),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Name(name) if self.above.is_none_or(|above| matches!(above.step, Step::Body)) => {
                f.write_str(name)
            }
            Step::Name(name) => write!(f, ".{name}"),
        }
    }
}
