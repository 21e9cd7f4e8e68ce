//! Anthropic's messages.

use super::Answers;
use crate::domain::usage::{Class, Usage};
use crate::meter::answer::{
    Ending, Framing, NO_TEXT, Names, Reader, Reading, Report, Said, Text, Tokens, Told, Wanted, pick,
};
use crate::meter::json::Value;

/// How its answers are read.
pub(in crate::meter) const ANSWERS: Answers = Answers {
    event,
    ending: Some(ending),
    framing: Framing::Whole,
    in_parts: true,
    last_usage: |data| {
        let [kind, usage] = pick(Some(data), ["type", "usage"]);
        usage.filter(|_| kind.and_then(|kind| kind.str()).as_deref() == Some("message_delta"))
    },
    wanted: Wanted {
        kept: &["id", "type", "model", "usage", "error"],
        parent: "message",
        text: &["content"],
    },
};

fn event(told: &Told<'_>) -> Reading {
    let mut reading = Reading::of(told);
    let [kind, message, index, block, delta, usage, error, id, model] = pick(
        Some(told.data),
        [
            "type",
            "message",
            "index",
            "content_block",
            "delta",
            "usage",
            "error",
            "id",
            "model",
        ],
    );
    let kind = kind.and_then(|kind| kind.str());
    let kind = kind.as_deref().unwrap_or(told.name);
    let index = index.and_then(|index| index.plain_u64());
    let marks = &mut reading.marks;
    match kind {
        "message_start" => {
            let [id, model, usage] = pick(message, ["id", "model", "usage"]);
            marks.begun = 1;
            // Of what is written it says where the count begins (1, as a rule), before anything is.
            reading.report = usage.map(|usage| Report {
                output: None,
                ..reported(usage, false)
            });
            if told.nameless {
                reading.names = Names::of(id, None, model);
            }
        }
        "content_block_start" => {
            marks.open = index;
            reading.text.of_part(index.unwrap_or(0));
            if let Some(block) = block {
                written_in_block(block, &mut reading.text);
            }
        }
        "content_block_delta" => {
            reading.text.of_part(index.unwrap_or(0));
            if let Some(delta) = delta {
                written_in_delta(delta, &mut reading.text);
            }
        }
        "content_block_stop" => marks.open = None,
        "message_delta" => {
            let [stop] = pick(delta, ["stop_reason"]);
            marks.ending |= stop.is_some();
            reading.report = usage.map(|usage| reported(usage, true));
        }
        "message_stop" => {
            marks.over = marks.begun;
            reading.complete = true;
        }
        "ping" => {}
        // A whole answer, or something that is not known.
        _ => {
            reading.report = usage.map(|usage| reported(usage, false));
            if told.nameless {
                reading.names = Names::of(id, None, model);
            }
        }
    }
    reading.failed = kind == "error" || told.name == "error" || error.is_some();
    reading
}

/// What the model wrote at the beginning of a block: the name of a tool. What a tool of the server's found was not written by it.
fn written_in_block(block: Value<'_>, text: &mut Text) {
    let [kind] = pick(Some(block), ["type"]);
    let kind = kind.and_then(|kind| kind.str()).unwrap_or_default();
    if !kind.ends_with("_tool_result") {
        text.add(block, &NO_TEXT);
    }
}

/// Citations repeat what was read.
fn written_in_delta(delta: Value<'_>, text: &mut Text) {
    let [citation] = pick(Some(delta), ["citation"]);
    if citation.is_none() {
        text.add(delta, &NO_TEXT);
    }
}

/// What was read apart from the cache, from it and into it are numbers beside one another. `partial` where an earlier report may have said more.
fn reported(usage: Value<'_>, partial: bool) -> Report {
    let mut reader = Reader::default();
    let [input, created, creation, read, output, details] = pick(
        Some(usage),
        [
            "input_tokens",
            "cache_creation_input_tokens",
            "cache_creation",
            "cache_read_input_tokens",
            "output_tokens",
            "output_tokens_details",
        ],
    );
    let [thinking] = pick(details, ["thinking_tokens"]).map(|value| reader.tokens(value));
    let [short, long] = pick(
        creation,
        ["ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"],
    )
    .map(|value| reader.tokens(value));
    let [input, created, read, output] = [input, created, read, output].map(|value| reader.tokens(value));
    let input = match (input, read, written_to_cache(created, short, long)) {
        (Tokens::Valid(input), Tokens::Valid(_) | Tokens::Absent, Some((short, long))) => Some(
            Usage::of(input, 0)
                .with(Class::CachedInput, read.or_none())
                .with(Class::CacheWrite, short)
                .with(Class::CacheWriteLong, long),
        ),
        _ => None,
    };
    Report {
        input,
        output: match output {
            Tokens::Valid(output) => {
                Some(reader.split(output, &[(Class::Reasoning, thinking)], Class::Output))
            }
            _ => None,
        },
        partial,
        invalid: reader.invalid,
        ..Report::default()
    }
}

/// Tokens written to the cache for a short and for a long time. What the parts leave of the sum counts as long, which is dearer; a sum without parts as short,
/// since servers that tell none have only that.
fn written_to_cache(sum: Tokens, short: Tokens, long: Tokens) -> Option<(u64, u64)> {
    let parts = short.or_none().saturating_add(long.or_none());
    match (sum, short, long) {
        (Tokens::Invalid, ..) => None,
        (Tokens::Absent, Tokens::Invalid, _) | (Tokens::Absent, _, Tokens::Invalid) => None,
        (Tokens::Absent, ..) => Some((short.or_none(), long.or_none())),
        (Tokens::Valid(sum), Tokens::Absent, Tokens::Absent) => Some((sum, 0)),
        (Tokens::Valid(sum), ..) => Some((
            short.or_none(),
            long.or_none().saturating_add(sum.saturating_sub(parts)),
        )),
    }
}

/// The end of the block that is open, and of the message, as if `max_tokens` had been reached.
fn ending(ending: &Ending<'_>) -> Vec<Said> {
    let usage = &ending.cut.usage;
    let read = format!(
        r#""input_tokens":{},"cache_creation_input_tokens":{},"cache_read_input_tokens":{}"#,
        usage
            .get(Class::Input)
            .saturating_add(usage.get(Class::AudioInput)),
        usage
            .get(Class::CacheWrite)
            .saturating_add(usage.get(Class::CacheWriteLong)),
        usage.get(Class::CachedInput)
    );
    let mut said = Vec::new();
    let mut say = |name: &'static str, rest: &str| {
        let data = format!(r#"{{"type":"{name}"{rest}}}"#);
        said.push(Said { name, data });
    };
    if ending.marks.begun == 0 {
        let message = format!(
            r#","message":{{"id":{},"type":"message","role":"assistant","model":{},"content":[],"stop_reason":null,"stop_sequence":null,"usage":{{{read},"output_tokens":0}}}}"#,
            ending.id(),
            ending.model()
        );
        say("message_start", &message);
    }
    if let Some(open) = ending.marks.open {
        say("content_block_stop", &format!(r#","index":{open}"#));
    }
    if !ending.marks.ending {
        let delta = format!(
            r#","delta":{{"stop_reason":"max_tokens","stop_sequence":null}},"usage":{{{read},"output_tokens":{}}},"faregate":{}"#,
            usage.output(),
            ending.cut.reason
        );
        say("message_delta", &delta);
    }
    say("message_stop", "");
    said
}
