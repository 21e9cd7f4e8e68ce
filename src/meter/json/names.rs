//! Whether an object has a name twice.

use std::cmp::Ordering;

use super::text::decode_into;

/// Up to so many names of an object are compared with one another as they come; more are sorted when the object ends.
const FEW: usize = 16;

/// The names of all objects that are open, the innermost object's last.
pub(super) struct Names<'a> {
    text: &'a str,
    names: Vec<Name>,
    /// Decoded names of those that are written with escapes.
    decoded: String,
}

/// Where the names of an object begin.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    names: usize,
    decoded: usize,
}

#[derive(Clone, Copy)]
struct Name {
    /// The first eight bytes, the most significant first: most names differ there.
    head: u64,
    start: usize,
    end: usize,
    /// In `decoded`, not in the text.
    escaped: bool,
}

impl<'a> Names<'a> {
    pub(super) fn new(text: &'a str) -> Names<'a> {
        Names {
            text,
            names: Vec::new(),
            decoded: String::new(),
        }
    }

    /// An object opens.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            names: self.names.len(),
            decoded: self.decoded.len(),
        }
    }

    /// How many names the object has that opened there.
    pub(super) fn count(&self, mark: Mark) -> usize {
        self.names.len() - mark.names
    }

    /// How many names all open objects have.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The next name of the object that opened last, as it is written between its quotes. Says whether it is there already, as far as that is known by now.
    pub(super) fn add(&mut self, mark: Mark, start: usize, end: usize, escaped: bool) -> bool {
        let written = self.text.get(start..end).unwrap_or_default();
        let mut name = Name {
            head: 0,
            start,
            end,
            escaped,
        };
        if escaped {
            name.start = self.decoded.len();
            decode_into(written, &mut self.decoded);
            name.end = self.decoded.len();
        }
        name.head = head(name.said(self.text, &self.decoded).as_bytes());
        let before = self.names.get(mark.names..).unwrap_or_default();
        let twice = before.len() < FEW
            && before
                .iter()
                .any(|other| name.compare(other, self.text, &self.decoded).is_eq());
        self.names.push(name);
        twice
    }

    /// The object closes. A name that it had twice.
    pub(super) fn close(&mut self, mark: Mark) -> Option<String> {
        let Names { text, names, decoded } = self;
        let mut twice = None;
        let own = names.get_mut(mark.names..).unwrap_or_default();
        if own.len() > FEW {
            own.sort_unstable_by(|a, b| a.compare(b, text, decoded));
            twice = own
                .array_windows()
                .find(|[a, b]| a.compare(b, text, decoded).is_eq())
                .map(|[a, _]| a.said(text, decoded).to_owned());
        }
        names.truncate(mark.names);
        decoded.truncate(mark.decoded);
        twice
    }
}

impl Name {
    fn said<'s>(&self, text: &'s str, decoded: &'s str) -> &'s str {
        let text = if self.escaped { decoded } else { text };
        text.get(self.start..self.end).unwrap_or_default()
    }

    fn compare(&self, other: &Name, text: &str, decoded: &str) -> Ordering {
        let heads = self.head.cmp(&other.head);
        heads.then_with(|| self.said(text, decoded).cmp(other.said(text, decoded)))
    }
}

fn head(name: &[u8]) -> u64 {
    match name.first_chunk::<8>() {
        Some(head) => u64::from_be_bytes(*head),
        None => {
            let filled = name.iter().fold(0, |head, byte| head << 8 | u64::from(*byte));
            // Eight bytes or more were taken above; of none, nothing is shifted.
            filled.checked_shl(8 * (8 - name.len() as u32)).unwrap_or(0)
        }
    }
}
