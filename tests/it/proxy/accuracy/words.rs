//! Tokens of the model whose tokenizer is known, and what is counted where nobody has reported them: `docs/metering.md` once more.

use std::collections::BTreeMap;

/// Tokens that a part's end may have besides those of its words, and a string of a request.
const ENDS: u64 = 2;
/// Shorter strings of a request count by their bytes.
const REFINED_MIN: usize = 64;

pub(super) fn tokens_of(text: &str) -> Vec<String> {
    tiktoken_rs::o200k_base_singleton()
        .split_by_token_ordinary(text)
        .expect("words of ASCII")
}

fn count(text: &str) -> u64 {
    tokens_of(text).len() as u64
}

/// By how much a tokenizer lowers the bound of what is read.
pub(super) fn saved_by_reading(prompt: &str) -> u64 {
    if prompt.len() < REFINED_MIN {
        return 0;
    }
    let bytes = prompt.len() as u64;
    bytes - bytes.min(count(prompt) + ENDS)
}

/// A piece of what was written: of which answer, whether it was thought, and the words.
pub(super) type Piece = (usize, bool, String);

/// Tokens of pieces that nobody has reported, which came in so many events.
pub(super) fn estimated(pieces: &[Piece], events: u64) -> u64 {
    let mut parts: BTreeMap<(usize, bool), String> = BTreeMap::new();
    for (answer, thought, words) in pieces {
        parts.entry((*answer, *thought)).or_default().push_str(words);
    }
    let bytes: usize = parts.values().map(String::len).sum();
    let parts = parts.values().filter(|words| !words.is_empty());
    let tokens: u64 = parts
        .map(|words| (count(words) + ENDS).min(words.len() as u64))
        .sum();
    tokens.max(events).min(bytes as u64)
}
