//! Getters for values: flags, numbers, amounts, durations, sizes.

use std::fmt;
use std::time::Duration;

use toml::de::{DeInteger, DeValue};

use super::super::context::{Place, Placed};
use super::super::schema::{Declared, Default, Kind};
use super::super::units::{DURATION_FORM, SIZE_FORM, parse_duration, parse_size, show_duration, show_size};
use super::{Node, Section, declare, shorten};
use crate::domain::credits::Credits;

/// The least and the most a value may be, and why.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Bounds<T> {
    pub(in crate::config) min: T,
    pub(in crate::config) max: T,
    pub(in crate::config) why: &'static str,
}

/// At least `min` and at most `max`, because of `why` (a clause, for people).
pub(in crate::config) const fn within<T>(min: T, max: T, why: &'static str) -> Bounds<T> {
    Bounds { min, max, why }
}

/// How values that are texts of a form of their own are written.
struct Form<T> {
    show: fn(T) -> String,
    parse: fn(&str) -> Option<T>,
    what: &'static str,
    hint: &'static str,
}

impl<'a> Section<'a> {
    /// `true` or `false`; absent is `false`.
    pub(in crate::config) fn flag(&self, name: &'static str, doc: &'static str) -> bool {
        let mut declared = declare(name, Kind::Flag, doc);
        declared.default = Some(Default::Flag(false));
        let Some(node) = self.ask(declared) else {
            return false;
        };
        match node.value {
            DeValue::Boolean(value) => *value,
            other => {
                let what = format!("{} is not true or false", shown(other));
                self.problem(&node.place, what, "write true or false, without quotes");
                false
            }
        }
    }

    /// A whole number.
    pub(in crate::config) fn integer(
        &self,
        name: &'static str,
        doc: &'static str,
        default: u64,
        bounds: Bounds<u64>,
    ) -> u64 {
        self.integer_or(name, doc, Some(default), bounds)
            .unwrap_or(default)
    }

    /// A whole number, or none.
    pub(in crate::config) fn integer_or(
        &self,
        name: &'static str,
        doc: &'static str,
        default: Option<u64>,
        bounds: Bounds<u64>,
    ) -> Option<u64> {
        let mut declared = declare(name, Kind::Integer(bounds.min, bounds.max), doc);
        declared.default = default.map(Default::Integer);
        declared.bounds = Some(said(&bounds, u64::to_string));
        let Some(node) = self.ask(declared) else {
            return default;
        };
        let DeValue::Integer(number) = node.value else {
            let what = format!("{} is not a whole number", shown(node.value));
            let advice = format!(
                "write digits alone, such as {}",
                default.unwrap_or(bounds.max.min(100))
            );
            self.problem(&node.place, what, advice);
            return None;
        };
        let Some(number) = whole(number) else {
            let what = format!("{} is out of bounds", shown(node.value));
            self.problem(&node.place, what, said(&bounds, u64::to_string));
            return None;
        };
        self.inside(&node.place, number, &bounds, u64::to_string)
    }

    /// A duration, in whole milliseconds.
    pub(in crate::config) fn duration(
        &self,
        name: &'static str,
        doc: &'static str,
        default: Duration,
        bounds: Bounds<Duration>,
    ) -> Duration {
        self.duration_or(name, doc, Some(default), bounds)
            .unwrap_or(default)
    }

    /// A duration, or none.
    pub(in crate::config) fn duration_or(
        &self,
        name: &'static str,
        doc: &'static str,
        default: Option<Duration>,
        bounds: Bounds<Duration>,
    ) -> Option<Duration> {
        let form = Form {
            show: show_duration,
            parse: parse_duration,
            what: "a duration",
            hint: DURATION_FORM,
        };
        self.in_form(declare(name, Kind::Duration, doc), default, &bounds, &form)
    }

    /// A number of bytes.
    pub(in crate::config) fn size(
        &self,
        name: &'static str,
        doc: &'static str,
        default: u64,
        bounds: Bounds<u64>,
    ) -> u64 {
        self.size_or(name, doc, Some(default), bounds).unwrap_or(default)
    }

    /// A number of bytes, or none.
    pub(in crate::config) fn size_or(
        &self,
        name: &'static str,
        doc: &'static str,
        default: Option<u64>,
        bounds: Bounds<u64>,
    ) -> Option<u64> {
        let form = Form {
            show: show_size,
            parse: parse_size,
            what: "a size",
            hint: SIZE_FORM,
        };
        self.in_form(declare(name, Kind::Size, doc), default, &bounds, &form)
    }

    /// A value that is written as a text of its own form, or none.
    fn in_form<T: Copy + PartialOrd>(
        &self,
        mut declared: Declared,
        default: Option<T>,
        bounds: &Bounds<T>,
        form: &Form<T>,
    ) -> Option<T> {
        let show = |value: &T| (form.show)(*value);
        declared.default = default.as_ref().map(show).map(Default::Text);
        declared.bounds = Some(said(bounds, show));
        let Some(node) = self.ask(declared) else {
            return default;
        };
        let Some(value) = text_of(node.value).and_then(form.parse) else {
            let what = format!("{} is not {}", shown(node.value), form.what);
            self.problem(&node.place, what, form.hint);
            return None;
        };
        self.inside(&node.place, value, bounds, show)
    }

    /// An amount of credits, by its decimal text.
    pub(in crate::config) fn credits(
        &self,
        name: &'static str,
        doc: &'static str,
        bounds: Bounds<Credits>,
    ) -> Option<Credits> {
        self.credits_declared(declare(name, Kind::Credits, doc), &bounds)
    }

    /// An amount of credits, so many whole ones where none is given.
    pub(in crate::config) fn credits_or(
        &self,
        name: &'static str,
        doc: &'static str,
        default: u32,
        bounds: Bounds<Credits>,
    ) -> Credits {
        let mut declared = declare(name, Kind::Credits, doc);
        declared.default = Some(Default::Integer(default.into()));
        self.credits_declared(declared, &bounds)
            .unwrap_or_else(|| Credits::whole(default))
    }

    fn credits_declared(&self, mut declared: Declared, bounds: &Bounds<Credits>) -> Option<Credits> {
        declared.bounds = Some(said(bounds, Credits::to_string));
        let node = self.ask(declared)?;
        self.amount(&node.place, node.value, bounds)
    }

    /// An amount of credits that stands at `place`.
    pub(in crate::config) fn amount(
        &self,
        place: &Place,
        value: &DeValue<'_>,
        bounds: &Bounds<Credits>,
    ) -> Option<Credits> {
        let text = self.digits(place, value, "an amount of credits")?;
        match text.parse::<Credits>() {
            Ok(amount) => self.inside(place, amount, bounds, Credits::to_string),
            Err(error) => {
                let what = format!("{} is not an amount of credits", shorten(text));
                self.problem(place, what, error.to_string());
                None
            }
        }
    }

    /// A decimal number of any size, as it is written: an amount of something that the reader knows.
    pub(in crate::config) fn decimal(&self, name: &'static str, doc: &'static str) -> Option<Placed<String>> {
        let node = self.ask(declare(name, Kind::Decimal, doc))?;
        let text = self.digits(&node.place, node.value, "a number")?;
        Some(Placed::new(text.to_owned(), &node.place))
    }

    /// The digits of a number, without the plus sign that TOML allows.
    fn digits<'v>(&self, place: &Place, value: &'v DeValue<'_>, kind: &str) -> Option<&'v str> {
        let text = match value {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            other => {
                let what = format!("{} is not {kind}", shown(other));
                self.problem(
                    place,
                    what,
                    "write a decimal number without quotes, such as 0.002",
                );
                return None;
            }
        };
        Some(text.strip_prefix('+').unwrap_or(text))
    }

    fn inside<T: PartialOrd>(
        &self,
        place: &Place,
        value: T,
        bounds: &Bounds<T>,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        if bounds.min <= value && value <= bounds.max {
            return Some(value);
        }
        self.problem(
            place,
            format!("{} is out of bounds", show(&value)),
            said(bounds, show),
        );
        None
    }
}

/// "from 1s to 5m: why".
fn said<T>(bounds: &Bounds<T>, show: impl Fn(&T) -> String) -> String {
    format!(
        "from {} to {}: {}",
        show(&bounds.min),
        show(&bounds.max),
        bounds.why
    )
}

fn whole(number: &DeInteger<'_>) -> Option<u64> {
    let text = number.as_str();
    u64::from_str_radix(text.strip_prefix('+').unwrap_or(text), number.radix()).ok()
}

pub(in crate::config) fn text_of<'v>(value: &'v DeValue<'_>) -> Option<&'v str> {
    match value {
        DeValue::String(text) => Some(text),
        _ => None,
    }
}

/// A value as it is repeated in a problem.
pub(in crate::config) fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => shorten(&format!("{text:?}")),
        DeValue::Integer(number) => shorten(&number.to_string()),
        DeValue::Float(number) => shorten(number.as_str()),
        DeValue::Boolean(value) => value.to_string(),
        other => kind_of(other).to_owned(),
    }
}

pub(in crate::config) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value may be a secret.
        f.debug_struct("Node")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}
