//! What Stripe knows and does, without any network: objects, a clock that tests move, and the events that
//! each change leaves. Ids are counted, so the same story gives the same ids.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::shapes::Shapes;

mod alerts;
mod charges;
mod checkout;
mod collecting;
mod customers;
mod events;
mod grants;
mod invoices;
mod lists;
mod meters;
mod payments;
mod subscriptions;
pub(crate) use charges::Complaint;
pub(crate) use collecting::{Billing, LastAction};
pub(crate) use customers::{Card, Outcome};
pub(crate) use events::{Event, ThinEvent};
pub(crate) use meters::Usage;
pub(crate) use subscriptions::MONTH;

/// The version that everything is rendered in.
pub(crate) const API_VERSION: &str = "2026-10-28.endive";

/// What an API call gives back.
pub(crate) type Reply = Result<Value, ApiError>;

/// Where the reference leaves open what Stripe does; tests try both.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quirks {
    /// The `credits_granted` transaction of a grant that begins later is written when it is made.
    pub(crate) granted_when_created: bool,
    /// A grant that reaches its end by itself emits `billing.credit_grant.updated`.
    pub(crate) natural_expiry_is_told: bool,
    /// Seconds from a grant's end to its `credits_expired` transaction.
    pub(crate) expiry_lag: i64,
    /// Seconds from a meter event's arrival to its processing.
    pub(crate) meter_lag: i64,
    /// A payment that the bank refuses in the call that made it leaves no events.
    pub(crate) rejected_create_is_silent: bool,
    /// Events carry all fields of an object, not just those of the fixtures.
    pub(crate) events_are_full: bool,
    /// Every event of the billing family has a thin twin.
    pub(crate) thin_twins: bool,
}

/// The call that makes a change, as its events name it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) id: Option<String>,
    pub(crate) idempotency_key: Option<String>,
}

/// Everything.
#[derive(Debug)]
pub(crate) struct World {
    /// Unix seconds.
    now: i64,
    /// The machine's time that was last seen, for a world that moves with it.
    machine: Option<i64>,
    /// See [`Quirks`]; may be set at any time.
    pub(crate) quirks: Quirks,
    /// See [`Billing`]; may be set at any time.
    pub(crate) billing: Billing,
    pub(super) asked: Asked,
    shapes: Shapes,
    counters: BTreeMap<String, u64>,
    objects: BTreeMap<String, Value>,
    /// Ids in the order they were made, by kind.
    order: BTreeMap<String, Vec<String>>,
    events: Vec<Event>,
    thin: Vec<ThinEvent>,
    never: Vec<events::Never>,
    outcomes: BTreeMap<String, Outcome>,
    /// By grant.
    books: BTreeMap<String, grants::Book>,
    /// What a session was made with.
    asked_for: BTreeMap<String, Value>,
    /// Meter events that nobody has looked at.
    taken: Vec<meters::Taken>,
    usage: Vec<Usage>,
    /// When each identifier came first.
    identifiers: BTreeMap<String, i64>,
    /// Alert and customer.
    alerted: BTreeSet<(String, String)>,
    /// By customer.
    entitled: BTreeMap<String, Vec<Value>>,
    /// Subscriptions whose trial's end was announced.
    noticed: BTreeSet<String>,
    /// The method that an invoice was last tried with.
    last_tried: BTreeMap<String, String>,
}

impl World {
    /// An empty account, at this time (Unix seconds).
    pub(crate) fn new(now: i64) -> World {
        World {
            now,
            machine: None,
            quirks: Quirks::default(),
            asked: Asked::default(),
            shapes: Shapes::load(),
            counters: BTreeMap::new(),
            objects: BTreeMap::new(),
            order: BTreeMap::new(),
            events: Vec::new(),
            thin: Vec::new(),
            never: Vec::new(),
            outcomes: BTreeMap::new(),
            books: BTreeMap::new(),
            asked_for: BTreeMap::new(),
            taken: Vec::new(),
            usage: Vec::new(),
            identifiers: BTreeMap::new(),
            alerted: BTreeSet::new(),
            entitled: BTreeMap::new(),
            noticed: BTreeSet::new(),
            last_tried: BTreeMap::new(),
            billing: Billing::default(),
        }
    }

    /// The time, in Unix seconds.
    pub(crate) fn now(&self) -> i64 {
        self.now
    }

    /// Moves the clock on, and does what falls due on the way, each thing at its own time.
    pub(crate) fn advance(&mut self, seconds: i64) {
        assert!(seconds >= 0, "time does not run backwards");
        let end = self.now + seconds;
        while let Some(due) = self.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.run_due();
        }
        self.now = end;
    }

    /// Moves the clock to this time.
    pub(crate) fn advance_to(&mut self, to: i64) {
        self.advance(to - self.now);
    }

    /// Lets as much time pass as has on the machine since this was last said; what tests add stays added.
    pub(in crate::stripe::fake) fn keep_pace(&mut self, machine: i64) {
        let seen = self.machine.replace(machine).unwrap_or(machine);
        if machine > seen {
            self.advance(machine - seen);
        }
    }

    fn next_due(&self) -> Option<i64> {
        let due = [
            self.meters_due(),
            self.sessions_due(),
            self.subscriptions_due(),
            self.grants_due(),
            self.drafts_due(),
            self.tries_due(),
        ];
        due.into_iter().flatten().min()
    }

    fn run_due(&mut self) {
        self.process_meter_events();
        self.run_sessions_due();
        self.run_subscriptions_due();
        self.run_grants_due();
        self.run_drafts_due();
        self.run_tries_due();
    }

    /// The next id with this prefix.
    pub(crate) fn new_id(&mut self, prefix: &str) -> String {
        let counter = self.counters.entry(prefix.to_owned()).or_default();
        *counter += 1;
        format!("{prefix}_fake{counter:06}")
    }

    /// An object with all fields of its kind, an id, and its time.
    fn blank(&mut self, kind: &str, prefix: &str, fields: Value) -> Value {
        let mut object = self.shapes.blank(kind);
        object.insert("id".into(), self.new_id(prefix).into());
        if let Some(created) = object.get_mut("created") {
            *created = self.now.into();
        }
        let Value::Object(fields) = fields else {
            panic!("fields of a {kind}: {fields}")
        };
        object.extend(fields);
        object.into()
    }

    /// Keeps a new object, and gives it back.
    fn keep(&mut self, object: Value) -> Value {
        let (kind, id) = (text(&object, "object"), text(&object, "id"));
        self.order.entry(kind).or_default().push(id.clone());
        self.objects.insert(id, object.clone());
        object
    }

    /// Keeps a new object, tells of it, and gives it back.
    fn keep_and_tell(&mut self, object: Value, event: &str) -> Value {
        let object = self.keep(object);
        self.tell(event, &object, None);
        object
    }

    /// The object of this kind, or 404.
    pub(crate) fn find(&self, kind: &str, id: &str) -> Reply {
        let found = self.objects.get(id).filter(|object| object["object"] == kind);
        found.cloned().ok_or_else(|| ApiError::missing(kind, id))
    }

    /// The object of this id; panics when there is none.
    #[track_caller]
    pub(crate) fn object(&self, id: &str) -> &Value {
        self.objects.get(id).unwrap_or_else(|| panic!("no object {id}"))
    }

    /// All objects of a kind, oldest first.
    pub(crate) fn all(&self, kind: &str) -> impl DoubleEndedIterator<Item = &Value> {
        let ids = self.order.get(kind).into_iter().flatten();
        ids.filter_map(|id| self.objects.get(id))
    }

    /// All objects of a kind whose `field` is this, oldest first.
    pub(crate) fn with(&self, kind: &str, field: &str, value: &str) -> Vec<Value> {
        let found = self.all(kind).filter(|object| object[field] == value);
        found.cloned().collect()
    }

    /// Sets fields without telling anybody. Gives back what was there before, where it differs.
    fn set(&mut self, id: &str, fields: Value) -> Map<String, Value> {
        let Value::Object(fields) = fields else {
            panic!("fields for {id}: {fields}")
        };
        let object = self.objects.get_mut(id).and_then(Value::as_object_mut);
        let object = object.unwrap_or_else(|| panic!("no object {id}"));
        let mut before = Map::new();
        for (name, value) in fields {
            let old = object.insert(name.clone(), value.clone()).unwrap_or_default();
            if let Some(old) = difference(&old, &value) {
                before.insert(name, old);
            }
        }
        before
    }

    /// Sets fields and tells of it under this name; gives back the object.
    fn change(&mut self, id: &str, fields: Value, event: &str) -> Value {
        let before = self.set(id, fields);
        let object = self.object(id).clone();
        self.tell(event, &object, Some(before));
        object
    }

    /// Outside: tells of an object as it is, under any name; for what the fake does not do by itself.
    pub(crate) fn tell_of(&mut self, id: &str, event: &str) {
        let object = self.object(id).clone();
        self.tell(event, &object, None);
    }

    /// Metadata after an update: given keys replace, empty values remove, the empty string removes all.
    fn merged_metadata(&self, id: &str, given: &Value) -> Value {
        let Some(given) = given.as_object() else {
            return json!({});
        };
        let mut merged = self.object(id)["metadata"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        for (key, value) in given {
            if value == "" {
                merged.remove(key);
            } else {
                merged.insert(key.clone(), value.clone());
            }
        }
        merged.into()
    }
}

/// A field that has to be text.
#[track_caller]
pub(crate) fn text(object: &Value, field: &str) -> String {
    let found = object[field].as_str();
    found
        .unwrap_or_else(|| panic!("{field} is no text: {object}"))
        .to_owned()
}

/// What was there before, where it differs; inside of objects, field by field.
fn difference(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(old_fields), Value::Object(new_fields)) = (old, new) else {
        return Some(old.clone());
    };
    let names = old_fields.keys().chain(new_fields.keys());
    let inner = names.filter_map(|name| {
        let (old, new) = (&old[name.as_str()], &new[name.as_str()]);
        Some((name.clone(), difference(old, new)?))
    });
    Some(inner.collect())
}
