//! OpenAI's chat completions.

use super::openai;
use crate::meter::ask::spec::Spec;

/// Requests.
pub(super) const ASKED: Spec = Spec {
    members: &[openai::COMMON, openai::CHAT, openai::REFUSED, openai::SERVERS],
    message: openai::MESSAGE,
    parts: openai::PARTS,
    items: &[],
    tools: openai::TOOLS,
    limit: "max_tokens",
    limit_in: None,
    streams: false,
    writes: true,
    usage_option: true,
};
