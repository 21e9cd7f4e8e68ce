//! A table of the file, read key by key. Each getter names the key, says what it is for, and checks its value; what it
//! asks for is also what the schema lists and what counts as known.

mod tables;
mod texts;
mod values;

use std::cell::RefCell;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::context::{Context, Place};
use super::schema::{Declared, Kind};
use super::suggest;

pub(super) use values::{Bounds, within};

/// A table that is being read.
pub(super) struct Section<'a> {
    cx: &'a Context<'a>,
    /// Where it stands; its key is empty for the file as a whole.
    pub(super) place: Place,
    /// The path of its keys in the schema: `upstreams.*`, `routes[]`.
    shape: String,
    /// `None`: it is not there, and all its keys are absent.
    table: Option<&'a DeTable<'a>>,
    asked: RefCell<Vec<&'static str>>,
    /// Keys that a later version will know.
    later: RefCell<Vec<&'static str>>,
}

/// A value that is there.
pub(super) struct Node<'a> {
    pub(super) place: Place,
    pub(super) value: &'a DeValue<'a>,
}

impl<'a> Section<'a> {
    /// The file as a whole.
    pub(super) fn root(cx: &'a Context<'a>, table: Option<&'a DeTable<'a>>) -> Section<'a> {
        Section {
            cx,
            place: Place {
                key: String::new(),
                at: 0,
            },
            shape: String::new(),
            table,
            asked: RefCell::default(),
            later: RefCell::default(),
        }
    }

    fn inner(&self, place: Place, shape: String, table: Option<&'a DeTable<'a>>) -> Section<'a> {
        Section {
            place,
            shape,
            table,
            ..Section::root(self.cx, None)
        }
    }

    /// Nothing is read, the keys are only written down.
    pub(super) fn describing(&self) -> bool {
        self.cx.declared.is_some()
    }

    /// The line of a place.
    pub(super) fn line(&self, place: &Place) -> usize {
        self.cx.line(place.at)
    }

    /// Whether the key is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(name))
    }

    /// Where the key stands, or the table where it does not.
    pub(super) fn place_or(&self, name: &str) -> Place {
        match self.entry(name) {
            Some((key, _)) => self.place_of(key),
            None => self.place.clone(),
        }
    }

    /// Says what is wrong at a place.
    pub(super) fn problem(&self, place: &Place, what: impl Into<String>, advice: impl Into<String>) {
        self.cx.problem(place, what, advice);
    }

    /// A key that must be there, whatever else is.
    pub(super) fn required(&self, name: &str, advice: &str) {
        if let Some(list) = &self.cx.declared {
            for declared in list.borrow_mut().iter_mut() {
                declared.required |= declared.name == name && declared.parent() == self.shape;
            }
        } else if !self.has(name) {
            self.missing(name, advice);
        }
    }

    /// Says that a key must be there and is not.
    pub(super) fn missing(&self, name: &str, advice: impl Into<String>) {
        if !self.describing() {
            let place = Place {
                key: join(&self.place.key, name),
                at: self.place.at,
            };
            self.cx.problem(&place, "is missing", advice);
        }
    }

    /// A key that a later version will know: a problem of its own when it is there.
    pub(super) fn later(&self, name: &'static str, what: &str, advice: &str) {
        self.later.borrow_mut().push(name);
        if let Some((key, _)) = self.entry(name) {
            self.cx.problem(&self.place_of(key), what, advice);
        }
    }

    fn entry(&self, name: &str) -> Option<(&'a Spanned<toml::de::DeString<'a>>, &'a Spanned<DeValue<'a>>)> {
        self.table?.get_key_value(name)
    }

    fn place_of(&self, key: &Spanned<toml::de::DeString<'_>>) -> Place {
        Place {
            key: join(&self.place.key, key.get_ref()),
            at: key.span().start,
        }
    }

    /// Asks for a key: it is known from here on.
    fn ask(&self, declared: Declared) -> Option<Node<'a>> {
        self.asked.borrow_mut().push(declared.name);
        let name = declared.name;
        if let Some(list) = &self.cx.declared {
            let shape = join(&self.shape, name);
            list.borrow_mut().push(Declared { shape, ..declared });
            return None;
        }
        let (key, value) = self.entry(name)?;
        let place = self.place_of(key);
        self.cx.seen(&place);
        Some(Node {
            place,
            value: value.get_ref(),
        })
    }

    /// Reports the keys that nobody asked for.
    fn finish(self) {
        let Some(table) = self.table else { return };
        let asked = self.asked.take();
        let later = self.later.take();
        for (key, _) in table {
            let name: &str = key.get_ref();
            if asked.contains(&name) || later.contains(&name) {
                continue;
            }
            let advice = if self.cx.is_hopeless() {
                String::new()
            } else {
                suggest::for_unknown(name, &asked, &self.shape)
            };
            self.cx.problem(&self.place_of(key), "is no setting", advice);
        }
    }
}

/// The whole file, read by `with`.
pub(super) fn read_root<'a, T>(
    cx: &'a Context<'a>,
    table: Option<&'a DeTable<'a>>,
    with: impl FnOnce(&Section<'a>) -> T,
) -> T {
    let root = Section::root(cx, table);
    let value = with(&root);
    root.finish();
    value
}

/// `path.key`, quoted the way TOML would where it must be.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let key = if bare || key == "*" || key.ends_with("[]") {
        key.to_owned()
    } else {
        shorten(&format!("{key:?}"))
    };
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}

/// A text of the file as it is repeated in a problem: bounded.
fn shorten(text: &str) -> String {
    const SHOWN_MAX: usize = 80;
    if text.chars().count() <= SHOWN_MAX {
        return text.to_owned();
    }
    text.chars().take(SHOWN_MAX).chain("...".chars()).collect()
}

/// A declaration with nothing said about defaults and bounds.
fn declare(name: &'static str, kind: Kind, doc: &'static str) -> Declared {
    Declared {
        shape: String::new(),
        name,
        kind,
        doc,
        required: false,
        default: None,
        bounds: None,
    }
}
