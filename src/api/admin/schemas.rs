//! What answers look like, for the OpenAPI document: the forms of [`crate::api::dto`]. A test holds each against real answers.

use serde_json::{Map, Value, json};

/// All of them, by name.
pub(super) fn all() -> Value {
    json!({
        "Problem": problem(),
        "Limits": limits(),
        "Account": account(),
        "Grant": grant(),
        "DryRun": object(&[("dry_run", boolean()), ("amount", string()), ("account", reference("Account"))]),
        "Accounts": page("items", &string()),
        "Grants": page("items", &reference("Grant")),
        "Keys": page("items", &reference("Key")),
        "Key": key(),
        "NewKey": new_key(),
        "Entry": entry(),
        "Entries": page("entries", &reference("Entry")),
        "Report": object(&[
            ("ok", boolean()), ("accounts", integer()), ("entries", integer()), ("differences", list(&string())),
        ]),
        "Checkout": object(&[
            ("id", string()), ("url", string()), ("pack", string()), ("credits", string()), ("price", string()),
            ("currency", string()), ("expires_at", string()),
        ]),
        "TopUp": top_up(),
        "Verification": verification(),
        "VerifyPage": object(&[
            ("id", string()), ("url", string()), ("by", string()), ("opens", string()), ("expires_at", string()),
        ]),
        "SyncReport": sync_report(),
        "ParkedList": page("items", &object(&[("what", string()), ("why", string()), ("since", string())])),
        "Replayed": page("items", &object(&[
            ("id", or_null("string")), ("kind", or_null("string")), ("result", string()), ("why", or_null("string")),
        ])),
        "Dismissed": object(&[("what", string()), ("dismissed", boolean())]),
        "Done": object(&[("done", string())]),
        "Reloaded": object(&[("reloaded", boolean()), ("changes", list(&string()))]),
    })
}

/// A reference to one of them.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn string() -> Value {
    json!({ "type": "string" })
}

fn integer() -> Value {
    json!({ "type": "integer" })
}

fn boolean() -> Value {
    json!({ "type": "boolean" })
}

fn or_null(kind: &str) -> Value {
    json!({ "type": [kind, "null"] })
}

fn list(of: &Value) -> Value {
    json!({ "type": "array", "items": of })
}

/// An object that has these members and no others.
fn object(members: &[(&str, Value)]) -> Value {
    let names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
    let properties: Map<String, Value> = members
        .iter()
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    json!({ "type": "object", "properties": properties, "required": names, "additionalProperties": false })
}

/// A part of a list; `next` is the cursor of the next one.
fn page(name: &str, of: &Value) -> Value {
    object(&[(name, list(of)), ("next", or_null("string"))])
}

/// `problems` is there where several things were wrong.
fn problem() -> Value {
    let mut schema = object(&[
        ("type", string()),
        ("title", string()),
        ("status", integer()),
        ("code", string()),
        ("detail", string()),
    ]);
    schema["properties"]["problems"] = list(&string());
    schema
}

/// Answers have all of them; in a body, one that is left out is no cap.
fn limits() -> Value {
    let mut schema = object(&[
        ("requests_per_minute", or_null("integer")),
        ("tokens_per_minute", or_null("integer")),
        ("concurrent", or_null("integer")),
        ("spend_per_day", or_null("string")),
        ("spend_per_month", or_null("string")),
    ]);
    schema["required"] = json!([]);
    schema
}

fn account() -> Value {
    let below_floor = object(&[("overrun", string()), ("late", string()), ("clawback", string())]);
    object(&[
        ("id", string()),
        ("status", string()),
        ("reasons", list(&string())),
        ("plan", or_null("string")),
        ("available", string()),
        ("held", string()),
        ("spent", string()),
        ("granted", string()),
        ("expired", string()),
        ("voided", string()),
        ("open_holds", integer()),
        ("below_floor", below_floor),
        ("limits", reference("Limits")),
        ("grants", list(&reference("Grant"))),
        ("created_at", string()),
        ("as_of", string()),
    ])
}

fn grant() -> Value {
    object(&[
        ("id", string()),
        ("state", string()),
        ("amount", string()),
        ("remaining", string()),
        ("drawn", string()),
        ("expired", string()),
        ("voided", string()),
        ("category", string()),
        ("priority", integer()),
        ("effective_at", string()),
        ("expires_at", or_null("string")),
        ("voided_at", or_null("string")),
        ("note", or_null("string")),
    ])
}

fn key() -> Value {
    object(&[
        ("id", string()),
        ("name", or_null("string")),
        ("status", string()),
        ("created_at", string()),
        ("expires_at", or_null("string")),
        ("revoked_at", or_null("string")),
        ("limits", reference("Limits")),
    ])
}

/// `key` is there when it was made here, and not when it was imported.
fn new_key() -> Value {
    let mut schema = object(&[("id", string()), ("account", string()), ("key", string())]);
    schema["required"] = json!(["id", "account"]);
    schema
}

fn verification() -> Value {
    object(&[
        ("status", string()),
        ("message", string()),
        ("plan", or_null("string")),
        ("opens", or_null("string")),
        ("by", or_null("string")),
    ])
}

fn top_up() -> Value {
    let charge = object(&[
        ("at", string()),
        ("price", string()),
        ("currency", string()),
        ("credits", string()),
        ("paid", boolean()),
    ]);
    let trouble = object(&[
        ("why", string()),
        ("message", string()),
        ("again_at", or_null("string")),
    ]);
    let trouble = json!({ "anyOf": [trouble, { "type": "null" }] });
    object(&[
        ("on", boolean()),
        ("pack", or_null("string")),
        ("below", or_null("string")),
        ("per_month", or_null("string")),
        ("charges", list(&charge)),
        ("charges_per_day", integer()),
        ("charges_per_month", integer()),
        ("trouble", trouble),
    ])
}

/// Sums are in minor units of their currency.
fn sync_report() -> Value {
    let drift = object(&[
        ("customer", string()),
        ("accounts", list(&string())),
        ("currency", string()),
        ("stripe", integer()),
        ("expected", integer()),
        ("drift", integer()),
    ]);
    object(&[
        ("ok", boolean()),
        ("mode", string()),
        ("events", integer()),
        ("events_new", integer()),
        ("objects", integer()),
        ("customers", integer()),
        ("gone", integer()),
        ("differing", integer()),
        ("drift", list(&drift)),
        ("differences", list(&string())),
        ("problems", list(&string())),
        ("parked", integer()),
        ("complete", boolean()),
    ])
}

/// With more members, as they apply: `actor`, `cause`, `route`, `usage`, `price`, `key`, `grant`, ...
fn entry() -> Value {
    let mut schema = object(&[
        ("seq", integer()),
        ("number", integer()),
        ("time", string()),
        ("account", string()),
        ("kind", string()),
        ("subject", string()),
        ("amount", string()),
        ("held", string()),
        ("available", string()),
    ]);
    schema["additionalProperties"] = json!(true);
    for name in ["actor", "cause", "route"] {
        schema["properties"][name] = string();
    }
    schema
}
