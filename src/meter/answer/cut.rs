//! The well-formed end of an answer that is cut at zero: what the SDKs take for an answer that has reached its limit.

use std::fmt::Write;

use bytes::Bytes;

use super::reading::{Marks, Names};
use super::{Framing, Meter, Shown};
use crate::domain::usage::Usage;
use crate::meter::json::loose;

/// Why an answer is cut, and what is said of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cut<'c> {
    /// The reason for machines: a JSON object, which is put under `faregate`.
    pub reason: &'c str,
    /// What is charged.
    pub usage: Usage,
    /// The id, where the upstream has not said one.
    pub id: &'c str,
    /// The model, where the upstream has not said it.
    pub model: &'c str,
    /// Now, in Unix seconds, where the upstream has not said when.
    pub created: u64,
}

/// What an ending has to know.
#[derive(Clone, Copy, Debug)]
pub(in crate::meter) struct Ending<'e> {
    pub(in crate::meter) cut: &'e Cut<'e>,
    pub(in crate::meter) marks: Marks,
    pub(in crate::meter) names: Option<&'e Names>,
    /// Choices that were asked for.
    pub(in crate::meter) choices: u64,
    /// The client did not ask for usage.
    pub(in crate::meter) shown: Shown,
}

impl Ending<'_> {
    /// The id, as JSON.
    pub(in crate::meter) fn id(&self) -> String {
        let said = self.names.and_then(|names| names.id.as_deref());
        said.map_or_else(|| quoted(self.cut.id), str::to_owned)
    }

    /// The model, as JSON.
    pub(in crate::meter) fn model(&self) -> String {
        let said = self.names.and_then(|names| names.model.as_deref());
        said.map_or_else(|| quoted(self.cut.model), str::to_owned)
    }

    /// When it was made, as JSON.
    pub(in crate::meter) fn created(&self) -> String {
        let said = self.names.and_then(|names| names.created.as_deref());
        said.map_or_else(|| self.cut.created.to_string(), str::to_owned)
    }
}

/// A text as JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// An event of an ending.
#[derive(Debug)]
pub(in crate::meter) struct Said {
    /// Its name, where the API names events.
    pub(in crate::meter) name: &'static str,
    pub(in crate::meter) data: String,
}

impl Said {
    pub(in crate::meter) fn plain(data: String) -> Said {
        Said { name: "", data }
    }
}

impl Meter {
    /// Whether [`Meter::cut`] can end it well: one JSON text can only be broken off.
    pub fn ends_well(&self) -> bool {
        self.ending().is_some()
    }

    fn ending(&self) -> Option<fn(&Ending<'_>) -> Vec<Said>> {
        let ending = self.setup.api.answers().ending;
        ending.filter(|_| self.setup.framing != Framing::Whole)
    }

    /// What ends the client's answer well-formed, behind what has passed. Nothing where it had ended by itself, and nothing that could end one JSON text.
    /// What has not passed is dropped: nothing more is to be fed.
    pub fn cut(&mut self, why: &Cut<'_>) -> Bytes {
        let within = self.setup.framing != Framing::Whole && self.long.take().is_some();
        (self.front, self.frame, self.seen) = (Bytes::new(), Bytes::new(), None);
        self.partial = Vec::new();
        let Some(ends) = self.ending().filter(|_| !self.tally.complete) else {
            return Bytes::new();
        };
        let reason = loose(why.reason.as_bytes()).map_or("{}", |reason| reason.raw());
        let ending = Ending {
            cut: &Cut { reason, ..*why },
            marks: self.marks,
            names: self.names.as_deref(),
            choices: self.setup.choices,
            shown: self.setup.shown,
        };
        let mut out = String::new();
        if within {
            // The client reads half an event, and then the ending.
            out.push_str("\n\n");
        }
        for Said { name, data } in ends(&ending) {
            // To a String, writing cannot fail.
            let _ = match self.setup.framing {
                Framing::Sse if name.is_empty() => write!(out, "data: {data}\n\n"),
                Framing::Sse => write!(out, "event: {name}\ndata: {data}\n\n"),
                Framing::Lines | Framing::Whole => writeln!(out, "{data}"),
            };
        }
        self.tally.complete = true;
        out.into()
    }
}
