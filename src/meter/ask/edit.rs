//! What is changed in a body: few splices at known places, all else byte for byte (promise 6).

use std::ops::Range;

use bytes::Bytes;

use super::Asked;
use super::path::Path;
use super::spec::{Means, Member, Spec};
use crate::meter::json::{Around, Kind, Value};
use crate::meter::problem::Problem;

/// What to change.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'c> {
    /// The limit of each answer, 1 or more: in place of the one that is there, however it is called, else added. Without effect where nothing is written.
    pub output_max: Option<u64>,
    /// The name of a limit that is added; one that the API does not know is taken for its usual one ([`super::limit_name`]).
    pub limit_name: &'c str,
    /// The model's name, in place of the one that is there.
    pub model: Option<&'c str>,
    /// Ask for usage at the end of the stream. Without effect on what is not streamed, and on APIs that send usage unasked.
    pub ask_usage: bool,
    /// Ask for usage in each event too; the same.
    pub continuous_usage: bool,
}

/// Where in a body the things are that may be changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Spots {
    /// Behind the body's opening brace.
    start: usize,
    /// How many members the body has.
    members: usize,
    pub(super) model: Range<usize>,
    pub(super) limits: Vec<Limit>,
    /// What has the limit in it, where that is not the body.
    pub(super) options: Option<Holder>,
    pub(super) stream_options: Option<Holder>,
    pub(super) include_usage: Option<Range<usize>>,
    pub(super) continuous_usage: Option<Range<usize>>,
}

/// A limit that is there, by one of its names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Limit {
    pub(super) name: &'static str,
    /// None for a null, and for a number that means that there is none.
    pub(super) value: Option<u64>,
    null: bool,
    span: Range<usize>,
    around: Around,
}

impl Limit {
    pub(super) fn of(name: &'static str, value: Value<'_>, limit: Option<u64>) -> Limit {
        Limit {
            name,
            value: limit,
            null: value.is_null(),
            span: value.span(),
            around: value.around(),
        }
    }

    /// Whether it says that there is no limit.
    pub(super) fn is_endless(&self) -> bool {
        self.value.is_none() && !self.null
    }
}

/// An object that members may be added to, or a null in its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Holder {
    span: Range<usize>,
    null: bool,
    empty: bool,
}

impl Holder {
    pub(super) fn of(value: Value<'_>) -> Holder {
        Holder {
            span: value.span(),
            null: value.kind() == Kind::Null,
            empty: value.members().next().is_none(),
        }
    }
}

impl Spots {
    pub(super) fn body(&mut self, whole: Value<'_>) {
        self.start = whole.span().start + 1;
        self.members = whole.members().count();
    }

    /// The one limit, whatever its names.
    pub(super) fn limit(&self) -> Result<Option<u64>, Problem> {
        let mut set = self.limits.iter().filter(|limit| limit.value.is_some());
        let Some(first) = set.next() else {
            return Ok(None);
        };
        match set.find(|other| other.value != first.value) {
            None => Ok(first.value),
            Some(other) => Err(Path::BODY.name(first.name).problem(format_args!(
                "and `{}` say the same thing in two ways: send one of them",
                other.name
            ))),
        }
    }
}

/// What goes in place of what is there.
type Edit = (Range<usize>, String);

impl Asked {
    /// The body that was read with these changes, in pieces: slices of it, and what is new between them. Nothing of it is copied.
    pub fn edited(&self, body: &Bytes, change: &Change<'_>) -> Vec<Bytes> {
        let mut edits = self.edits(change);
        edits.sort_by_key(|(span, _)| (span.start, span.end));
        let slice = |from: usize, to: usize| {
            let to = to.min(body.len());
            body.slice(from.min(to)..to)
        };
        let mut pieces = Vec::with_capacity(edits.len() * 2 + 1);
        let mut at = 0;
        for (span, text) in edits {
            pieces.push(slice(at, span.start));
            pieces.push(Bytes::from(text));
            at = span.end;
        }
        pieces.push(slice(at, body.len()));
        pieces.retain(|piece| !piece.is_empty());
        pieces
    }

    /// What goes in place of what, at places in the body that was read; none of them overlap.
    pub fn edits(&self, change: &Change<'_>) -> Vec<Edit> {
        let spec = self.api.asked();
        let mut edits = Vec::new();
        if let (Some(model), Some(own)) = (change.model, &self.model)
            && model != own
        {
            let model = serde_json::Value::from(model).to_string();
            edits.push((self.spots.model.clone(), model));
        }
        if spec.writes {
            self.limit(spec, change, &mut edits);
        }
        if self.stream && spec.usage_option {
            self.usage(change, &mut edits);
        }
        edits
    }

    fn limit(&self, spec: &Spec, change: &Change<'_>, edits: &mut Vec<Edit>) {
        let limits = &self.spots.limits;
        let nulls = || limits.iter().filter(|spot| spot.value.is_none());
        let mut null = None;
        if self.output_max.is_some() {
            let changed = limits
                .iter()
                .filter(|spot| spot.value.is_some() && spot.value != change.output_max);
            if let Some(limit) = change.output_max {
                edits.extend(changed.map(|spot| (spot.span.clone(), limit.to_string())));
            }
        } else if let Some(limit) = change.output_max {
            let known = is_limit(spec, change.limit_name);
            let name = if known { change.limit_name } else { spec.limit };
            null = nulls().find(|spot| spot.name == name);
            match null {
                Some(null) => edits.push((null.span.clone(), limit.to_string())),
                None => {
                    let holder = spec.limit_in.map(|holder| (holder, &self.spots.options));
                    let left = self.spots.members - nulls().count().min(self.spots.members);
                    self.add(holder, &format!("\"{name}\":{limit}"), left, edits);
                }
            }
        } else {
            let endless = limits.iter().filter(|spot| spot.is_endless());
            return without(endless, edits);
        }
        // llama.cpp takes a limit that is null for none, whatever the others say: they go.
        without(nulls().filter(|spot| Some(*spot) != null), edits);
    }

    fn usage(&self, change: &Change<'_>, edits: &mut Vec<Edit>) {
        let wanted = [
            (
                "include_usage",
                change.ask_usage,
                self.usage,
                &self.spots.include_usage,
            ),
            (
                "continuous_usage_stats",
                change.continuous_usage,
                self.continuous_usage,
                &self.spots.continuous_usage,
            ),
        ];
        let mut added = Vec::new();
        for (name, wanted, there, spot) in wanted {
            match spot {
                _ if !wanted || there => {}
                Some(spot) => edits.push((spot.clone(), "true".to_owned())),
                None => added.push(format!("\"{name}\":true")),
            }
        }
        if !added.is_empty() {
            let holder = Some(("stream_options", &self.spots.stream_options));
            self.add(holder, &added.join(","), self.spots.members, edits);
        }
    }

    /// Adds members to the body, or to an object in it, or the object; so many members are left in the body.
    fn add(
        &self,
        holder: Option<(&str, &Option<Holder>)>,
        members: &str,
        left: usize,
        edits: &mut Vec<Edit>,
    ) {
        let start = self.spots.start..self.spots.start;
        let comma = if left > 0 { "," } else { "" };
        edits.push(match holder {
            None => (start, format!("{members}{comma}")),
            Some((name, None)) => (start, format!("\"{name}\":{{{members}}}{comma}")),
            Some((_, Some(holder))) if holder.null => (holder.span.clone(), format!("{{{members}}}")),
            Some((_, Some(holder))) => {
                let inside = holder.span.start + 1;
                let comma = if holder.empty { "" } else { "," };
                (inside..inside, format!("{members}{comma}"))
            }
        });
    }
}

/// Takes members out, in the order of the body: with the comma before them, or behind them where all that is before goes too.
fn without<'l>(gone: impl Iterator<Item = &'l Limit>, edits: &mut Vec<Edit>) {
    // Where the last one ends of those that go from the beginning on.
    let mut led = None;
    for limit in gone {
        let Around { before, name, after } = limit.around;
        let span = match (before, after) {
            (Some(before), _) if led != Some(before) => before..limit.span.end,
            (_, Some(after)) => {
                led = Some(limit.span.end);
                name..after
            }
            // Nothing is left but what is added.
            (_, None) => name..limit.span.end,
        };
        edits.push((span, String::new()));
    }
}

/// Whether this is a name of the limit.
pub(super) fn is_limit(spec: &Spec, name: &str) -> bool {
    fn listed(members: &[Member], name: &str) -> bool {
        members.iter().any(|(known, means)| match means {
            Means::Limit | Means::Endless(_) => *known == name,
            Means::Limits(inside) => listed(inside, name),
            _ => false,
        })
    }
    spec.members.iter().any(|members| listed(members, name))
}
