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
pub(in crate::meter) mod openai;

use super::answer::{Reading, Told, Wanted};

/// How an API's answers are read.
pub(in crate::meter) struct Answers {
    /// One event, or what was kept of a long one or of a whole answer.
    pub(in crate::meter) event: fn(&Told<'_>) -> Reading,
    /// What is kept of those.
    pub(in crate::meter) wanted: Wanted,
}

impl Api {
    /// How its answers are read.
    pub(in crate::meter) const fn answers(self) -> &'static Answers {
        match self {
            Api::AnthropicMessages => &anthropic::ANSWERS,
            _ => &openai::ANSWERS,
        }
    }
}
