//! Units that an answer says it used: seconds of sound, searches, images.

use super::answer::sse::{Splitter, event};
use super::json::{Kind, Value, loose};

/// What an answer says of the units that it used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said {
    /// So many, in millionths.
    Units(u64),
    /// It is an error.
    Failed,
    /// Neither.
    Nothing,
}

/// The number at `path` in a JSON answer, or in the last event of a stream that has it: dots lead into objects, and it is rounded up. None is one that is below
/// zero, with an exponent, or beyond 2^44.
pub fn reported(body: &[u8], path: &str) -> Said {
    if let Ok(whole) = loose(body) {
        return said(whole, path);
    }
    let (mut splitter, mut rest, mut last) = (Splitter::default(), body, Said::Nothing);
    while !rest.is_empty() {
        let (one, after) = rest.split_at(splitter.find(rest).unwrap_or(rest.len()));
        rest = after;
        let event = event(one);
        let data = event.data.as_deref().and_then(|data| loose(data).ok());
        match data.map_or(Said::Nothing, |data| said(data, path)) {
            Said::Units(units) => last = Said::Units(units),
            Said::Nothing if event.name != b"error" => {}
            _ if last == Said::Nothing => last = Said::Failed,
            _ => {}
        }
    }
    last
}

fn said(value: Value<'_>, path: &str) -> Said {
    let number = path.split('.').try_fold(value, |value, name| value.get(name));
    let failed = |error: Value<'_>| {
        matches!(error.kind(), Kind::Object | Kind::Array) || error.str().is_some_and(|text| !text.is_empty())
    };
    match number.and_then(millionths) {
        Some(units) => Said::Units(units),
        None if value.get("error").is_some_and(failed) => Said::Failed,
        None => Said::Nothing,
    }
}

fn millionths(number: Value<'_>) -> Option<u64> {
    let (whole, part) = number.raw().split_once('.').unwrap_or((number.raw(), "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || whole.len() > 13 {
        return None;
    }
    let six: String = part.chars().chain("000000".chars()).take(6).collect();
    let more = part.bytes().skip(6).any(|digit| digit != b'0');
    let whole: u64 = whole.parse().ok()?;
    let sum = whole.checked_mul(1_000_000)?.checked_add(six.parse().ok()?)?;
    sum.checked_add(u64::from(more))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_exactly_and_rounded_up() {
        for (body, units) in [
            (r#"{"usage":{"seconds":12}}"#, Some(12_000_000)),
            (r#"{"usage":{"seconds":12.34}}"#, Some(12_340_000)),
            (r#"{"usage":{"seconds":0.0000001}}"#, Some(1)),
            (r#"{"usage":{"seconds":0}}"#, Some(0)),
            (r#"{"usage":{"seconds":1.0000000}}"#, Some(1_000_000)),
            (r#"{"usage":{"seconds":-1}}"#, None),
            (r#"{"usage":{"seconds":1e3}}"#, None),
            (r#"{"usage":{"seconds":"12"}}"#, None),
            (r#"{"usage":{"seconds":99999999999999}}"#, None),
            (r#"{"usage":{"seconds":null}}"#, None),
            (r#"{"usage":[]}"#, None),
            ("{}", None),
            ("", None),
            (r#"{"usage":{"seconds":3},"error":null}"#, Some(3_000_000)),
            (r#"{"usage":{"seconds":3},"error":{"code":1}}"#, Some(3_000_000)),
        ] {
            let units = units.map_or(Said::Nothing, Said::Units);
            assert_eq!(reported(body.as_bytes(), "usage.seconds"), units, "{body}");
        }
    }

    #[test]
    fn an_error_says_so() {
        for body in [
            r#"{"error":{"message":"no"}}"#,
            r#"{"error":"no","usage":{"seconds":null}}"#,
            "data: {\"error\":{\"message\":\"no\"}}\n\n",
            "data: {\"delta\":\"a\"}\n\nevent: error\ndata: no\n\n",
        ] {
            assert_eq!(reported(body.as_bytes(), "usage.seconds"), Said::Failed, "{body}");
        }
        for body in [
            r#"{"error":null}"#,
            r#"{"error":""}"#,
            "data: {\"error\":false}\n\n",
        ] {
            assert_eq!(
                reported(body.as_bytes(), "usage.seconds"),
                Said::Nothing,
                "{body}"
            );
        }
    }

    #[test]
    fn the_last_event_of_a_stream_that_has_them_counts() {
        let delta = r#"{"type":"transcript.text.delta","delta":"a","usage":{"seconds":1}}"#;
        let done = r#"{"type":"transcript.text.done","usage":{"type":"duration","seconds":3}}"#;
        for (body, units) in [
            (format!("data: {delta}\n\ndata: {done}\n\ndata: [DONE]\n\n"), 3),
            (format!("data: {delta}\r\n\r\nevent: done\r\ndata: {done}"), 3),
            (format!("data: {done}\n\ndata: {{\"error\":{{}}}}\n\n"), 3),
            (format!("data: {{\"error\":{{}}}}\n\ndata: {delta}\n\n"), 1),
        ] {
            assert_eq!(
                reported(body.as_bytes(), "usage.seconds"),
                Said::Units(units * 1_000_000),
                "{body}"
            );
        }
    }
}
