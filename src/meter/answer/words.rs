//! What the model wrote: how many bytes it is, and the words themselves where a tokenizer is to count them.

use super::scan::NO_TEXT;
use super::tally::{Counted, Tally};
use crate::meter::Api;
use crate::meter::json::{Kind, Value, loose};

/// The most text that is kept of one answer, in bytes. What comes behind it counts by its bytes.
pub const WORDS_MAX: usize = 64 << 10;
/// The most parts that are told apart.
const PARTS_MAX: usize = 64;
/// Tokens that the end of a part may have besides those of its words: one that ends it, and one where it was cut within a word.
const SEAM: u64 = 2;

/// What one event says that the model wrote.
#[derive(Debug, Default)]
pub(in crate::meter) struct Text {
    /// Bytes of it, decoded, in UTF-8.
    pub(in crate::meter) bytes: u64,
    /// Pieces of words, each with the part that it belongs to; `None` where nobody wants them.
    pieces: Option<Vec<(u64, String)>>,
    part: u64,
}

impl Text {
    /// With its words, or only how many bytes they are.
    pub(in crate::meter) fn new(kept: bool) -> Text {
        Text {
            pieces: kept.then(Vec::new),
            ..Text::default()
        }
    }

    /// What is added from now on belongs to this answer, or block, or item.
    pub(in crate::meter) fn of_part(&mut self, number: u64) {
        self.part = number;
    }

    /// All strings in a value, apart from names of members and members of these names.
    pub(in crate::meter) fn add(&mut self, value: Value<'_>, except: &[&str]) {
        self.add_as(value, except, self.part);
    }

    /// What counts by its bytes, whatever it is.
    pub(in crate::meter) fn add_bytes(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn add_as(&mut self, value: Value<'_>, except: &[&str], part: u64) {
        match value.kind() {
            Kind::String => self.add_string(value, part),
            Kind::Array => (1..)
                .zip(value.items())
                .for_each(|(at, item)| self.add_as(item, except, mixed(part, at))),
            Kind::Object => {
                for (name, value) in value.members() {
                    if except.contains(&name.as_ref()) {
                        continue;
                    }
                    // Of a call: what a server's template writes around it is paid with its name.
                    if name == "name" && value.kind() == Kind::String {
                        self.add_bytes(value.str().map_or(0, |name| name.len() as u64));
                        continue;
                    }
                    let part = match self.pieces {
                        Some(_) => name.bytes().fold(part, |part, byte| mixed(part, u64::from(byte))),
                        None => part,
                    };
                    self.add_as(value, except, part);
                }
            }
            Kind::Null | Kind::Bool | Kind::Number => {}
        }
    }

    fn add_string(&mut self, value: Value<'_>, part: u64) {
        let Some(text) = value.str() else { return };
        self.bytes = self.bytes.saturating_add(text.len() as u64);
        if let Some(pieces) = &mut self.pieces
            && !text.is_empty()
        {
            pieces.push((part, text.into_owned()));
        }
    }
}

/// One step of FNV-1a: parts are told apart by where they are.
fn mixed(part: u64, by: u64) -> u64 {
    (part ^ by).wrapping_mul(0x0000_0100_0000_01b3)
}

/// The words that have passed since the last report, part by part: what one answer says, what it thinks, what it calls with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Words {
    parts: Vec<(u64, String)>,
    /// Bytes in all parts.
    bytes: usize,
    /// How many there may be.
    room: usize,
    /// Some had no room, and so have those behind them: words with a gap in them would be others.
    full: bool,
    /// What they are of: bytes that were counted, kept or not, and events.
    counted: Counted,
}

impl Words {
    /// None yet, and room for so many bytes.
    pub(super) fn new(room: usize) -> Words {
        Words {
            parts: Vec::new(),
            bytes: 0,
            room: room.min(WORDS_MAX),
            full: false,
            counted: Counted::default(),
        }
    }

    /// The words of an answer that is one JSON text, of which so much was counted; `None` where it is none.
    pub fn of_whole(api: Api, body: &[u8], counted: Counted) -> Option<Words> {
        let mut text = Text::new(true);
        for (name, value) in loose(body).ok()?.members() {
            if api.answers().wanted.text.contains(&name.as_ref()) {
                text.of_part(name.len() as u64);
                text.add(value, &NO_TEXT);
            }
        }
        let mut words = Words::new(WORDS_MAX);
        words.take(text);
        Some(words.of(counted))
    }

    /// An event has passed, and this is known now.
    pub(super) fn follow(&mut self, text: Text, tally: &Tally) {
        if tally.counted.is_empty() {
            self.parts.clear();
            (self.bytes, self.full) = (0, false);
        } else {
            self.take(text);
        }
    }

    fn take(&mut self, text: Text) {
        for (part, piece) in text.pieces.into_iter().flatten() {
            let length = piece.len();
            self.full |= self.bytes + length > self.room;
            if self.full {
                return;
            }
            let room = self.parts.len() < PARTS_MAX;
            match self.parts.iter_mut().rev().find(|(own, _)| *own == part) {
                Some((_, words)) => words.push_str(&piece),
                None if room => self.parts.push((part, piece)),
                None => continue,
            }
            self.bytes += length;
        }
    }

    /// Bytes that are kept.
    pub(super) const fn len(&self) -> usize {
        self.bytes
    }

    /// Each part's words.
    #[cfg(test)]
    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|(_, words)| words.as_str())
    }

    /// From now on so many bytes may be kept.
    pub(super) fn allow(&mut self, room: usize) {
        self.room = room.min(WORDS_MAX);
    }

    /// The same, as what was counted.
    pub(super) fn of(mut self, counted: Counted) -> Words {
        self.counted = counted;
        self
    }

    /// Tokens of what was counted: as many as a tokenizer says, those of what was not kept by its bytes; no fewer than events had text, and no more than bytes.
    pub fn tokens(&self, count: impl Fn(&str) -> u64) -> u64 {
        let bytes = self.counted.bytes.max(self.counted.events);
        let kept = self.bytes as u64;
        let counted = self
            .parts
            .iter()
            .map(|(_, words)| count(words).saturating_add(SEAM).min(words.len() as u64));
        let tokens: u64 = counted.sum::<u64>().saturating_add(bytes.saturating_sub(kept));
        tokens.max(self.counted.events).min(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of three letters and the blank before them, as a tokenizer might have them.
    fn fours(text: &str) -> u64 {
        (text.len() as u64).div_ceil(4)
    }

    fn words(events: &[(u64, &str)], room: usize) -> Words {
        let mut words = Words::new(room);
        let mut counted = Counted::default();
        for (part, data) in events {
            let mut text = Text::new(true);
            text.of_part(*part);
            text.add(loose(data.as_bytes()).unwrap(), &["role"]);
            counted.add(text.bytes, u64::from(text.bytes > 0));
            words.take(text);
        }
        words.of(counted)
    }

    #[test]
    fn parts_are_put_together_each_for_itself() {
        let events = [
            (0, r#"{"role":"assistant","content":"one "}"#),
            (1, r#"{"content":"a "}"#),
            (0, r#"{"thought":"hm"}"#),
            (0, r#"{"content":"two"}"#),
            (1, r#"{"content":"b"}"#),
            (0, r#"{"calls":[{"name":"find","arguments":"{\"a\":"}]}"#),
            (0, r#"{"calls":[{"arguments":"1}"}]}"#),
        ];
        let words = words(&events, WORDS_MAX);
        let mut parts: Vec<&str> = words.parts.iter().map(|(_, words)| words.as_str()).collect();
        parts.sort_unstable();
        assert_eq!(parts, ["a b", "hm", "one two", r#"{"a":1}"#]);
        assert_eq!((words.counted.bytes, words.len()), (19 + 4, 19));
    }

    #[test]
    fn tokens_are_no_fewer_than_events_and_no_more_than_bytes() {
        for (texts, room, tokens) in [
            // 24 letters, and what may be at the end.
            (&["one two three four ", "fives"][..], WORDS_MAX, 6 + 2),
            // An event for each letter.
            (&["o", "n", "e", " ", "t", "w", "o", "t", "h", "e"], WORDS_MAX, 10),
            (&["one"], WORDS_MAX, 3),
            (&[], WORDS_MAX, 0),
            // What has no room counts by its bytes, and so does all behind it.
            (&["one two ", "three four five ", "six "], 10, 2 + 2 + 20),
            (&["one two "], 0, 8),
        ] {
            let events: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
            let events: Vec<(u64, &str)> = events.iter().map(|event| (0, event.as_str())).collect();
            assert_eq!(words(&events, room).tokens(fours), tokens, "{texts:?}");
        }
    }

    #[test]
    fn what_is_reported_is_forgotten() {
        let mut words = Words::new(WORDS_MAX);
        let text = || {
            let mut text = Text::new(true);
            text.add(loose(br#""one ""#).unwrap(), &[]);
            text
        };
        let mut tally = Tally::default();
        tally.deliver(4, 1);
        words.follow(text(), &tally);
        assert_eq!(words.len(), 4);
        words.follow(text(), &Tally::default());
        assert_eq!((words.len(), words.parts.len()), (0, 0));
    }

    #[test]
    fn what_nobody_wants_is_not_kept() {
        let mut text = Text::new(false);
        text.add(loose(br#"{"a":"one","name":"two"}"#).unwrap(), &[]);
        assert_eq!((text.bytes, text.pieces), (6, None));
    }

    #[test]
    fn parts_beyond_those_that_are_told_apart_count_by_their_bytes() {
        let events: Vec<(u64, &str)> = (0..100).map(|part| (part, "\"one two six \"")).collect();
        let words = words(&events, WORDS_MAX);
        assert_eq!(words.tokens(fours), 64 * (3 + 2) + 36 * 12);
    }
}
