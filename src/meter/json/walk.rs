//! Walking through what was checked: from one value to the next, without looking into them.

use std::borrow::Cow;

use memchr::memrchr;

use super::ends::Ends;
use super::text::string_end;
use super::{Kind, Value};

/// What an array has in it.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    text: &'a str,
    ends: &'a Ends,
    /// Behind the opening bracket, or behind the last item; `None` at the end.
    at: Option<usize>,
}

impl<'a> Items<'a> {
    pub(super) fn of(value: Value<'a>) -> Items<'a> {
        Items {
            text: value.text,
            ends: value.ends,
            at: (value.kind() == Kind::Array).then_some(value.start + 1),
        }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let start = begins(self.text.as_bytes(), self.at.take()?)?;
        let value = at(self.text, self.ends, start);
        self.at = Some(value.end);
        Some(value)
    }
}

/// Names and values of an object.
#[derive(Clone, Debug)]
pub struct Members<'a>(Items<'a>);

impl<'a> Members<'a> {
    pub(super) fn of(value: Value<'a>) -> Members<'a> {
        Members(Items {
            text: value.text,
            ends: value.ends,
            at: (value.kind() == Kind::Object).then_some(value.start + 1),
        })
    }
}

impl<'a> Iterator for Members<'a> {
    /// The name, decoded.
    type Item = (Cow<'a, str>, Value<'a>);

    fn next(&mut self) -> Option<(Cow<'a, str>, Value<'a>)> {
        // A colon is passed over like a comma.
        let name = self.0.next()?.str()?;
        Some((name, self.0.next()?))
    }
}

/// What is around the member of an object.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::meter) struct Around {
    /// Where the member before it ends.
    pub(in crate::meter) before: Option<usize>,
    /// Where its name begins.
    pub(in crate::meter) name: usize,
    /// Where the member behind it begins.
    pub(in crate::meter) after: Option<usize>,
}

/// Of the member whose value this is; its name has no quote in it.
pub(super) fn around(value: Value<'_>) -> Around {
    let bytes = value.text.as_bytes();
    let quote = |end: usize| {
        bytes
            .get(..end)
            .and_then(|before| memrchr(b'"', before))
            .unwrap_or(0)
    };
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let last = |end: usize| {
        let before = bytes.get(..end).unwrap_or_default();
        before.iter().rposition(|byte| !is_blank(byte))
    };
    let name = quote(quote(value.start));
    let comma = last(name).filter(|at| bytes.get(*at) == Some(&b','));
    let rest = bytes.get(value.end..).unwrap_or_default();
    let next = rest
        .iter()
        .position(|byte| !is_blank(byte))
        .map(|blanks| value.end + blanks);
    Around {
        before: comma.and_then(last).map(|end| end + 1),
        name,
        after: next
            .filter(|at| bytes.get(*at) == Some(&b','))
            .and_then(|at| begins(bytes, at)),
    }
}

/// Where the next value begins, behind blanks and a separator; `None` at a closing bracket.
fn begins(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match bytes.get(at)? {
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => at += 1,
            b']' | b'}' => return None,
            _ => return Some(at),
        }
    }
}

/// The value that begins there.
fn at<'a>(text: &'a str, ends: &'a Ends, start: usize) -> Value<'a> {
    let bytes = text.as_bytes();
    let end = match bytes.get(start) {
        Some(b'"') => ends.of(start).unwrap_or_else(|| string_end(bytes, start)),
        Some(b'{' | b'[') => ends.of(start).unwrap_or_else(|| closing(bytes, start)),
        _ => word_end(bytes, start),
    };
    Value {
        text,
        start,
        end,
        ends,
    }
}

/// Behind the bracket that closes what opens there.
fn closing(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0_usize;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = string_end(bytes, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// Behind a number or a literal.
fn word_end(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    let ends = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b',' | b']' | b'}');
    start + rest.iter().position(ends).unwrap_or(rest.len())
}
