//! What a route says about requests that are priced by tokens.

use std::sync::Arc;

use super::super::context::Placed;
use super::super::section::{Section, within};
use super::super::suggest;
use super::Api;
use crate::domain::price::{HoldMode, Price, Terms, WhenShort};
use crate::domain::usage::TOKENS_MAX;
use crate::meter;

const LISTED_MAX: usize = 64;

const HOLD: &str = "How much is held: full for the most a request may cost, growing for its input and a slice of output, and more as tokens flow.";
const WHEN_SHORT: &str =
    "When the credits do not cover all that a request may use: shorten gives a shorter answer, refuse none.";
const OUTPUT_MIN: &str =
    "An answer of fewer tokens is of no use: with credits for less the request is refused.";
const SLICE: &str =
    "For hold = \"growing\": tokens of output that are held for at first; it doubles as the answer grows.";
const USAGE_COST: &str =
    "Puts what a stream has cost into the last usage that it tells: usage.cost, in credits, as a text.";
const ALLOW: &str = "Members of requests that are refused otherwise, since they make a request dearer than it looks: service_tier, previous_response_id, ...";
const MODEL: &str =
    "The model that all its requests are for, where the upstream goes by the path and not by the body.";
const QUERY: &str = "What a query may say; anything else in one is refused.";

/// What the official SDKs put into queries.
const QUERY_USUAL: &[&str] = &["api-version", "beta"];

#[derive(Default)]
pub(super) struct Tokens {
    pub(super) allow: Vec<Arc<str>>,
    pub(super) query: Vec<Arc<str>>,
}

/// The price with its terms, where it is one by tokens.
pub(super) fn read(s: &Section<'_>, price: Option<Price>, api: Api) -> (Option<Price>, Tokens) {
    let usual = Terms::default();
    let bounds = within(1, TOKENS_MAX, "no answer has more tokens");
    let terms = Terms {
        hold: s
            .choice(
                "hold",
                HOLD,
                "full",
                &[("full", HoldMode::Full), ("growing", HoldMode::Growing)],
            )
            .unwrap_or_default(),
        when_short: s
            .choice(
                "when_short",
                WHEN_SHORT,
                "shorten",
                &[("shorten", WhenShort::Shorten), ("refuse", WhenShort::Refuse)],
            )
            .unwrap_or_default(),
        output_min: s.integer("output_min", OUTPUT_MIN, usual.output_min, bounds),
        slice: s.integer("slice", SLICE, usual.slice, bounds),
        usage_cost: s.flag("usage_cost", USAGE_COST),
    };
    let allow = s.texts("allow", ALLOW, &[], LISTED_MAX);
    let query = s.texts("query", QUERY, QUERY_USUAL, LISTED_MAX);
    let plain = |texts: Placed<Vec<Placed<String>>>| texts.value.into_iter().map(|text| text.value.into());
    if let (Some(allow), Api::Metered(api)) = (&allow, api) {
        known(s, &allow.value, api);
    }
    let usual_query = || QUERY_USUAL.iter().map(|text| Arc::from(*text)).collect();
    let tokens = Tokens {
        allow: allow.map(|texts| plain(texts).collect()).unwrap_or_default(),
        query: query.map_or_else(usual_query, |texts| plain(texts).collect()),
    };
    let Some(Price::Tokens(_)) = price else {
        only_by_tokens(s, price.is_some());
        return (price, tokens);
    };
    if !matches!(api, Api::Metered(_)) {
        let apis: Vec<String> = meter::Api::ALL
            .iter()
            .map(|api| format!("{:?}", api.as_str()))
            .collect();
        s.problem(
            &s.place_or("api"),
            "`api` says where usage is read, and this one does not",
            format!("cost = \"tokens\" takes one of {}", apis.join(", ")),
        );
    }
    if terms.hold == HoldMode::Growing && terms.when_short == WhenShort::Refuse {
        s.problem(
            &s.place_or("when_short"),
            "a hold that grows covers an answer only as far as it has come, so it may always end short",
            "say hold = \"full\", or take when_short out",
        );
    }
    (Some(Price::Tokens(terms)), tokens)
}

/// The model of a route that has one.
pub(super) fn model(s: &Section<'_>) -> Option<Placed<String>> {
    s.text("model", MODEL)
}

/// What is allowed has to be something that would be refused. Types of parts and tools may have names that are not known yet, but not nearly a known one.
fn known(s: &Section<'_>, allowed: &[Placed<String>], api: meter::Api) {
    let names = meter::ask::refusable(api);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for Placed { value: name, place } in allowed {
        let near = suggest::nearest(name, &names);
        if !names.contains(&name.as_str()) && (near.is_some() || !meter::ask::has_types(api)) {
            let what = format!("{name:?} is nothing that these requests are refused for");
            let advice = near.map_or_else(
                || format!("known: {}", names.join(", ")),
                |near| format!("did you mean {near:?}?"),
            );
            s.problem(place, what, advice);
        }
    }
}

fn only_by_tokens(s: &Section<'_>, priced: bool) {
    for name in [
        "hold",
        "when_short",
        "output_min",
        "slice",
        "allow",
        "model",
        "query",
        "usage_cost",
    ] {
        if priced && s.has(name) {
            let advice = "take it out, or say cost = \"tokens\"";
            s.problem(&s.place_or(name), "is for prices by tokens", advice);
        }
    }
}
