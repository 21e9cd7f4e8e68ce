//! An answer's bytes: events laid out in every way that is allowed, compressed or not.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzDecoder, GzEncoder};
use serde_json::Value;

use super::chance::Chance;
use super::plan::{Api, Plan};

/// By this member a client sees which events have come.
pub(super) const MARK: &str = "\"~seq\":";

/// The bytes of an event.
pub(super) fn event(plan: &Plan, chance: &mut Chance, number: usize, said: &Value) -> Vec<u8> {
    let mut said = said.clone();
    let done = said.as_str().map(str::to_owned);
    if let Some(members) = said.as_object_mut() {
        // The last of all names, so that what is marked is whole.
        members.insert("~seq".to_owned(), number.into());
    }
    if plan.api.is_ollama() {
        return format!("{said}\n").into_bytes();
    }
    let end = if plan.layout.crlf { "\r\n" } else { "\n" };
    let mut text = String::new();
    if number == 0 && plan.layout.bom {
        text.push('\u{feff}');
    }
    if plan.layout.comments && chance.percent(30) {
        text.push_str(&format!(": ping{end}{end}"));
    }
    if matches!(plan.api, Api::Messages | Api::Responses)
        && let Some(name) = said["type"].as_str()
    {
        text.push_str(&format!("event: {name}{end}"));
    }
    let data = match done {
        Some(done) => done,
        None if plan.layout.many_lines => serde_json::to_string_pretty(&said).unwrap(),
        None => said.to_string(),
    };
    for line in data.lines() {
        let space = if chance.percent(80) { " " } else { "" };
        text.push_str(&format!("data:{space}{line}{end}"));
    }
    text.push_str(end);
    text.into_bytes()
}

/// The same pieces compressed, each so that it can be read when it has come.
pub(super) fn gzip(pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut out: Vec<Vec<u8>> = Vec::new();
    for piece in pieces {
        encoder.write_all(piece).unwrap();
        encoder.flush().unwrap();
        out.push(std::mem::take(encoder.get_mut()));
    }
    let end = encoder.finish().unwrap();
    match out.last_mut() {
        Some(last) => last.extend_from_slice(&end),
        None => out.push(end),
    }
    out
}

/// How many events have come whole, by the highest mark; what is compressed is read as far as it goes.
pub(super) fn received(plan: &Plan, bytes: &[u8], compressed: bool) -> usize {
    let plain = if compressed {
        let mut decoder = GzDecoder::new(Vec::new());
        let _ = decoder.write_all(bytes).and_then(|()| decoder.flush());
        decoder.get_ref().clone()
    } else {
        bytes.to_vec()
    };
    let text = String::from_utf8_lossy(&plain).replace("\r\n", "\n");
    let end = if plan.api.is_ollama() { "\n" } else { "\n\n" };
    let whole = text.rsplit_once(end).map_or("", |(whole, _)| whole);
    let Some((_, last)) = whole.rsplit_once(MARK) else {
        return 0;
    };
    let digits: String = last
        .trim_start()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse::<usize>().unwrap() + 1
}
