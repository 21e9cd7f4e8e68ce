//! OpenAI's embeddings; vLLM's of messages too.

use super::openai;
use crate::meter::ask::spec::{Means, Member, Spec};

const MEMBERS: &[Member] = &[
    ("model", Means::Model),
    ("stream", Means::Stream),
    ("input", Means::Prompts),
];

/// Requests.
pub(super) const ASKED: Spec = Spec {
    members: &[MEMBERS, openai::CHAT, openai::REFUSED, openai::SERVERS],
    message: openai::MESSAGE,
    parts: openai::PARTS,
    items: &[],
    tools: openai::TOOLS,
    limit: "max_tokens",
    limit_in: None,
    streams: false,
    writes: false,
    usage_option: false,
};
