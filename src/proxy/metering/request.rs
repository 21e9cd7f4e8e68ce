//! A request that is priced by tokens, as read from its body.

use std::sync::Arc;

use bytes::Bytes;

use crate::config::Kind;
use crate::domain::credits::Credits;
use crate::domain::model::{Bound, Declared, Fare, Model};
use crate::domain::price::{HoldMode, Quote};
use crate::meter::Api;
use crate::meter::answer::{Framing, Setup, Shown};
use crate::meter::ask::{self, Asked, Change, limit_name};
use crate::tokenizer::Tokenizer;

use super::super::fault::Fault;
use super::super::live::Live;
use super::super::upload::Upload;
use super::Metering;

/// The longest body whose text is counted by a tokenizer: at some 5 MiB/s, a longer one would take a thread for too long before anything is paid.
const TOKENIZED_MAX: usize = 256 * 1024;

/// See the module.
pub(in crate::proxy) struct Metered {
    pub(in crate::proxy) api: Api,
    /// The name of the model, as asked for.
    pub(in crate::proxy) name: Arc<str>,
    pub(in crate::proxy) model: Arc<Model>,
    /// The dearer one that answers.
    pub(super) dearer: Option<Arc<Model>>,
    pub(in crate::proxy) fare: Fare,
    pub(in crate::proxy) quote: Quote,
    pub(super) asked: Asked,
    pub(super) hold: HoldMode,
    pub(super) slice: u64,
    /// Its model's, which is to count what nobody reports.
    pub(in crate::proxy) tokenizer: Option<Arc<Tokenizer>>,
    /// What that has counted, in place of the bytes that have passed since the last report.
    pub(in crate::proxy) tokens: Option<u64>,
    /// The last usage of its stream is to say what it has cost.
    pub(in crate::proxy) tells_cost: bool,
    kind: Kind,
    body: Bytes,
}

/// Why a request has no price.
#[derive(Debug, thiserror::Error)]
pub(in crate::proxy) enum Unpriced {
    /// Its body does not say it in one way; a sentence for whoever sent it.
    #[error("the price of this route is in its body: {0}")]
    Unreadable(String),
    /// There is no price for the model.
    #[error("the model {0:?} is not served here")]
    Model(String),
}

impl From<Unpriced> for Fault {
    fn from(unpriced: Unpriced) -> Fault {
        match unpriced {
            Unpriced::Unreadable(_) => Fault::Unreadable(unpriced.to_string().into()),
            Unpriced::Model(name) => Fault::ModelNotPriced(name),
        }
    }
}

/// `max_tokens` of `/v1/completions` by default, at OpenAI (its API reference) and vLLM (`CompletionRequest`).
const COMPLETION_USUAL: u64 = 16;

/// Reads what a request may use, and what that costs.
pub(in crate::proxy) fn read(metering: &Metering, live: &Live, body: Bytes) -> Result<Metered, Unpriced> {
    let unreadable = |what: String| Unpriced::Unreadable(what);
    let asked =
        ask::read(metering.api, &body, &metering.allow).map_err(|problem| unreadable(problem.to_string()))?;
    let name = metering.model.as_deref().or(asked.model.as_deref());
    let name: Arc<str> = name
        .ok_or_else(|| unreadable("`model` is missing: name a model".to_owned()))?
        .into();
    let model = live
        .models
        .find(&name)
        .ok_or_else(|| Unpriced::Model(name.to_string()))?;
    let bound = Bound {
        input: input(&asked, text(&asked, model, live, &body), &model.declared).map_err(unreadable)?,
        audio: asked
            .audios
            .saturating_mul(model.declared.audio.unwrap_or(0))
            .saturating_mul(asked.input_times),
        writes_cache: asked.writes_cache,
        // A limit beyond what the model can write is none.
        output: match (
            asked.choices,
            asked.output_max.or_else(|| unsaid(metering, &asked)),
        ) {
            (0, _) => 0,
            (_, Some(limit)) => limit.min(model.output_max),
            (_, None) => model.output_max,
        },
        answers: asked.choices.max(1),
    };
    let mut terms = metering.terms;
    if !asked.stream {
        // There is nothing that could be ended in the middle.
        terms.hold = HoldMode::Full;
    }
    let fare =
        Fare::new(&model.dearest_up_to(bound.input), bound).map_err(|dear| unreadable(dear.to_string()))?;
    Ok(Metered {
        api: metering.api,
        name,
        model: Arc::clone(model),
        dearer: None,
        fare,
        quote: terms.quote(&fare, asked.least_output),
        hold: terms.hold,
        slice: terms.slice,
        tells_cost: terms.usage_cost,
        tokenizer: tokenizer(model, live).cloned(),
        tokens: None,
        kind: metering.kind,
        asked,
        body,
    })
}

/// The limit of a request that sets none, where its API has one for that: without it an answer would be longer, and dearer, than it is without the gate.
fn unsaid(metering: &Metering, asked: &Asked) -> Option<u64> {
    if asked.is_endless() {
        return None;
    }
    match (metering.api, metering.kind) {
        (Api::OpenAiCompletions, Kind::Generic | Kind::OpenAi | Kind::Vllm) => Some(COMPLETION_USUAL),
        _ => None,
    }
}

/// Tokens of the text, at most: by a tokenizer where the model has one and the body is not too long for it, else by bytes.
fn text(asked: &Asked, model: &Model, live: &Live, body: &[u8]) -> u64 {
    match tokenizer(model, live).filter(|_| body.len() <= TOKENIZED_MAX) {
        Some(tokenizer) => asked.refined(body, |text| tokenizer.count(text)),
        None => asked.text,
    }
}

fn tokenizer<'l>(model: &Model, live: &'l Live) -> Option<&'l Arc<Tokenizer>> {
    live.tokenizers.get(model.tokenizer.as_ref()?)
}

/// Tokens that are read, at most.
fn input(asked: &Asked, text: u64, declared: &Declared) -> Result<u64, String> {
    let mut tokens = text.saturating_add(declared.request);
    tokens = tokens.saturating_add(asked.tools.saturating_mul(declared.tool));
    for (what, count, each) in [
        ("images", asked.images, declared.image),
        ("sound", asked.audios, declared.audio),
        ("documents", asked.documents, declared.document),
    ] {
        tokens = match (count, each) {
            (0, _) => tokens,
            (count, Some(each)) => tokens.saturating_add(count.saturating_mul(each)),
            (_, None) => return Err(format!("this model takes no {what} here")),
        };
    }
    Ok(tokens.saturating_mul(asked.input_times))
}

impl Metered {
    /// The body for the upstream: with a limit that the hold pays for, and asking for what has to be known.
    pub(in crate::proxy) fn upload(&mut self, held: Credits) -> Upload {
        let limit = self.limit(held);
        let change = Change {
            output_max: (limit > 0).then_some(limit),
            limit_name: match (self.api, self.kind) {
                (Api::OpenAiChat, Kind::OpenAi) => "max_completion_tokens",
                (api, _) => limit_name(api),
            },
            // Also where the route says which model it is: the upstream serves what is paid for, should it go by the body after all.
            model: Some(self.model.upstream_name.as_deref().unwrap_or(&self.name)),
            ask_usage: self.kind != Kind::Plain,
            continuous_usage: self.kind == Kind::Vllm,
        };
        Upload::parts(self.asked.edited(&std::mem::take(&mut self.body), &change))
    }

    /// How the answer is read.
    pub(in crate::proxy) fn setup(&self, framing: Framing) -> Setup {
        Setup {
            api: self.api,
            framing,
            shown: match self.kind {
                Kind::Plain => Shown::All,
                _ if !self.asked.usage => Shown::Nothing,
                Kind::Vllm if !self.asked.continuous_usage => Shown::Last,
                _ => Shown::All,
            },
            choices: self.asked.choices,
            // A whole answer is there to be looked at again.
            keep_words: framing != Framing::Whole && self.tokenizer.is_some(),
        }
    }

    /// Tokens that each answer may have: what the hold affords, or all that was asked for where the hold grows.
    pub(in crate::proxy) fn limit(&self, held: Credits) -> u64 {
        match self.hold {
            HoldMode::Full => self.fare.affords(held),
            HoldMode::Growing => self.fare.bound().output,
        }
    }
}
