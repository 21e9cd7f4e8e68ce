//! Requests priced by tokens: what is charged for every ending, to the micro-credit.
//!
//! A token read costs 1 micro-credit (cached: half of one), a token written 4. Where the upstream does not say what was read, all bytes of the request count.

mod coded;
mod endings;
mod prices;
mod requests;
mod tokenized;
mod zero;

use std::time::Duration;

use serde_json::{Value, json};

use super::gatehouse::Gatehouse;
use super::routes;
use crate::rig::body::BodySender;
use crate::rig::client::Answer;
use crate::rig::upstream::{FakeUpstream, Reply};

const MODELS: &str = r#"
[models."small"]
input = 1
cached_input = 0.5
output = 4
reasoning = 3
output_tokens_max = 1000
aliases = ["mini"]
request_tokens = 0
tool_tokens = 0

[models."large-*"]
input = 10
output = 40
output_tokens_max = 100
"#;

/// Settings of the routes that are the same for all of them.
fn config(upstream: &FakeUpstream, settings: &str) -> String {
    let route = |path: &str, api: &str| {
        format!(
            "[[routes]]\nid = \"{api}\"\nmatch = \"POST {path}\"\nupstream = \"models\"\napi = \"{api}\"\ncost = \"tokens\"\n{settings}\n"
        )
    };
    let all = [
        route("/v1/chat/completions", "openai-chat"),
        route("/v1/completions", "openai-completions"),
        route("/v1/embeddings", "openai-embeddings"),
        route("/v1/responses", "openai-responses"),
        route("/v1/messages", "anthropic-messages"),
        route("/api/chat", "ollama-chat"),
        route("/api/generate", "ollama-generate"),
    ];
    routes(upstream, &(all.concat() + MODELS))
}

/// A gate in front of an upstream, and an account with these credits.
struct House {
    gate: Gatehouse,
    upstream: FakeUpstream,
}

impl House {
    async fn open(credits: &str, settings: &str) -> House {
        let upstream = FakeUpstream::start().await;
        let gate = Gatehouse::start(credits, &config(&upstream, settings)).await;
        House { gate, upstream }
    }

    /// With an upstream of this kind.
    async fn kind(credits: &str, settings: &str, kind: &str) -> House {
        let upstream = FakeUpstream::start().await;
        let text = config(&upstream, settings);
        let text = text.replace(
            "[upstreams.models]\n",
            &format!("[upstreams.models]\nkind = \"{kind}\"\n"),
        );
        let gate = Gatehouse::start(credits, &text).await;
        House { gate, upstream }
    }

    async fn chat(&self, body: &Value) -> Answer {
        self.gate
            .client()
            .post_json("/v1/chat/completions", body)
            .send()
            .await
    }

    /// The upstream answers with a stream of events, as this is told them.
    fn steps(&self) -> BodySender {
        let (sender, reply) = Reply::stepped();
        self.upstream
            .answer(reply.header("content-type", "text/event-stream"));
        sender
    }

    /// What has been charged since the account had these micro-credits, once nothing is held.
    async fn charged_of(&self, had: i64) -> i64 {
        had - micros(&self.gate.settled().await)
    }

    /// The journal's last detail.
    fn detail(&self) -> Value {
        let entries = self.gate.ledger.entries();
        let last = entries.last().expect("an entry");
        serde_json::from_str(last.detail.as_str()).expect("a detail is JSON")
    }
}

fn micros(amount: &str) -> i64 {
    amount
        .parse::<faregate::domain::credits::Credits>()
        .expect("an amount")
        .micros()
}

fn ask() -> Value {
    json!({ "model": "small", "messages": [{ "role": "user", "content": "Hi" }] })
}

fn ask_streamed() -> Value {
    let mut ask = ask();
    ask["stream"] = json!(true);
    ask
}

/// Bytes of a request, which are what is read of it at most.
fn bytes(body: &Value) -> i64 {
    i64::try_from(body.to_string().len()).expect("a short body")
}

fn completion(usage: &Value) -> Value {
    json!({
        "id": "c1", "object": "chat.completion", "created": 7, "model": "small",
        "choices": [{ "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": "Hello" } }],
        "usage": usage,
    })
}

/// An event of a stream with this text.
fn chunk(text: &str) -> String {
    json!({
        "id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "small",
        "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": null }],
    })
    .to_string()
}

fn last_chunk() -> String {
    json!({
        "id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "small",
        "choices": [{ "index": 0, "delta": {}, "finish_reason": "stop" }],
    })
    .to_string()
}

fn usage_chunk(read: u64, written: u64) -> String {
    json!({
        "id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "small", "choices": [],
        "usage": { "prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written },
    })
    .to_string()
}

/// A stream of these events, as server-sent.
fn sse(events: &[String]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

/// An answer that comes as a stream.
fn streams(events: &[String]) -> Reply {
    Reply::events(events, Duration::ZERO)
}
