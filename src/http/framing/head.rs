//! A request's head, line by line.

use super::Violation;

/// Longest `Content-Length` or `Transfer-Encoding` line, in bytes without its end. What is kept of a line that comes in
/// parts is that long, too: enough to know its name.
const LINE_KEPT: usize = 64;

/// A head as far as it was read.
#[derive(Debug, Clone, Default)]
pub(super) struct Head {
    /// The line that has not ended yet.
    line: Line,
    facts: Facts,
}

/// What a finished head says about what follows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) body: Body,
    /// There was an `Upgrade` header.
    pub(super) upgrade: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    None,
    /// Never 0.
    Length(u64),
    Chunked,
}

impl Head {
    /// Whether there is anything of a head but empty lines before it.
    pub(super) fn has_begun(&self) -> bool {
        self.facts.begun || self.line.len > 0
    }

    /// Reads up to the end of the head; says how many bytes that were, and what the head said if it ended.
    ///
    /// A CR inside a line is not looked for: hyper refuses it anywhere in a head.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(usize, Option<End>), Violation> {
        let mut at = 0;
        while let Some(length) = memchr::memchr(b'\n', &bytes[at..]) {
            let part = &bytes[at..at + length];
            at += length + 1;
            let ended = if self.line.len == 0 {
                let line = part.strip_suffix(b"\r").ok_or(Violation::BareLf)?;
                self.facts.line(line, line.len() > LINE_KEPT)?
            } else {
                self.line.push(part);
                let line = std::mem::take(&mut self.line);
                self.facts.line(line.text()?, line.len > LINE_KEPT + 1)?
            };
            if ended {
                return Ok((at, Some(self.facts.end())));
            }
        }
        self.line.push(&bytes[at..]);
        Ok((bytes.len(), None))
    }
}

/// The beginning, length and last byte of a line that came in parts.
#[derive(Debug, Clone)]
struct Line {
    kept: [u8; LINE_KEPT],
    len: usize,
    last: u8,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            kept: [0; LINE_KEPT],
            len: 0,
            last: 0,
        }
    }
}

impl Line {
    fn push(&mut self, part: &[u8]) {
        let Some(last) = part.last() else { return };
        if let Some(room) = self.kept.get_mut(self.len..) {
            let copied = room.len().min(part.len());
            room[..copied].copy_from_slice(&part[..copied]);
        }
        self.len = self.len.saturating_add(part.len());
        self.last = *last;
    }

    /// What was kept of the line, without the CR that must end it.
    fn text(&self) -> Result<&[u8], Violation> {
        if self.last == b'\r' {
            Ok(&self.kept[..LINE_KEPT.min(self.len - 1)])
        } else {
            Err(Violation::BareLf)
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Facts {
    /// The request line was read.
    begun: bool,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

impl Facts {
    /// Takes a line without its end; says whether it was the empty one that ends the head. Of a `long` line, `text` may
    /// be only the beginning.
    fn line(&mut self, text: &[u8], long: bool) -> Result<bool, Violation> {
        let Some(first) = text.first() else {
            // An empty line in front of a request line is to be ignored (RFC 9112 section 2.2).
            return Ok(self.begun);
        };
        if !self.begun {
            self.begun = true;
            return Ok(false);
        }
        match first {
            b' ' | b'\t' => return Err(Violation::Folded),
            b'c' | b'C' => {
                if let Some(value) = value(text, b"content-length")? {
                    self.content_length(value, long)?;
                }
            }
            b't' | b'T' => {
                if let Some(value) = value(text, b"transfer-encoding")? {
                    self.transfer_encoding(value, long)?;
                }
            }
            b'u' | b'U' => self.upgrade |= value(text, b"upgrade")?.is_some(),
            _ => {}
        }
        Ok(false)
    }

    fn content_length(&mut self, value: &[u8], long: bool) -> Result<(), Violation> {
        if self.chunked {
            return Err(Violation::LengthAndCoding);
        }
        if self.length.is_some() {
            return Err(Violation::DoubleLength);
        }
        // 19 digits are below 2^64.
        if long || !(1..=19).contains(&value.len()) || !value.iter().all(u8::is_ascii_digit) {
            return Err(Violation::BadLength);
        }
        self.length = Some(
            value
                .iter()
                .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')),
        );
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8], long: bool) -> Result<(), Violation> {
        if self.length.is_some() {
            return Err(Violation::LengthAndCoding);
        }
        if self.chunked {
            return Err(Violation::DoubleCoding);
        }
        if long || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Violation::BadCoding);
        }
        self.chunked = true;
        Ok(())
    }

    fn end(&self) -> End {
        let body = match self.length {
            _ if self.chunked => Body::Chunked,
            Some(length) if length > 0 => Body::Length(length),
            _ => Body::None,
        };
        End {
            body,
            upgrade: self.upgrade,
        }
    }
}

/// The value of a header line, without blanks around it, if the line has this name (given in lower case).
fn value<'l>(text: &'l [u8], name: &[u8]) -> Result<Option<&'l [u8]>, Violation> {
    match text.split_at_checked(name.len()) {
        Some((own, rest)) if own.eq_ignore_ascii_case(name) => match rest.split_first() {
            Some((b':', value)) => Ok(Some(trim_blanks(value))),
            Some((b' ' | b'\t', _)) => Err(Violation::BlankBeforeColon),
            _ => Ok(None),
        },
        _ => Ok(None),
    }
}

/// Only what the grammar calls white space: a vertical tab or form feed is part of the value.
fn trim_blanks(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
