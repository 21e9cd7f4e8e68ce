//! What the readers of all sections share: where the text's lines begin, where secrets come from, and what was found wrong.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::problem::{LISTED_MAX, Problem};
use super::schema::Declared;
use super::secret::{Env, Files};

/// A value and where it stands, for the checks that look at several.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) place: Place,
}

/// Where something stands: its key as a path, and the byte it begins at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) key: String,
    pub(super) at: usize,
}

impl<T> Placed<T> {
    pub(super) fn new(value: T, place: &Place) -> Placed<T> {
        Placed {
            value,
            place: place.clone(),
        }
    }

    pub(super) fn map<U>(self, with: impl FnOnce(T) -> U) -> Placed<U> {
        Placed {
            value: with(self.value),
            place: self.place,
        }
    }
}

/// Shared by all [`super::section::Section`]s of one reading.
pub(super) struct Context<'a> {
    /// Byte offsets at which lines begin, but for the first.
    lines: Vec<usize>,
    pub(super) env: Env<'a>,
    pub(super) files: Files<'a>,
    problems: RefCell<Vec<Problem>>,
    /// The line of each key that is there.
    places: RefCell<BTreeMap<String, usize>>,
    /// Not reading a file but writing down which keys there are, for the schema.
    pub(super) declared: Option<RefCell<Vec<Declared>>>,
}

impl<'a> Context<'a> {
    pub(super) fn new(text: &str, env: Env<'a>, files: Files<'a>) -> Context<'a> {
        Context {
            lines: text.match_indices('\n').map(|(at, _)| at + 1).collect(),
            env,
            files,
            problems: RefCell::default(),
            places: RefCell::default(),
            declared: None,
        }
    }

    /// One that reads nothing and writes down every key that is asked for.
    pub(super) fn describing() -> Context<'a> {
        Context {
            declared: Some(RefCell::default()),
            ..Context::new("", &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()))
        }
    }

    pub(super) fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|begin| *begin <= at) + 1
    }

    pub(super) fn problem(&self, place: &Place, what: impl Into<String>, advice: impl Into<String>) {
        self.problems.borrow_mut().push(Problem {
            line: self.line(place.at),
            key: place.key.clone(),
            what: what.into(),
            advice: advice.into(),
        });
    }

    /// So much is wrong already that nobody will read what is said about the rest.
    pub(super) fn is_hopeless(&self) -> bool {
        self.problems.borrow().len() > 10 * LISTED_MAX
    }

    pub(super) fn seen(&self, place: &Place) {
        let line = self.line(place.at);
        self.places.borrow_mut().insert(place.key.clone(), line);
    }

    pub(super) fn into_parts(self) -> (Vec<Problem>, BTreeMap<String, usize>) {
        (self.problems.into_inner(), self.places.into_inner())
    }
}
