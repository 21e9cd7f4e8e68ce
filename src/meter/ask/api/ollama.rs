//! What Ollama's own APIs have in common.

use crate::meter::ask::spec::{Kind, Means, Member, Spec, Typed, why};

/// Members of the body.
const COMMON: &[Member] = &[
    ("model", Means::Model),
    ("stream", Means::Stream),
    ("format", Means::Schema),
    ("options", Means::Limits(&[("num_predict", Means::Limit)])),
    // Written by the client, it could repeat what is in the body.
    ("template", Means::Refused(why::TEMPLATE)),
];

const OF_CHAT: &[Member] = &[("messages", Means::Messages), ("tools", Means::Tools)];

const OF_GENERATE: &[Member] = &[("images", Means::Images), ("context", Means::Tokens)];

const TOOLS: &[Typed] = &[("", Kind::Text(&[])), ("function", Kind::Text(&[]))];

/// Requests of `/api/chat`.
pub(super) const CHAT: Spec = spec(&[COMMON, OF_CHAT]);

/// Requests of `/api/generate`.
pub(super) const GENERATE: Spec = spec(&[COMMON, OF_GENERATE]);

const fn spec(members: &'static [&'static [Member]]) -> Spec {
    Spec {
        members,
        message: &[("content", Means::Content), ("images", Means::Images)],
        parts: &[],
        items: &[],
        tools: TOOLS,
        limit: "num_predict",
        limit_in: Some("options"),
        streams: true,
        writes: true,
        usage_option: false,
    }
}
