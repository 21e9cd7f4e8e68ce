//! The log of events, and what of it is told when.

use serde_json::{Map, Value, json};

use super::{API_VERSION, Reply, World};
use crate::stripe::fake::error::ApiError;

/// An event in the log.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    /// `invoice.paid`, say.
    pub(crate) kind: String,
    /// Unix seconds.
    pub(crate) created: i64,
    /// As it is sent, save for `pending_webhooks`.
    pub(crate) payload: Value,
    /// Some endpoint has said 2xx to it.
    pub(crate) delivered: bool,
    /// It is no longer sent by itself: delivered, lost, or taken by a test.
    pub(crate) gone: bool,
}

/// A thin event in its own log.
#[derive(Clone, Debug)]
pub(crate) struct ThinEvent {
    pub(crate) id: String,
    pub(crate) kind: String,
    /// What the webhook carries.
    pub(crate) notification: Value,
    /// What a GET gives.
    pub(crate) full: Value,
    pub(crate) delivered: bool,
    pub(crate) gone: bool,
}

/// Events that never come to be.
#[derive(Clone, Debug)]
pub(super) struct Never {
    kind: String,
    left: usize,
}

/// How long `GET /v1/events` knows an event.
const EVENT_DAYS: i64 = 30;

impl World {
    /// All snapshot events ever, oldest first.
    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    /// All thin events ever, oldest first.
    pub(crate) fn thin_events(&self) -> &[ThinEvent] {
        &self.thin
    }

    /// All snapshot events of this type.
    pub(crate) fn events_of(&self, kind: &str) -> Vec<&Event> {
        self.events.iter().filter(|event| event.kind == kind).collect()
    }

    /// The next `count` events of this type never come to be: neither sent nor in any list (R13).
    pub(crate) fn never_generate(&mut self, kind: &str, count: usize) {
        let kind = kind.to_owned();
        self.never.push(Never { kind, left: count });
    }

    /// Outside: Stripe tells that it could not generate some events (R13), and not which.
    pub(crate) fn tell_of_lost_events(&mut self) {
        let kind = "v2.core.health.event_generation_failure.resolved";
        self.tell_thin(
            kind,
            Value::Null,
            json!({"data": {"resolved_at": rfc3339(self.now)}}),
        );
    }

    pub(in crate::stripe::fake) fn events_mut(&mut self) -> &mut Vec<Event> {
        &mut self.events
    }

    pub(in crate::stripe::fake) fn thin_mut(&mut self) -> &mut Vec<ThinEvent> {
        &mut self.thin
    }

    /// Writes an event about this object as it is now.
    pub(super) fn tell(&mut self, kind: &str, object: &Value, before: Option<Map<String, Value>>) {
        let never = self
            .never
            .iter_mut()
            .find(|never| never.kind == kind && never.left > 0);
        if let Some(never) = never {
            never.left -= 1;
            return;
        }
        let mut data = json!({"object": if self.quirks.events_are_full {
            object.clone()
        } else {
            self.shapes.told(object)
        }});
        if let Some(before) = before
            && shows_previous(kind)
        {
            data["previous_attributes"] = before.into();
        }
        let id = self.new_id("evt");
        let payload = json!({
            "id": id, "object": "event", "api_version": API_VERSION, "created": self.now, "data": data,
            "livemode": false, "pending_webhooks": 1, "type": kind,
            "request": {"id": self.asked.id, "idempotency_key": self.asked.idempotency_key},
        });
        let created = self.now;
        self.events.push(Event {
            id: id.clone(),
            kind: kind.to_owned(),
            created,
            payload,
            delivered: false,
            gone: false,
        });
        if self.quirks.thin_twins && kind.starts_with("billing.") {
            let related = related(object);
            self.tell_thin(
                &format!("v1.{kind}"),
                related,
                json!({"snapshot_event": id, "changes": null}),
            );
        }
    }

    /// Writes a thin event; `more` is what only a GET shows.
    pub(super) fn tell_thin(&mut self, kind: &str, related: Value, more: Value) {
        let id = self.new_id("evt_thin");
        let notification = json!({
            "id": id, "object": "v2.core.event", "type": kind, "created": rfc3339(self.now),
            "livemode": false, "context": null, "reason": null, "related_object": related,
        });
        let mut full = notification.clone();
        for (name, value) in more.as_object().into_iter().flatten() {
            full[name.as_str()] = value.clone();
        }
        let kind = kind.to_owned();
        self.thin.push(ThinEvent {
            id,
            kind,
            notification,
            full,
            delivered: false,
            gone: false,
        });
    }

    /// `GET /v1/events`.
    pub(crate) fn list_events(&self, asked: &Value) -> Reply {
        let kinds = asked["types"].as_array();
        if kinds.is_some_and(|kinds| kinds.len() > 20) {
            return Err(ApiError::invalid("At most 20 types").param("types"));
        }
        if kinds.is_some() && !asked["type"].is_null() {
            return Err(ApiError::invalid("Give type or types, not both").param("types"));
        }
        let wanted = |event: &&Event| {
            let kind = Value::from(event.kind.as_str());
            event.created >= self.now - EVENT_DAYS * 86_400
                && kinds.is_none_or(|kinds| kinds.iter().any(|wanted| matches(wanted, &event.kind)))
                && (asked["type"].is_null() || matches(&asked["type"], &event.kind) || asked["type"] == kind)
                && super::lists::in_time(&asked["created"], event.created)
                && asked["delivery_success"]
                    .as_bool()
                    .is_none_or(|success| event.delivered == success)
        };
        let newest_first = self.events.iter().rev().filter(wanted);
        super::lists::page(newest_first.map(shown).collect(), asked, "/v1/events")
    }

    /// `GET /v1/events/{id}`.
    pub(crate) fn get_event(&self, id: &str) -> Reply {
        let found = self.events.iter().find(|event| event.id == id);
        found.map(shown).ok_or_else(|| ApiError::missing("event", id))
    }

    /// `GET /v2/core/events/{id}`.
    pub(crate) fn get_thin_event(&self, id: &str) -> Reply {
        let found = self.thin.iter().find(|event| event.id == id);
        found
            .map(|event| event.full.clone())
            .ok_or_else(|| ApiError::missing("v2.core.event", id).code("not_found"))
    }

    /// `GET /v2/core/events`, in one page.
    pub(crate) fn list_thin_events(&self, asked: &Value) -> Reply {
        let wanted = |event: &&ThinEvent| {
            let about = &event.full["related_object"]["id"];
            let kinds = asked["types"].as_array();
            (asked["object_id"].is_null() || asked["object_id"] == *about)
                && kinds.is_none_or(|kinds| kinds.iter().any(|kind| *kind == event.kind))
        };
        let found: Vec<&Value> = self
            .thin
            .iter()
            .rev()
            .filter(wanted)
            .map(|event| &event.full)
            .collect();
        Ok(json!({"data": found, "next_page_url": null, "previous_page_url": null}))
    }
}

fn shown(event: &Event) -> Value {
    let mut payload = event.payload.clone();
    payload["pending_webhooks"] = i64::from(!event.delivered).into();
    payload
}

fn matches(wanted: &Value, kind: &str) -> bool {
    let wanted = wanted.as_str().unwrap_or_default();
    match wanted.strip_suffix('*') {
        Some(begin) => kind.starts_with(begin),
        None => wanted == kind,
    }
}

/// Whether events of this type say what was there before.
fn shows_previous(kind: &str) -> bool {
    const ALSO: [&str; 6] = [
        "charge.refunded",
        "charge.dispute.closed",
        "customer.subscription.paused",
        "customer.subscription.resumed",
        "payment_method.automatically_updated",
        "payment_method.detached",
    ];
    kind.ends_with(".updated") || ALSO.contains(&kind)
}

/// What a thin event says of its object.
pub(super) fn related(object: &Value) -> Value {
    let kind = object["object"].as_str().unwrap_or_default();
    let id = object["id"].as_str().unwrap_or_default();
    json!({"id": id, "type": kind, "url": format!("/v1/{}s/{id}", kind.replace('.', "/"))})
}

/// Unix seconds as `2026-11-18T13:46:42.000Z`.
pub(super) fn rfc3339(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds).expect("a time this side of the year 9999");
    time.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}
