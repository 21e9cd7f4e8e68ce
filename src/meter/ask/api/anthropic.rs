//! Anthropic's messages.

use super::openai;
use crate::meter::ask::spec::{Kind, Means, Member, Spec, Typed, why};

const MEMBERS: &[Member] = &[
    ("model", Means::Model),
    ("stream", Means::Stream),
    ("max_tokens", Means::Limit),
    ("n_predict", Means::Limit),
    ("thinking", Means::Inside(&[("budget_tokens", Means::Budget)])),
    ("system", Means::Content),
    ("messages", Means::Messages),
    ("tools", Means::Tools),
    ("output_config", Means::Schema),
    ("output_format", Means::Schema),
    (
        "service_tier",
        Means::Only(&["auto", "standard_only"], why::DEARER),
    ),
    ("speed", Means::Only(&["standard"], why::DEARER)),
    // In the body by way of Bedrock and Vertex.
    ("anthropic_beta", Means::Betas),
    ("inference_geo", Means::Only(&["global"], why::DEARER)),
    // Earlier messages that the upstream keeps.
    ("thread", Means::Refused(why::HIDDEN)),
    ("container", Means::Refused(why::HIDDEN)),
    ("compaction", Means::Refused(why::DEARER)),
    (
        "context_management",
        Means::Inside(&[("edits", Means::Kinds(EDITS))]),
    ),
    ("mcp_servers", Means::Refused(why::TOOLS)),
    ("fallbacks", Means::Refused(why::OTHER_MODEL)),
];

/// What is done to earlier messages: leaving out makes nothing dearer, summaries are written on the way and billed apart.
const EDITS: &[Typed] = &[
    ("clear_*", Kind::Text(&[])),
    ("compact_*", Kind::Refused(why::DEARER)),
];

const MESSAGE: &[Member] = &[("content", Means::Content)];

/// Parts; results of the upstream's own tools are there under these names only when it has them.
const PARTS: &[Typed] = &[
    ("text", Kind::Text(&[])),
    ("thinking", Kind::Text(&[])),
    ("redacted_thinking", Kind::Text(&[])),
    ("tool_use", Kind::Text(&[])),
    ("tool_result", Kind::Text(MESSAGE)),
    ("search_result", Kind::Text(MESSAGE)),
    ("content", Kind::Text(MESSAGE)),
    ("image", Kind::Image(&[])),
    ("document", Kind::Document),
    ("tool_reference", Kind::ToolReference),
    ("container_upload", Kind::Refused(why::HIDDEN)),
    ("server_tool_use", Kind::Refused(why::TOOLS)),
    ("web_search_tool_result", Kind::Refused(why::TOOLS)),
    ("web_fetch_tool_result", Kind::Refused(why::TOOLS)),
];

/// Tools: those that the client has, some of them by a name that the model knows.
const TOOLS: &[Typed] = &[
    ("", Kind::Text(&[])),
    ("custom", Kind::Text(&[])),
    ("bash_*", Kind::Text(&[])),
    ("text_editor_*", Kind::Text(&[])),
    ("memory_*", Kind::Text(&[])),
];

/// Requests.
pub(super) const ASKED: Spec = Spec {
    members: &[MEMBERS, openai::SERVERS],
    message: MESSAGE,
    parts: PARTS,
    items: &[],
    tools: TOOLS,
    limit: "max_tokens",
    limit_in: None,
    streams: false,
    writes: true,
    usage_option: false,
};
