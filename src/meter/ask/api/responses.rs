//! OpenAI's responses.

use super::openai;
use crate::meter::ask::spec::{Kind, Means, Member, Spec, Typed, why};

const MEMBERS: &[Member] = &[
    ("input", Means::Items),
    ("instructions", Means::Content),
    ("tools", Means::Tools),
    ("text", Means::Schema),
    // A template that the upstream keeps.
    ("prompt", Means::Refused(why::HIDDEN)),
];

const OUTPUT: &[Member] = &[("output", Means::Content)];

const ITEMS: &[Typed] = &[
    ("", Kind::Text(openai::MESSAGE)),
    ("message", Kind::Text(openai::MESSAGE)),
    ("reasoning", Kind::Thought),
    ("compaction", Kind::Thought),
    ("function_call", Kind::Text(&[])),
    ("function_call_output", Kind::Text(OUTPUT)),
    ("custom_tool_call", Kind::Text(&[])),
    ("custom_tool_call_output", Kind::Text(OUTPUT)),
    ("local_shell_call", Kind::Text(&[])),
    ("local_shell_call_output", Kind::Text(OUTPUT)),
    ("shell_call", Kind::Text(&[])),
    ("shell_call_output", Kind::Text(&[])),
    ("apply_patch_call", Kind::Text(&[])),
    ("apply_patch_call_output", Kind::Text(OUTPUT)),
    ("computer_call", Kind::Text(&[])),
    ("computer_call_output", Kind::Text(OUTPUT)),
    ("item_reference", Kind::Refused(why::HIDDEN)),
];

/// Tools: those that the client has, some of them by a name that the model knows.
const TOOLS: &[Typed] = &[
    ("function", Kind::Text(&[])),
    ("custom", Kind::Text(&[])),
    ("local_shell", Kind::Text(&[])),
    ("apply_patch", Kind::Text(&[])),
];

const PARTS: &[Typed] = &[
    ("input_text", Kind::Text(&[])),
    ("output_text", Kind::Text(&[])),
    ("text", Kind::Text(&[])),
    ("refusal", Kind::Text(&[])),
    ("summary_text", Kind::Text(&[])),
    ("input_image", Kind::Image(&[])),
    ("computer_screenshot", Kind::Image(&[])),
    ("input_audio", Kind::Audio),
    ("input_file", Kind::Document),
];

/// Requests.
pub(super) const ASKED: Spec = Spec {
    members: &[openai::COMMON, MEMBERS, openai::REFUSED, openai::SERVERS],
    message: openai::MESSAGE,
    parts: PARTS,
    items: ITEMS,
    tools: TOOLS,
    limit: "max_output_tokens",
    limit_in: None,
    streams: false,
    writes: true,
    usage_option: false,
};
