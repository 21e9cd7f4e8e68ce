//! `[stripe.checkout]` and `[[stripe.packs]]`.

use std::collections::HashMap;
use std::sync::Arc;

use http::Uri;

use super::super::context::{Place, Placed};
use super::super::section::{Section, within};
use super::super::units::secs;
use super::super::upstream::is_name;
use super::read::{self, is_loopback};
use super::{Checkout, Mode, Pack};
use crate::domain::credits::{Credits, CreditsError};
use crate::domain::money::{Currency, MoneyError, Rates};
use crate::domain::time::Span;

const PACKS_MAX: usize = 100;
const NAME_MAX: usize = 100;
/// Stripe takes no amount of more digits.
const PRICE_MAX: i64 = 999_999_999_999;
const PRICE_END: i64 = PRICE_MAX + 1;
const DAY: u64 = 86_400;

const SUCCESS: &str = "Where Stripe sends the buyer who has paid; {CHECKOUT_SESSION_ID} in it becomes the session's id. Going there grants nothing: only Stripe's word that it is paid does.";
const CANCEL: &str = "Where Stripe sends the buyer who turns back.";
const PACKS: &str = "What customers can buy through Stripe's own payment page.";
const ID: &str = "Its name in calls, logs and notes.";
const NAME: &str = "What the buyer reads: 1 to 100 characters.";
const PRICE: &str =
    "What it costs, in units of its currency: 10.00 is ten dollars, 1500 fifteen hundred yen.";
const CURRENCY: &str = "What it is paid in: three lower-case letters.";
const CREDITS: &str = "Credits it brings; absent: what the price is worth by credits_per_unit.";
const EXPIRES: &str = "How long the credits last after the purchase; absent: for ever.";
const CATEGORY: &str =
    "As what the credits are booked: of two grants that end alike, promotional ones are used first.";

pub(super) fn checkout(s: &Section<'_>) -> Option<Checkout> {
    let success_url = address(s, "success_url", SUCCESS);
    let cancel_url = address(s, "cancel_url", CANCEL);
    Some(Checkout {
        success_url: success_url?,
        cancel_url: cancel_url?,
    })
}

/// A page of the operator's.
fn address(s: &Section<'_>, name: &'static str, doc: &'static str) -> Option<Arc<str>> {
    let text = s.text(name, doc);
    s.required(name, "buyers come back to it: write a web address");
    let text = text?;
    let wrong = match text.value.parse::<Uri>() {
        Err(_) => "is not a web address",
        Ok(uri) => match (uri.scheme_str(), uri.authority()) {
            (Some("https" | "http"), Some(authority)) if authority.as_str().contains('@') => {
                "has a user or a password"
            }
            (Some("https"), Some(_)) => return Some(text.value.into()),
            (Some("http"), Some(authority)) if is_loopback(authority.host()) => {
                return Some(text.value.into());
            }
            (Some("http"), Some(_)) => "goes over the network in the clear",
            _ => "is not a web address",
        },
    };
    s.problem(
        &text.place,
        wrong,
        "write it like \"https://example.com/credits\"; http:// is for 127.0.0.1 only",
    );
    None
}

/// All packs that can be read; no two of the same id.
pub(super) fn packs(s: &Section<'_>, mode: Option<Mode>, rates: Option<&Rates>) -> Vec<Arc<Pack>> {
    let mut ids: HashMap<String, Place> = HashMap::new();
    let packs = s.tables("packs", PACKS, "id", PACKS_MAX, |s| {
        let pack = pack(s, mode, rates);
        if let Some((id, _)) = &pack {
            if let Some(earlier) = ids.get(&id.value) {
                let what = format!(
                    "{:?} is the id of the pack in line {} already",
                    id.value,
                    s.line(earlier)
                );
                s.problem(&id.place, what, "give each pack an id of its own");
            }
            ids.insert(id.value.clone(), id.place.clone());
        }
        pack.map(|(_, pack)| Arc::new(pack))
    });
    packs.into_iter().flatten().collect()
}

fn pack(s: &Section<'_>, mode: Option<Mode>, rates: Option<&Rates>) -> Option<(Placed<String>, Pack)> {
    let id = s.text("id", ID);
    let name = s.text("name", NAME);
    let price = s.decimal("price", PRICE);
    let currency = s.text("currency", CURRENCY);
    let some = within(Credits::MICRO, Credits::MAX, "a pack without credits is no use");
    let credits = s.credits("credits", CREDITS, some);
    let life = within(
        secs(3_600),
        secs(3_650 * DAY),
        "what is bought lasts a while; for ever, leave it out",
    );
    let expires_after = s.duration_or("expires_after", EXPIRES, None, life);
    let category = s.choice("category", CATEGORY, "paid", Pack::CATEGORIES);
    for (key, advice) in [
        ("id", "name it: id = \"starter\""),
        (
            "name",
            "say what the buyer reads: name = \"10 dollars of credits\"",
        ),
        ("price", "say what it costs: price = 10.00"),
        ("currency", "say what it is paid in: currency = \"usd\""),
    ] {
        s.required(key, advice);
    }
    let id = id.filter(|id| named(s, id));
    let name = name.filter(|name| short(s, name));
    let currency = currency.and_then(|text| read::currency(s, &text));
    let (currency, rates) = (currency?, rates?);
    let price = price.and_then(|price| minor(s, currency, &price));
    let credits = if s.has("credits") {
        credits.filter(|credits| mode != Some(Mode::Grants) || can_be_granted(s, rates, currency, *credits))
    } else {
        price.and_then(|price| worth(s, rates, currency, price))
    };
    let id = id?;
    let pack = Pack {
        id: id.value.as_str().into(),
        name: name?.value.into(),
        price: price?,
        currency,
        credits: credits?,
        expires_after: expires_after.map(Span::from),
        category: category?,
    };
    Some((id, pack))
}

fn named(s: &Section<'_>, id: &Placed<String>) -> bool {
    let good = is_name(&id.value);
    if !good {
        let what = format!("{:?} is no name for a pack", id.value);
        s.problem(&id.place, what, "use 1 to 64 letters, digits and `-_.`");
    }
    good
}

fn short(s: &Section<'_>, name: &Placed<String>) -> bool {
    let good = name.value.chars().count() <= NAME_MAX && !name.value.trim().is_empty();
    if !good {
        s.problem(
            &name.place,
            "is nothing a buyer could read on the payment page",
            "write 1 to 100 characters, such as \"10 dollars of credits\"",
        );
    }
    good
}

/// A price in minor units that can be charged.
pub(in crate::config) fn minor(s: &Section<'_>, currency: Currency, price: &Placed<String>) -> Option<i64> {
    let (what, advice) = match currency.minor(&price.value) {
        Err(CreditsError::NotDecimal) => ("is not an amount of money", form(currency)),
        Err(CreditsError::TooFine) => (
            "has more decimal places than its currency",
            format!("{currency} has {}: {}", currency.exponent(), form(currency)),
        ),
        Err(CreditsError::TooLarge) | Ok(PRICE_END..) => (
            "is more than Stripe takes",
            format!("at most {}", currency.show(PRICE_MAX)),
        ),
        Ok(..=0) => ("is nothing that could be paid", form(currency)),
        Ok(minor) if minor % currency.step() != 0 => (
            "cannot be charged",
            format!(
                "Stripe charges multiples of {} only",
                currency.show(currency.step())
            ),
        ),
        Ok(minor) if minor < currency.charge_min() => (
            "is less than Stripe charges",
            format!("at least {}", currency.show(currency.charge_min())),
        ),
        Ok(minor) => return Some(minor),
    };
    s.problem(&price.place, format!("{} {what}", price.value), advice);
    None
}

fn form(currency: Currency) -> String {
    let example = currency.show(10 * currency.per_unit());
    let example = example.strip_suffix(&format!(" {currency}")).unwrap_or(&example);
    format!("write it in units, such as price = {example}")
}

fn worth(s: &Section<'_>, rates: &Rates, currency: Currency, price: i64) -> Option<Credits> {
    let worth = rates.credits(currency, price);
    if let Err(error) = worth {
        let advice = match error {
            MoneyError::Unlisted(_) => {
                format!("say how many credits it brings, or give {currency} a rate in credits_per_unit")
            }
            _ => format!("say how many credits it brings: by credits_per_unit {error}"),
        };
        s.missing("credits", advice);
    }
    worth.ok()
}

/// A grant at Stripe is money in whole minor units: what it is worth is what the customer gets.
fn can_be_granted(s: &Section<'_>, rates: &Rates, currency: Currency, credits: Credits) -> bool {
    let granted = rates
        .price(currency, credits)
        .and_then(|price| rates.credits(currency, price));
    let (what, advice) = match granted {
        Ok(granted) if granted == credits => return true,
        Ok(granted) => (
            format!("{credits} credits are no whole amount of {currency}, as a grant at Stripe must be"),
            format!("the next that is: {granted}"),
        ),
        Err(MoneyError::Unlisted(_)) => (
            format!("a grant at Stripe would be in {currency}, which has no rate"),
            format!("give it one: credits_per_unit = {{ {currency} = 1 }}"),
        ),
        Err(error) => (
            format!("{credits} credits of {currency} cannot be granted at Stripe: {error}"),
            "choose another amount".to_owned(),
        ),
    };
    s.problem(&s.place_or("credits"), what, advice);
    false
}
