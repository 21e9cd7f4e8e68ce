//! What an operator installs: every name in `deploy/` and in the documents exists, and the programs it is written for take it.

mod container;
mod dependencies;
mod documents;
mod metrics;
mod prometheus;
mod redis;
mod service;

use std::path::{Path, PathBuf};

use serde_json::Value;
use toml::de::{DeTable, DeValue};

/// A path from the root of the repository.
fn path(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// The text of a file of the repository.
#[track_caller]
fn text(relative: &str) -> String {
    let path = path(relative);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The text without its comments: lines that begin with `#`, and what follows ` #` in a line.
fn without_comments(text: &str) -> String {
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .map(|line| line.split(" #").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// A TOML file of the repository, as JSON: numbers and dates as the texts they are written as.
#[track_caller]
fn toml(relative: &str) -> Value {
    let text = text(relative);
    let table = DeTable::parse(&text).unwrap_or_else(|e| panic!("{relative}: {e}"));
    json(&DeValue::Table(table.into_inner()))
}

fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(value) => Value::from(*value),
        DeValue::Integer(number) => Value::from(number.as_str()),
        DeValue::Float(number) => Value::from(number.as_str()),
        DeValue::Datetime(date) => Value::from(date.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            let members = table
                .iter()
                .map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref())));
            Value::Object(members.collect())
        }
    }
}
