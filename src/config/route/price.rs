//! `cost` of a route.

use http::HeaderName;
use toml::de::DeValue;

use super::super::context::Placed;
use super::super::headers;
use super::super::section::{Bounds, Node, Section, within};
use crate::domain::credits::Credits;
use crate::domain::price::{Price, Terms};

const COST: &str = "What a request costs, in credits: 0 for nothing; a number for each request; { each, times } per unit of the request; { each, reported, hold } per unit that the answer reports; { header, hold } as the upstream says; \"tokens\" as [models] says.";
const FORMS: &str = "write cost = 0.002, cost = 0, cost = { each = 0.04, times = \"n\" }, cost = { each = 0.006, reported = \"usage.seconds\", hold = 0.5 }, cost = { header = \"x-credits-used\", hold = 0.5 } or cost = \"tokens\"";

const ANY: Bounds<Credits> = within(
    Credits::ZERO,
    Credits::MAX,
    "a price gives nothing back, and no account can hold more",
);
const SOME: Bounds<Credits> = within(Credits::MICRO, Credits::MAX, "a free route says cost = 0");

/// The price, or `None` with a problem.
pub(super) fn read(s: &Section<'_>) -> Option<Price> {
    let described = |s: &Section<'_>| {
        read_table(s);
    };
    let node = s.either("cost", COST, described);
    s.required("cost", "every route says what it costs; a free one says cost = 0");
    let node = node?;
    match node.value {
        DeValue::Table(_) => s.within("cost", node, read_table),
        DeValue::Integer(_) | DeValue::Float(_) => {
            let amount = s.amount(&node.place, node.value, &ANY)?;
            Some(if amount.is_zero() {
                Price::Free
            } else {
                Price::Fixed(amount)
            })
        }
        DeValue::String(text) if text == "tokens" => Some(Price::Tokens(Terms::default())),
        _ => {
            wrong(s, &node);
            None
        }
    }
}

fn wrong(s: &Section<'_>, node: &Node<'_>) {
    let (what, advice) = match node.value {
        DeValue::String(text) if text.parse::<Credits>().is_ok() => (
            "is a number in quotes",
            "write it without quotes: it is read by its digits, so it is exact",
        ),
        _ => ("is not a price", FORMS),
    };
    s.problem(&node.place, what, advice);
}

/// The kinds of price that are written as a table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `{ each, times }`
    Each,
    /// `{ each, reported, hold }`
    Measured,
    /// `{ header, hold }`
    Reported,
}

fn read_table(s: &Section<'_>) -> Option<Price> {
    let each = s.credits("each", "The price of one unit.", SOME);
    let times = s.text(
        "times",
        "The member of the JSON body that counts the units, absent there meaning 1; dots lead into objects.",
    );
    let reported = s.text(
        "reported",
        "The member of the JSON answer that counts the units, which may be parts of one; dots lead into objects.",
    );
    let header = s.text(
        "header",
        "The header of the upstream's answer that says the price.",
    );
    let hold = s.credits(
        "hold",
        "Held before, the most that is charged, and charged when the upstream does not say.",
        SOME,
    );
    match form(s)? {
        Form::Each => {
            let times = times.filter(|times| is_member(s, times));
            Some(Price::Each {
                each: each?,
                times: times?.value,
            })
        }
        Form::Measured => {
            let reported = reported.filter(|reported| is_member(s, reported));
            Some(Price::Measured {
                each: each?,
                reported: reported?.value,
                hold: hold?,
            })
        }
        Form::Reported => {
            let header = header.and_then(|text| header_name(s, &text));
            Some(Price::Reported {
                header: header?.as_str().to_owned(),
                hold: hold?,
            })
        }
    }
}

/// Which form a table has; what it lacks of that is told.
fn form(s: &Section<'_>) -> Option<Form> {
    let each = ("each", "the price of one unit: each = 0.04");
    let hold = ("hold", "the most that is charged: hold = 0.5");
    let times = ("times", "the member of the body that counts units: times = \"n\"");
    let header = (
        "header",
        "the header that says the price: header = \"x-credits-used\"",
    );
    let named = ["times", "reported", "header"].map(|name| s.has(name));
    let form = match (named, s.has("each"), s.has("hold")) {
        ([false, true, false], _, _) => Form::Measured,
        ([true, false, false], _, false) | ([false, false, false], true, false) => Form::Each,
        ([false, false, true], false, _) | ([false, false, false], false, true) => Form::Reported,
        ([false, false, false], false, false) => {
            if !s.describing() {
                s.problem(&s.place, "is not a price", FORMS);
            }
            return None;
        }
        _ => {
            s.problem(&s.place, "mixes two kinds of price", FORMS);
            return None;
        }
    };
    match form {
        Form::Each => need(s, [each, times]),
        Form::Measured => need(s, [each, hold]),
        Form::Reported => need(s, [header, hold]),
    }
    Some(form)
}

fn need(s: &Section<'_>, keys: [(&str, &str); 2]) {
    for (name, advice) in keys {
        if !s.has(name) {
            s.missing(name, advice);
        }
    }
}

fn header_name(s: &Section<'_>, text: &Placed<String>) -> Option<HeaderName> {
    headers::name(s, text, headers::Use::Cost)
}

/// `n` or `parameters.n`.
fn is_member(s: &Section<'_>, times: &Placed<String>) -> bool {
    const DEPTH_MAX: usize = 8;
    let parts: Vec<&str> = times.value.split('.').collect();
    let good = parts.len() <= DEPTH_MAX && parts.iter().all(|part| !part.is_empty() && part.len() <= 64);
    if !good {
        s.problem(
            &times.place,
            format!("{:?} does not name a member of the body", times.value),
            "write a name, or names with dots between: \"n\", \"parameters.n\"",
        );
    }
    good
}
