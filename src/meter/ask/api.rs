//! Which tables are whose.

mod anthropic;
mod chat;
mod completions;
mod embeddings;
mod ollama;
mod openai;
mod responses;

use super::spec::Spec;
use crate::meter::Api;

impl Api {
    /// How its requests are written.
    pub(in crate::meter) const fn asked(self) -> &'static Spec {
        match self {
            Api::OpenAiChat => &chat::ASKED,
            Api::OpenAiCompletions => &completions::ASKED,
            Api::OpenAiEmbeddings => &embeddings::ASKED,
            Api::OpenAiResponses => &responses::ASKED,
            Api::AnthropicMessages => &anthropic::ASKED,
            Api::OllamaChat => &ollama::CHAT,
            Api::OllamaGenerate => &ollama::GENERATE,
        }
    }
}
