//! The shipped file shows every setting with what it counts as; the schema lists the same.

use std::collections::BTreeSet;

use serde_json::{Map, Number, Value};
use toml::de::{DeTable, DeValue};

use super::*;
use crate::config::schema::{self, Declared, Default};

fn to_json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => {
            Value::from(i64::from_str_radix(number.as_str().trim_start_matches('+'), number.radix()).unwrap())
        }
        DeValue::Float(number) => Value::from(Number::from_f64(number.as_str().parse().unwrap()).unwrap()),
        DeValue::Boolean(value) => Value::from(*value),
        DeValue::Datetime(_) => panic!("no date is known"),
        DeValue::Array(items) => items.iter().map(|item| to_json(item.get_ref())).collect(),
        DeValue::Table(table) => Value::Object(table_to_json(table)),
    }
}

fn table_to_json(table: &DeTable<'_>) -> Map<String, Value> {
    let entries = table.iter();
    entries
        .map(|(key, value)| (key.get_ref().to_string(), to_json(value.get_ref())))
        .collect()
}

fn toml_to_json(text: &str) -> Value {
    Value::Object(table_to_json(DeTable::parse(text).unwrap().get_ref()))
}

/// The shipped file with what it shows switched on.
fn uncommented() -> String {
    let shows = |line: &str| {
        let rest = line.strip_prefix("# ")?;
        let name = rest.split_once(" = ").map(|(name, _)| name);
        let setting = name.is_some_and(|name| {
            name.bytes()
                .all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
        });
        (setting || rest.starts_with('[')).then(|| rest.to_owned())
    };
    SHIPPED
        .lines()
        .map(|line| shows(line).unwrap_or_else(|| line.to_owned()) + "\n")
        .collect()
}

/// The values at a path such as `upstreams.*.url` or `routes[].match`.
fn at<'v>(value: &'v Value, shape: &str) -> Vec<&'v Value> {
    let mut found = vec![value];
    for step in shape.split('.') {
        let (name, list) = step.strip_suffix("[]").map_or((step, false), |name| (name, true));
        found = found
            .into_iter()
            .flat_map(|value| match (name, value) {
                ("*", Value::Object(table)) => table.values().collect(),
                (_, Value::Object(table)) => table.get(name).into_iter().collect(),
                _ => Vec::new(),
            })
            .flat_map(|value| {
                if list {
                    value.as_array().unwrap().iter().collect()
                } else {
                    vec![value]
                }
            })
            .collect();
    }
    found
}

#[test]
fn the_shipped_file_is_the_defaults_and_needs_no_environment() {
    let shipped = parse(SHIPPED, &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()));
    let shipped = shipped.unwrap_or_else(|problems| panic!("{problems}"));
    let least = read(&with_base("")).unwrap();
    assert_eq!(shipped.server, least.server);
    assert_eq!(shipped.admin, least.admin);
    assert_eq!(shipped.ledger, least.ledger);
    assert_eq!(shipped.log, least.log);
    assert_eq!((shipped.plans.len(), shipped.default_plan), (0, None));
    let (models, other) = (&shipped.upstreams["models"], &least.upstreams["m"]);
    let same = Upstream {
        name: other.name.clone(),
        urls: other.urls.clone(),
        ..Upstream::clone(models)
    };
    assert_eq!(same, **other);
    assert!(shipped.routes.len() > 3);
}

#[test]
fn the_shipped_file_shows_every_setting_with_its_default() {
    let shown = toml_to_json(&uncommented());
    let declared = schema::declarations();
    assert!(declared.len() > 80, "{}", declared.len());
    for Declared { shape, default, .. } in &declared {
        let values = at(&shown, shape);
        assert!(!values.is_empty(), "{shape} is not in config.toml");
        let default = match default {
            None => continue,
            Some(Default::Text(text)) => Value::from(text.as_str()),
            Some(Default::Integer(number)) => Value::from(*number),
            Some(Default::Flag(flag)) => Value::from(*flag),
            Some(Default::Texts(texts)) => Value::from(texts.clone()),
        };
        // Of what comes several times, one shows another value.
        let repeated = shape.contains("[]") || shape.contains('*');
        assert!(
            repeated || values == [&default],
            "{shape} counts as {default}: {values:?}"
        );
    }
}

#[test]
fn what_the_shipped_file_shows_is_known() {
    let text = uncommented();
    let problems = read(&text).expect_err("url and urls are both shown");
    for problem in &problems.problems {
        assert_ne!(problem.what, "is no setting", "{problem}");
    }
}

#[test]
fn the_schema_in_the_repository_is_that_of_the_reader() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.schema.json");
    let expected = serde_json::to_string_pretty(&json_schema()).unwrap() + "\n";
    if std::env::var_os("FAREGATE_BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(
        found == expected,
        "run this test with FAREGATE_BLESS=1 to write config.schema.json again"
    );
    assert!(SHIPPED.starts_with("#:schema ./config.schema.json\n"));
}

#[test]
fn every_key_is_declared_once_and_explained() {
    let mut shapes = BTreeSet::new();
    for declared in schema::declarations() {
        assert!(shapes.insert(declared.shape.clone()), "{}", declared.shape);
        assert!(
            declared.doc.ends_with('.') || declared.doc.len() > 20,
            "{}",
            declared.shape
        );
    }
}

#[test]
fn good_files_fit_the_schema_and_unknown_keys_do_not() {
    let schema = json_schema();
    let mut texts: Vec<String> = folder("valid").into_iter().map(|(_, text)| text).collect();
    texts.push(SHIPPED.to_owned());
    texts.push(uncommented());
    for text in &texts {
        assert_eq!(misfit(&schema, &toml_to_json(text), ""), None, "{text}");
    }
    let mut refused = 0;
    for (path, text) in folder("invalid") {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("unknown-") || name.starts_with("integer-below") || name.starts_with("log-level")
        {
            assert!(misfit(&schema, &toml_to_json(&text), "").is_some(), "{name}");
            refused += 1;
        }
    }
    assert!(refused > 8);
}

/// What of a value does not fit a schema: the part of JSON Schema that `json_schema` uses, but for `pattern`.
fn misfit(schema: &Value, value: &Value, path: &str) -> Option<String> {
    if let Some(any) = schema.get("anyOf") {
        let fits = any
            .as_array()
            .unwrap()
            .iter()
            .any(|schema| misfit(schema, value, path).is_none());
        return (!fits).then(|| format!("{path}: fits none"));
    }
    if let Some(words) = schema.get("enum") {
        return (!words.as_array().unwrap().contains(value))
            .then(|| format!("{path}: {value} is not listed"));
    }
    let bad = |what: &str| Some(format!("{path}: {value} {what}"));
    match (schema["type"].as_str().unwrap(), value) {
        ("string", Value::String(text)) => text.is_empty().then(|| format!("{path}: empty")),
        ("boolean", Value::Bool(_)) => None,
        ("integer" | "number", Value::Number(number)) => {
            let number = number.as_f64().unwrap();
            let below = schema
                .get("minimum")
                .is_some_and(|min| number < min.as_f64().unwrap());
            let above = schema
                .get("maximum")
                .is_some_and(|max| number > max.as_f64().unwrap());
            if below || above {
                bad("is out of bounds")
            } else {
                None
            }
        }
        ("array", Value::Array(items)) => items.iter().find_map(|item| misfit(&schema["items"], item, path)),
        ("object", Value::Object(table)) => {
            let required = schema.get("required").and_then(Value::as_array);
            if let Some(name) = required.and_then(|names| {
                names
                    .iter()
                    .find(|name| !table.contains_key(name.as_str().unwrap()))
            }) {
                return bad(&format!("lacks {name}"));
            }
            table.iter().find_map(|(key, value)| {
                let path = format!("{path}.{key}");
                match (
                    schema.get("properties").and_then(|known| known.get(key)),
                    &schema["additionalProperties"],
                ) {
                    (Some(schema), _) => misfit(schema, value, &path),
                    (None, Value::Bool(false)) => Some(format!("{path} is unknown")),
                    (None, schema) => misfit(schema, value, &path),
                }
            })
        }
        _ => bad("is of another type"),
    }
}
