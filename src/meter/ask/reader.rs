//! One walk through a body, by the tables of its API.

use std::ops::Range;

use super::Asked;
use super::edit::{Holder, Limit, Spots};
use super::path::Path;
use super::spec::{Kind, Means, Member, Spec, Typed, why};
use crate::meter::Api;
use crate::meter::bound;
use crate::meter::json::{Kind as Json, Value, is_twin};
use crate::meter::problem::{Problem, Quoted};

/// The longest name of a model.
const MODEL_MAX: usize = 256;

const STREAM_OPTIONS: &[Member] = &[
    ("include_usage", Means::IncludeUsage),
    ("continuous_usage_stats", Means::ContinuousUsage),
];

pub(super) struct Reader<'r> {
    pub(super) spec: &'static Spec,
    allowed: &'r [&'r str],
    pub(super) asked: Asked,
    /// Answers to each prompt, as far as the body says so.
    each: Option<u64>,
    prompts: u64,
    /// Tokens of what is counted otherwise: lists of tokens, tools.
    pub(super) listed: u64,
    /// Tokens of the longest tool, and how often one is put where its name stands.
    pub(super) longest_tool: u64,
    pub(super) tool_references: u64,
    /// How many contents are open.
    pub(super) nested: usize,
    /// What that is, and what is counted apart: not counted as text.
    pub(super) apart: Vec<Range<usize>>,
}

impl<'r> Reader<'r> {
    pub(super) fn new(api: Api, allowed: &'r [&'r str]) -> Reader<'r> {
        let spec = api.asked();
        Reader {
            spec,
            allowed,
            asked: Asked {
                api,
                model: None,
                stream: spec.streams,
                output_max: None,
                least_output: 1,
                choices: 0,
                input_times: 1,
                text: 0,
                images: 0,
                audios: 0,
                documents: 0,
                tools: 0,
                writes_cache: false,
                usage: false,
                continuous_usage: false,
                spots: Spots::default(),
                apart: Vec::new(),
            },
            each: None,
            prompts: 1,
            listed: 0,
            longest_tool: 0,
            tool_references: 0,
            nested: 0,
            apart: Vec::new(),
        }
    }

    pub(super) fn read(mut self, whole: Value<'_>) -> Result<Asked, Problem> {
        if whole.kind() != Json::Object {
            return Err(Path::BODY.problem("must be a JSON object"));
        }
        self.object(whole, self.spec.members, &Path::BODY)?;
        self.asked.spots.body(whole);
        self.asked.output_max = self.asked.spots.limit()?;
        if self.spec.writes {
            self.asked.choices = self.each.unwrap_or(1).saturating_mul(self.prompts);
        }
        self.asked.tools = self.asked.tools.saturating_add(self.tool_references);
        self.listed = self
            .listed
            .saturating_add(self.longest_tool.saturating_mul(self.tool_references));
        self.asked.text = self.text(whole);
        self.asked.writes_cache = whole.says("cache_control");
        self.asked.apart = self.apart;
        Ok(self.asked)
    }

    /// The bound of all that is not counted apart.
    fn text(&mut self, whole: Value<'_>) -> u64 {
        self.apart.sort_unstable_by_key(|span| span.start);
        let ends = self.apart.iter().map(|span| span.end);
        let starts = self.apart.iter().map(|span| span.start).chain([whole.span().end]);
        let between = std::iter::once(whole.span().start).chain(ends).zip(starts);
        between.fold(self.listed, |sum, (from, to)| {
            sum.saturating_add(bound::of_json(whole.piece(from..to)))
        })
    }

    /// The members of an object that mean something.
    pub(super) fn object(
        &mut self,
        value: Value<'_>,
        tables: &[&'static [Member]],
        path: &Path<'_>,
    ) -> Result<(), Problem> {
        for (name, member) in value.members() {
            let known = || tables.iter().flat_map(|table| table.iter());
            match known().find(|(known, _)| *known == name) {
                Some((known, means)) => self.member(known, *means, member, &path.name(known))?,
                None => {
                    if let Some((known, _)) = known().find(|(known, _)| is_twin(known, &name)) {
                        return Err(other_spelling(&path.name(known), &name));
                    }
                }
            }
        }
        Ok(())
    }

    fn member(
        &mut self,
        name: &'static str,
        means: Means,
        value: Value<'_>,
        path: &Path<'_>,
    ) -> Result<(), Problem> {
        match means {
            Means::Model => {
                let model = value.str().filter(|model| (1..=MODEL_MAX).contains(&model.len()));
                let Some(model) = model else {
                    return Err(path.problem(format_args!("must be a text of 1 to {MODEL_MAX} bytes")));
                };
                self.asked.model = Some(model.into_owned());
                self.asked.spots.model = value.span();
            }
            Means::Stream => self.asked.stream = flag(value, path)?.unwrap_or(self.spec.streams),
            Means::IncludeUsage => {
                self.asked.usage = flag(value, path)?.unwrap_or(false);
                self.asked.spots.include_usage = Some(value.span());
            }
            Means::ContinuousUsage => {
                self.asked.continuous_usage = flag(value, path)?.unwrap_or(false);
                self.asked.spots.continuous_usage = Some(value.span());
            }
            Means::StreamOptions => {
                self.asked.spots.stream_options = Some(holder(value, path)?);
                self.object(value, &[STREAM_OPTIONS], path)?;
            }
            Means::Limits(members) => {
                self.asked.spots.options = Some(holder(value, path)?);
                self.object(value, &[members], path)?;
            }
            Means::Inside(members) => {
                holder(value, path)?;
                self.object(value, &[members], path)?;
            }
            Means::Within(members) => self.object(value, &[members], path)?,
            Means::Limit => self.limit(name, &[], value, path)?,
            Means::Endless(endless) => self.limit(name, endless, value, path)?,
            Means::Least => {
                let least = number(value, 0, path)?.unwrap_or(0);
                self.asked.least_output = self.asked.least_output.max(least);
            }
            Means::Budget => {
                let above = number(value, 0, path)?.map_or(0, |budget| budget + 1);
                self.asked.least_output = self.asked.least_output.max(above);
            }
            Means::Choices => self.each = self.each.max(number(value, 1, path)?),
            Means::Prompts => self.prompts = self.prompts(value, path)?,
            Means::Messages => self.messages(value, path)?,
            Means::Items => self.items(value, path)?,
            Means::Content => self.content(value, path)?,
            Means::Tools => self.tools(value, path)?,
            Means::ToolsAnd(once) => self.tools_and(once, value, path)?,
            Means::Schema => drop(self.rewritten(value)),
            Means::Kinds(table) => self.kinds(table, value, path)?,
            Means::Images => self.images(value, path)?,
            Means::Tokens => self.tokens(value, path)?,
            Means::Betas => self.betas(value, path)?,
            Means::Refused(why) => self.refused(value, &[], why, path)?,
            Means::Only(good, why) => self.refused(value, good, why, path)?,
        }
        Ok(())
    }

    fn limit(
        &mut self,
        name: &'static str,
        endless: &[&str],
        value: Value<'_>,
        path: &Path<'_>,
    ) -> Result<(), Problem> {
        let limit = match endless.contains(&value.raw()) {
            true => None,
            false => number(value, 1, path)?,
        };
        self.asked.spots.limits.push(Limit::of(name, value, limit));
        Ok(())
    }

    fn refused(&self, value: Value<'_>, good: &[&str], why: &str, path: &Path<'_>) -> Result<(), Problem> {
        let is_good = |value: Value<'_>| match value.kind() {
            Json::Number => good.contains(&value.raw()),
            _ => value.str().is_some_and(|text| good.contains(&text.as_ref())),
        };
        let says_nothing = match value.kind() {
            Json::Null => true,
            Json::Bool => value.bool() == Some(false),
            Json::Array => value.items().all(is_good),
            _ => is_good(value) || value.raw() == "\"\"",
        };
        if says_nothing || self.allowed.contains(&path.names().as_str()) {
            return Ok(());
        }
        match good {
            [] => Err(path.problem(format_args!("{why}: leave it out"))),
            good => {
                let good: Vec<_> = good.iter().map(|good| format!("`{good}`")).collect();
                let good = good.join(" or ");
                Err(path.problem(format_args!("{why}: leave it out, or send {good}")))
            }
        }
    }

    /// As in the header of that name, or a list (P9).
    fn betas(&self, value: Value<'_>, path: &Path<'_>) -> Result<(), Problem> {
        let wrong = || path.problem("must be a list of texts");
        let lists: Vec<Value<'_>> = match value.kind() {
            Json::Null => Vec::new(),
            Json::String => vec![value],
            Json::Array => value.items().collect(),
            _ => return Err(wrong()),
        };
        for names in lists {
            let names = names.str().ok_or_else(wrong)?;
            let mut dear = names
                .split(',')
                .filter_map(|name| super::dear_beta(name.as_bytes()));
            if let Some(dear) = dear.find(|dear| !self.allowed.contains(dear)) {
                let why = why::DEARER;
                return Err(path.problem(format_args!("asks for `{dear}`, which {why}: leave it out")));
            }
        }
        Ok(())
    }

    /// What an object is, by its `type`.
    pub(super) fn kind(&self, table: &[Typed], value: Value<'_>, path: &Path<'_>) -> Result<Kind, Problem> {
        let path = path.name("type");
        let mut found = None;
        for (name, member) in value.members() {
            if name == "type" {
                found = Some(member);
            } else if is_twin("type", &name) {
                return Err(other_spelling(&path, &name));
            }
        }
        let name = match found.filter(|value| !value.is_null()) {
            None => "".into(),
            Some(value) => value.str().ok_or_else(|| path.problem("must be a text"))?,
        };
        let is = |known: &str| match known.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => known == name,
        };
        match table.iter().find(|(known, _)| is(known)) {
            Some((_, Kind::Refused(why))) => {
                if self.allows_type(&name) {
                    return Ok(Kind::Text(&[]));
                }
                Err(path.problem(format_args!("{} {why}: leave it out", Quoted(&name))))
            }
            Some((_, kind)) => Ok(*kind),
            None if name.is_empty() => Err(path.problem("is missing")),
            None if self.allows_type(&name) => Ok(Kind::Text(&[])),
            None => Err(path.problem(format_args!("{} has no price here: leave it out", Quoted(&name)))),
        }
    }

    /// Whether the route allows things of this type: by its name, or by its name without a date.
    pub(super) fn allows_type(&self, name: &str) -> bool {
        let begins = |allowed: &str| {
            name.strip_prefix(allowed)
                .is_some_and(|rest| rest.starts_with('_'))
        };
        self.allowed
            .iter()
            .any(|allowed| *allowed == name || begins(allowed))
    }
}

fn other_spelling(path: &Path<'_>, name: &str) -> Problem {
    path.problem(format_args!("is spelled {}: send it in lower case", Quoted(name)))
}

/// What a route may allow by name for an API, in no order.
pub(super) fn refusable(spec: &Spec) -> Vec<String> {
    fn types(table: &[Typed], found: &mut Vec<String>) {
        let refused = table.iter().filter(|(_, kind)| matches!(kind, Kind::Refused(_)));
        found.extend(refused.map(|(name, _)| name.trim_end_matches(['*', '_']).to_owned()));
    }
    fn list(members: &[Member], within: &str, found: &mut Vec<String>) {
        for (name, means) in members {
            match means {
                Means::Refused(_) | Means::Only(..) => found.push(format!("{within}{name}")),
                Means::Inside(inside) | Means::Within(inside) | Means::Limits(inside) => {
                    list(inside, &format!("{within}{name}."), found);
                }
                Means::Kinds(table) => types(table, found),
                _ => {}
            }
        }
    }
    let mut found = Vec::new();
    for members in spec.members {
        list(members, "", &mut found);
    }
    for within in ["messages.", "input."] {
        list(spec.message, within, &mut found);
    }
    for table in [spec.parts, spec.items, spec.tools] {
        types(table, &mut found);
    }
    found
}

/// An object, or nothing.
fn holder(value: Value<'_>, path: &Path<'_>) -> Result<Holder, Problem> {
    match value.kind() {
        Json::Object | Json::Null => Ok(Holder::of(value)),
        _ => Err(path.problem("must be an object")),
    }
}

fn flag(value: Value<'_>, path: &Path<'_>) -> Result<Option<bool>, Problem> {
    match (value.is_null(), value.bool()) {
        (true, _) => Ok(None),
        (_, Some(flag)) => Ok(Some(flag)),
        _ => Err(path.problem("must be `true` or `false`")),
    }
}

/// A plain whole number (P5), or nothing.
fn number(value: Value<'_>, least: u64, path: &Path<'_>) -> Result<Option<u64>, Problem> {
    if value.is_null() {
        return Ok(None);
    }
    let number = value.plain_u64().filter(|number| *number >= least);
    number.map(Some).ok_or_else(|| {
        path.problem(format_args!(
            "must be a whole number from {least} to 2^53, written in digits alone, not {}: else leave it out",
            Quoted(value.raw())
        ))
    })
}
