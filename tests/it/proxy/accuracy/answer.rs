//! What the upstream answers to a call, and what it knows of it.

use serde_json::{Value, json};

use super::chance::Chance;
use super::plan::{Api, Ending, Plan};
use super::price::{TEMPLATE_MAX, Used};
use super::words::{self, Piece};

/// What the upstream says that it has used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    pub(super) input: Option<Used>,
    pub(super) output: Option<Used>,
}

/// What is true when an event has been said.
#[derive(Clone, Debug, Default)]
pub(super) struct Fact {
    /// Bytes of what the model wrote that are in the event.
    pub(super) text: u64,
    pub(super) pieces: Vec<Piece>,
    pub(super) report: Option<Report>,
    /// Used so far.
    pub(super) used: Used,
    /// The same without tokens that leave no text: reasoning that is not shown, what ends an answer.
    pub(super) shown: Used,
}

/// What the proxy has made of a request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Tokens that each answer may have.
    pub(super) told: u64,
    pub(super) usage: bool,
    pub(super) continuous: bool,
    pub(super) model: String,
}

impl Asked {
    pub(super) fn read(api: Api, body: &[u8]) -> Asked {
        let body: Value = serde_json::from_slice(body).expect("the proxy sends JSON");
        let names = [
            "max_tokens",
            "max_completion_tokens",
            "max_output_tokens",
            "num_predict",
        ];
        let limits: Vec<u64> = names
            .iter()
            .filter_map(|name| body[name].as_u64().or(body["options"][name].as_u64()))
            .collect();
        assert!(
            limits.len() == 1 || (limits.is_empty() && api == Api::Embeddings),
            "one limit: {body}"
        );
        let option = |name: &str| body["stream_options"][name] == true;
        Asked {
            told: limits.first().copied().unwrap_or(0),
            usage: option("include_usage"),
            continuous: option("include_usage") && option("continuous_usage_stats"),
            model: body["model"].as_str().unwrap().to_owned(),
        }
    }
}

/// An answer in the making.
pub(super) struct Answer<'p> {
    pub(super) plan: &'p Plan,
    pub(super) asked: Asked,
    chance: Chance,
    /// What was read.
    pub(super) read: Used,
    /// Written so far: by answer, of each kind.
    pub(super) written: Vec<Used>,
    pub(super) shown: Vec<Used>,
    said: Vec<(Value, Fact)>,
    /// What the next event will say.
    pieces: Vec<Piece>,
}

/// A token that has been thought of.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) reasoning: bool,
}

impl<'p> Answer<'p> {
    pub(super) fn new(plan: &'p Plan, asked: Asked) -> Answer<'p> {
        let mut chance = plan.chance.clone();
        let texts: usize = plan
            .prompts
            .iter()
            .map(|text| tokens_of(plan, &mut chance, text).len())
            .sum();
        let all = texts as u64 + chance.within(0, TEMPLATE_MAX);
        let all = all.max(1);
        let mut read = Used {
            input: all,
            ..Used::default()
        };
        if plan.route.kind != "vllm" && !plan.api.is_ollama() && plan.api != Api::Embeddings {
            read.cached = chance.within(0, all - 1);
            read.input -= read.cached;
            if plan.writes_cache {
                read.cache_write = chance.within(0, read.input);
                read.input -= read.cache_write;
            }
        }
        let answers = usize::try_from(plan.answers).unwrap();
        Answer {
            plan,
            asked,
            chance,
            read,
            written: vec![Used::default(); answers],
            shown: vec![Used::default(); answers],
            said: Vec::new(),
            pieces: Vec::new(),
        }
    }

    /// Whether reasoning is a kind of its own here.
    fn tells_reasoning(&self) -> bool {
        self.plan.route.kind != "vllm"
    }

    pub(super) fn total(&self, of: &[Used]) -> Used {
        let mut total = self.read;
        for used in of {
            total.output += used.output;
            total.reasoning += used.reasoning;
        }
        total
    }

    fn say(&mut self, event: Value, text: u64, report: Option<Report>) {
        let fact = Fact {
            text,
            pieces: std::mem::take(&mut self.pieces),
            report,
            used: self.total(&self.written),
            shown: self.total(&self.shown),
        };
        self.said.push((event, fact));
    }

    /// Tokens of an answer, and whether it comes to an end by itself.
    pub(super) fn tokens(&mut self) -> (Vec<Token>, u64, bool) {
        let told = self.asked.told;
        let wants = match self.plan.ending {
            Ending::Excess => told + self.chance.within(5, 30),
            _ => self.plan.wants.min(told),
        };
        let ends = wants < told;
        let hidden = match self.plan.reasons {
            Some(false) => self.chance.within(0, wants.min(10)),
            _ => 0,
        };
        let reasoning = match self.plan.reasons {
            Some(true) => self.chance.within(0, wants),
            _ => 0,
        };
        let bytes = 6 * (wants + 4) * 4;
        let text = if self.plan.model.tokenizer {
            self.chance.words(bytes)
        } else {
            self.chance.text(bytes)
        };
        let mut tokens = tokens_of(self.plan, &mut self.chance, &text);
        tokens.truncate(usize::try_from(wants - hidden).unwrap());
        let mut all = Vec::new();
        for (number, text) in (1..).zip(tokens) {
            all.push(Token {
                text,
                reasoning: number <= reasoning,
            });
        }
        (all, hidden, ends)
    }

    pub(super) fn count(&mut self, answer: usize, tokens: u64, reasoning: bool, shown: bool) {
        let reasoning = reasoning && self.tells_reasoning();
        for (to, counts) in [(&mut self.written, true), (&mut self.shown, shown)] {
            let used = &mut to[answer];
            let kind = if reasoning {
                &mut used.reasoning
            } else {
                &mut used.output
            };
            *kind += if counts { tokens } else { 0 };
        }
    }

    /// What is used, as this API says it, and as what it is to be understood.
    pub(super) fn usage(&self, answer: Option<usize>) -> (Value, Report) {
        let written = match answer {
            Some(answer) => self.written[answer],
            None => self.total(&self.written),
        };
        let (read, all) = (self.read.read(), written.written());
        let report = Report {
            input: Some(self.read),
            output: Some(written),
        };
        let usage = match self.plan.api {
            Api::Embeddings => json!({ "prompt_tokens": read, "total_tokens": read }),
            Api::Chat | Api::Completions if self.plan.route.kind == "vllm" => {
                json!({ "prompt_tokens": read, "completion_tokens": all, "total_tokens": read + all })
            }
            Api::Chat | Api::Completions => json!({
                "prompt_tokens": read, "completion_tokens": all, "total_tokens": read + all,
                "prompt_tokens_details": { "cached_tokens": self.read.cached },
                "completion_tokens_details": { "reasoning_tokens": written.reasoning },
            }),
            Api::Responses if self.plan.route.kind == "vllm" => {
                json!({ "input_tokens": read, "output_tokens": all, "total_tokens": read + all })
            }
            Api::Responses => json!({
                "input_tokens": read, "output_tokens": all, "total_tokens": read + all,
                "input_tokens_details": { "cached_tokens": self.read.cached },
                "output_tokens_details": { "reasoning_tokens": written.reasoning },
            }),
            Api::Messages => json!({
                "input_tokens": self.read.input, "cache_read_input_tokens": self.read.cached,
                "cache_creation_input_tokens": self.read.cache_write, "output_tokens": all,
            }),
            Api::OllamaChat | Api::OllamaGenerate => json!({ "prompt_eval_count": read, "eval_count": all }),
        };
        (usage, report)
    }

    pub(super) fn is_silent(&self) -> bool {
        self.plan.ending == Ending::Silent
    }

    /// All events of a stream; a text alone is what is no JSON.
    pub(super) fn stream(mut self) -> Vec<(Value, Fact)> {
        self.begins();
        let mut open: Vec<(usize, Vec<Token>, bool)> = Vec::new();
        for answer in 0..self.written.len() {
            let (mut tokens, hidden, ends) = self.tokens();
            self.count(answer, hidden, true, false);
            tokens.reverse();
            open.push((answer, tokens, ends));
        }
        while !open.is_empty() {
            let at = usize::try_from(self.chance.within(0, open.len() as u64 - 1)).unwrap();
            let (answer, tokens, ends) = &mut open[at];
            let (answer, ends) = (*answer, *ends);
            if tokens.is_empty() {
                open.remove(at);
                if ends && self.plan.counts_end {
                    self.count(answer, 1, false, false);
                }
                self.finishes(answer);
                continue;
            }
            let reasoning = tokens.last().unwrap().reasoning;
            let mut piece = String::new();
            for _ in 0..self.chance.within(1, self.plan.layout.event) {
                let Some(token) = tokens.pop_if(|token| token.reasoning == reasoning) else {
                    break;
                };
                piece.push_str(&token.text);
                self.count(answer, 1, reasoning, true);
            }
            self.tells(answer, &piece, reasoning);
        }
        self.ends();
        self.said
    }

    fn chunk(&self, choices: &Value) -> Value {
        let object = match self.plan.api {
            Api::Chat => "chat.completion.chunk",
            _ => "text_completion",
        };
        let mut chunk = json!({ "id": "c1", "object": object, "created": 7, "model": self.asked.model, "choices": choices });
        if self.plan.route.kind == "openai" && self.asked.usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    /// A chunk of one choice; vLLM says with each what that choice has used.
    fn say_choice(&mut self, answer: usize, choice: &Value, text: u64) {
        let mut chunk = self.chunk(&json!([choice]));
        let mut report = None;
        if self.asked.continuous && !self.is_silent() {
            let (usage, of_answer) = self.usage(Some(answer));
            chunk["usage"] = usage;
            // Of several answers, one says nothing of the others.
            report = (self.written.len() == 1).then_some(of_answer);
        }
        self.say(chunk, text, report);
    }

    fn begins(&mut self) {
        match self.plan.api {
            Api::Chat => {
                for answer in 0..self.written.len() {
                    let choice = json!({ "index": answer, "delta": { "role": "assistant", "content": "" }, "finish_reason": null });
                    self.say_choice(answer, &choice, 0);
                }
            }
            Api::Responses => {
                let model = self.asked.model.clone();
                self.say(json!({ "type": "response.created", "sequence_number": 0,
                    "response": { "id": "r1", "object": "response", "created_at": 7, "model": model, "status": "in_progress", "output": [], "usage": null } }), 0, None);
                self.say(json!({ "type": "response.output_item.added", "sequence_number": 1, "output_index": 0,
                    "item": { "id": "i1", "type": "message", "role": "assistant", "status": "in_progress", "content": [] } }), 0, None);
            }
            Api::Messages => {
                let mut message = json!({ "id": "m1", "type": "message", "role": "assistant", "model": self.asked.model, "content": [], "stop_reason": null });
                let mut told = None;
                if !self.is_silent() {
                    let (mut usage, report) = self.usage(None);
                    // Where the count begins, before anything is written.
                    usage["output_tokens"] = json!(1 + self.plan.number % 3);
                    message["usage"] = usage;
                    told = Some(Report {
                        output: None,
                        ..report
                    });
                }
                self.say(json!({ "type": "message_start", "message": message }), 0, told);
                self.say(json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }), 0, None);
            }
            _ => {}
        }
    }

    fn tells(&mut self, answer: usize, piece: &str, reasoning: bool) {
        let text = piece.len() as u64;
        self.pieces.push((answer, reasoning, piece.to_owned()));
        let model = self.asked.model.clone();
        match self.plan.api {
            Api::Chat => {
                let name = if reasoning { "reasoning_content" } else { "content" };
                let choice = json!({ "index": answer, "delta": { name: piece }, "finish_reason": null });
                self.say_choice(answer, &choice, text);
            }
            Api::Completions => {
                let choice = json!({ "index": answer, "text": piece, "finish_reason": null });
                self.say_choice(answer, &choice, text);
            }
            Api::Responses => {
                let kind = if reasoning {
                    "response.reasoning_text.delta"
                } else {
                    "response.output_text.delta"
                };
                self.say(json!({ "type": kind, "item_id": "i1", "output_index": 0, "content_index": 0, "delta": piece }), text, None);
            }
            Api::Messages => self.say(
                json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": piece } }),
                text,
                None,
            ),
            Api::OllamaChat => self.say(
                json!({ "model": model, "created_at": "2026-01-01T00:00:00Z", "done": false, "message": { "role": "assistant", "content": piece } }),
                text,
                None,
            ),
            Api::OllamaGenerate => self.say(
                json!({ "model": model, "created_at": "2026-01-01T00:00:00Z", "done": false, "response": piece }),
                text,
                None,
            ),
            Api::Embeddings => {}
        }
    }

    fn finishes(&mut self, answer: usize) {
        match self.plan.api {
            Api::Chat => self.say_choice(
                answer,
                &json!({ "index": answer, "delta": {}, "finish_reason": "stop" }),
                0,
            ),
            Api::Completions => self.say_choice(
                answer,
                &json!({ "index": answer, "text": "", "finish_reason": "stop" }),
                0,
            ),
            _ => {}
        }
    }

    fn ends(&mut self) {
        let (usage, report) = self.usage(None);
        let silent = self.is_silent();
        let said = (!silent).then_some(report);
        match self.plan.api {
            Api::Chat | Api::Completions => {
                if self.asked.usage && !silent {
                    let mut chunk = self.chunk(&json!([]));
                    chunk["usage"] = usage;
                    self.say(chunk, 0, said);
                }
                self.say(json!("[DONE]"), 0, None);
            }
            Api::Responses => {
                let mut response = json!({ "id": "r1", "object": "response", "created_at": 7, "model": self.asked.model, "status": "completed", "output": [], "error": null });
                if !silent {
                    response["usage"] = usage;
                }
                self.say(
                    json!({ "type": "response.completed", "response": response }),
                    0,
                    said,
                );
            }
            Api::Messages => {
                self.say(json!({ "type": "content_block_stop", "index": 0 }), 0, None);
                let mut delta = json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" } });
                if !silent {
                    delta["usage"] = json!({ "output_tokens": usage["output_tokens"] });
                    if self.chance.percent(50) {
                        delta["usage"] = usage;
                    }
                }
                self.say(delta, 0, said);
                self.say(json!({ "type": "message_stop" }), 0, None);
            }
            Api::OllamaChat | Api::OllamaGenerate => {
                let mut last = json!({ "model": self.asked.model, "created_at": "2026-01-01T00:00:00Z", "done": true, "done_reason": "stop" });
                if self.plan.api == Api::OllamaChat {
                    last["message"] = json!({ "role": "assistant", "content": "" });
                } else {
                    last["response"] = json!("");
                }
                let mut said = said;
                if !silent {
                    for (name, value) in usage.as_object().unwrap() {
                        last[name] = value.clone();
                    }
                    // Ollama leaves it out where all that was read was cached.
                    if self.chance.percent(10) {
                        last.as_object_mut().unwrap().remove("prompt_eval_count");
                        said = Some(Report {
                            input: None,
                            ..report
                        });
                    }
                }
                self.say(last, 0, said);
            }
            Api::Embeddings => {}
        }
    }
}

fn tokens_of(plan: &Plan, chance: &mut Chance, text: &str) -> Vec<String> {
    if plan.model.tokenizer {
        words::tokens_of(text)
    } else {
        chance.tokens_of(text)
    }
}

/// What an upstream says that has failed.
pub(super) fn failure(api: Api) -> Value {
    match api {
        Api::OllamaChat | Api::OllamaGenerate => json!({ "error": "out of memory" }),
        Api::Responses => {
            json!({ "type": "error", "error": { "message": "out of memory" }, "message": "out of memory" })
        }
        _ => {
            json!({ "type": "error", "error": { "type": "server_error", "message": "out of memory" } })
        }
    }
}
