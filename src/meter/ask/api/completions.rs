//! OpenAI's completions, the older ones.

use super::openai;
use crate::meter::ask::spec::{Means, Spec};

/// Requests.
pub(super) const ASKED: Spec = Spec {
    members: &[
        openai::COMMON,
        &[("prompt", Means::Prompts)],
        openai::REFUSED,
        openai::SERVERS,
    ],
    message: &[],
    parts: &[],
    items: &[],
    tools: &[],
    limit: "max_tokens",
    limit_in: None,
    streams: false,
    writes: true,
    usage_option: true,
};
