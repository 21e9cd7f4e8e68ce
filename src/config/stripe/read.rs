//! `[stripe]` as it is read.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::address::{BaseUrl, denied_host, parse_base};
use super::super::context::{Place, Placed};
use super::super::section::{Section, within};
use super::super::units::secs;
use super::{Mode, Slices, Stripe, keys, on, packs, since, top_up, usage};
use crate::domain::credits::Credits;
use crate::domain::ids::PlanId;
use crate::domain::money::{Currency, Rate, Rates};

/// As read: which plans there are is known later.
pub(in crate::config) struct RawStripe {
    stripe: Stripe,
    pub(in crate::config) plan: Option<Placed<String>>,
}

impl RawStripe {
    pub(in crate::config) fn finish(self, plan: Option<PlanId>, slices: Slices) -> Stripe {
        Stripe {
            plan,
            slices,
            ..self.stripe
        }
    }

    /// Stripe can be asked for something.
    pub(in crate::config) fn has_key(&self) -> bool {
        self.stripe.api_key.is_some()
    }

    /// Stripe is told what is used, and invoices it.
    pub(in crate::config) fn reports_usage(&self) -> bool {
        self.stripe.usage.is_some()
    }

    /// Customers can pay on a page.
    pub(in crate::config) fn sells(&self) -> bool {
        !self.stripe.packs.is_empty()
    }

    pub(in crate::config) fn rates(&self) -> &Rates {
        &self.stripe.rates
    }
}

const CURRENCIES_MAX: usize = 200;
const METADATA_KEY_MAX: usize = 40;
const API_BASE: &str = "https://api.stripe.com";
const API_HOST: &str = "api.stripe.com";
const METADATA: &str = "faregate_account";
const HOUR: u64 = 3_600;
/// What is of no use without a key.
const TAKES_KEY: [&str; 6] = ["sync_every", "fail_fast", "checkout", "packs", "top_up", "usage"];

const MODE: &str = "What makes credits: grants mirrors the credit grants that Stripe keeps for a customer, ledger grants credits for each payment that succeeds. Exactly one, so that nothing is credited twice.";
const BASE: &str = "Where Stripe's API is; for tests. http:// to this machine only.";
const RATES: &str = "Credits for a unit of each currency: { usd = 1, jpy = 0.0067 }. Money in a currency that is not listed is set aside and alarmed, never guessed.";
const LIVE: &str = "true takes live events, false test events; those of the other kind change nothing.";
const ACCOUNT: &str = "The account at Stripe (acct_...) that events must be of. Absent: not checked.";
const KEY: &str = "The metadata key that names the account here, on the customer, session or payment. Without it the customer's id is the account.";
const PLAN: &str = "The plan of accounts that a payment makes. Absent: none, so that default_plan counts.";
const SYNC: &str =
    "How often every customer is compared with Stripe, and what was lost on the way made up for.";
const ON: &str = "What each trouble with a payment does to the account.";
const FAIL_FAST: &str =
    "Stops Stripe's retries of invoices that fail. Absent: Stripe goes on as its dashboard says.";
const USAGE: &str = "Reports what was used to a meter at Stripe, so that grants are applied to invoices; with mode = \"grants\".";
const CHECKOUT: &str = "Lets customers buy packs on Stripe's payment page.";
const TOP_UP: &str = "Lets customers have a pack bought, with the card they paid with, whenever their credits run low. Absent: nobody is charged unasked.";

/// `None` with a problem.
pub(in crate::config) fn read(s: &Section<'_>) -> Option<RawStripe> {
    let mode = s.choice("mode", MODE, "", Mode::WORDS);
    let webhook_secrets = keys::webhook_secrets(s);
    let api_key = keys::api_key(s);
    let api_base = api_base(s);
    let rates = rates(s);
    let livemode = s.flag("livemode", LIVE);
    let account = account(s);
    let account_metadata = account_metadata(s);
    let plan = s.text("plan", PLAN);
    let often = within(
        secs(60),
        secs(24 * HOUR),
        "each time asks Stripe about every customer",
    );
    let sync_every = s.duration("sync_every", SYNC, secs(HOUR), often);
    let on = s.section("on", ON, on::read);
    let fail_fast = s.table("fail_fast", FAIL_FAST, on::fail_fast);
    let usage = s.table("usage", USAGE, usage::read);
    let checkout = s.table("checkout", CHECKOUT, packs::checkout);
    let packs = packs::packs(s, mode, rates.as_ref());
    let top_up = s.table("top_up", TOP_UP, top_up::read);
    for (name, advice) in [
        (
            "mode",
            "say what makes credits: mode = \"ledger\" or mode = \"grants\"",
        ),
        (
            "webhook_secrets",
            "give what Stripe shows for the endpoint: webhook_secrets = [\"${STRIPE_WEBHOOK_SECRET}\"]",
        ),
        (
            "credits_per_unit",
            "say what money is worth: credits_per_unit = { usd = 1 }",
        ),
    ] {
        s.required(name, advice);
    }
    let api_key = api_key.filter(|key| keys::fits(s, key, livemode));
    check_uses(s);
    if mode == Some(Mode::Ledger) && s.has("usage") {
        s.problem(
            &s.place_or("usage"),
            "is for mode = \"grants\": in mode \"ledger\" Stripe knows of no credits that usage could be taken from",
            "take it out",
        );
    }
    let stripe = Stripe {
        since: since::read(s),
        mode: mode?,
        webhook_secrets: webhook_secrets?,
        sync_every: api_key.is_some().then_some(sync_every),
        api_key: api_key.map(|key| key.value),
        api_base: api_base?,
        rates: rates?,
        livemode,
        account,
        account_metadata: account_metadata?,
        plan: None,
        on,
        fail_fast,
        usage,
        checkout,
        packs,
        top_up,
        slices: Slices::default(),
    };
    Some(RawStripe { stripe, plan })
}

fn check_uses(s: &Section<'_>) {
    if s.describing() {
        return;
    }
    for name in TAKES_KEY
        .into_iter()
        .filter(|name| s.has(name) && !s.has("api_key"))
    {
        s.problem(
            &s.place_or(name),
            "is done by calls to Stripe, and there is no api_key",
            "give a restricted key: api_key = \"${STRIPE_API_KEY}\", or take this out",
        );
    }
    if s.has("packs") && !s.has("checkout") {
        s.problem(
            &s.place_or("packs"),
            "cannot be sold: there is no [stripe.checkout]",
            "add it with success_url and cancel_url",
        );
    }
    if s.has("top_up") && !s.has("packs") {
        s.problem(
            &s.place_or("top_up"),
            "has nothing to buy: there are no [[stripe.packs]]",
            "add a pack, or take this out",
        );
    }
}

/// The only address that nobody has to be asked for.
fn usual_base() -> BaseUrl {
    BaseUrl {
        tls: true,
        host: API_HOST.into(),
        port: 443,
        path: "".into(),
    }
}

fn api_base(s: &Section<'_>) -> Option<BaseUrl> {
    let text = s.text_or("api_base", BASE, API_BASE);
    if !s.has("api_base") {
        return Some(usual_base());
    }
    let text = text?;
    let base = match parse_base(&text.value) {
        Ok(base) => base,
        Err((what, _)) => {
            wrong_base(s, &text.place, what);
            return None;
        }
    };
    if let Some(what) = denied_host(&base.host) {
        wrong_base(s, &text.place, format!("is {what}"));
        return None;
    }
    if !base.tls && !is_loopback(&base.host) {
        wrong_base(
            s,
            &text.place,
            "would send the API key over the network in the clear",
        );
        return None;
    }
    Some(base)
}

fn wrong_base(s: &Section<'_>, place: &Place, what: impl Into<String>) {
    s.problem(
        place,
        what,
        "leave it out, or for tests write it like \"http://127.0.0.1:12111\"",
    );
}

/// This machine, by its address or the name that is always its own.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

fn rates(s: &Section<'_>) -> Option<Rates> {
    let bounds = within(
        Credits::MICRO,
        Credits::MAX,
        "to take no money in a currency, leave it out",
    );
    let Placed {
        value: entries,
        place,
    } = s.amounts("credits_per_unit", RATES, CURRENCIES_MAX, bounds)?;
    let written = entries.len();
    if written == 0 {
        s.problem(
            &place,
            "lists no currency",
            "give at least one: credits_per_unit = { usd = 1 }",
        );
    }
    let rates: Vec<(Currency, Rate)> = entries
        .into_iter()
        .filter_map(|(name, amount)| {
            let currency = currency(s, &name);
            Some((currency?, Rate::new(amount?)?))
        })
        .collect();
    (rates.len() == written && written > 0).then(|| rates.into_iter().collect())
}

/// Three lower-case letters, or a problem.
pub(in crate::config) fn currency(s: &Section<'_>, text: &Placed<String>) -> Option<Currency> {
    let read = text.value.parse::<Currency>();
    if let Err(error) = read {
        let what = format!("{:?} is no currency", text.value);
        s.problem(&text.place, what, error.to_string());
    }
    read.ok()
}

fn account(s: &Section<'_>) -> Option<Arc<str>> {
    let text = s.text("account", ACCOUNT)?;
    let good = text.value.strip_prefix("acct_").is_some_and(|rest| {
        (1..=64).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric())
    });
    if !good {
        s.problem(
            &text.place,
            format!("{:?} is no account at Stripe", text.value),
            "take the id that Stripe's dashboard shows; it begins with acct_",
        );
    }
    good.then(|| text.value.into())
}

fn account_metadata(s: &Section<'_>) -> Option<Arc<str>> {
    let text = s.text_or("account_metadata", KEY, METADATA);
    if !s.has("account_metadata") {
        return Some(METADATA.into());
    }
    let text = text?;
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let good = text.value.len() <= METADATA_KEY_MAX && text.value.bytes().all(fits);
    if !good {
        s.problem(
            &text.place,
            format!("{:?} is no key for metadata", text.value),
            "use 1 to 40 letters, digits and `-_.`",
        );
    }
    good.then(|| text.value.into())
}
