//! What `[stripe]` comes to.

use super::super::stripe::{Reaction, Stripe};

/// In a line: `ledger mode, test events, 1 usd = 1.000000 credits, 2 packs`.
pub(super) fn show(stripe: &Stripe) -> String {
    const RATES_MAX: usize = 4;
    let events = if stripe.livemode {
        "live events"
    } else {
        "test events"
    };
    let mut parts = vec![format!("{} mode", stripe.mode.as_str()), events.to_owned()];
    let rates = stripe.rates.iter().take(RATES_MAX);
    parts.extend(rates.map(|(currency, rate)| format!("1 {currency} = {} credits", rate.per_unit())));
    let more = stripe.rates.iter().count().saturating_sub(RATES_MAX);
    if more > 0 {
        parts.push(format!("{more} more"));
    }
    match stripe.packs.len() {
        0 => {}
        1 => parts.push("1 pack".to_owned()),
        packs => parts.push(format!("{packs} packs")),
    }
    if stripe.top_up.is_some() {
        parts.push("bought by themselves when credits run low".to_owned());
    }
    parts.join(", ")
}

/// What is allowed and may still not be meant.
pub(super) fn notes(stripe: &Stripe) -> Vec<String> {
    let mut notes = Vec::new();
    if !stripe.livemode {
        notes.push("stripe takes events of test mode: real payments bring no credits".to_owned());
    }
    if stripe.api_key.is_none() {
        notes.push("stripe has no api_key: what it fails to tell is not found out".to_owned());
    }
    let ignored = stripe.on.all().into_iter();
    let ignored = ignored.filter(|(_, reaction)| *reaction == Reaction::IGNORE);
    let ignored: Vec<&str> = ignored.map(|(name, _)| name).collect();
    if !ignored.is_empty() {
        notes.push(format!("stripe.on ignores {}", ignored.join(", ")));
    }
    notes
}
