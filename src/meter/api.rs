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
