//! One function per fuzz target: takes any bytes, panics when a law is broken. The targets themselves are one line each.

use bytes::Bytes;

use super::{Counted, Cut, EVENT_MAX, Framing, Meter, Setup, Shown, Step, Tally, WORDS_MAX, Words};
use crate::domain::usage::{Class, TOKENS_MAX, Usage};
use crate::meter::Api;
use crate::meter::json::{Value, loose};

/// What passed, and what was known in the end.
#[derive(PartialEq, Debug)]
struct Passed {
    out: Vec<u8>,
    tally: Tally,
    complete: bool,
    model: Option<String>,
    words: Option<Words>,
}

/// The first line has a digit each for the API, the framing, what is shown of usage, and the choices; the rest is the stream. It does not matter how it is cut into frames, nor that
/// events wait; where nothing is hidden, what comes out is what came in; an ending behind any event is a complete stream.
pub fn sse(bytes: &[u8]) {
    let (head, stream) = split_head(bytes);
    let digit = |at: usize| usize::from(head.get(at).copied().unwrap_or(b'0').wrapping_sub(b'0'));
    let setup = Setup {
        api: Api::ALL[digit(0) % Api::ALL.len()],
        framing: [Framing::Sse, Framing::Lines, Framing::Whole][digit(1) % 3],
        shown: [Shown::All, Shown::Nothing, Shown::Last][digit(2) % 3],
        choices: digit(3) as u64,
        keep_words: true,
    };
    let whole = pass(setup, stream, stream.len().max(1), false);
    for size in [1, 2, 3, 7, 16, 100] {
        assert_eq!(pass(setup, stream, size, true), whole, "in frames of {size}");
    }
    let plain = Setup {
        keep_words: false,
        ..setup
    };
    let plain = pass(plain, stream, stream.len().max(1), false);
    assert_eq!((&plain.out, plain.tally), (&whole.out, whole.tally));
    let Counted { bytes, events } = whole.tally.counted;
    if let Some(words) = &whole.words {
        let least = words.tokens(|_| 0);
        assert!(least >= events && words.tokens(|words| words.len() as u64) == bytes.max(events));
    }
    let hides = matches!(setup.api, Api::OpenAiChat | Api::OpenAiCompletions) && setup.shown != Shown::All;
    if !hides {
        assert_eq!(whole.out, stream);
    }
    ends_well(setup, stream);
}

fn split_head(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (&[], bytes),
    }
}

/// With `stops`, each event is stopped once before it passes.
fn pass(setup: Setup, stream: &[u8], size: usize, stops: bool) -> Passed {
    let mut meter = Meter::new(setup);
    meter.allow_words(WORDS_MAX);
    let mut out = Vec::new();
    for frame in stream.chunks(size) {
        meter.feed(Bytes::copy_from_slice(frame));
        loop {
            let before = meter.tally();
            match meter.next(|tally| !stops || tally.delivered.bytes <= before.delivered.bytes) {
                Step::Pass(bytes) => out.extend_from_slice(&bytes),
                Step::Starved => break,
                Step::Stopped => {
                    assert_eq!(meter.tally().delivered, before.delivered);
                    let step = meter.next(|_| true);
                    assert!(matches!(step, Step::Pass(_)), "what is allowed does not pass");
                    if let Step::Pass(bytes) = step {
                        out.extend_from_slice(&bytes);
                    }
                }
            }
        }
        assert!(meter.front.len() + meter.frame.len() + meter.partial.len() <= EVENT_MAX + size);
    }
    let ended = meter.end();
    out.extend_from_slice(&ended.rest);
    Passed {
        out,
        tally: meter.tally(),
        complete: ended.complete,
        model: meter.model(),
        words: meter.take_words(),
    }
}

/// Cuts in the middle.
fn ends_well(setup: Setup, stream: &[u8]) {
    let mut meter = Meter::new(setup);
    let mut out = Vec::new();
    meter.feed(Bytes::copy_from_slice(&stream[..stream.len() / 2]));
    while let Step::Pass(bytes) = meter.next(|_| true) {
        out.extend_from_slice(&bytes);
    }
    let end = meter.cut(&Cut {
        reason: r#"{"code":"x"}"#,
        usage: Usage::of(1, 2),
        id: "id\n",
        model: "model\"",
        created: 3,
    });
    if setup.framing == Framing::Whole || setup.api == Api::OpenAiEmbeddings {
        assert!(end.is_empty());
        return;
    }
    for line in end.split(|byte| *byte == b'\n') {
        let data = line.strip_prefix(b"data: ").unwrap_or(line);
        let other = data.is_empty() || data == b"[DONE]" || data.starts_with(b"event: ");
        assert!(other || loose(data).is_ok(), "{}", data.escape_ascii());
    }
    out.extend_from_slice(&end);
    assert!(pass(setup, &out, out.len().max(1), false).complete);
}

/// A14: whatever a report says, what it validly says of each half is charged at least, and nothing beyond what it names; read as an event or found in a whole
/// answer, it is the same.
pub fn usage(bytes: &[u8]) {
    let Ok(report) = loose(bytes) else { return };
    let number = |name: &str| report.get(name).and_then(tokens);
    let either = |one: &str, other: &str| match report.get(one).filter(|value| !value.is_null()) {
        Some(value) => tokens(value),
        None => number(other),
    };
    let text = report.raw();
    let openai = told(Api::OpenAiChat, &format!("{{\"model\":\"m\",\"usage\":{text}}}"));
    if let Some(read) = either("prompt_tokens", "input_tokens").filter(|read| *read > 0) {
        assert!(
            openai.input_reported && openai.usage.input() >= read,
            "{openai:?}"
        );
    }
    if let Some(written) = either("completion_tokens", "output_tokens") {
        assert!(
            openai.output_reported && openai.usage.output() >= written,
            "{openai:?}"
        );
    }
    told(Api::OpenAiEmbeddings, &format!("{{\"usage\":{text}}}"));
    told(Api::OpenAiResponses, &format!("{{\"usage\":{text}}}"));
    told(Api::OllamaChat, text);
    let anthropic = told(
        Api::AnthropicMessages,
        &format!("{{\"type\":\"message\",\"usage\":{text}}}"),
    );
    if anthropic.input_reported {
        let cached = number("cache_read_input_tokens").unwrap_or(0);
        let written = number("cache_creation_input_tokens").unwrap_or(0);
        let read = number("input_tokens").unwrap_or(0);
        assert_eq!(anthropic.usage.get(Class::Input), read);
        assert!(
            anthropic.usage.input() >= read + cached + written,
            "{anthropic:?}"
        );
    }
}

fn tokens(value: Value<'_>) -> Option<u64> {
    value.plain_u64().filter(|tokens| *tokens <= TOKENS_MAX)
}

/// What one JSON text says, as the one event of a stream, and as a whole answer.
fn told(api: Api, text: &str) -> Tally {
    let setup = |framing| Setup {
        api,
        framing,
        shown: Shown::All,
        choices: 1,
        keep_words: false,
    };
    let line = text.replace(['\n', '\r'], " ");
    let event = pass(setup(Framing::Lines), line.as_bytes(), line.len(), false).tally;
    // A name that is written with escapes is not looked for in a whole answer.
    if !text.contains('\\') && event.delivered.bytes == 0 {
        let whole = pass(setup(Framing::Whole), text.as_bytes(), 5, false).tally;
        // In which nothing is found, all is text.
        if event.output_reported || whole.delivered.is_empty() {
            assert_eq!(
                (whole.usage, whole.invalid),
                (event.usage, event.invalid),
                "{text}"
            );
        }
    }
    for class in Class::ALL {
        assert!(event.usage.get(class) <= 4 * TOKENS_MAX);
    }
    event
}
