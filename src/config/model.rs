//! `[models.NAME]`: what tokens cost, and what bounds a request to a model.

use std::sync::Arc;

use super::context::Placed;
use super::section::{Bounds, Section, within};
use crate::domain::credits::Credits;
use crate::domain::model::{Declared, Model, NamePattern};
use crate::domain::usage::{Class, Rates, TOKENS_MAX};

pub(super) const MODELS_MAX: usize = 10_000;
const ALIASES_MAX: usize = 100;

const RATE: Bounds<Credits> = within(
    Credits::ZERO,
    Credits::whole(1_000_000_000),
    "credits for a million tokens",
);
const TOKENS: Bounds<u64> = within(1, TOKENS_MAX, "no request has more tokens");
const ADDED: Bounds<u64> = within(0, TOKENS_MAX, "no request has more tokens");

const INPUT: &str = "Tokens read.";
const OUTPUT: &str = "Tokens written. 0 for models that write none.";
const CACHED: &str = "Tokens read from the upstream's cache; absent: as input.";
const WRITE: &str = "Tokens read and written to the upstream's cache; absent: as input.";
const WRITE_LONG: &str = "The same, kept for longer (Anthropic: an hour, which it sells at twice the input); absent: as cache_write.";
const AUDIO_IN: &str = "Tokens of sound read; absent: as input.";
const REASONING: &str = "Tokens of reasoning, where they are reported apart; absent: as output.";
const AUDIO_OUT: &str = "Tokens of sound written; absent: as output.";
const LONG: &str = "What tokens cost, all of them, in a request that reads more than `above`.";
const ABOVE: &str = "Tokens read that make a request long.";
const TOKENIZER: &str = "Counts the text of requests closely: o200k_base, o200k_harmony, cl100k_base, p50k_base, r50k_base, or a tokenizer.json file; absent: a token for each byte.";
const OUTPUT_MAX: &str = "The most tokens of one answer: the limit of a request that sets none.";
const ALIASES: &str = "Other names that customers may use; the upstream is told the name of the table.";
const UPSTREAM_NAME: &str = "What the upstream is told instead of the name that was asked for.";
const IMAGE: &str = "Tokens of an image, at most; absent: requests with images are refused.";
const AUDIO: &str = "Tokens of a piece of sound in a request, at most; absent: such requests are refused.";
const DOCUMENT: &str =
    "Tokens of a document (a PDF, a file) in a request, at most; absent: such requests are refused.";
const REQUEST: &str = "Tokens that the server's prompt template adds to a request, at most.";
const TOOL: &str = "Tokens that it adds for each tool, at most, besides the tool's description.";

/// What the template of a usual model adds: a system prompt of its own, and a few tokens for each message, which are less than the bytes of the message's JSON.
const REQUEST_TOKENS: u64 = 256;
const TOOL_TOKENS: u64 = 64;

/// `[models.NAME]`, as read.
pub(super) struct RawModel {
    /// Its own name and its aliases, with where they stand.
    pub(super) names: Vec<Placed<NamePattern>>,
    pub(super) model: Arc<Model>,
}

pub(super) fn read(name: &Placed<String>, s: &Section<'_>) -> Option<RawModel> {
    let rate = |name, doc| s.credits(name, doc, RATE);
    let (input, output) = (rate("input", INPUT), rate("output", OUTPUT));
    s.required("input", "say what a million tokens read cost: input = 0.15");
    s.required(
        "output",
        "say what a million tokens written cost: output = 0.60; 0 for embeddings",
    );
    let own = own_rates(s);
    let long = s.table("long", LONG, read_long);
    let output_max = s.integer_or("output_tokens_max", OUTPUT_MAX, None, TOKENS);
    let writes = output.is_none_or(|output| {
        let dearest = |rates: &Rates| !rates.dearest_output().is_zero();
        let rates = Rates::new(Credits::ZERO, output, |class| own[class as usize]);
        dearest(&rates) || long.as_ref().is_some_and(|(_, rates)| dearest(rates))
    });
    if writes && !s.has("output_tokens_max") && !s.describing() {
        s.missing(
            "output_tokens_max",
            "say how long one answer can be: output_tokens_max = 16384",
        );
    }
    let aliases = s.texts("aliases", ALIASES, &[], ALIASES_MAX);
    let upstream_name = s.text("upstream_name", UPSTREAM_NAME);
    let tokenizer = s.text("tokenizer", TOKENIZER);
    let part = |name, doc| s.integer_or(name, doc, None, TOKENS);
    let declared = Declared {
        image: part("image_tokens", IMAGE),
        audio: part("audio_tokens", AUDIO),
        document: part("document_tokens", DOCUMENT),
        request: s.integer("request_tokens", REQUEST, REQUEST_TOKENS, ADDED),
        tool: s.integer("tool_tokens", TOOL, TOOL_TOKENS, ADDED),
    };
    let aliased = aliases.as_ref().is_some_and(|aliases| !aliases.value.is_empty());
    let told = match upstream_name {
        Some(told) => Some(told.value.as_str().into()),
        None if aliased => Some(name.value.as_str().into()),
        None => None,
    };
    let names = names(s, name, aliases.map(|aliases| aliases.value).unwrap_or_default());
    check_told(s, name, aliased);
    let model = Model {
        name: name.value.as_str().into(),
        upstream_name: told,
        rates: Rates::new(input?, output?, |class| own[class as usize]),
        long,
        tokenizer: tokenizer.map(|name| name.value.into()),
        output_max: output_max.unwrap_or(0),
        declared,
    };
    Some(RawModel {
        names,
        model: Arc::new(model),
    })
}

/// What a long request costs.
fn read_long(s: &Section<'_>) -> Option<(u64, Rates)> {
    let above = s.integer_or("above", ABOVE, None, TOKENS);
    let (input, output) = (s.credits("input", INPUT, RATE), s.credits("output", OUTPUT, RATE));
    s.required(
        "above",
        "say how many tokens read make a request long: above = 200000",
    );
    s.required("input", "say what a million tokens read cost then");
    s.required("output", "say what a million tokens written cost then");
    let own = own_rates(s);
    Some((above?, Rates::new(input?, output?, |class| own[class as usize])))
}

/// Rates of kinds that need not have one, by [`Class`].
fn own_rates(s: &Section<'_>) -> [Option<Credits>; Class::ALL.len()] {
    Class::ALL.map(|class| {
        let doc = match class {
            Class::Input | Class::Output => return None,
            Class::CachedInput => CACHED,
            Class::CacheWrite => WRITE,
            Class::CacheWriteLong => WRITE_LONG,
            Class::AudioInput => AUDIO_IN,
            Class::Reasoning => REASONING,
            Class::AudioOutput => AUDIO_OUT,
        };
        s.credits(class.as_str(), doc, RATE)
    })
}

fn names(s: &Section<'_>, name: &Placed<String>, aliases: Vec<Placed<String>>) -> Vec<Placed<NamePattern>> {
    let own = Placed::new(name.value.clone(), &name.place);
    let mut names = Vec::new();
    for text in std::iter::once(own).chain(aliases) {
        match NamePattern::new(&text.value) {
            Ok(_) if text.value.is_empty() && s.describing() => {}
            Ok(_) if text.value.is_empty() || text.value.len() > 256 => {
                s.problem(&text.place, "is no name for a model", "use 1 to 256 characters");
            }
            Ok(pattern) => names.push(text.map(|_| pattern)),
            Err(error) => {
                let what = format!("{:?} is no name for a model", text.value);
                s.problem(&text.place, what, error.to_string());
            }
        }
    }
    names
}

/// A pattern's name is no model's: with aliases, what the upstream is told must be said.
fn check_told(s: &Section<'_>, name: &Placed<String>, aliased: bool) {
    if aliased && name.value.contains('*') && !s.has("upstream_name") {
        s.problem(
            &s.place_or("aliases"),
            "the aliases of a pattern are no name that the upstream knows",
            "say upstream_name = \"...\"",
        );
    }
}
