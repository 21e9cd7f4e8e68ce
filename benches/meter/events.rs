//! What the meter takes for an event of a stream, each in a frame of its own.

use crate::median;
use bytes::Bytes;
use faregate::meter::Api;
use faregate::meter::answer::{Framing, Meter, Setup, Shown, Step};
use std::io;

const ROUNDS: usize = 21;
const EVENTS: usize = 2_000;

/// An API, what is said of the event, whether usage is hidden, and the event.
const CASES: [(Api, &str, bool, &str); 5] = [
    (
        Api::OpenAiChat,
        "short",
        true,
        r#"data: {"id":"c-1763922000123456","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"word "}}]}"#,
    ),
    (
        Api::OpenAiChat,
        "as OpenAI's",
        false,
        r#"data: {"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWx","object":"chat.completion.chunk","created":1763922000,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_0123456789","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"AbCdEf"}"#,
    ),
    (
        Api::OpenAiChat,
        "the same, its usage taken out",
        true,
        r#"data: {"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWx","object":"chat.completion.chunk","created":1763922000,"model":"gpt-4o-mini-2024-07-18","service_tier":"default","system_fingerprint":"fp_0123456789","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"AbCdEf"}"#,
    ),
    (
        Api::AnthropicMessages,
        "as Anthropic's",
        false,
        "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\" word\"}}",
    ),
    (
        Api::OpenAiResponses,
        "as OpenAI's",
        false,
        "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":42,\"item_id\":\"msg_0123456789abcdef0123456789abcdef\",\"output_index\":0,\"content_index\":0,\"delta\":\" word\",\"logprobs\":[],\"obfuscation\":\"AbCdEf\"}",
    ),
];

pub(crate) fn run() -> io::Result<()> {
    println!("\n| API | event | bytes | us per event |\n|---|---|---:|---:|");
    for (api, what, hide_usage, event) in CASES {
        let event = Bytes::from(format!("{event}\n\n"));
        let setup = Setup {
            api,
            framing: Framing::Sse,
            shown: if hide_usage { Shown::Nothing } else { Shown::All },
            choices: 1,
            keep_words: false,
        };
        let each = median(ROUNDS, || {
            let mut meter = Meter::new(setup);
            for _ in 0..EVENTS {
                meter.feed(event.clone());
                while let Step::Pass(_) = meter.next(|_| true) {}
            }
            meter.tally().delivered.events == EVENTS as u64
        });
        println!(
            "| `{}` | {what} | {} | {:.2} |",
            api.as_str(),
            event.len(),
            each / EVENTS as f64
        );
    }
    Ok(())
}
