//! What a request asks for, read from its body, and what is changed in it on the way (P2 to P12, H14).
//!
//! What is priced is what is forwarded: a body is taken only when it has one reading, and what could cost more than is seen here is refused by name. All
//! else passes untouched.

mod api;
mod content;
mod edit;
mod path;
mod reader;
mod spec;

pub use edit::Change;

use std::ops::Range;

use super::Api;
use super::json::Ends;
use super::problem::Problem;
use edit::{Limit, Spots};
use reader::Reader;

/// What a request asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    api: Api,
    /// The model's name, as it was sent; some upstreams go by the path.
    pub model: Option<String>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// The most tokens that each answer may have, where the body says so; 1 or more.
    pub output_max: Option<u64>,
    /// The upstream refuses a lower limit than this; 1 where nothing is said.
    pub least_output: u64,
    /// How many times the limit applies: answers per prompt, times prompts. 0 where nothing is written (embeddings).
    pub choices: u64,
    /// How many times the input is billed: once, however many answers there are to it.
    pub input_times: u64,
    /// Never fewer than the tokens of all that is not counted apart, chat template included; what a template adds by itself to each tool, message or request
    /// (a long preamble) is not known here.
    pub text: u64,
    /// Pictures.
    pub images: u64,
    /// Pieces of sound.
    pub audios: u64,
    /// Documents: files in the body, by id or by address.
    pub documents: u64,
    /// Tools that the model is told of.
    pub tools: u64,
    /// Whether some of the input may be written to the upstream's cache.
    pub writes_cache: bool,
    /// Whether the client asked for usage at the end of its stream.
    pub usage: bool,
    /// Whether the client asked for usage in each event of its stream.
    pub continuous_usage: bool,
    spots: Spots,
    /// Where what is counted apart stands in the body, in order.
    apart: Vec<Range<usize>>,
}

/// Reads a body of this API. Members that are refused by name are taken when their name is in `allowed`: the name in the body (`service_tier`, in an
/// object `chat_template_kwargs.chat_template`), or a part's or tool's `type` (`web_search`, which stands for `web_search_20250305` too).
///
/// The error is a sentence for the sender.
pub fn read<A: AsRef<str>>(api: Api, body: &[u8], allowed: &[A]) -> Result<Asked, Problem> {
    let mut ends = Ends::default();
    let whole = super::json::check_noting(body, &mut ends)
        .map_err(|problem| Problem::new(format!("the body is not JSON with one reading: {problem}")))?;
    let allowed: Vec<&str> = allowed.iter().map(AsRef::as_ref).collect();
    Reader::new(api, &allowed).read(whole)
}

/// Shorter strings are not worth a tokenizer's time, in bytes.
const REFINED_MIN: usize = 64;

/// What a tokenizer may miss at a string's ends.
const ENDS: u64 = 2;

impl Asked {
    /// [`Asked::text`] with the longer strings of the body, which has to be the one that was read, counted by `count` instead of bounded by their bytes. All else,
    /// names and brackets too, stays as it is, which pays for what a chat template puts around messages.
    pub fn refined(&self, body: &[u8], count: impl Fn(&str) -> u64) -> u64 {
        let Ok(whole) = super::json::loose(body) else {
            return self.text;
        };
        let (mut waiting, mut text) = (vec![whole], self.text);
        while let Some(value) = waiting.pop() {
            if self.is_apart(&value) {
                continue;
            }
            waiting.extend(value.items());
            waiting.extend(value.members().map(|(_, value)| value));
            if let Some(string) = value.str().filter(|string| string.len() >= REFINED_MIN) {
                let bound = super::bound::of_json(value.inner());
                text =
                    text.saturating_sub(bound.saturating_sub(bound.min(count(&string).saturating_add(ENDS))));
            }
        }
        text
    }

    /// Whether the body says that there is to be no limit, which is not the same to servers as to say nothing of it.
    pub fn is_endless(&self) -> bool {
        self.output_max.is_none() && self.spots.limits.iter().any(Limit::is_endless)
    }

    /// Whether a value is within what is counted apart: of a string that is, only what is between its quotes.
    fn is_apart(&self, value: &super::json::Value<'_>) -> bool {
        let (start, end) = (value.span().start, value.span().end);
        let next = self
            .apart
            .partition_point(|apart| apart.end < end.saturating_sub(1));
        self.apart.get(next).is_some_and(|apart| apart.start <= start + 1)
    }
}

/// The name of the limit that is spliced into bodies of this API, unless another is configured; in `options` for Ollama's own.
pub fn limit_name(api: Api) -> &'static str {
    api.asked().limit
}

/// Whether bodies of this API may have the limit under this name.
pub fn is_limit_name(api: Api, name: &str) -> bool {
    edit::is_limit(api.asked(), name)
}

/// What headers, and `anthropic_beta` in a body, may ask for that is dearer than it looks, by the beginning of its name: a longer context, a faster service (both Anthropic's).
pub const DEAR_BETAS: [&str; 2] = ["context-1m", "fast-mode"];

/// Which of [`DEAR_BETAS`] this is, in any case and with anything behind it.
pub fn dear_beta(name: &[u8]) -> Option<&'static str> {
    let name = name.trim_ascii().to_ascii_lowercase();
    DEAR_BETAS
        .into_iter()
        .find(|dear| name.starts_with(dear.as_bytes()))
}

/// What requests of this API are refused for unless a route allows it, by name. The type of a part, an item or a tool that is not known here may be allowed too.
pub fn refusable(api: Api) -> Vec<String> {
    let mut names = reader::refusable(api.asked());
    names.extend(DEAR_BETAS.map(str::to_owned));
    names
}

/// Whether bodies of this API have parts, items or tools, and so types that are not known here.
pub fn has_types(api: Api) -> bool {
    let spec = api.asked();
    !(spec.parts.is_empty() && spec.items.is_empty() && spec.tools.is_empty())
}

#[cfg(test)]
mod tests;
