//! OpenAI's responses.

use super::Answers;

use crate::domain::usage::Class;
use crate::meter::answer::{
    Ending, Framing, NO_TEXT, Names, Reading, Said, Text, Told, Wanted, openai, pick, sound_in,
    without_members,
};
use crate::meter::json::{Kind, Value};

/// How its answers are read.
pub(in crate::meter) const ANSWERS: Answers = Answers {
    event,
    ending: Some(ending),
    framing: Framing::Whole,
    in_parts: true,
    last_usage: |data| {
        let [kind, response] = pick(Some(data), ["type", "response"]);
        let kind = kind.and_then(|kind| kind.str());
        let ends = matches!(
            kind.as_deref(),
            Some("response.completed" | "response.incomplete")
        );
        response.filter(|_| ends)?.get("usage")
    },
    wanted: Wanted {
        kept: &["id", "type", "model", "usage", "error", "status"],
        parent: "response",
        text: &["output"],
    },
};

/// The longest description of itself that a response's ending repeats, in bytes.
const WHOLE_MAX: usize = 8 << 10;

fn event(told: &Told<'_>) -> Reading {
    let mut reading = Reading::of(told);
    let [kind, number, response, index, item, delta] = pick(
        Some(told.data),
        [
            "type",
            "sequence_number",
            "response",
            "output_index",
            "item",
            "delta",
        ],
    );
    let kind = kind.and_then(|kind| kind.str());
    let kind = kind.as_deref().unwrap_or(told.name);
    let marks = &mut reading.marks;
    let index = index.and_then(|index| index.plain_u64());
    marks.number = number.and_then(|number| number.plain_u64()).or(marks.number);
    match kind {
        "response.created" | "response.queued" | "response.in_progress" => {
            marks.begun = 1;
            if told.nameless {
                reading.names = response.and_then(names);
            }
        }
        "response.output_item.added" => {
            marks.open = index;
            reading.text.of_part(part(index, kind));
            if let Some(item) = item {
                reading.text.add(item, &UNWRITTEN);
            }
        }
        "response.output_item.done" => {
            marks.open = None;
            reading.text.of_part(part(index, kind));
            if let Some(item) = item {
                never_streamed(item, &mut reading.text);
            }
        }
        "error" => reading.failed = true,
        "response.audio.delta" | "response.output_audio.delta" => {
            reading.text.add_bytes(delta.map_or(0, sound_in));
        }
        _ if kind.ends_with(".delta") => {
            reading.text.of_part(part(index, kind));
            if let Some(delta) = delta {
                reading.text.add(delta, &NO_TEXT);
            }
        }
        "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
            marks.over = marks.begun;
            reading.complete = true;
            said(response.unwrap_or(told.data), &mut reading, told.nameless);
        }
        // A whole answer, or what carries nothing that counts.
        _ => said(told.data, &mut reading, told.nameless),
    }
    reading
}

/// What a response says of itself.
fn said(response: Value<'_>, reading: &mut Reading, nameless: bool) {
    let [usage, error, status] = pick(Some(response), ["usage", "error", "status"]);
    reading.report = usage.map(|usage| openai(usage, true));
    let failed = status
        .and_then(|status| status.str())
        .is_some_and(|status| status == "failed");
    reading.failed = failed || error.is_some_and(|error| error.kind() == Kind::Object);
    if nameless {
        reading.names = names(response);
    }
}

fn names(response: Value<'_>) -> Option<Box<Names>> {
    let [id, created, model] = pick(Some(response), ["id", "created_at", "model"]);
    let mut names = Names::of(id, created, model)?;
    let whole = response.raw();
    names.whole = (whole.len() <= WHOLE_MAX).then(|| whole.into());
    Some(names)
}

/// Which part of an answer an event goes on with: items follow one another, and each has kinds of text.
fn part(index: Option<u64>, kind: &str) -> u64 {
    index
        .unwrap_or(0)
        .wrapping_mul(u64::from(u16::MAX))
        .wrapping_add(kind.len() as u64)
}

/// Strings of an item that are not what the model wrote.
const UNWRITTEN: [&str; 9] = [
    "role",
    "id",
    "type",
    "object",
    "status",
    "finish_reason",
    "signature",
    "call_id",
    "phase",
];

/// Text of an item that no delta has told before: reasoning that is encrypted, and items that come in one piece.
fn never_streamed(item: Value<'_>, text: &mut Text) {
    let [kind, encrypted] = pick(Some(item), ["type", "encrypted_content"]);
    let kind = kind.and_then(|kind| kind.str()).unwrap_or_default();
    match kind.as_ref() {
        "reasoning" => text.add_bytes(
            encrypted
                .and_then(|text| text.str())
                .map_or(0, |text| text.len() as u64),
        ),
        "message"
        | "function_call"
        | "custom_tool_call"
        | "mcp_call"
        | "code_interpreter_call"
        | "image_generation_call" => {}
        _ => text.add(item, &UNWRITTEN),
    }
}

/// `response.incomplete`, as if `max_output_tokens` had been reached.
fn ending(ending: &Ending<'_>) -> Vec<Said> {
    let mut number = ending.marks.number;
    let mut next = || {
        number = Some(number.map_or(0, |number| number + 1));
        number.unwrap_or(0)
    };
    let whole = ending.names.and_then(|names| names.whole.as_deref());
    let description = whole.and_then(|whole| {
        let own = [
            "status",
            "incomplete_details",
            "usage",
            "output",
            "error",
            "completed_at",
        ];
        without_members(whole, &own).filter(|rest| rest.len() > 2)
    });
    let description = description.unwrap_or_else(|| {
        format!(
            r#"{{"id":{},"object":"response","created_at":{},"model":{},"instructions":null,"metadata":{{}},"parallel_tool_calls":true,"temperature":null,"tool_choice":"auto","tools":[],"top_p":null}}"#,
            ending.id(),
            ending.created(),
            ending.model()
        )
    });
    let with = |members: &str| {
        format!(
            "{},{members}}}",
            description.strip_suffix('}').unwrap_or("{").trim_end()
        )
    };
    let mut said = Vec::new();
    if ending.marks.begun == 0 {
        let response =
            with(r#""status":"in_progress","incomplete_details":null,"error":null,"output":[],"usage":null"#);
        said.push(Said {
            name: "response.created",
            data: format!(
                r#"{{"type":"response.created","sequence_number":{},"response":{response}}}"#,
                next()
            ),
        });
    }
    let usage = &ending.cut.usage;
    let cached = usage.get(Class::CachedInput);
    let response = with(&format!(
        r#""status":"incomplete","incomplete_details":{{"reason":"max_output_tokens"}},"error":null,"output":[],"usage":{{"input_tokens":{},"input_tokens_details":{{"cached_tokens":{cached}}},"output_tokens":{},"output_tokens_details":{{"reasoning_tokens":{}}},"total_tokens":{}}}"#,
        usage.input(),
        usage.output(),
        usage.get(Class::Reasoning),
        usage.input().saturating_add(usage.output()),
    ));
    said.push(Said {
        name: "response.incomplete",
        data: format!(
            r#"{{"type":"response.incomplete","sequence_number":{},"response":{response},"faregate":{}}}"#,
            next(),
            ending.cut.reason
        ),
    });
    said
}
