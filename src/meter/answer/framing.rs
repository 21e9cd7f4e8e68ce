//! How an answer is cut into events.

use memchr::memchr;

use super::sse;
use crate::meter::Api;

/// How an answer is cut into events.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// Server-sent events.
    Sse,
    /// A JSON value on each line.
    Lines,
    /// One JSON text.
    Whole,
}

impl Framing {
    /// Of an answer with this `content-type`. What says nothing comes as its API's answers do, if it is not said to be one JSON text.
    pub fn of(api: Api, content_type: Option<&str>) -> Framing {
        let essence = content_type.and_then(|value| value.split([';', ',']).next());
        let is = |name: &str| essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case(name));
        if is("text/event-stream") {
            Framing::Sse
        } else if is("application/x-ndjson") || is("application/ndjson") || is("application/jsonl") {
            Framing::Lines
        } else if is("application/json") {
            Framing::Whole
        } else {
            api.answers().framing
        }
    }
}

/// Finds where events end, however the bytes are cut into frames.
#[derive(Clone, Copy, Debug)]
pub(super) enum Splitter {
    Sse(sse::Splitter),
    Lines,
}

impl Splitter {
    pub(super) fn new(framing: Framing) -> Splitter {
        match framing {
            Framing::Sse => Splitter::Sse(sse::Splitter::default()),
            Framing::Lines | Framing::Whole => Splitter::Lines,
        }
    }

    /// As [`sse::Splitter::find`].
    pub(super) fn find(&mut self, bytes: &[u8]) -> Option<usize> {
        match self {
            Splitter::Sse(splitter) => splitter.find(bytes),
            Splitter::Lines => memchr(b'\n', bytes).map(|at| at + 1),
        }
    }

    /// Whether an LF that comes next belongs to the event before.
    pub(super) fn owes_lf(self) -> bool {
        matches!(self, Splitter::Sse(splitter) if splitter.owes_lf())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_tells() {
        for (api, content_type, framing) in [
            (Api::OpenAiChat, Some("text/event-stream"), Framing::Sse),
            (
                Api::OpenAiChat,
                Some("Text/Event-Stream ; charset=utf-8"),
                Framing::Sse,
            ),
            (Api::OllamaChat, Some("text/event-stream"), Framing::Sse),
            (
                Api::OpenAiChat,
                Some("application/json; charset=utf-8"),
                Framing::Whole,
            ),
            (Api::OpenAiChat, Some("text/plain"), Framing::Whole),
            (Api::OpenAiChat, None, Framing::Whole),
            (Api::OllamaChat, Some("application/x-ndjson"), Framing::Lines),
            (Api::OllamaGenerate, Some("application/json"), Framing::Whole),
            (Api::OllamaGenerate, None, Framing::Lines),
        ] {
            assert_eq!(
                Framing::of(api, content_type),
                framing,
                "{api:?} {content_type:?}"
            );
        }
    }
}
