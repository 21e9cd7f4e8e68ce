//! `[stripe]` as settings.

use super::super::secret::Secret;
use super::super::stripe::{Checkout, FailFast, Pack, Stripe, TopUp, Usage};
use super::super::units::show_duration;
use super::{List, Settings};
use crate::config::section::join;

pub(super) fn of_stripe(list: &mut List, stripe: &Stripe) {
    let Stripe {
        mode,
        webhook_secrets,
        api_key,
        api_base,
        rates,
        livemode,
        account,
        since,
        account_metadata,
        plan,
        sync_every,
        on,
        fail_fast,
        usage,
        checkout,
        packs: _,
        top_up,
        slices: _,
    } = stripe;
    list.put("stripe.mode", mode.as_str());
    of_secrets(list, "stripe.webhook_secrets", webhook_secrets);
    of_secrets(list, "stripe.api_key", api_key.as_slice());
    list.put("stripe.api_base", api_base);
    for (currency, rate) in rates.iter() {
        let key = join("stripe.credits_per_unit", &currency.to_string());
        list.put(&key, rate.per_unit());
    }
    list.put("stripe.livemode", livemode);
    list.maybe("stripe.account", account.as_ref());
    let since = since.and_then(|since| jiff::Timestamp::from_second(since).ok());
    list.maybe("stripe.since", since);
    list.put("stripe.account_metadata", account_metadata);
    list.maybe("stripe.plan", plan.as_ref());
    list.maybe("stripe.sync_every", sync_every.map(show_duration));
    for (name, reaction) in on.all() {
        list.put(&join("stripe.on", name), reaction.as_str());
    }
    if let Some(FailFast {
        attempts_max,
        after_last,
    }) = fail_fast
    {
        list.put("stripe.fail_fast.attempts_max", attempts_max);
        list.put("stripe.fail_fast.after_last", after_last.as_str());
    }
    if let Some(Usage {
        event_name,
        every,
        invoice_at,
    }) = usage
    {
        list.put("stripe.usage.event_name", event_name);
        list.time("stripe.usage.every", *every);
        list.maybe("stripe.usage.invoice_at", *invoice_at);
    }
    if let Some(Checkout {
        success_url,
        cancel_url,
    }) = checkout
    {
        list.put("stripe.checkout.success_url", success_url);
        list.put("stripe.checkout.cancel_url", cancel_url);
    }
    if let Some(top_up) = top_up {
        of_top_up(list, top_up);
    }
}

fn of_top_up(list: &mut List, top_up: &TopUp) {
    let TopUp {
        charges_per_day,
        charges_per_month,
    } = top_up;
    list.put("stripe.top_up.charges_per_day", charges_per_day);
    list.put("stripe.top_up.charges_per_month", charges_per_month);
}

/// As many stars as there are secrets; nothing for none.
fn of_secrets(list: &mut List, key: &str, secrets: &[Secret]) {
    if secrets.is_empty() {
        return;
    }
    let shown: Vec<String> = secrets.iter().map(Secret::to_string).collect();
    // None has a line break in it.
    let hidden: Vec<&str> = secrets.iter().map(Secret::expose).collect();
    list.hidden(key, shown.join(", "), hidden.join("\n").as_bytes());
}

pub(super) fn of_pack(pack: &Pack) -> Settings {
    let Pack {
        id: _,
        name,
        price,
        currency,
        credits,
        expires_after,
        category: _,
    } = pack;
    let mut list = List::default();
    list.put("name", name);
    list.put("price", currency.show(*price));
    list.put("credits", credits);
    list.maybe(
        "expires_after",
        expires_after.map(|life| show_duration(life.into())),
    );
    list.put("category", pack.category_str());
    list.0
}
