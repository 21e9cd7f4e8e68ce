//! `[[routes]]`: which requests are let through, to where, and for how much.

mod price;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use super::context::Placed;
use super::section::{Section, within};
use super::server::{BODY_BOUNDS, to_usize};
use super::units::secs;
use super::upstream;
use crate::domain::command::HOLDS_REMEMBERED;
use crate::domain::price::Price;
use crate::http::pattern::Pattern;
use crate::meter;

/// A route: requests like this go there and cost that.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    /// Its place in [`super::Config::routes`], from 0.
    pub index: usize,
    /// Its name, for plans, logs, metrics and the journal; no two are the same.
    pub id: Arc<str>,
    /// Which requests it is for.
    pub pattern: Pattern,
    /// The name of the upstream they go to.
    pub upstream: Arc<str>,
    /// What each costs.
    pub price: Price,
    /// The dialect its clients speak.
    pub api: Api,
    /// For prices by tokens: members of requests that are let through although they make a request dearer than can be seen.
    pub allow: Vec<Arc<str>>,
    /// For prices by tokens: the model that all its requests are for, whatever they say.
    pub model: Option<Arc<str>>,
    /// For prices by tokens: what a query may say.
    pub query: Vec<Arc<str>>,
    /// WebSocket upgrades are carried; only with a price that is known before.
    pub upgrade: bool,
    /// What becomes of a request whose client has gone.
    pub on_disconnect: OnDisconnect,
    /// The most bytes a request's body has: its own or the server's.
    pub body_max: usize,
    /// From the whole request sent to the head of the answer: its own or its upstream's.
    pub first_byte_timeout: Duration,
    /// How long whole answers to requests under an idempotency key are kept, for their retries.
    pub keep_answers: Option<Duration>,
    /// Origins whose pages may call it (`https://example.com`), or `*` alone for all; empty for none.
    pub cors: Vec<Arc<str>>,
}

/// The dialect a route's clients speak: how the gate's own answers look to them, and where usage is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Api {
    /// One whose usage is read.
    Metered(meter::Api),
    /// Lists of models, as OpenAI, Anthropic and Ollama have them: shown as far as they are priced and the customer's plan opens them.
    OpenAiModels,
    /// Any other of OpenAI's.
    OpenAi,
    /// Any other of Anthropic's.
    Anthropic,
    /// None of these: RFC 9457 `application/problem+json`.
    #[default]
    Plain,
}

/// What becomes of a request whose client has gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnDisconnect {
    /// The upstream is cut off, and what was delivered is charged.
    #[default]
    ChargeDelivered,
    /// The upstream is read to its end, and charged exactly.
    Finish,
}

impl Api {
    const WORDS: &'static [(&'static str, Api)] = &{
        let mut words = [("", Api::Plain); meter::Api::ALL.len() + 4];
        let mut at = 0;
        while at < meter::Api::ALL.len() {
            let api = meter::Api::ALL[at];
            words[at] = (api.as_str(), Api::Metered(api));
            at += 1;
        }
        words[at] = ("openai-models", Api::OpenAiModels);
        words[at + 1] = ("openai", Api::OpenAi);
        words[at + 2] = ("anthropic", Api::Anthropic);
        words[at + 3] = ("plain", Api::Plain);
        words
    };

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        Api::WORDS
            .iter()
            .find(|(_, api)| *api == self)
            .map_or("plain", |(word, _)| word)
    }
}

impl OnDisconnect {
    const WORDS: &'static [(&'static str, OnDisconnect)] = &[
        ("charge_delivered", OnDisconnect::ChargeDelivered),
        ("finish", OnDisconnect::Finish),
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            OnDisconnect::ChargeDelivered => "charge_delivered",
            OnDisconnect::Finish => "finish",
        }
    }
}

/// As read: what it refers to, and what the server or the upstream says where it says nothing, is known later.
pub(super) struct RawRoute {
    pub(super) id: Option<Placed<String>>,
    pub(super) pattern: Option<Placed<Pattern>>,
    pub(super) upstream: Option<Placed<String>>,
    price: Option<Price>,
    api: Api,
    tokens: tokens::Tokens,
    pub(super) model: Option<Placed<String>>,
    upgrade: bool,
    on_disconnect: OnDisconnect,
    body_max: Option<usize>,
    first_byte_timeout: Option<Duration>,
    keep_answers: Option<Duration>,
    cors: Vec<Arc<str>>,
}

impl RawRoute {
    /// Whether it is priced by tokens.
    pub(super) fn by_tokens(&self) -> bool {
        matches!(self.price, Some(Price::Tokens(_)))
    }

    /// The route, or `None` where a problem with it has been reported.
    pub(super) fn finish(
        self,
        index: usize,
        body_max: usize,
        upstream: &upstream::Upstream,
    ) -> Option<Route> {
        Some(Route {
            index,
            id: self.id?.value.into(),
            pattern: self.pattern?.value,
            upstream: upstream.name.clone(),
            price: self.price?,
            api: self.api,
            allow: self.tokens.allow,
            query: self.tokens.query,
            model: self.model.map(|model| model.value.into()),
            upgrade: self.upgrade,
            on_disconnect: self.on_disconnect,
            body_max: self.body_max.unwrap_or(body_max),
            first_byte_timeout: self.first_byte_timeout.unwrap_or(upstream.first_byte_timeout),
            keep_answers: self.keep_answers,
            cors: self.cors,
        })
    }
}

pub(super) const ROUTES_MAX: usize = 10_000;
const CORS_MAX: usize = 100;

const MATCH: &str = "METHOD /path: `*` stands for one segment, at the end for one or more, as a method for all. The most specific route wins.";
const ID: &str = "Its name in plans, logs, metrics and the journal; absent: the match text.";
const API: &str =
    "The dialect its clients speak: how refusals look to them, and for prices by tokens where usage is read.";
const UPGRADE: &str = "Carries WebSocket upgrades; only with a fixed price or none.";
const ON_DISCONNECT: &str = "When the client has gone: charge_delivered cuts the upstream off, finish reads it to its end and charges exactly.";
const BODY_MAX: &str = "The most bytes a request's body has; absent: server.body_max.";
const KEEP_ANSWERS: &str = "How long answers to requests under an Idempotency-Key are kept in memory (up to 1 MiB each), to be given again to their retries on this proxy; absent: a retry is told that it was charged.";
const CORS: &str =
    "Origins whose pages may call it, such as https://example.com; \"*\" alone for all. Absent: none.";

pub(super) fn read(s: &Section<'_>) -> RawRoute {
    let pattern = read_match(s);
    let id = s.text("id", ID).or_else(|| {
        let pattern = pattern.as_ref().filter(|_| !s.has("id"))?;
        Some(Placed::new(pattern.value.to_string(), &pattern.place))
    });
    let upstream = s.text("upstream", "The name of the upstream its requests go to.");
    s.required("upstream", "name one of [upstreams]: upstream = \"models\"");
    let price = price::read(s);
    let api = s.choice("api", API, "plain", Api::WORDS).unwrap_or_default();
    let (price, tokens) = tokens::read(s, price, api);
    let upgrade = s.flag("upgrade", UPGRADE);
    if upgrade && !matches!(price, None | Some(Price::Free | Price::Fixed(_))) {
        s.problem(
            &s.place_or("upgrade"),
            "a tunnel cannot be priced by what goes through it",
            "give the route a fixed price or cost = 0, or take `upgrade` out",
        );
    }
    let free = price == Some(Price::Free);
    RawRoute {
        api,
        model: tokens::model(s),
        tokens,
        upgrade,
        on_disconnect: s
            .choice(
                "on_disconnect",
                ON_DISCONNECT,
                "charge_delivered",
                OnDisconnect::WORDS,
            )
            .unwrap_or_default(),
        body_max: s.size_or("body_max", BODY_MAX, None, BODY_BOUNDS).map(to_usize),
        first_byte_timeout: upstream::first_byte_timeout(s, None),
        keep_answers: read_keep(s, free),
        cors: read_cors(s),
        id: id.filter(|id| is_id(s, id)),
        pattern,
        upstream,
        price,
    }
}

/// No longer than the ledger remembers under which key a request was charged: then a retry is a new request.
fn read_keep(s: &Section<'_>, free: bool) -> Option<Duration> {
    let longest = Duration::from(HOLDS_REMEMBERED);
    let bounds = within(secs(1), longest, "then its key is forgotten");
    let keep = s.duration_or("keep_answers", KEEP_ANSWERS, None, bounds);
    if keep.is_some() && free {
        s.problem(
            &s.place_or("keep_answers"),
            "answers of a free route are not kept, its requests may be sent again",
            "take `keep_answers` out, or give the route a price",
        );
    }
    keep
}

fn read_match(s: &Section<'_>) -> Option<Placed<Pattern>> {
    let text = s.text("match", MATCH);
    s.required(
        "match",
        "say which requests: match = \"POST /v1/chat/completions\"",
    );
    let text = text?;
    match text.value.parse::<Pattern>() {
        Ok(pattern) if own_path(&pattern) => {
            s.problem(
                &text.place,
                "paths below /faregate are answered by the gate itself",
                "give the route another path",
            );
            None
        }
        Ok(pattern) => Some(text.map(|_| pattern)),
        Err(error) => {
            s.problem(
                &text.place,
                format!("{:?} is not a pattern", text.value),
                error.to_string(),
            );
            None
        }
    }
}

/// Only what a wildcard would match too is left to the gate silently.
fn own_path(pattern: &Pattern) -> bool {
    let path = pattern.path();
    path == "/faregate" || path.starts_with("/faregate/")
}

fn is_id(s: &Section<'_>, id: &Placed<String>) -> bool {
    let fits = |b: u8| (b.is_ascii_graphic() || b == b' ') && !matches!(b, b'"' | b'\\');
    let good = id.value.len() <= 128 && id.value.trim() == id.value && id.value.bytes().all(fits);
    if !good {
        let what = format!("{:?} is no id for a route", id.value);
        s.problem(
            &id.place,
            what,
            "give `id` 1 to 128 visible ASCII characters without quotes and backslashes",
        );
    }
    good
}

fn read_cors(s: &Section<'_>) -> Vec<Arc<str>> {
    let Some(list) = s.texts("cors", CORS, &[], CORS_MAX) else {
        return Vec::new();
    };
    let alone = list.value.len() == 1;
    let mut origins: Vec<Arc<str>> = Vec::new();
    for text in &list.value {
        match origin(&text.value, alone) {
            Some(origin) if origins.contains(&origin) => {
                s.problem(&text.place, format!("{origin} is listed twice"), "list it once");
            }
            Some(origin) => origins.push(origin),
            None => s.problem(
                &text.place,
                format!("{:?} is not an origin", text.value),
                "write scheme and host without a path, such as \"https://example.com\", or \"*\" alone",
            ),
        }
    }
    origins
}

/// As browsers write it in `Origin`: lower case, no path, the port only where it is not the scheme's own.
fn origin(text: &str, alone: bool) -> Option<Arc<str>> {
    if text == "*" {
        return alone.then(|| "*".into());
    }
    let base = super::address::parse_base(text).ok()?;
    let bare = base.path.is_empty() && !text.ends_with('/');
    bare.then(|| base.to_string().into())
}
