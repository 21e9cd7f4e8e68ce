//! What Ollama's own APIs have in common.

use crate::meter::ask::spec::{Kind, Means, Member, Spec, Typed, why};

/// Members of the body.
const COMMON: &[Member] = &[
    ("model", Means::Model),
    ("stream", Means::Stream),
    ("format", Means::Schema),
    ("options", Means::Limits(OPTIONS)),
    // What some clients send unasked is what it is without.
    ("keep_alive", Means::Only(&["5m", "300"], why::FOR_ALL)),
    // Written by the client, it could repeat what is in the body.
    ("template", Means::Refused(why::TEMPLATE)),
];

/// How a model is loaded is an option too: Ollama loads it again for a request that says another than the last. What some clients send unasked is what it is without.
const OPTIONS: &[Member] = &[
    ("num_predict", Means::Endless(&["-1", "-2"])),
    ("num_ctx", Means::Refused(why::FOR_ALL)),
    ("num_gpu", Means::Only(&["-1"], why::FOR_ALL)),
    ("main_gpu", Means::Only(&["0"], why::FOR_ALL)),
    ("num_batch", Means::Only(&["512"], why::FOR_ALL)),
    ("num_thread", Means::Only(&["0"], why::FOR_ALL)),
    ("use_mmap", Means::Refused(why::FOR_ALL)),
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
