//! One table of cases per API, each fed in frames of every size.

use proptest::prelude::*;

use super::*;
use crate::domain::usage::{Class, Usage};

mod anthropic;
mod cut;
mod odd;
mod ollama;
mod openai;
mod passing;
mod responses;
mod words;

fn setup(api: Api, hide_usage: bool) -> Setup {
    Setup {
        api,
        framing: Framing::Sse,
        shown: if hide_usage { Shown::Nothing } else { Shown::All },
        choices: 1,
        keep_words: false,
    }
}

/// What passes, and what is known in the end.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Passed {
    out: String,
    tally: Tally,
    complete: bool,
    model: Option<String>,
}

fn pass(setup: Setup, frames: &[&[u8]]) -> Passed {
    let mut meter = Meter::new(setup);
    let mut out = Vec::new();
    for frame in frames {
        meter.feed(Bytes::copy_from_slice(frame));
        while let Step::Pass(bytes) = meter.next(|_| true) {
            out.extend_from_slice(&bytes);
        }
        assert!(meter.held() <= EVENT_MAX + frame.len());
    }
    let ended = meter.end();
    out.extend_from_slice(&ended.rest);
    Passed {
        out: String::from_utf8_lossy(&out).into_owned(),
        tally: meter.tally(),
        complete: ended.complete,
        model: meter.model(),
    }
}

impl Meter {
    /// Bytes in memory.
    pub(in crate::meter::answer) fn held(&self) -> usize {
        self.front.len() + self.frame.len() + self.partial.len()
    }
}

/// Passes a stream in frames of all sizes, which must not matter.
#[track_caller]
fn pass_all(setup: Setup, stream: &str) -> Passed {
    let whole = pass(setup, &[stream.as_bytes()]);
    let sizes = (1..64)
        .chain([100, 257, 1000])
        .filter(|size| *size < stream.len());
    for size in sizes {
        let frames: Vec<&[u8]> = stream.as_bytes().chunks(size).collect();
        assert_eq!(pass(setup, &frames), whole, "in frames of {size}: {stream}");
    }
    whole
}

/// A stream of events of these data.
fn sse(data: &[&str]) -> String {
    data.iter().map(|data| format!("data: {data}\n\n")).collect()
}

/// What is to come out of a case.
#[derive(Default)]
struct Want<'w> {
    /// All tokens, where they are known.
    exact: Option<Usage>,
    /// Text since the last report.
    counted: (u64, u64),
    invalid: u32,
    failed: bool,
    /// It breaks off.
    cut: bool,
    /// What the client sees, where that is not all.
    out: Option<&'w str>,
}

#[track_caller]
fn case(what: &str, setup: Setup, stream: &str, want: Want<'_>) {
    let passed = pass_all(setup, stream);
    let tally = passed.tally;
    assert_eq!(tally.exact(), want.exact, "{what}: {tally:?}");
    let counted = Counted {
        bytes: want.counted.0,
        events: want.counted.1,
    };
    assert_eq!(tally.counted, counted, "{what}: {tally:?}");
    assert_eq!(
        (tally.invalid, tally.failed, passed.complete),
        (want.invalid, want.failed, !want.cut),
        "{what}: {tally:?}"
    );
    assert_eq!(passed.out, want.out.unwrap_or(stream), "{what}");
}
