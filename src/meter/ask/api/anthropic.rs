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
    ("tools", Means::ToolsAnd(TOOL_PROMPT)),
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

/// What is added to each request that has tools, in tokens: 264 to 804, by model and `tool_choice`.
///
/// This and what its own tools add is from Anthropic's documentation, "Pricing", tool use
/// (<https://platform.claude.com/docs/en/about-claude/pricing#tool-use-pricing>), with room for models whose tokens are shorter than those it was measured with.
const TOOL_PROMPT: u64 = 900;

/// Tools: those that the client has, some of them by a name that the model knows.
const TOOLS: &[Typed] = &[
    ("", Kind::Text(&[])),
    ("custom", Kind::Text(&[])),
    // 325 for newer models, 244 for older ones.
    ("bash_*", Kind::Tool(400)),
    // 700, as measured with Claude 4.
    ("text_editor_*", Kind::Tool(1_000)),
    // Some 4,600 with the prompt, and what members add that are not there unless asked for.
    ("computer_toolset_*", Kind::Tool(6_000)),
    // 735, and a prompt of up to 499.
    ("computer_*", Kind::Tool(2_000)),
    // Not published: it has two commands more than the text editor, and a prompt of its own.
    ("memory_*", Kind::Tool(2_000)),
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
