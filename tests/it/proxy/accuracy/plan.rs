//! What one call is, drawn by chance.

use serde_json::{Value, json};

use super::chance::Chance;
use super::price::{MODELS, Model, TOKENIZED};
use super::words;

/// The APIs, as routes name them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Api {
    Chat,
    Completions,
    Embeddings,
    Responses,
    Messages,
    OllamaChat,
    OllamaGenerate,
}

impl Api {
    pub(super) const ALL: [(Api, &'static str); 7] = [
        (Api::Chat, "openai-chat"),
        (Api::Completions, "openai-completions"),
        (Api::Embeddings, "openai-embeddings"),
        (Api::Responses, "openai-responses"),
        (Api::Messages, "anthropic-messages"),
        (Api::OllamaChat, "ollama-chat"),
        (Api::OllamaGenerate, "ollama-generate"),
    ];

    pub(super) fn name(self) -> &'static str {
        Api::ALL.iter().find(|(api, _)| *api == self).unwrap().1
    }

    pub(super) fn is_openai_stream(self) -> bool {
        matches!(self, Api::Chat | Api::Completions)
    }

    pub(super) fn is_ollama(self) -> bool {
        matches!(self, Api::OllamaChat | Api::OllamaGenerate)
    }
}

/// How a call ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Ending {
    /// The upstream says all, and what it used, where it is asked for that.
    Whole,
    /// It says all but what it used.
    Silent,
    /// It breaks off at so many thousandths of its bytes: with a reset, or with an end of the connection.
    Broken(u64, bool),
    /// It says after so many thousandths of its events that it failed.
    Failed(u64),
    /// It refuses with this status.
    Refused(u16),
    /// The client leaves when the upstream has the request and has not answered.
    GoneBefore,
    /// The client leaves after so many thousandths of the events; the upstream waits for it, or writes on.
    GoneAt(u64, bool),
    /// The upstream writes more than it is told.
    Excess,
    /// The account has no more than so many thousandths of what a call needs at least, and of the most it can cost.
    Poor(u64),
}

impl Ending {
    /// What it is called in the table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Ending::Whole => "whole",
            Ending::Silent => "whole, never says its usage",
            Ending::Broken(..) => "upstream breaks off",
            Ending::Failed(_) => "upstream says it failed",
            Ending::Refused(_) => "upstream refuses",
            Ending::GoneBefore => "client leaves before the first byte",
            Ending::GoneAt(..) => "client leaves in mid-stream",
            Ending::Excess => "upstream writes more than told",
            Ending::Poor(_) => "credits for a part only",
        }
    }
}

/// How a route is set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Route {
    pub(super) kind: &'static str,
    pub(super) growing: bool,
    pub(super) finish: bool,
}

impl Route {
    pub(super) fn all() -> Vec<Route> {
        let mut all = Vec::new();
        for kind in ["generic", "openai", "vllm", "plain"] {
            for (growing, finish) in [(false, false), (false, true), (true, false), (true, true)] {
                all.push(Route {
                    kind,
                    growing,
                    finish,
                });
            }
        }
        all
    }

    pub(super) fn path(self, api: Api) -> String {
        let hold = if self.growing { "growing" } else { "full" };
        let gone = if self.finish { "finish" } else { "charge" };
        format!("/{}/{}/{hold}/{gone}", api.name(), self.kind)
    }
}

/// How an answer's bytes are laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    pub(super) crlf: bool,
    pub(super) comments: bool,
    pub(super) many_lines: bool,
    pub(super) bom: bool,
    pub(super) gzip: bool,
    /// Bytes of a frame.
    pub(super) frames: (u64, u64),
    /// Unstreamed: with its length, or in chunks.
    pub(super) length: bool,
    /// The most tokens in an event.
    pub(super) event: u64,
}

/// A call.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) number: u64,
    pub(super) api: Api,
    pub(super) route: Route,
    pub(super) model: Model,
    pub(super) ending: Ending,
    pub(super) body: String,
    pub(super) stream: bool,
    pub(super) http2: bool,
    /// Answers in all.
    pub(super) answers: u64,
    /// What the client says is the most.
    pub(super) limit: Option<u64>,
    pub(super) prompts: Vec<String>,
    pub(super) writes_cache: bool,
    pub(super) layout: Layout,
    /// Tokens that the upstream would write in each answer.
    pub(super) wants: u64,
    /// Some are reasoning; and whether that is shown.
    pub(super) reasons: Option<bool>,
    /// The token that ends an answer counts.
    pub(super) counts_end: bool,
    /// For what the upstream draws.
    pub(super) chance: Chance,
}

const ENDINGS: u64 = 100;

impl Plan {
    pub(super) fn draw(seed: u64, number: u64) -> Plan {
        let mut c = Chance::new(seed, number);
        let api = c.one(&Api::ALL).0;
        let route = c.one(&Route::all());
        let mut model = c.one(&MODELS);
        if number % 6 == 5 {
            model = TOKENIZED;
        }
        let writes = api != Api::Embeddings;
        let stream = writes && c.percent(70);
        let ending = ending(&mut c, stream, writes);
        let limit = (writes && c.percent(70)).then(|| c.within(1, 60));
        let listed = matches!(api, Api::Completions | Api::Embeddings) && c.percent(30);
        let prompts: Vec<String> = (0..if listed { c.within(1, 3) } else { 1 })
            .map(|_| {
                let bytes = c.within(1, 200);
                if model.tokenizer {
                    c.words(bytes * 4)
                } else {
                    c.text(bytes)
                }
            })
            .collect();
        let each = if api.is_openai_stream() && c.percent(25) {
            c.within(2, 4)
        } else {
            1
        };
        let writes_cache = api == Api::Messages && c.percent(50);
        let answers = match api {
            Api::Completions => each * prompts.len() as u64,
            _ => each,
        };
        let mut plan = Plan {
            number,
            api,
            route,
            model,
            ending,
            body: String::new(),
            stream,
            http2: c.percent(40),
            answers,
            limit,
            prompts,
            writes_cache,
            layout: layout(&mut c, stream),
            wants: c.within(0, 70),
            reasons: (matches!(api, Api::Chat | Api::Responses) && c.percent(30)).then(|| c.percent(80)),
            counts_end: c.percent(50),
            chance: c.clone(),
        };
        plan.body = plan.request(&mut c, each, listed).to_string();
        plan
    }

    fn request(&self, c: &mut Chance, each: u64, listed: bool) -> Value {
        let mut body = json!({ "model": c.one(self.model.names) });
        let text = &self.prompts[0];
        match self.api {
            Api::Chat | Api::OllamaChat => {
                body["messages"] = json!([{ "role": "user", "content": text }]);
            }
            Api::Messages => {
                let mut part = json!({ "type": "text", "text": text });
                if self.writes_cache {
                    part["cache_control"] = json!({ "type": "ephemeral" });
                }
                body["messages"] = json!([{ "role": "user", "content": [part] }]);
            }
            Api::Completions if listed => body["prompt"] = json!(self.prompts),
            Api::Embeddings if listed => body["input"] = json!(self.prompts),
            Api::Completions | Api::OllamaGenerate => body["prompt"] = json!(text),
            Api::Embeddings | Api::Responses => body["input"] = json!(text),
        }
        if self.stream || self.api.is_ollama() {
            body["stream"] = json!(self.stream);
        }
        if self.api.is_ollama() && self.stream && c.percent(50) {
            body.as_object_mut().unwrap().remove("stream");
        }
        if each > 1 {
            body["n"] = json!(each);
        }
        if let Some(limit) = self.limit {
            match self.api {
                Api::Chat => body[c.one(&["max_tokens", "max_completion_tokens"])] = json!(limit),
                Api::Completions | Api::Messages => body["max_tokens"] = json!(limit),
                Api::Responses => body["max_output_tokens"] = json!(limit),
                Api::OllamaChat | Api::OllamaGenerate => body["options"] = json!({ "num_predict": limit }),
                Api::Embeddings => {}
            }
        }
        if self.stream && self.api.is_openai_stream() && c.percent(40) {
            let mut options = json!({ "include_usage": c.percent(70) });
            if self.route.kind == "vllm" && c.percent(30) {
                options["continuous_usage_stats"] = json!(true);
            }
            body["stream_options"] = options;
        }
        body
    }

    /// The most tokens that are read: a byte each of what the body says, and what the template adds.
    pub(super) fn input_bound(&self) -> u64 {
        // serde_json escapes a quote and a line's end, each with one byte more than they are.
        let escapes = self.body.matches('\\').count();
        let bytes = (self.body.len() - escapes) as u64 + super::price::TEMPLATE_MAX;
        let prompts = self.prompts.iter().filter(|_| self.model.tokenizer);
        bytes - prompts.map(|prompt| words::saved_by_reading(prompt)).sum::<u64>()
    }
}

fn ending(c: &mut Chance, stream: bool, writes: bool) -> Ending {
    let at = c.within(0, 1000);
    match c.within(1, ENDINGS) {
        1..=40 => Ending::Whole,
        41..=50 => Ending::Silent,
        51..=60 => Ending::Broken(at, c.percent(50)),
        61..=65 => Ending::Failed(at),
        66..=70 => Ending::Refused(c.one(&[400, 404, 429, 500, 502, 503, 529])),
        71..=76 => Ending::GoneBefore,
        77..=88 if stream => Ending::GoneAt(at, c.percent(70)),
        89..=93 if writes => Ending::Excess,
        94..=100 if writes => Ending::Poor(at),
        _ => Ending::Whole,
    }
}

fn layout(c: &mut Chance, stream: bool) -> Layout {
    Layout {
        crlf: c.percent(25),
        comments: c.percent(25),
        many_lines: c.percent(10),
        bom: c.percent(10),
        gzip: c.percent(15),
        frames: c.one(&[(1, 40), (20, 200), (100, 1000), (4000, 8000)]),
        length: !stream && c.percent(50),
        event: c.one(&[1, 1, 2, 5]),
    }
}
