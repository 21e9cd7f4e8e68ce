//! Events that were missed, and where they are sent.

use super::{BadCall, Call, Form, Key, listing};

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

/// What of an endpoint is changed; what is `None` stays as it is. Its API version cannot be changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EndpointChange<'a> {
    /// All types that it gets from now on, those that it had included.
    pub events: Option<&'a [String]>,
    /// Whether anything is sent to it.
    pub enabled: Option<bool>,
}

/// `POST /v1/webhook_endpoints/{id}`. Restricted keys mostly have no right to it.
///
/// # Errors
/// The id is none.
pub fn update_webhook_endpoint(
    endpoint: &str,
    change: &EndpointChange<'_>,
    because: &str,
) -> Result<Call, BadCall> {
    let form = Form::new()
        .list("enabled_events", change.events.unwrap_or_default())
        .maybe("disabled", change.enabled.map(|enabled| !enabled));
    let key = Key::of("endpoint-update", &[endpoint, because]);
    Call::post(&["v1", "webhook_endpoints", endpoint], form, key)
}

/// `POST /v1/webhook_endpoints`: events of these types go to this address from now on, rendered by this version of the API. Only this call's answer has
/// the secret that they are signed with.
///
/// # Errors
/// None that its arguments could cause.
pub fn create_webhook_endpoint(
    url: &str,
    events: &[String],
    version: &str,
    because: &str,
) -> Result<Call, BadCall> {
    let form = Form::new()
        .put("url", url)
        .list("enabled_events", events)
        .put("api_version", version);
    let key = Key::of("endpoint", &[url, because]);
    Call::post(&["v1", "webhook_endpoints"], form, key)
}
