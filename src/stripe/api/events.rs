//! Events that were missed, and where they are sent.

use super::{BadCall, Call, Form, listing};

/// The most types of events that can be asked for at once.
pub const TYPES_MAX: usize = 20;

/// Which events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EventQuery<'a> {
    /// Of these types, [`TYPES_MAX`] at most; none for all.
    pub types: &'a [&'a str],
    /// That happened then or later; Stripe keeps them for 30 days.
    pub since: Option<i64>,
    /// Only those that no endpoint has taken.
    pub undelivered: bool,
}

/// `GET /v1/events`, newest first. To read on from one that is known, give the call to `client::list_newer`.
///
/// # Errors
/// Too many types.
pub fn list_events(query: &EventQuery<'_>) -> Result<Call, BadCall> {
    if query.types.len() > TYPES_MAX {
        return Err(BadCall::Refused {
            what: "types",
            found: query.types.len().to_string(),
            wanted: "20 at most: ask several times",
        });
    }
    let form = listing()
        .list("types", query.types)
        .maybe("created[gte]", query.since)
        .maybe("delivery_success", query.undelivered.then_some(false));
    Call::get(&["v1", "events"], form)
}

/// `GET /v1/events/{id}`.
///
/// # Errors
/// The id is none.
pub fn get_event(event: &str) -> Result<Call, BadCall> {
    Call::get(&["v1", "events", event], Form::new())
}

/// `GET /v2/core/events/{id}`: a thin event with its `data`, `changes`, and the id of its twin.
///
/// # Errors
/// The id is none.
pub fn get_thin_event(event: &str) -> Result<Call, BadCall> {
    Call::get(&["v2", "core", "events", event], Form::new())
}

/// `GET /v1/webhook_endpoints`: where events are sent to, which, and rendered by which version. Not the secrets.
///
/// # Errors
/// None that its arguments could cause.
pub fn list_webhook_endpoints() -> Result<Call, BadCall> {
    Call::get(&["v1", "webhook_endpoints"], listing())
}
