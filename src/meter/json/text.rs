//! Strings: where they end, and what they say.

use std::borrow::Cow;

use memchr::{memchr, memmem};

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = ONES << 7;

/// Strings of fewer bytes are looked through byte by byte.
const SHORT: usize = 16;

/// Bytes that are looked at in one go.
const BLOCK: usize = 32;

/// Where the first byte at or after `at` is that is not plain in a string (a quote, a backslash, a control character), or the end.
pub(super) fn plain_until(bytes: &[u8], mut at: usize) -> usize {
    // Escapes often follow one another.
    if bytes.get(at) == Some(&b'\\') {
        return at;
    }
    // Most strings are names and the like: short.
    if let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        if let Some(hit) = not_plain(*word) {
            return at + hit;
        }
        at += 8;
    }
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>()) {
        // Without a branch inside, so that it is done for many bytes at once.
        let any = block
            .iter()
            .fold(false, |any, b| any | (*b < 0x20) | (*b == b'"') | (*b == b'\\'));
        if any {
            break;
        }
        at += BLOCK;
    }
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        if let Some(hit) = not_plain(*word) {
            return at + hit;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let hit = rest.iter().position(|b| *b < 0x20 || *b == b'"' || *b == b'\\');
    at + hit.unwrap_or(rest.len())
}

/// The first of these bytes that is not plain.
fn not_plain(word: [u8; 8]) -> Option<usize> {
    let word = u64::from_le_bytes(word);
    let low = word.wrapping_sub(ONES * 0x20) & !word;
    let hit = (low | has(word, b'"') | has(word, b'\\')) & HIGHS;
    (hit != 0).then_some(hit.trailing_zeros() as usize / 8)
}

/// The high bit of each byte that is `byte`, exact for the lowest one.
fn has(word: u64, byte: u8) -> u64 {
    let zeroes = word ^ (ONES * u64::from(byte));
    zeroes.wrapping_sub(ONES) & !zeroes
}

/// Where a string ends that begins at `at`, in a text that was checked: behind its closing quote.
pub(super) fn string_end(bytes: &[u8], at: usize) -> usize {
    let start = at + 1;
    // Most are short: they end before a search would have begun.
    let near = bytes.get(start..).unwrap_or_default().iter().take(SHORT);
    for (length, byte) in near.enumerate() {
        match byte {
            b'"' => return start + length + 1,
            b'\\' => break,
            _ => {}
        }
    }
    let mut at = start;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr(b'"', rest)) {
        at += found + 1;
        let before = bytes.get(start..at - 1).unwrap_or_default();
        let backslashes = before.iter().rev().take_while(|b| **b == b'\\').count();
        if backslashes % 2 == 0 {
            return at;
        }
    }
    bytes.len()
}

/// Whether a string of a text that was checked says just this word of plain ASCII letters.
pub(super) fn says(text: &str, word: &str) -> bool {
    let bytes = text.as_bytes();
    // Between quotes that are not escaped, it is a whole string.
    if memmem::find(bytes, format!("\"{word}\"").as_bytes()).is_some() {
        return true;
    }
    // Only escaped letters can say it otherwise.
    if memmem::find(bytes, b"\\u00").is_none() {
        return false;
    }
    let lengths = word.len()..=word.len() * 6;
    let mut at = 0;
    while let Some(start) = bytes.get(at..).and_then(|rest| memchr(b'"', rest)) {
        let start = at + start;
        at = string_end(bytes, start);
        let inner = text.get(start + 1..at.saturating_sub(1)).unwrap_or_default();
        if lengths.contains(&inner.len()) && decoded(inner) == word {
            return true;
        }
    }
    false
}

/// The content of a string that was checked, as it is written, decoded. Half of a surrogate pair becomes U+FFFD.
pub(super) fn decoded(written: &str) -> Cow<'_, str> {
    let bytes = written.as_bytes();
    let escaped = match bytes.len() < SHORT {
        true => bytes.contains(&b'\\'),
        false => memchr(b'\\', bytes).is_some(),
    };
    if !escaped {
        return Cow::Borrowed(written);
    }
    let mut text = String::with_capacity(written.len());
    decode_into(written, &mut text);
    Cow::Owned(text)
}

/// Appends the decoded content.
pub(super) fn decode_into(written: &str, text: &mut String) {
    let mut rest = written;
    while let Some(at) = memchr(b'\\', rest.as_bytes()) {
        text.push_str(rest.get(..at).unwrap_or_default());
        let (c, length) = escape(rest.as_bytes().get(at..).unwrap_or_default());
        text.push(c);
        rest = rest.get(at + length..).unwrap_or_default();
    }
    text.push_str(rest);
}

/// The character of the escape at the beginning of these bytes, and the length of what stands for it.
pub(in crate::meter) fn escape(bytes: &[u8]) -> (char, usize) {
    let c = match bytes.get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'u') => return unicode(bytes),
        Some(plain) => char::from(*plain),
        None => char::REPLACEMENT_CHARACTER,
    };
    (c, 2)
}

fn unicode(bytes: &[u8]) -> (char, usize) {
    let first = hex(bytes.get(2..6)).unwrap_or(0xfffd);
    if let Some(c) = char::from_u32(first) {
        return (c, 6);
    }
    let second = (bytes.get(6..8) == Some(b"\\u"))
        .then(|| hex(bytes.get(8..12)))
        .flatten();
    let pair = second.and_then(|second| pair(first, second));
    pair.map_or((char::REPLACEMENT_CHARACTER, 6), |c| (c, 12))
}

/// The character of a surrogate pair.
pub(super) fn pair(first: u32, second: u32) -> Option<char> {
    let halves = (0xd800..0xdc00).contains(&first) && (0xdc00..0xe000).contains(&second);
    halves
        .then(|| 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
        .and_then(char::from_u32)
}

/// Four hexadecimal digits.
pub(super) fn hex(digits: Option<&[u8]>) -> Option<u32> {
    let digits = digits.filter(|digits| digits.len() == 4)?;
    digits.iter().try_fold(0, |sum, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(sum << 4 | digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_plain_is_found_wherever_it_stands() {
        for length in 0..100 {
            for at in 0..length {
                for byte in [b'"', b'\\', 0, 0x1f, b'\n'] {
                    let mut bytes = vec![b'\x7f'; length];
                    bytes[at] = byte;
                    for from in 0..length {
                        let want = if from <= at { at } else { length };
                        assert_eq!(plain_until(&bytes, from), want, "{length} {at} {byte} {from}");
                    }
                }
            }
            assert_eq!(plain_until(&vec![0xff; length], 0), length);
        }
        for byte in 0..=u8::MAX {
            let plain = byte >= 0x20 && byte != b'"' && byte != b'\\';
            assert_eq!(plain_until(&[byte; 64], 0), if plain { 64 } else { 0 });
        }
    }

    #[test]
    fn strings_end_behind_the_quote_that_is_not_escaped() {
        for (text, length) in [
            (r#""" ""#, 2),
            (r#""a""b""#, 3),
            (r#""\"x"""#, 5),
            (r#""\\\""""#, 6),
            (r#""\"\"""#, 6),
            (r#""\\\"\\","""#, 8),
        ] {
            assert_eq!(string_end(text.as_bytes(), 0), length, "{text}");
        }
    }

    #[test]
    fn escapes_are_decoded() {
        for (written, said) in [
            ("plain", "plain"),
            (r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r"mo\u0064el", "model"),
            (r"\ud83d\ude00!", "\u{1f600}!"),
            (r"\uD800x", "\u{fffd}x"),
            (r"\udc00\ud800", "\u{fffd}\u{fffd}"),
            (r"\ud800\ud83d\ude00", "\u{fffd}\u{1f600}"),
            (r"a\\u0041", "a\\u0041"),
        ] {
            assert_eq!(decoded(written), said, "{written}");
        }
    }
}
