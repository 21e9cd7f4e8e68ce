//! Reports of usage: numbers that may be anything, brought into disjoint kinds of tokens (A14).

use crate::domain::usage::{Class, TOKENS_MAX, Usage};
use crate::meter::json::Value;

/// What one report says. A half whose own numbers are missing or cannot be is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::meter) struct Report {
    /// What was read.
    pub(in crate::meter) input: Option<Usage>,
    /// What was written.
    pub(in crate::meter) output: Option<Usage>,
    /// It may leave some of what was read to an earlier report.
    pub(in crate::meter) partial: bool,
    /// It names only the sum of both halves, which stands under `output`.
    pub(in crate::meter) total_alone: bool,
    /// Numbers that cannot be, or contradict one another.
    pub(in crate::meter) invalid: u32,
}

/// A number of tokens that was looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::meter) enum Tokens {
    /// Not there, or null.
    Absent,
    /// Below zero, not whole, not a number, or beyond [`TOKENS_MAX`].
    Invalid,
    /// So many.
    Valid(u64),
}

impl Tokens {
    pub(in crate::meter) fn or_none(self) -> u64 {
        match self {
            Tokens::Valid(tokens) => tokens,
            Tokens::Absent | Tokens::Invalid => 0,
        }
    }
}

/// The members of these names, in one walk: the last of each, and none that is null.
pub(in crate::meter) fn pick<'a, const N: usize>(
    object: Option<Value<'a>>,
    names: [&str; N],
) -> [Option<Value<'a>>; N] {
    pick_any(object, names).map(|found| found.filter(|value| !value.is_null()))
}

/// The same, null too.
pub(in crate::meter) fn pick_any<'a, const N: usize>(
    object: Option<Value<'a>>,
    names: [&str; N],
) -> [Option<Value<'a>>; N] {
    let mut found = [None; N];
    for (name, value) in object.into_iter().flat_map(|object| object.members()) {
        if let Some(at) = names.iter().position(|wanted| *wanted == name) {
            found[at] = Some(value);
        }
    }
    found
}

/// Reads the numbers of one report, and counts those that cannot be.
#[derive(Debug, Default)]
pub(in crate::meter) struct Reader {
    pub(in crate::meter) invalid: u32,
}

impl Reader {
    pub(in crate::meter) fn tokens(&mut self, value: Option<Value<'_>>) -> Tokens {
        let Some(value) = value else {
            return Tokens::Absent;
        };
        let tokens = value.plain_u64().filter(|tokens| *tokens <= TOKENS_MAX);
        tokens.map_or_else(|| self.wrong(), Tokens::Valid)
    }

    fn wrong(&mut self) -> Tokens {
        self.invalid = self.invalid.saturating_add(1);
        Tokens::Invalid
    }

    /// Takes parts off a total; what is left is `rest`. Of a part that cannot be, nothing is known: its tokens stay with the rest.
    ///
    /// A part larger than what is left of its total is read as one beside it, as some servers mean it. That is the dearest of its readings: nothing is taken
    /// off the total, and the part is charged as well.
    pub(in crate::meter) fn split(&mut self, total: u64, parts: &[(Class, Tokens)], rest: Class) -> Usage {
        let mut usage = Usage::default();
        let mut left = total;
        for (class, part) in parts {
            let part = part.or_none();
            usage = plus(usage, *class, part);
            if let Some(less) = left.checked_sub(part) {
                left = less;
            } else {
                self.wrong();
            }
        }
        plus(usage, rest, left)
    }
}

fn plus(usage: Usage, class: Class, tokens: u64) -> Usage {
    usage.with(class, usage.get(class).saturating_add(tokens))
}

/// What OpenAI's usage says, before it is made sense of.
struct OpenAi {
    read: Tokens,
    written: Tokens,
    total: Tokens,
    audio_read: Tokens,
    cache_write: Tokens,
    cached: Tokens,
    audio_written: Tokens,
    reasoning: Tokens,
}

/// Usage as OpenAI reports it, under the names of chat completions or of responses (`prompt_tokens` and `completion_tokens`, or `input_tokens` and
/// `output_tokens`, of which the details are parts). `writes` is false for an API that writes nothing, such as embeddings.
///
/// Dialects: DeepSeek's `prompt_cache_hit_tokens`, Moonshot's `cached_tokens`, Mistral's `num_cached_tokens` and `prompt_token_details`, OpenRouter's `cache_write_tokens`; reasoning that xAI counts beside
/// `completion_tokens`; what Google's servers count in `total_tokens` alone.
pub(in crate::meter) fn openai(usage: Value<'_>, writes: bool) -> Report {
    let mut reader = Reader::default();
    let said = said(&mut reader, usage);
    let written = written(&said);
    let input = match (said.read, said.total) {
        (Tokens::Valid(read), _) => Some(read),
        (Tokens::Absent, Tokens::Valid(total)) => {
            Some(total.saturating_sub(if writes { written.unwrap_or(0) } else { 0 }))
        }
        _ => None,
    };
    let total_alone = writes && said.read == Tokens::Absent && said.written == Tokens::Absent;
    let output = if writes {
        written.map(|written| output_of(&mut reader, &said, written))
    } else {
        Some(Usage::default())
    };
    Report {
        input: input.map(|read| input_of(&mut reader, &said, read)),
        output,
        partial: false,
        total_alone: total_alone && matches!(said.total, Tokens::Valid(_)),
        invalid: reader.invalid,
    }
}

fn said(reader: &mut Reader, usage: Value<'_>) -> OpenAi {
    let [
        prompt,
        input,
        completion,
        output,
        total,
        hit,
        cached,
        cached_count,
        prompt_details,
        prompt_detail,
        input_details,
        completion_details,
        output_details,
    ] = pick(
        Some(usage),
        [
            "prompt_tokens",
            "input_tokens",
            "completion_tokens",
            "output_tokens",
            "total_tokens",
            "prompt_cache_hit_tokens",
            "cached_tokens",
            "num_cached_tokens",
            "prompt_tokens_details",
            "prompt_token_details",
            "input_tokens_details",
            "completion_tokens_details",
            "output_tokens_details",
        ],
    );
    let [audio_read, cache_write, cached_detail] = pick(
        prompt_details.or(prompt_detail).or(input_details),
        ["audio_tokens", "cache_write_tokens", "cached_tokens"],
    );
    let [audio_written, reasoning] = pick(
        completion_details.or(output_details),
        ["audio_tokens", "reasoning_tokens"],
    );
    OpenAi {
        read: reader.tokens(prompt.or(input)),
        written: reader.tokens(completion.or(output)),
        total: reader.tokens(total),
        audio_read: reader.tokens(audio_read),
        cache_write: reader.tokens(cache_write),
        cached: reader.tokens(cached_detail.or(hit).or(cached).or(cached_count)),
        audio_written: reader.tokens(audio_written),
        reasoning: reader.tokens(reasoning),
    }
}

fn input_of(reader: &mut Reader, said: &OpenAi, read: u64) -> Usage {
    let cached = match said.cached {
        // Sound and what is written to the cache may be counted as cached too; they are dearer.
        Tokens::Valid(cached) if cached <= read => {
            let dearer = said
                .audio_read
                .or_none()
                .saturating_add(said.cache_write.or_none());
            Tokens::Valid(cached.min(read.saturating_sub(dearer)))
        }
        other => other,
    };
    let parts = [
        (Class::AudioInput, said.audio_read),
        (Class::CacheWrite, said.cache_write),
        (Class::CachedInput, cached),
    ];
    reader.split(read, &parts, Class::Input)
}

/// Of a total alone, all that was not read: were it all that there is, it counts as written, which is dearer.
fn written(said: &OpenAi) -> Option<u64> {
    match (said.written, said.total) {
        (Tokens::Valid(written), _) => Some(written),
        (Tokens::Absent, Tokens::Valid(total)) if said.read != Tokens::Invalid => {
            Some(total.saturating_sub(said.read.or_none()))
        }
        _ => None,
    }
}

/// What the total has more than its parts was written too: reasoning first.
fn output_of(reader: &mut Reader, said: &OpenAi, written: u64) -> Usage {
    let more = match (said.read, said.total) {
        (Tokens::Valid(read), Tokens::Valid(total)) => total.saturating_sub(read.saturating_add(written)),
        _ => 0,
    };
    let (within, beside) = match said.reasoning {
        Tokens::Valid(reasoning) if reasoning <= more => (Tokens::Absent, reasoning),
        other => (other, 0),
    };
    let parts = [
        (Class::AudioOutput, said.audio_written),
        (Class::Reasoning, within),
    ];
    let usage = reader.split(written, &parts, Class::Output);
    plus(
        plus(usage, Class::Reasoning, beside),
        Class::Output,
        more - beside,
    )
}

#[cfg(test)]
mod tests;
