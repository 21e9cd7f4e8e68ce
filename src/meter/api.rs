//! The APIs that are metered.

/// An API: how its requests are read, and its answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Api {
    /// OpenAI's chat completions.
    OpenAiChat,
    /// OpenAI's completions, the older ones.
    OpenAiCompletions,
    /// OpenAI's embeddings.
    OpenAiEmbeddings,
    /// OpenAI's responses.
    OpenAiResponses,
    /// Anthropic's messages.
    AnthropicMessages,
    /// Ollama's own `/api/chat`.
    OllamaChat,
    /// Ollama's own `/api/generate`.
    OllamaGenerate,
}

pub(in crate::meter) mod anthropic;
pub(in crate::meter) mod embeddings;
pub(in crate::meter) mod ollama;
pub(in crate::meter) mod openai;
pub(in crate::meter) mod responses;

use super::answer::{Ending, Framing, Reading, Said, Told, Wanted};
use super::json::Value;

/// How an API's answers are read.
pub(in crate::meter) struct Answers {
    /// One event, or what was kept of a long one or of a whole answer.
    pub(in crate::meter) event: fn(&Told<'_>) -> Reading,
    /// The events that end an answer which is cut; `None` where it is not streamed.
    pub(in crate::meter) ending: Option<fn(&Ending<'_>) -> Vec<Said>>,
    /// How an answer comes whose `content-type` says nothing of it.
    pub(in crate::meter) framing: Framing,
    /// It is written in parts, one after the other, of which only the last event says which was the last.
    pub(in crate::meter) in_parts: bool,
    /// The usage in an event that ends an answer and tells all, where there is a place for what it cost.
    pub(in crate::meter) last_usage: for<'a> fn(Value<'a>) -> Option<Value<'a>>,
    /// What is kept of those that are not read whole.
    pub(in crate::meter) wanted: Wanted,
}

impl Api {
    /// How its answers are read.
    pub(in crate::meter) const fn answers(self) -> &'static Answers {
        match self {
            Api::OpenAiChat => &openai::CHAT,
            Api::OpenAiCompletions => &openai::COMPLETIONS,
            Api::OpenAiEmbeddings => &embeddings::ANSWERS,
            Api::OpenAiResponses => &responses::ANSWERS,
            Api::AnthropicMessages => &anthropic::ANSWERS,
            Api::OllamaChat => &ollama::CHAT,
            Api::OllamaGenerate => &ollama::GENERATE,
        }
    }
}

impl Api {
    /// All of them.
    pub const ALL: &'static [Api] = &[
        Api::OpenAiChat,
        Api::OpenAiCompletions,
        Api::OpenAiEmbeddings,
        Api::OpenAiResponses,
        Api::AnthropicMessages,
        Api::OllamaChat,
        Api::OllamaGenerate,
    ];

    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Api::OpenAiChat => "openai-chat",
            Api::OpenAiCompletions => "openai-completions",
            Api::OpenAiEmbeddings => "openai-embeddings",
            Api::OpenAiResponses => "openai-responses",
            Api::AnthropicMessages => "anthropic-messages",
            Api::OllamaChat => "ollama-chat",
            Api::OllamaGenerate => "ollama-generate",
        }
    }
}
