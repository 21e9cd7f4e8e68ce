//! What each case of the clients costs, by the usage that `tests/sdk/answers` report.
//!
//! In micro-credits: a token read is 1 (from the cache half of one, into it 2), a token written 4 (of reasoning 3).

/// A case: its name, whose it is, and what it costs.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) account: &'static str,
    pub(super) cost: Cost,
}

/// What a case costs.
#[derive(Clone, Copy)]
pub(super) enum Cost {
    /// This.
    Micros(i64),
    /// What was passed on of this answer, and what was read: as many tokens, or where the upstream does not say it, all bytes of the request.
    Delivered { answer: &'static str, read: Option<i64> },
    /// Nothing, since it is free.
    Free,
    /// Nothing, since it is refused, with this code.
    Refused(&'static str),
    /// Nothing, since there were too many, and so much for each that was served before it.
    Limited(i64),
}

use Cost::{Delivered, Free, Limited, Micros, Refused};

const fn case(name: &'static str, account: &'static str, cost: Cost) -> Case {
    Case { name, account, cost }
}

/// Of the clients of OpenAI's APIs.
pub(super) const OPENAI: &[Case] = &[
    case("chat_plain", "acme", Micros(19 + 4 * 3)),
    case("chat_streamed", "acme", Micros(23 + 4 * 9)),
    case("chat_streamed_with_usage", "acme", Micros(23 + 4 * 9)),
    case("chat_streamed_with_cost", "acme", Micros(23 + 4 * 9)),
    case("chat_tools", "acme", Micros(41 + 20 / 2 + 4 * 17)),
    case("chat_tools_streamed", "acme", Micros(62 + 4 * 18)),
    case("chat_parsed", "acme", Micros(84 + 4 * 15 + 3 * 25)),
    case("chat_parsed_streamed", "acme", Micros(85 + 4 * 14)),
    case("completions", "acme", Micros(5 + 4 * 4)),
    case("completions_streamed", "acme", Micros(6 + 4 * 4)),
    case("embeddings", "acme", Micros(11)),
    case("responses", "acme", Micros(31 + 4 * 3 + 3 * 2)),
    case("responses_streamed", "acme", Micros(23 + 10 / 2 + 4 * 8)),
    case("responses_stream_helper", "acme", Micros(23 + 10 / 2 + 4 * 8)),
    case("responses_tools", "acme", Micros(72 + 4 * 16)),
    case("responses_parsed", "acme", Micros(95 + 4 * 15)),
    case("models", "acme", Free),
    case("unknown_key", "", Refused("invalid_api_key")),
    case("no_credits", "poor", Refused("insufficient_credits")),
    case("no_credits_streamed", "poor", Refused("insufficient_credits")),
    case("paused", "paused", Refused("account_paused")),
    case("unpriced_model", "acme", Refused("model_not_priced")),
    case("rate_limited", "limited", Limited(19 + 4 * 3)),
    case("waits_out_the_limit", "limited", Micros(19 + 4 * 3)),
    case("disconnect", "acme", delivered("openai/chat_begun.sse", None)),
    case("broken_stream", "acme", delivered("openai/chat_begun.sse", None)),
    case(
        "responses_disconnect",
        "acme",
        delivered("openai/responses_begun.sse", None),
    ),
    case("cut_at_zero", "short", delivered("openai/chat_endless.sse", None)),
    case(
        "stream_helper_cut_at_zero",
        "short-helped",
        delivered("openai/chat_endless.sse", None),
    ),
    case(
        "responses_cut_at_zero",
        "short-too",
        delivered("openai/responses_endless.sse", None),
    ),
];

/// Of the clients of Anthropic's API.
pub(super) const ANTHROPIC: &[Case] = &[
    case("messages", "acme", Micros(13 + 4 * 6)),
    case("messages_streamed", "acme", Micros(14 + 4 * 8)),
    case("messages_streamed_with_cost", "acme", Micros(14 + 4 * 8)),
    case("messages_stream_helper", "acme", Micros(14 + 4 * 8)),
    case("tools", "acme", Micros(40 + 100 / 2 + 4 * 30)),
    case("tools_streamed", "acme", Micros(41 + 100 / 2 + 4 * 31)),
    case("parsed", "acme", Micros(50 + 2 * 10 + 4 * 20)),
    case("unknown_key", "", Refused("invalid_api_key")),
    case("no_credits", "poor", Refused("insufficient_credits")),
    case("no_credits_streamed", "poor", Refused("insufficient_credits")),
    case("paused", "paused", Refused("account_paused")),
    case("unpriced_model", "acme", Refused("model_not_priced")),
    case("rate_limited", "limited", Limited(13 + 4 * 6)),
    case("waits_out_the_limit", "limited", Micros(13 + 4 * 6)),
    case("disconnect", "acme", delivered("anthropic/begun.sse", Some(15))),
    case(
        "broken_stream",
        "acme",
        delivered("anthropic/begun.sse", Some(15)),
    ),
    case(
        "cut_at_zero",
        "short",
        delivered("anthropic/endless.sse", Some(16)),
    ),
    case(
        "stream_helper_cut_at_zero",
        "short-helped",
        delivered("anthropic/endless.sse", Some(16)),
    ),
];

const fn delivered(answer: &'static str, read: Option<i64>) -> Cost {
    Delivered { answer, read }
}
