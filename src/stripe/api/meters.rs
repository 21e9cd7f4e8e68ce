//! Usage, told to Stripe.

use super::{BadCall, Call, Form, Key, listing};

/// Usage of one customer within a stretch of time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MeterEvent<'a> {
    /// The meter's `event_name`, 100 characters at most.
    pub event_name: &'a str,
    /// The key under which the meter looks for the customer: `stripe_customer_id` unless it was made otherwise.
    pub customer_key: &'a str,
    /// Whose.
    pub customer: &'a str,
    /// The key under which the meter looks for the value: `value` unless it was made otherwise.
    pub value_key: &'a str,
    /// How much, in what the meter counts; below zero takes some back. 15 digits at most.
    pub value: i64,
    /// Stripe counts what bears the same one once only, within 24 hours. 100 characters at most.
    pub identifier: &'a str,
    /// When it was used: within the last 35 days, and 5 minutes ahead at most.
    pub timestamp: i64,
}

/// `POST /v1/billing/meter_events`, once per identifier. Whether it counts is found out later: what is wrong with it comes as a thin event.
///
/// One call per customer and meter at a time; others are refused with 429.
///
/// # Errors
/// A name that is longer than 100 characters, a key with a bracket, or more than 15 digits.
pub fn create_meter_event(event: &MeterEvent<'_>) -> Result<Call, BadCall> {
    let refused = |what, found: &str, wanted| {
        let found = found.chars().take(120).collect();
        Err(BadCall::Refused { what, found, wanted })
    };
    for (what, text) in [
        ("event_name", event.event_name),
        ("identifier", event.identifier),
        ("payload key", event.customer_key),
        ("payload key", event.value_key),
    ] {
        if !(1..=100).contains(&text.chars().count()) {
            return refused(what, text, "1 to 100 characters");
        }
    }
    if [event.customer_key, event.value_key]
        .iter()
        .any(|key| key.contains(['[', ']']))
    {
        return refused("payload key", event.customer_key, "without [ and ]");
    }
    if event.value.unsigned_abs() >= 1_000_000_000_000_000 {
        return refused("value", &event.value.to_string(), "15 digits at most");
    }
    let form = Form::new()
        .put("event_name", event.event_name)
        .put(format!("payload[{}]", event.customer_key), event.customer)
        .put(format!("payload[{}]", event.value_key), event.value)
        .put("identifier", event.identifier)
        .put("timestamp", event.timestamp);
    let key = Key::of("usage", &[event.identifier]);
    Call::post(&["v1", "billing", "meter_events"], form, key)
}

/// `GET /v1/billing/meters`: those that are not deactivated.
///
/// # Errors
/// None that its arguments could cause.
pub fn list_meters() -> Result<Call, BadCall> {
    Call::get(&["v1", "billing", "meters"], listing().put("status", "active"))
}

/// `GET /v1/billing/meters/{id}/event_summaries`: what the meter has counted for a customer between two times, both whole minutes. It lags behind.
///
/// # Errors
/// The id is none, or a time is no whole minute.
pub fn list_meter_summaries(meter: &str, customer: &str, from: i64, until: i64) -> Result<Call, BadCall> {
    if let Some(odd) = [from, until].into_iter().find(|time| time % 60 != 0) {
        return Err(BadCall::Refused {
            what: "time",
            found: odd.to_string(),
            wanted: "a whole minute, in seconds since the epoch",
        });
    }
    let form = listing()
        .put("customer", customer)
        .put("start_time", from)
        .put("end_time", until);
    Call::get(&["v1", "billing", "meters", meter, "event_summaries"], form)
}
