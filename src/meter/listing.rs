//! Lists of models: what a customer may not use, or has no price, is taken out.

use serde_json::Value as Text;

use super::json::{Kind, Value, loose};

/// A list of models as OpenAI and Anthropic write it (`data`, each with an `id`) or Ollama (`models`, each with a `name`), with those entries only for which
/// `names` gives names: the entry as it is for its own name, and copies of it for others. `None` for what is no such list.
pub fn filtered(body: &[u8], names: impl Fn(&str) -> Vec<String>) -> Option<Vec<u8>> {
    let whole = loose(body).ok()?;
    let (list, key) = [("data", "id"), ("models", "name")]
        .into_iter()
        .find_map(|(list, key)| {
            let list = whole.get(list).filter(|list| list.kind() == Kind::Array)?;
            Some((list, key))
        })?;
    let text = std::str::from_utf8(body).ok()?;
    let mut entries = Vec::new();
    for entry in list.items() {
        let own = entry.get(key)?;
        for name in names(&own.str()?) {
            entries.push(named(entry, own, &name));
        }
    }
    let span = list.span();
    let (before, after) = (text.get(..=span.start)?, text.get(span.end - 1..)?);
    Some([before, &entries.join(","), after].concat().into_bytes())
}

/// An entry under a name.
fn named(entry: Value<'_>, own: Value<'_>, name: &str) -> String {
    let text = entry.raw();
    if own.str().is_some_and(|own| own == name) {
        return text.to_owned();
    }
    let at = own.span().start - entry.span().start;
    let (before, rest) = text.split_at(at);
    let after = rest.get(own.raw().len()..).unwrap_or_default();
    [before, &Text::from(name).to_string(), after].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(name: &str) -> Vec<String> {
        match name {
            "small" => vec!["small".to_owned(), "mini \"m\"".to_owned()],
            "large" => vec!["large".to_owned()],
            _ => Vec::new(),
        }
    }

    #[test]
    fn what_has_no_name_is_taken_out_and_the_rest_stays_as_it_was() {
        for (body, left) in [
            (
                r#"{ "object": "list", "data": [ {"id":"other"}, {"id":"large","n":[1, 2]} ], "has_more": false }"#,
                r#"{ "object": "list", "data": [{"id":"large","n":[1, 2]}], "has_more": false }"#,
            ),
            (r#"{"data":[{"id":"other"}]}"#, r#"{"data":[]}"#),
            (r#"{"data":[]}"#, r#"{"data":[]}"#),
            (
                r#"{"models":[{"name":"small","size":7}]}"#,
                r#"{"models":[{"name":"small","size":7},{"name":"mini \"m\"","size":7}]}"#,
            ),
        ] {
            let filtered = filtered(body.as_bytes(), names).unwrap();
            assert_eq!(String::from_utf8(filtered).unwrap(), left);
        }
    }

    #[test]
    fn what_is_no_list_is_not_taken_for_one() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"data":{}}"#,
            r#"{"data":[{}]}"#,
            r#"{"data":[{"id":7}]}"#,
            r#"{"data":["small"]}"#,
        ] {
            assert_eq!(filtered(body.as_bytes(), names), None, "{body}");
        }
    }
}
