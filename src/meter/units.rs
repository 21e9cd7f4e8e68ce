//! Units that an answer says it used: seconds of sound, searches, images.

use super::json::{Value, loose};

/// The number at `path` in a JSON answer, dots leading into objects, in millionths and rounded up. `None` where it is not there, or is none: below zero, with an
/// exponent, beyond 2^44.
pub fn reported(body: &[u8], path: &str) -> Option<u64> {
    let whole = loose(body).ok()?;
    let number = path.split('.').try_fold(whole, |value, name| value.get(name))?;
    millionths(number)
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
        ] {
            assert_eq!(reported(body.as_bytes(), "usage.seconds"), units, "{body}");
        }
    }
}
