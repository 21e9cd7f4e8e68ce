//! OpenAI's chat completions and completions, and the servers that speak them: vLLM, SGLang, TGI, llama.cpp's server, llama-cpp-python.

use super::Answers;
use crate::domain::usage::{Class, Usage};
use crate::meter::answer::{
    Ending, Framing, Hide, Marks, Names, Reader, Reading, Report, Said, Shown, Tokens, Told, Wanted, openai,
    parts_of, pick, pick_any, sound_in,
};
use crate::meter::json::{Kind, Value};

/// How answers of chat completions are read.
pub(in crate::meter) const CHAT: Answers = Answers {
    event,
    ending: Some(|ending| cut(ending, "chat.completion.chunk", chat_choice)),
    framing: Framing::Whole,
    in_parts: false,
    last_usage,
    wanted: WANTED,
};

/// How answers of completions are read.
pub(in crate::meter) const COMPLETIONS: Answers = Answers {
    event,
    ending: Some(|ending| cut(ending, "text_completion", |_| r#""text":"""#)),
    framing: Framing::Whole,
    in_parts: false,
    last_usage,
    wanted: WANTED,
};

const WANTED: Wanted = Wanted {
    kept: &["id", "created", "model", "usage", "error", "timings"],
    parent: "",
    text: &["choices"],
};

fn event(told: &Told<'_>) -> Reading {
    let mut reading = Reading::of(told);
    let found = pick_any(
        Some(told.data),
        [
            "id", "object", "created", "model", "choices", "usage", "error", "timings", "x_groq",
        ],
    );
    let names_usage = found[5].is_some();
    let [id, object, created, model, choices, usage, error, timings, groq] =
        found.map(|value| value.filter(|value| !value.is_null()));
    if told.nameless {
        reading.names = Names::of(id, created, model);
    }
    let mut of_choices = None;
    let mut count = 0_u64;
    for choice in choices.iter().flat_map(Value::items) {
        count += 1;
        let of_choice = read_choice(choice, &mut reading);
        of_choices = of_choices.or(of_choice);
    }
    // Groq's place for it.
    let [of_groq] = pick(groq, ["usage"]);
    let with_one = told.choices > 1 && count > 0;
    let marks = &mut reading.marks;
    if with_one && usage.or(of_groq).is_some() {
        marks.of_one |= u64::from(marks.over.count_ones()) < told.choices;
    }
    reading.report = match (usage.or(of_groq), timings) {
        // What vLLM and SGLang say with each event is of its choice and prompt alone; what others say with the last choice is of all.
        (Some(_), _) if with_one && marks.of_one => None,
        (None, _) if with_one => None,
        (None, _) if of_choices.is_some() => of_choices.map(reported),
        (Some(usage), _) => Some(reported(usage)),
        (None, Some(timings)) => Some(timed(timings)),
        (None, None) => None,
    };
    // Older servers call the object itself an error.
    let is_error = || {
        object
            .and_then(|object| object.str())
            .is_some_and(|object| object == "error")
    };
    reading.failed = error.is_some() || told.name == "error" || (choices.is_none() && is_error());
    if told.shown != Shown::All {
        let last = count == 0 && usage.is_some() && !reading.failed;
        reading.hide = if last {
            match told.shown {
                Shown::Nothing => Hide::All,
                _ => Hide::Nothing,
            }
        } else if names_usage {
            Hide::Parts(parts_of(told.data, &["usage"]))
        } else {
            Hide::Nothing
        };
    }
    reading
}

/// Strings that are not what the model wrote, and sound, which is told apart.
const UNWRITTEN: [&str; 6] = ["role", "id", "type", "object", "status", "audio"];

/// A choice's text and state; its usage, since Moonshot's servers put it there.
fn read_choice<'a>(choice: Value<'a>, reading: &mut Reading) -> Option<Value<'a>> {
    let [index, finish, delta, text, message, usage] = pick(
        Some(choice),
        ["index", "finish_reason", "delta", "text", "message", "usage"],
    );
    let index = index.and_then(|index| index.plain_u64()).unwrap_or(0);
    let bit = Marks::bit(index);
    reading.marks.begun |= bit;
    // Some servers say nothing by an empty text.
    if finish.is_some_and(|finish| finish.inner() != "") {
        reading.marks.over |= bit;
    }
    let written = &mut reading.text;
    written.of_part(index);
    for value in [delta, text, message].into_iter().flatten() {
        let [audio] = pick(Some(value), ["audio"]);
        let [sound, transcript] = pick(audio, ["data", "transcript"]);
        written.add(value, &UNWRITTEN);
        written.add_bytes(sound.map_or(0, sound_in) + transcript.map_or(0, length));
    }
    usage
}

/// Bytes of a string: of sound, which is written beside it.
fn length(value: Value<'_>) -> u64 {
    value.str().map_or(0, |text| text.len() as u64)
}

/// That of an event in which no choice goes on.
fn last_usage(data: Value<'_>) -> Option<Value<'_>> {
    let [choices, usage] = pick(Some(data), ["choices", "usage"]);
    let mut choices = choices.iter().flat_map(Value::items);
    let over = choices.all(|choice| {
        choice
            .get("finish_reason")
            .is_some_and(|reason| !reason.is_null())
    });
    usage.filter(|_| over)
}

fn reported(usage: Value<'_>) -> Report {
    if usage.kind() == Kind::Object {
        return openai(usage, true);
    }
    Report {
        invalid: 1,
        ..Report::default()
    }
}

/// What llama.cpp's server says of its work: tokens that it read anew, found in its cache, and wrote. Where it does not name the second, what was read is unknown.
fn timed(timings: Value<'_>) -> Report {
    let mut reader = Reader::default();
    let [anew, cached, written] =
        pick(Some(timings), ["prompt_n", "cache_n", "predicted_n"]).map(|value| reader.tokens(value));
    Report {
        input: match (anew, cached) {
            (Tokens::Valid(anew), Tokens::Valid(cached)) => {
                Some(Usage::of(anew, 0).with(Class::CachedInput, cached))
            }
            _ => None,
        },
        output: match written {
            Tokens::Valid(written) => Some(Usage::of(0, written)),
            _ => None,
        },
        invalid: reader.invalid,
        ..Report::default()
    }
}

fn chat_choice(begun: bool) -> &'static str {
    if begun {
        r#""delta":{}"#
    } else {
        r#""delta":{"role":"assistant","content":""}"#
    }
}

/// The end of each choice that is not over, usage where it was asked for, and the end. `piece` is what a choice has besides, which may not have begun.
fn cut(ending: &Ending<'_>, object: &str, piece: fn(bool) -> &'static str) -> Vec<Said> {
    let head = format!(
        r#"{{"id":{},"object":"{object}","created":{},"model":{}"#,
        ending.id(),
        ending.created(),
        ending.model()
    );
    let Marks { begun, over, .. } = ending.marks;
    let asked = ending.choices.max(1);
    let open = (0..u128::BITS).filter(|choice| {
        let (begun, over) = (begun >> choice & 1 == 1, over >> choice & 1 == 1);
        (begun || u64::from(*choice) < asked) && !over
    });
    let mut said: Vec<Said> = open
        .map(|choice| {
            let piece = piece(begun >> choice & 1 == 1);
            Said::plain(format!(
                r#"{head},"choices":[{{"index":{choice},{piece},"logprobs":null,"finish_reason":"length"}}],"faregate":{}}}"#,
                ending.cut.reason
            ))
        })
        .collect();
    if ending.shown != Shown::Nothing {
        said.push(Said::plain(used(&head, ending)));
    }
    said.push(Said::plain("[DONE]".to_owned()));
    said
}

fn used(head: &str, ending: &Ending<'_>) -> String {
    let usage = &ending.cut.usage;
    format!(
        r#"{head},"choices":[],"usage":{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{}}},"completion_tokens_details":{{"reasoning_tokens":{}}}}},"faregate":{}}}"#,
        usage.input(),
        usage.output(),
        usage.input().saturating_add(usage.output()),
        usage.get(Class::CachedInput),
        usage.get(Class::Reasoning),
        ending.cut.reason
    )
}
