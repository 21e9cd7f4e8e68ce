//! Forms with brackets: `items[0][price]=p` becomes `{"items":{"0":{"price":"p"}}}`. What is a list and
//! what a number, only the schema knows.

use serde_json::{Map, Value};

use super::error::ApiError;

/// Names and values in their order.
pub(crate) fn pairs(encoded: &str) -> Vec<(String, String)> {
    form_urlencoded::parse(encoded.as_bytes()).into_owned().collect()
}

/// All pairs as one tree of strings.
pub(crate) fn tree(pairs: &[(String, String)]) -> Result<Map<String, Value>, ApiError> {
    let mut root = Map::new();
    for (name, value) in pairs {
        let steps = steps(name).ok_or_else(|| {
            ApiError::invalid(format!("The name {name:?} has brackets that do not match.")).param(name)
        })?;
        insert(&mut root, &steps, value).ok_or_else(|| {
            ApiError::invalid(format!("{name:?} is given twice, or in two forms.")).param(name)
        })?;
    }
    Ok(root)
}

fn steps(name: &str) -> Option<Vec<&str>> {
    let Some((first, rest)) = name.split_once('[') else {
        return (!name.is_empty() && !name.contains(']')).then(|| vec![name]);
    };
    let inner = rest.strip_suffix(']')?;
    let mut steps = vec![first];
    steps.extend(inner.split("]["));
    let clean = |step: &&str| !step.contains(['[', ']']);
    (!first.is_empty() && steps.iter().all(clean)).then_some(steps)
}

fn insert(at: &mut Map<String, Value>, steps: &[&str], value: &str) -> Option<()> {
    let (step, rest) = steps.split_first()?;
    // `types[]=a&types[]=b` counts for itself.
    let step = if step.is_empty() {
        at.len().to_string()
    } else {
        (*step).to_owned()
    };
    if rest.is_empty() {
        return at.insert(step, value.into()).is_none().then_some(());
    }
    let inner = at.entry(step).or_insert_with(|| Value::Object(Map::new()));
    insert(inner.as_object_mut()?, rest, value)
}
