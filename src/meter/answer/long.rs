//! What is not read whole: events that are too long, and answers that are one JSON text.

use bytes::Bytes;

use super::scan::Scan;
use super::words::Text;
use super::{Framing, Meter, Step, Tally};

/// Bytes at the beginning of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) length: usize,
    /// An event ends with it.
    pub(super) over: bool,
    /// Bytes of text in it, once it was scanned.
    text: Option<u64>,
}

impl Meter {
    /// The event that these bytes begin with, or all of them.
    pub(super) fn look(&mut self, bytes: &[u8]) -> Piece {
        let end = self.splitter.find(bytes);
        Piece {
            length: end.unwrap_or(bytes.len()),
            over: end.is_some(),
            text: None,
        }
    }

    /// The next event is too long; `event` is what was gathered of it, and `frame` goes on with it.
    pub(super) fn long_begins(&mut self, event: Bytes, over: bool) {
        self.long = Some(Box::new(Scan::new(&self.setup.api.answers().wanted)));
        if event.is_empty() {
            return;
        }
        self.seen = Some(Piece {
            length: event.len(),
            over,
            text: None,
        });
        self.frame = if self.frame.is_empty() {
            event
        } else {
            [event.as_ref(), self.frame.as_ref()].concat().into()
        };
    }

    /// The next piece of what is not read whole.
    pub(super) fn next_of_long(&mut self, allow: &mut impl FnMut(&Tally) -> bool) -> Option<Step> {
        let whole = self.setup.framing == Framing::Whole;
        let mut scan = self.long.take()?;
        let frame = std::mem::take(&mut self.frame);
        let mut piece = match self.seen.take() {
            Some(piece) => piece,
            None if whole => Piece {
                length: frame.len(),
                over: false,
                text: None,
            },
            None => self.look(&frame),
        };
        let text = piece.text.unwrap_or_else(|| {
            let found = scan.feed(frame.get(..piece.length).unwrap_or_default());
            if whole { found } else { piece.length as u64 }
        });
        piece.text = Some(text);
        let mut tally = self.tally;
        let begins = whole && tally.delivered.events == 0;
        tally.deliver(text, u64::from(text > 0 && (begins || piece.over)));
        let allowed = text == 0 || allow(&tally);
        self.frame = frame;
        self.long = Some(scan);
        if !allowed {
            self.seen = Some(piece);
            return Some(Step::Stopped);
        }
        self.tally = tally;
        self.hidden = false;
        let passes = self.frame.split_to(piece.length);
        if piece.over {
            self.long_ends();
        }
        (!passes.is_empty()).then_some(Step::Pass(passes))
    }

    /// Reads what was kept of it.
    pub(super) fn long_ends(&mut self) {
        let Some(scan) = self.long.take() else {
            return;
        };
        let kept = self.tell(b"", &scan.kept()).unwrap_or_default();
        let says = kept.failed || kept.report.is_some_and(|report| report.output.is_some());
        let unknown = scan.unknown();
        if self.setup.framing == Framing::Whole && !says && unknown > 0 {
            // It is not what it calls itself: all of it counts.
            self.tally.deliver(unknown, 1);
            self.tally.invalid = self.tally.invalid.saturating_add(1);
        }
        if let Some(report) = &kept.report {
            self.tally.absorb(report);
        }
        if let Some(words) = &mut self.words {
            words.follow(Text::default(), &self.tally);
        }
        self.tally.failed |= kept.failed;
        // What is no JSON at all has no end that could be missing.
        self.tally.complete |= kept.complete || (self.setup.framing == Framing::Whole && !scan.is_cut());
        if self.names.is_none() {
            self.names = kept.names;
        }
    }
}
