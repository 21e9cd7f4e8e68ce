//! OpenAI's embeddings: they read, and write nothing.

use super::Answers;
use crate::meter::answer::{Framing, Names, Reading, Told, Wanted, openai, pick};

/// How its answers are read.
pub(in crate::meter) const ANSWERS: Answers = Answers {
    event,
    ending: None,
    framing: Framing::Whole,
    in_parts: false,
    last_usage: |_| None,
    wanted: Wanted {
        kept: &["model", "usage", "error"],
        parent: "",
        text: &[],
    },
};

fn event(told: &Told<'_>) -> Reading {
    let mut reading = Reading::of(told);
    let [model, usage, error] = pick(Some(told.data), ["model", "usage", "error"]);
    reading.report = usage.map(|usage| openai(usage, false));
    reading.failed = error.is_some();
    if told.nameless {
        reading.names = Names::of(None, None, model);
    }
    reading
}
