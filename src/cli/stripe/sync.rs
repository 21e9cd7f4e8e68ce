//! `faregate stripe sync`, `parked`, `dismiss` and `replay`: clients of the admin API.

use std::path::Path;

use serde_json::{Value, json};

use crate::cli::Failure;
use crate::cli::client::Client;
use crate::cli::output::{Output, cell, rows, table};

/// What the admin listener takes of events at a time, in bytes; its bodies have at most 256 KiB.
const BATCH_BYTES: usize = 200 << 10;

/// And how many.
const BATCH: usize = 100;

/// `faregate stripe parked`.
pub(super) fn parked(client: &Client, output: &Output, limit: usize) -> Result<(), Failure> {
    let parked = client.list("/admin/v1/stripe/parked", "items", limit)?;
    output.say(&parked, |parked| {
        table(
            &["WHAT", "SINCE", "WHY"],
            &rows(&parked["items"], &["what", "since", "why"]),
        )
    });
    Ok(())
}

/// `faregate stripe dismiss`.
pub(super) fn dismiss(client: &Client, output: &Output, what: &str) -> Result<(), Failure> {
    let answer = client.post("/admin/v1/stripe/dismiss", &json!({ "what": what }))?;
    if answer["dismissed"] != true {
        return Err(Failure::Failed(format!(
            "{what} is not parked: `faregate stripe parked` lists what is"
        )));
    }
    output.say(&answer, |_| format!("{what} is waited for no more\n"));
    Ok(())
}

/// `faregate stripe sync`.
pub(super) fn sync(client: &Client, output: &Output) -> Result<(), Failure> {
    let report = client.post("/admin/v1/stripe/sync", &json!({}))?;
    output.say(&report, people);
    if report["ok"].as_bool() == Some(true) {
        return Ok(());
    }
    Err(Failure::Failed(
        "not all is as it is at Stripe; see docs/stripe.md".to_owned(),
    ))
}

fn people(report: &Value) -> String {
    let mut text = format!(
        "{} events ({} new), {} objects, {} customers\n",
        cell(report, "events"),
        cell(report, "events_new"),
        cell(report, "objects"),
        cell(report, "customers"),
    );
    if report["complete"].as_bool() == Some(false) {
        text.push_str("not all was looked at; the next run goes on\n");
    }
    let members = ["customer", "accounts", "currency", "stripe", "expected", "drift"];
    let drift = rows(&report["drift"], &members);
    if drift.is_empty() {
        text.push_str("no drift\n");
    } else {
        let head = ["CUSTOMER", "ACCOUNTS", "CURRENCY", "STRIPE", "EXPECTED", "DRIFT"];
        text.push_str(&table(&head, &drift));
    }
    for list in ["differences", "problems"] {
        for line in report[list].as_array().into_iter().flatten() {
            text.push_str(line.as_str().unwrap_or_default());
            text.push('\n');
        }
    }
    if report["parked"] != 0 {
        let parked = cell(report, "parked");
        text.push_str(&format!("{parked} parked: `faregate stripe parked` says why\n"));
    }
    text
}

/// `faregate stripe replay`.
pub(super) fn replay(client: &Client, output: &Output, file: &Path) -> Result<(), Failure> {
    let wrong = |why: String| Failure::Failed(format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let events = events(&text).map_err(wrong)?;
    let mut all = Vec::with_capacity(events.len());
    for batch in batches(events) {
        let mut answer = client.post("/admin/v1/stripe/replay", &json!({ "events": batch }))?;
        if let Value::Array(items) = answer["items"].take() {
            all.extend(items);
        }
    }
    let bad = all
        .iter()
        .filter(|item| matches!(item["result"].as_str(), Some("parked" | "failed" | "unreadable")))
        .count();
    output.say(&json!({ "items": all }), |all| {
        table(
            &["EVENT", "TYPE", "RESULT", "WHY"],
            &rows(&all["items"], &["id", "kind", "result", "why"]),
        )
    });
    if bad == 0 {
        return Ok(());
    }
    Err(Failure::Failed(format!("{bad} events could not be used")))
}

/// The events of a file, in whichever of the three forms.
fn events(text: &str) -> Result<Vec<Value>, String> {
    match serde_json::from_str(text) {
        Ok(Value::Array(events)) => return Ok(events),
        Ok(Value::Object(mut one)) => {
            return Ok(match one.remove("data") {
                Some(Value::Array(events)) => events,
                Some(data) => {
                    one.insert("data".to_owned(), data);
                    vec![one.into()]
                }
                None => vec![one.into()],
            });
        }
        _ => {}
    }
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(at, line)| serde_json::from_str(line).map_err(|error| format!("line {}: {error}", at + 1)))
        .collect()
}

/// As many at a time as one call takes.
fn batches(events: Vec<Value>) -> Vec<Vec<Value>> {
    let mut batches: Vec<Vec<Value>> = Vec::new();
    let mut bytes = 0;
    for event in events {
        let size = event.to_string().len();
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH && bytes + size <= BATCH_BYTES => {
                bytes += size;
                batch.push(event);
            }
            _ => {
                bytes = size;
                batches.push(vec![event]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_events_has_one_of_three_forms() {
        let both = [json!({"id": "evt_1"}), json!({"id": "evt_2"})];
        for text in [
            r#"[{"id":"evt_1"},{"id":"evt_2"}]"#,
            "{\"id\":\"evt_1\"}\n\n{\"id\":\"evt_2\"}\n",
            r#"{"object":"list","data":[{"id":"evt_1"},{"id":"evt_2"}],"has_more":false}"#,
        ] {
            assert_eq!(events(text).unwrap(), both, "{text}");
        }
        let one = r#"{"id":"evt_1","data":{"object":{}}}"#;
        assert_eq!(
            events(one).unwrap(),
            [json!({"id": "evt_1", "data": {"object": {}}})]
        );
        assert_eq!(events("").unwrap(), [json!(null); 0]);
        assert!(events("{\"id\":1}\nnone").unwrap_err().starts_with("line 2"));
    }

    #[test]
    fn events_go_in_batches_that_the_listener_takes() {
        let large = json!({"x": "y".repeat(150 << 10)});
        assert_eq!(batches(vec![large.clone(), json!({}), large]).len(), 2);
        assert_eq!(batches(vec![json!({}); 250]).len(), 3);
    }
}
