//! The fields that each kind of object has, from the fixtures.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

const OBJECTS: &str = include_str!("../../../fixtures/stripe/objects.json");
const EVENTS: &str = include_str!("../../../fixtures/stripe/events.json");

/// What objects look like.
#[derive(Debug)]
pub(crate) struct Shapes {
    blanks: BTreeMap<String, Map<String, Value>>,
    told: BTreeMap<String, BTreeSet<String>>,
}

impl Shapes {
    /// Reads the fixtures.
    pub(crate) fn load() -> Shapes {
        let objects: Value = serde_json::from_str(OBJECTS).expect("the objects are JSON");
        let mut blanks = BTreeMap::new();
        for (kind, object) in objects["resources"].as_object().expect("resources") {
            blanks.insert(kind.clone(), blank(object));
        }
        let mut told = BTreeMap::new();
        for event in event_fixtures() {
            let object = &event["data"]["object"];
            let Some(kind) = object["object"].as_str() else {
                continue;
            };
            let fields = object.as_object().expect("an object");
            told.insert(kind.to_owned(), fields.keys().cloned().collect());
            let whole = blanks.entry(kind.to_owned()).or_default();
            for (name, value) in blank(object) {
                whole.entry(name).or_insert(value);
            }
        }
        Shapes { blanks, told }
    }

    /// An object of this kind: all its fields, with nothing in them.
    pub(crate) fn blank(&self, kind: &str) -> Map<String, Value> {
        let mut blank = self
            .blanks
            .get(kind)
            .unwrap_or_else(|| panic!("no shape of a {kind}"))
            .clone();
        blank.insert("object".into(), kind.into());
        for (field, value) in [("livemode", Value::Bool(false)), ("metadata", Map::new().into())] {
            if let Some(own) = blank.get_mut(field) {
                *own = value;
            }
        }
        blank
    }

    /// The object with just those fields that the event fixtures of its kind have.
    pub(crate) fn told(&self, object: &Value) -> Value {
        let kind = object["object"].as_str().expect("an object");
        let Some(names) = self.told.get(kind) else {
            return object.clone();
        };
        let fields = object.as_object().expect("an object");
        let told = fields.iter().filter(|(name, _)| names.contains(*name));
        told.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// The bodies of all event fixtures.
pub(crate) fn event_fixtures() -> Vec<Value> {
    let events: Value = serde_json::from_str(EVENTS).expect("the events are JSON");
    let events = events["events"].as_array().expect("events");
    events.iter().map(|event| event["payload"].clone()).collect()
}

fn blank(object: &Value) -> Map<String, Value> {
    let fields = object.as_object().expect("an object").iter();
    let empty = |value: &Value| match value {
        Value::Array(_) => Value::Array(Vec::new()),
        _ => Value::Null,
    };
    fields.map(|(name, value)| (name.clone(), empty(value))).collect()
}
