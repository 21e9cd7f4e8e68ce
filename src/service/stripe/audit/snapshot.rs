//! What there is in the account at Stripe, as far as the key may see it.

use serde_json::Value;

use crate::config::stripe::Mode;
use crate::stripe::api;
use crate::stripe::call::{BadCall, Call};
use crate::stripe::client::{ApiError, Stripe, list_newest};

/// The most items of each list that are read, the newest.
pub const ITEMS_MAX: usize = 2_000;
/// The most webhook endpoints; Stripe allows 16.
const ENDPOINTS_MAX: usize = 200;
/// Characters of a text of Stripe's that are shown.
const TEXT_MAX: usize = 300;

/// What was seen, or in Stripe's words why it is not shown.
pub type Seen<T> = Result<T, String>;

/// The newest items of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// There are more, which nobody has looked at.
    pub more: bool,
}

/// What there is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The account's id.
    pub account: Seen<String>,
    /// Where events are sent.
    pub endpoints: Seen<Part<Endpoint>>,
    /// All that were not canceled.
    pub subscriptions: Seen<Part<Subscription>>,
    /// The open ones.
    pub invoices: Seen<Part<Invoice>>,
    /// The active ones; none where credits do not come from grants.
    pub meters: Option<Seen<Part<Meter>>>,
    /// What else the key has to be able to read, and whether it can.
    pub rights: Vec<(&'static str, Seen<()>)>,
}

/// A webhook endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// `we_...`
    pub id: String,
    /// Where to.
    pub url: String,
    /// Whether anything is sent.
    pub enabled: bool,
    /// Which types; `*` for all.
    pub events: Vec<String>,
    /// By which version of the API events are rendered; none: the account's.
    pub api_version: Option<String>,
}

/// A subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subscription {
    /// `sub_...`
    pub id: String,
    /// `active`, `trialing`, `past_due`, ...
    pub status: String,
    /// Its invoices are not collected.
    pub collection_paused: bool,
    /// Lower-case ISO code.
    pub currency: String,
    /// What it is for.
    pub items: Vec<Item>,
    /// It has more items, which nobody has looked at.
    pub more: bool,
}

/// An item of a subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item {
    /// `si_...`
    pub id: String,
    /// It is billed by usage.
    pub metered: bool,
    /// What counts the usage.
    pub meter: Option<String>,
    /// It is billed before its period is over, from some usage on.
    pub threshold: bool,
}

/// An open invoice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Invoice {
    /// `in_...`
    pub id: String,
    /// How often payment was tried.
    pub attempts: i64,
    /// Stripe goes on by itself.
    pub auto_advance: bool,
}

/// A meter.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Meter {
    /// `mtr_...`
    pub id: String,
    /// What its events are called.
    pub event_name: String,
    /// `sum`, `count`, `last`.
    pub formula: String,
    /// Within which only the newest event counts.
    pub window: Option<String>,
}

/// Why there is no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Stripe did not answer, or does not know the key.
    #[error("Stripe's account cannot be read: {0}")]
    Api(#[from] ApiError),
    /// A call that cannot be written.
    #[error(transparent)]
    Call(#[from] BadCall),
}

/// Asks for all of it. Nothing but reads.
///
/// # Errors
/// The key is not known, or something was not answered; what the key may not see is part of the snapshot.
pub async fn read(stripe: &dyn Stripe, mode: Mode) -> Result<Snapshot, SnapshotError> {
    let grants = mode == Mode::Grants;
    let account = seen(stripe.call(&api::get_account()?).await)?;
    let mut lists: Vec<(&'static str, &[&str])> = vec![
        ("Events", &["v1", "events"]),
        ("Payment intents", &["v1", "payment_intents"]),
    ];
    if grants {
        lists.push(("Billing credit grants", &["v1", "billing", "credit_grants"]));
    }
    let mut rights = Vec::with_capacity(lists.len());
    for (name, path) in lists {
        let answer = seen(stripe.call(&api::peek(path)?).await)?;
        rights.push((name, answer.map(|_| ())));
    }
    let endpoints = api::list_webhook_endpoints()?;
    let meters = if grants {
        Some(list(stripe, &api::list_meters()?, ITEMS_MAX, meter).await?)
    } else {
        None
    };
    Ok(Snapshot {
        account: account.map(|reply| text(&reply.body["id"])),
        endpoints: list(stripe, &endpoints, ENDPOINTS_MAX, endpoint).await?,
        subscriptions: list(
            stripe,
            &api::list_living_subscriptions()?,
            ITEMS_MAX,
            subscription,
        )
        .await?,
        invoices: list(stripe, &api::list_open_invoices()?, ITEMS_MAX, invoice).await?,
        meters,
        rights,
    })
}

async fn list<T>(
    stripe: &dyn Stripe,
    call: &Call,
    max: usize,
    read: fn(&Value) -> T,
) -> Result<Seen<Part<T>>, ApiError> {
    let answer = seen(list_newest(stripe, call, max).await)?;
    Ok(answer.map(|(items, more)| Part {
        more: more || items.len() > max,
        items: items.iter().take(max).map(read).collect(),
    }))
}

/// A refusal is something seen, unless it is of the key itself.
fn seen<T>(answer: Result<T, ApiError>) -> Result<Seen<T>, ApiError> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(ApiError::Refused(refused)) if !refused.is_key() => Ok(Err(refused.message.clone())),
        Err(error) => Err(error),
    }
}

/// On one line, not for ever.
fn text(value: &Value) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let text = value.as_str().unwrap_or_default();
    text.chars().take(TEXT_MAX).map(clean).collect()
}

fn maybe(value: &Value) -> Option<String> {
    value.is_string().then(|| text(value))
}

fn members(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn endpoint(value: &Value) -> Endpoint {
    Endpoint {
        id: text(&value["id"]),
        url: text(&value["url"]),
        enabled: value["status"] == "enabled",
        events: members(&value["enabled_events"]).map(text).collect(),
        api_version: maybe(&value["api_version"]),
    }
}

fn subscription(value: &Value) -> Subscription {
    Subscription {
        id: text(&value["id"]),
        status: text(&value["status"]),
        collection_paused: value["pause_collection"].is_object(),
        currency: text(&value["currency"]),
        items: members(&value["items"]["data"]).map(item).collect(),
        more: value["items"]["has_more"] == true,
    }
}

fn item(value: &Value) -> Item {
    let recurring = &value["price"]["recurring"];
    Item {
        id: text(&value["id"]),
        metered: recurring["usage_type"] == "metered",
        meter: maybe(&recurring["meter"]),
        threshold: value["billing_thresholds"]["usage_gte"].is_number(),
    }
}

fn invoice(value: &Value) -> Invoice {
    Invoice {
        id: text(&value["id"]),
        attempts: value["attempt_count"].as_i64().unwrap_or(0),
        auto_advance: value["auto_advance"] == true,
    }
}

fn meter(value: &Value) -> Meter {
    Meter {
        id: text(&value["id"]),
        event_name: text(&value["event_name"]),
        formula: text(&value["default_aggregation"]["formula"]),
        window: maybe(&value["event_time_window"]),
    }
}
