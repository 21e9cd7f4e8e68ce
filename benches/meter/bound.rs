//! What a request reads, as bounded before it is sent, beside what it is by real tokenizers. The times are for 100 KiB of each text, over and over: all that is read of a
//! body (`ask::read`), and what a tokenizer takes instead.

use crate::corpus::{self, Text};
use crate::median;
use faregate::meter::{Api, ask};
use faregate::tokenizer::Tokenizer;
use std::io;

const ROUNDS: usize = 101;
const PROMPT: usize = 100 * 1024;

pub(crate) fn run() -> io::Result<()> {
    let own = Tokenizer::load("o200k_base").map_err(io::Error::other)?;
    println!(
        "| Text | KiB | tokens (o200k_base) | bound | bound / o200k_base | bound / cl100k_base | with `tokenizer = \"o200k_base\"` | 100 KiB: us | counted by it: us |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    let (o200k, cl100k) = (
        tiktoken_rs::o200k_base_singleton(),
        tiktoken_rs::cl100k_base_singleton(),
    );
    for text in corpus::texts()? {
        let body = text.body();
        let asked = ask::read::<&str>(Api::OpenAiChat, &body, &[]).map_err(io::Error::other)?;
        let refined = asked.refined(&body, |text| own.count(text));
        let tokens = text.tokens(|text| o200k.encode_ordinary(text).len());
        let others = text.tokens(|text| cl100k.encode_ordinary(text).len());
        let ratio = |of: u64, tokens: usize| of as f64 / tokens as f64;
        let long = long(&text);
        println!(
            "| {} | {:.1} | {tokens} | {} | {:.2} | {:.2} | {:.2} | {:.0} | {:.0} |",
            text.kind,
            text.bytes() as f64 / 1024.0,
            asked.text,
            ratio(asked.text, tokens),
            ratio(asked.text, others),
            ratio(refined, tokens),
            median(ROUNDS, || ask::read::<&str>(Api::OpenAiChat, &long, &[]).is_ok()),
            median(5, || asked.refined(&body, |text| own.count(text)) > 0) * PROMPT as f64
                / text.bytes() as f64,
        );
    }
    Ok(())
}

/// A body with 100 KiB of that text.
fn long(text: &Text) -> Vec<u8> {
    let mut messages = Vec::new();
    let mut bytes = 0;
    for message in text.messages.iter().cycle() {
        if bytes >= PROMPT {
            break;
        }
        bytes += message.len();
        messages.push(message.clone());
    }
    if text.messages.len() == 1 {
        messages = vec![messages.concat()];
    }
    Text { messages, ..*text }.body()
}
