//! Every key there is, as the readers ask for it: the source of the JSON Schema and of suggestions.

use serde_json::{Map, Value, json};

use super::context::Context;

/// A key that a reader asks for.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    /// Where: `server.tls.cert`, `upstreams.*.url`, `routes[].match`.
    pub(super) shape: String,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What it is for, for people.
    pub(super) doc: &'static str,
    /// Its table is of no use without it.
    pub(super) required: bool,
    pub(super) default: Option<Default>,
    /// "from 1s to 5m: why".
    pub(super) bounds: Option<String>,
}

impl Declared {
    /// The shape of the table the key is in; empty for the file as a whole.
    pub(super) fn parent(&self) -> &str {
        self.shape
            .strip_suffix(self.name)
            .map_or("", |rest| rest.strip_suffix('.').unwrap_or(rest))
    }
}

/// What a key that is absent counts as.
#[derive(Clone, Debug)]
pub(super) enum Default {
    Text(String),
    Integer(u64),
    Flag(bool),
    Texts(Vec<String>),
}

/// What a value may be.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Text,
    Choice(Vec<&'static str>),
    Flag,
    Integer(u64, u64),
    Credits,
    /// Another amount.
    Decimal,
    Duration,
    Size,
    Secret,
    Texts,
    Secrets,
    SecretMap,
    /// Amounts of credits by free names.
    AmountMap,
    /// A price: a number, a word, or a table.
    Cost,
    Table,
    /// Tables by name.
    Named,
    /// A list of tables.
    Tables,
}

/// All keys, in the order they are asked for.
pub(super) fn declarations() -> Vec<Declared> {
    let cx = Context::describing();
    super::section::read_root(&cx, None, |root| {
        super::read::file(root);
    });
    cx.declared
        .map(std::cell::RefCell::into_inner)
        .unwrap_or_default()
}

/// The JSON Schema of the file, for editors: `config.schema.json`. Draft 4, which is what the usual language server for TOML reads (Taplo).
pub fn json_schema() -> Value {
    let declared = declarations();
    let mut schema = table("", &declared);
    if let Value::Object(schema) = &mut schema {
        let title = "Faregate's config.toml";
        schema.insert("$schema".into(), "http://json-schema.org/draft-04/schema#".into());
        schema.insert("title".into(), title.into());
    }
    schema
}

/// The table whose keys have the parent `shape`.
fn table(shape: &str, declared: &[Declared]) -> Value {
    let inside = declared.iter().filter(|key| key.parent() == shape);
    let properties: Map<String, Value> = inside
        .map(|key| (key.name.to_owned(), described(key, declared)))
        .collect();
    let required = declared
        .iter()
        .filter(|key| key.required && key.parent() == shape);
    let required: Vec<&str> = required.map(|key| key.name).collect();
    let mut table = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if let (Value::Object(table), false) = (&mut table, required.is_empty()) {
        table.insert("required".into(), json!(required));
    }
    table
}

fn described(key: &Declared, declared: &[Declared]) -> Value {
    let mut schema = kind(key, declared);
    let Value::Object(object) = &mut schema else {
        return schema;
    };
    let doc = match &key.bounds {
        Some(bounds) => format!("{} ({bounds})", key.doc),
        None => key.doc.to_owned(),
    };
    object.insert("description".into(), doc.into());
    let default = key.default.as_ref().map(|default| match default {
        Default::Text(text) => json!(text),
        Default::Integer(number) => json!(number),
        Default::Flag(flag) => json!(flag),
        Default::Texts(texts) => json!(texts),
    });
    object.extend(default.map(|default| ("default".to_owned(), default)));
    schema
}

fn kind(key: &Declared, declared: &[Declared]) -> Value {
    let text = json!({ "type": "string", "minLength": 1 });
    let amount = json!({ "type": "number", "minimum": 0 });
    match &key.kind {
        Kind::Text | Kind::Secret => text,
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Integer(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Credits | Kind::Decimal => amount,
        Kind::Duration => json!({ "type": "string", "pattern": "^([0-9]+(d|h|m|s|ms))+$" }),
        Kind::Size => json!({ "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB)$" }),
        Kind::Texts | Kind::Secrets => json!({ "type": "array", "items": text }),
        Kind::SecretMap => json!({ "type": "object", "additionalProperties": text }),
        Kind::AmountMap => json!({ "type": "object", "additionalProperties": amount }),
        Kind::Cost => json!({ "anyOf": [amount, { "enum": ["tokens"] }, table(&key.shape, declared)] }),
        Kind::Table => table(&key.shape, declared),
        Kind::Named => {
            json!({ "type": "object", "additionalProperties": table(&format!("{}.*", key.shape), declared) })
        }
        Kind::Tables => json!({ "type": "array", "items": table(&format!("{}[]", key.shape), declared) }),
    }
}
