//! The envelope of an event: who sends what about which object. Only what decides is read; whatever else it has, now or later, does not matter.

use serde::Deserialize;
use serde_json::Value;

/// An event whose signature held.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// `evt_...`; the same for each delivery.
    pub id: String,
    /// What happened: `invoice.paid`; with `v1.` before it for a thin event.
    pub kind: String,
    /// When it happened, in seconds since the epoch. Several events may have the same.
    pub created: i64,
    /// Whether it is of live mode.
    pub livemode: bool,
    /// The account that it belongs to, where it says so (`account`, or `context` of a thin event).
    pub account: Option<String>,
    /// What it tells.
    pub body: Body,
}

/// What an event tells.
#[derive(Clone, PartialEq, Debug)]
pub enum Body {
    /// The object as it was then.
    Snapshot(Value),
    /// Which object it is about (`None` for none); the rest has to be asked for.
    Thin(Option<Related>),
}

/// The object that a thin event is about.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub struct Related {
    /// Its id.
    pub id: String,
    /// What it is: `billing.credit_grant`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Why a body is no event.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the body is no event of Stripe: {0}")]
pub struct NotAnEvent(String);

/// The longest id that is taken, in bytes; Stripe says 255 at most.
const ID_MAX: usize = 255;

/// Reads an event's body.
pub fn parse(body: &[u8]) -> Result<Event, NotAnEvent> {
    #[derive(Deserialize)]
    struct Envelope {
        id: String,
        object: String,
        #[serde(rename = "type")]
        kind: String,
        created: Created,
        livemode: bool,
        account: Option<String>,
        context: Option<String>,
        data: Option<Data>,
        related_object: Option<Value>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Created {
        Seconds(i64),
        Text(String),
    }
    #[derive(Deserialize)]
    struct Data {
        object: Option<Value>,
    }
    let envelope: Envelope = serde_json::from_slice(body).map_err(|error| NotAnEvent(error.to_string()))?;
    let wrong = |what: &str| NotAnEvent(what.to_owned());
    if envelope.id.is_empty() || envelope.id.len() > ID_MAX || envelope.kind.len() > ID_MAX {
        return Err(wrong("its id or type is empty or too long"));
    }
    let created = match envelope.created {
        Created::Seconds(seconds) => seconds,
        Created::Text(text) => text
            .parse::<jiff::Timestamp>()
            .map_err(|_| wrong("`created` is no time"))?
            .as_second(),
    };
    let body = match &*envelope.object {
        "event" => {
            let object = envelope.data.and_then(|data| data.object);
            Body::Snapshot(object.ok_or_else(|| wrong("it has no `data.object`"))?)
        }
        "v2.core.event" => Body::Thin(
            envelope
                .related_object
                .and_then(|related| serde_json::from_value(related).ok()),
        ),
        other => return Err(NotAnEvent(format!("its `object` is {other:?}"))),
    };
    Ok(Event {
        id: envelope.id,
        kind: envelope.kind,
        created,
        livemode: envelope.livemode,
        account: envelope.account.or(envelope.context),
        body,
    })
}
