//! What becomes of one event.

use std::borrow::Cow;

use super::reading::{Hide, Reading, Told, without};
use super::report::Report;
use super::scan::Scan;
use super::{Framing, Meter, Tally, sse};
use crate::meter::json::{Ends, loose, loose_noting};

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
        let Some((name, data)) = self.data(event) else {
            return self.passes();
        };
        let (reading, mut tally) = self.weigh(name, &data);
        if reading.text.bytes > 0 && !allow(&tally) {
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

    /// Whether an event may pass; it does not count yet.
    pub(super) fn is_allowed(&self, event: &[u8], allow: impl FnOnce(&Tally) -> bool) -> bool {
        self.data(event).is_none_or(|(name, data)| {
            let (reading, tally) = self.weigh(name, &data);
            reading.text.bytes == 0 || allow(&tally)
        })
    }

    /// The name and the data of an event that has any.
    fn data<'e>(&self, event: &'e [u8]) -> Option<(&'e [u8], Cow<'e, [u8]>)> {
        let read = match self.setup.framing {
            Framing::Sse => sse::event(event),
            Framing::Lines | Framing::Whole => sse::Event {
                name: b"",
                data: Some(Cow::Borrowed(event.trim_ascii())),
                strange: false,
            },
        };
        // What is no event of a stream may be what it should have been one of.
        let strange = || read.strange.then(|| Cow::Borrowed(event.trim_ascii()));
        let data = read.data.filter(|data| !data.is_empty()).or_else(strange)?;
        Some((read.name, data))
    }

    /// What an event says, and all that has been used with it.
    fn weigh(&self, name: &[u8], data: &[u8]) -> (Reading, Tally) {
        let reading = self.read(name, data);
        let mut tally = self.tally;
        let text = reading.text.bytes;
        tally.deliver(text, u64::from(text > 0));
        if let Some(report) = &reading.report {
            tally.absorb(report);
        }
        (reading, tally)
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
        if let Some(told) = self.tell(name, data).or_else(|| self.found(name, data)) {
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

    /// What is found in data that no parser takes, as in a whole answer; `None` where neither text nor a report is.
    fn found(&self, name: &[u8], data: &[u8]) -> Option<Reading> {
        let mut scan = Scan::new(&self.setup.api.answers().wanted);
        let text = scan.feed(data);
        let mut reading = self.tell(name, &scan.kept()).filter(|_| scan.is_over())?;
        if text == 0 && reading.report.is_none() && !reading.failed {
            return None;
        }
        reading.text.add_bytes(text);
        // What is not kept of it is as it was.
        reading.marks.open = self.marks.open;
        reading.hide = Hide::Nothing;
        if self.setup.choices > 1 && text > 0 {
            // Perhaps it is of one answer alone.
            reading.report = None;
        }
        reading.report.get_or_insert_default().invalid += 1;
        Some(reading)
    }

    /// What data says that is JSON.
    pub(super) fn tell(&self, name: &[u8], data: &[u8]) -> Option<Reading> {
        let readable;
        let mut ends = Ends::default();
        let (data, exact) = match loose_noting(data, &mut ends) {
            Ok(data) => (data, true),
            // Clients read what is no UTF-8 as some other character.
            Err(_) => {
                readable = mended(data)?;
                (loose(&readable).ok()?, false)
            }
        };
        let told = Told {
            name: std::str::from_utf8(name).unwrap_or_default(),
            data,
            marks: self.marks,
            shown: self.setup.shown,
            nameless: self.names.is_none(),
            choices: self.setup.choices,
            keep_words: self.words.is_some() && exact,
        };
        Some((self.setup.api.answers().event)(&told))
    }
}

/// The same with something else for each byte that is no UTF-8, so that all stays in its place; `None` where all is.
fn mended(data: &[u8]) -> Option<Vec<u8>> {
    std::str::from_utf8(data).err()?;
    let mut text = Vec::with_capacity(data.len());
    for chunk in data.utf8_chunks() {
        text.extend_from_slice(chunk.valid().as_bytes());
        text.resize(text.len() + chunk.invalid().len(), b'?');
    }
    Some(text)
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
