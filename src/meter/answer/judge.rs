//! What becomes of one event.

use std::borrow::Cow;

use super::reading::{Hide, Reading, Told, without};
use super::report::Report;
use super::{Framing, Meter, Tally, sse};
use crate::meter::json::loose;

/// What becomes of an event.
pub(super) enum Verdict {
    Pass,
    /// The client is not to see it.
    Drop,
    /// The client is to see this instead.
    Replace(Vec<u8>),
    /// It is not allowed yet.
    Stop,
}

impl Meter {
    /// Reads an event and asks whether it may pass; if so, it counts.
    pub(super) fn judge(&mut self, event: &[u8], allow: &mut impl FnMut(&Tally) -> bool) -> Verdict {
        let read = match self.setup.framing {
            Framing::Sse => sse::event(event),
            Framing::Lines | Framing::Whole => sse::Event {
                name: b"",
                data: Some(Cow::Borrowed(event.trim_ascii())),
            },
        };
        let Some(data) = read.data.filter(|data| !data.is_empty()) else {
            return self.passes();
        };
        let reading = self.read(read.name, &data);
        let mut tally = self.tally;
        let text = reading.text.bytes;
        tally.deliver(text, u64::from(text > 0));
        if let Some(report) = &reading.report {
            tally.absorb(report);
        }
        if text > 0 && !allow(&tally) {
            return Verdict::Stop;
        }
        tally.failed |= reading.failed;
        tally.complete |= reading.complete;
        self.tally = tally;
        if let Some(words) = &mut self.words {
            words.follow(reading.text, &tally);
        }
        self.marks = reading.marks;
        if reading.names.is_some() && self.names.is_none() {
            self.names = reading.names;
        }
        match reading.hide {
            Hide::Nothing => self.passes(),
            Hide::All => {
                self.hidden = true;
                Verdict::Drop
            }
            Hide::Parts(parts) if parts.is_empty() => self.passes(),
            Hide::Parts(parts) => {
                self.hidden = false;
                Verdict::Replace(edited(event, data, &parts))
            }
        }
    }

    fn passes(&mut self) -> Verdict {
        self.hidden = false;
        Verdict::Pass
    }

    fn read(&self, name: &[u8], data: &[u8]) -> Reading {
        let mut reading = Reading {
            marks: self.marks,
            ..Reading::default()
        };
        if self.setup.framing == Framing::Sse && data.trim_ascii().starts_with(b"[DONE]") {
            reading.complete = true;
            return reading;
        }
        if let Some(told) = self.tell(name, data) {
            return told;
        }
        // Nobody knows what it says: all of it counts.
        reading.text.add_bytes(data.len() as u64);
        reading.report = Some(Report {
            invalid: 1,
            ..Report::default()
        });
        reading
    }

    /// What data says that is JSON.
    pub(super) fn tell(&self, name: &[u8], data: &[u8]) -> Option<Reading> {
        let told = Told {
            name: std::str::from_utf8(name).unwrap_or_default(),
            data: loose(data).ok()?,
            marks: self.marks,
            hide_usage: self.setup.hide_usage,
            nameless: self.names.is_none(),
            choices: self.setup.choices,
            keep_words: self.words.is_some(),
        };
        Some((self.setup.api.answers().event)(&told))
    }
}

/// The event without these parts of its data, and all else as it was.
fn edited(event: &[u8], data: Cow<'_, [u8]>, parts: &[std::ops::Range<usize>]) -> Vec<u8> {
    match data {
        Cow::Borrowed(data) => {
            let offset = data.as_ptr().addr() - event.as_ptr().addr();
            let parts: Vec<_> = parts
                .iter()
                .map(|part| part.start + offset..part.end + offset)
                .collect();
            without(event, &parts)
        }
        Cow::Owned(data) => sse::with_data(event, &without(&data, parts)),
    }
}
