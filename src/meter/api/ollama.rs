//! Ollama's own `/api/chat` and `/api/generate`: a line for each piece, or one JSON text.

use super::Answers;
use crate::domain::usage::Usage;
use crate::meter::answer::{
    Ending, Framing, NO_TEXT, Names, Reader, Reading, Report, Said, Text, Tokens, Told, Wanted, pick,
};
use crate::meter::json::Value;

/// How answers of `/api/chat` are read.
pub(in crate::meter) const CHAT: Answers = Answers {
    event,
    ending: Some(|ending| last(ending, r#""message":{"role":"assistant","content":""}"#)),
    framing: Framing::Lines,
    in_parts: false,
    last_usage: |_| None,
    wanted: WANTED,
};

/// How answers of `/api/generate` are read.
pub(in crate::meter) const GENERATE: Answers = Answers {
    event,
    ending: Some(|ending| last(ending, r#""response":"""#)),
    framing: Framing::Lines,
    in_parts: false,
    last_usage: |_| None,
    wanted: WANTED,
};

const WANTED: Wanted = Wanted {
    kept: &[
        "model",
        "created_at",
        "done",
        "prompt_eval_count",
        "eval_count",
        "error",
    ],
    parent: "",
    text: &["message", "response", "thinking"],
};

fn event(told: &Told<'_>) -> Reading {
    let mut reading = Reading::of(told);
    let [
        model,
        created,
        message,
        response,
        thinking,
        done,
        read,
        written,
        error,
    ] = pick(
        Some(told.data),
        [
            "model",
            "created_at",
            "message",
            "response",
            "thinking",
            "done",
            "prompt_eval_count",
            "eval_count",
            "error",
        ],
    );
    if told.nameless {
        reading.names = Names::of(None, created, model);
    }
    if let Some(message) = message {
        of_message(message, &mut reading.text);
    }
    for (part, value) in (1..).zip([response, thinking]) {
        reading.text.of_part(part);
        if let Some(value) = value {
            reading.text.add(value, &NO_TEXT);
        }
    }
    reading.complete = done.and_then(|done| done.bool()) == Some(true);
    reading.failed = error.is_some();
    if read.is_some() || written.is_some() {
        let mut reader = Reader::default();
        let [read, written] = [read, written].map(|value| reader.tokens(value));
        let of = |tokens: Tokens| match tokens {
            Tokens::Valid(tokens) => Some(tokens),
            Tokens::Absent | Tokens::Invalid => None,
        };
        // What was read is left out where all of it was cached: it is unknown then.
        reading.report = Some(Report {
            input: of(read).map(|read| Usage::of(read, 0)),
            output: of(written).map(|written| Usage::of(0, written)),
            invalid: reader.invalid,
            ..Report::default()
        });
    }
    reading
}

/// Arguments of calls are objects, of which all counts.
fn of_message(message: Value<'_>, text: &mut Text) {
    let [calls] = pick(Some(message), ["tool_calls"]);
    text.add_bytes(calls.map_or(0, |calls| calls.raw().len() as u64));
    text.add(message, &["role", "tool_calls", "images"]);
}

/// The last line, as if `num_predict` had been reached.
fn last(ending: &Ending<'_>, empty: &str) -> Vec<Said> {
    let created = ending.names.and_then(|names| names.created.as_deref());
    let created = created.map_or_else(String::new, |created| format!(r#""created_at":{created},"#));
    let usage = &ending.cut.usage;
    vec![Said::plain(format!(
        r#"{{"model":{},{created}{empty},"done":true,"done_reason":"length","prompt_eval_count":{},"eval_count":{},"faregate":{}}}"#,
        ending.model(),
        usage.input(),
        usage.output(),
        ending.cut.reason
    ))]
}
