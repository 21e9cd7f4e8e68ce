//! Answers that are one JSON text.

use serde_json::{Value, json};

use super::answer::{Answer, Fact};
use super::plan::Api;

impl Answer<'_> {
    /// One JSON text.
    pub(super) fn whole(mut self) -> (Value, Fact) {
        let mut parts = Vec::new();
        let (mut text, mut pieces) = (0, Vec::new());
        for answer in 0..self.written.len() {
            if self.plan.api == Api::Embeddings {
                continue;
            }
            let (tokens, hidden, ends) = self.tokens();
            self.count(answer, hidden, true, false);
            let (mut thought, mut spoken) = (String::new(), String::new());
            for token in &tokens {
                self.count(answer, 1, token.reasoning, true);
                let to = if token.reasoning {
                    &mut thought
                } else {
                    &mut spoken
                };
                to.push_str(&token.text);
            }
            if ends && self.plan.counts_end {
                self.count(answer, 1, false, false);
            }
            text += (thought.len() + spoken.len()) as u64;
            pieces.push((answer, true, thought.clone()));
            pieces.push((answer, false, spoken.clone()));
            parts.push((thought, spoken));
        }
        let (usage, report) = self.usage(None);
        let mut body = self.body(&parts);
        let mut report = Some(report);
        if self.is_silent() {
            report = None;
        } else if self.plan.api.is_ollama() {
            for (name, value) in usage.as_object().unwrap() {
                body[name] = value.clone();
            }
        } else {
            body["usage"] = usage;
        }
        let fact = Fact {
            text,
            pieces,
            report,
            used: self.total(&self.written),
            shown: self.total(&self.shown),
        };
        (body, fact)
    }

    fn body(&self, parts: &[(String, String)]) -> Value {
        let model = &self.asked.model;
        let (thought, spoken) = parts.first().cloned().unwrap_or_default();
        match self.plan.api {
            Api::Chat => {
                let choices: Vec<Value> = (0..).zip(parts).map(|(n, (thought, spoken)): (u64, _)| {
                    json!({ "index": n, "finish_reason": "stop", "message": { "role": "assistant", "content": spoken, "reasoning_content": thought } })
                }).collect();
                json!({ "id": "c1", "object": "chat.completion", "created": 7, "model": model, "choices": choices })
            }
            Api::Completions => {
                let choices: Vec<Value> = (0..).zip(parts).map(|(n, (_, spoken)): (u64, _)| {
                    json!({ "index": n, "finish_reason": "stop", "logprobs": null, "text": spoken })
                }).collect();
                json!({ "id": "c1", "object": "text_completion", "created": 7, "model": model, "choices": choices })
            }
            Api::Embeddings => json!({
                "object": "list", "model": model,
                "data": [{ "object": "embedding", "index": 0, "embedding": [0.25, -1.5] }],
            }),
            Api::Responses => json!({
                "id": "r1", "object": "response", "created_at": 7, "model": model, "status": "completed", "error": null,
                "output": [
                    { "type": "reasoning", "id": "i0", "summary": [], "content": [{ "type": "reasoning_text", "text": thought }] },
                    { "type": "message", "id": "i1", "role": "assistant", "status": "completed",
                      "content": [{ "type": "output_text", "text": spoken, "annotations": [] }] },
                ],
            }),
            Api::Messages => json!({
                "id": "m1", "type": "message", "role": "assistant", "model": model, "stop_reason": "end_turn", "stop_sequence": null,
                "content": [{ "type": "text", "text": spoken }],
            }),
            Api::OllamaChat => json!({
                "model": model, "created_at": "2026-01-01T00:00:00Z", "done": true, "done_reason": "stop",
                "message": { "role": "assistant", "content": spoken },
            }),
            Api::OllamaGenerate => json!({
                "model": model, "created_at": "2026-01-01T00:00:00Z", "done": true, "done_reason": "stop", "response": spoken,
            }),
        }
    }
}
