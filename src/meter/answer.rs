//! The meter: reads what an answer has used while it passes, in frames as they come from the upstream.
//!
//! What passes is untouched, but for usage that the client did not ask for. It passes in whole events, so that an ending can be put behind any of them.
//! Memory is bounded whatever the upstream sends: the frame that came last, and one incomplete event of at most [`EVENT_MAX`].

mod cost;
mod cut;
pub mod decode;
mod framing;
pub mod fuzzing;
mod judge;
mod long;
mod reading;
mod report;
mod scan;
pub(in crate::meter) mod sse;
mod tally;
mod words;

use bytes::{Buf, Bytes};

use super::Api;

pub use cut::Cut;
pub use framing::Framing;
pub use tally::{Counted, Tally};
pub use words::{WORDS_MAX, Words};

pub(in crate::meter) use cut::{Ending, Said};
pub(in crate::meter) use reading::{Hide, Marks, Names, Reading, Told, parts_of, sound_in, without_members};
pub(in crate::meter) use report::{Reader, Report, Tokens, openai, pick, pick_any};
pub(in crate::meter) use scan::{NO_TEXT, Wanted};
pub(in crate::meter) use words::Text;

use framing::Splitter;
use judge::Verdict;
use long::Piece;
use scan::Scan;

/// The longest event that is read whole, in bytes. A longer one passes as it comes, with all its bytes counted as text and nothing hidden; only what it
/// reports is looked for.
pub const EVENT_MAX: usize = 1 << 20;

/// Usage that a client is to see: as much as it would without the gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shown {
    /// None.
    Nothing,
    /// What comes in an event of its own, behind all text.
    Last,
    /// What comes.
    All,
}

/// What a meter has to know beforehand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Setup {
    /// How events are read.
    pub api: Api,
    /// How the answer is cut into them.
    pub framing: Framing,
    /// Of the usage that the upstream was asked for, what the client asked for too.
    pub shown: Shown,
    /// How many choices were asked for (`n`); 1 where there is no such thing.
    pub choices: u64,
    /// What passes is kept as words, for a tokenizer to count.
    pub keep_words: bool,
}

/// What [`Meter::next`] gives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Pass this on. Never empty.
    Pass(Bytes),
    /// Feed more.
    Starved,
    /// The next event was not allowed. It is kept: ask again later, or end with [`Meter::cut`].
    Stopped,
}

/// What is left when the upstream has ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Pass this on: an event without its end.
    pub rest: Bytes,
    /// The answer was complete by its own words, so that this is its end and not a breach.
    pub complete: bool,
}

/// Reads an answer while it passes.
#[derive(Debug)]
pub struct Meter {
    setup: Setup,
    splitter: Splitter,
    /// An event that came in several frames and is complete.
    front: Bytes,
    /// What was fed and has not passed.
    frame: Bytes,
    /// How much of `frame` was looked at already, and what was found.
    seen: Option<Piece>,
    /// An event without its end yet; `frame` goes on with it.
    partial: Vec<u8>,
    /// `frame` goes on with something that is not read whole: an event that is too long, or a whole answer.
    long: Option<Box<Scan>>,
    /// The last event was kept from the client.
    hidden: bool,
    tally: Tally,
    marks: Marks,
    names: Option<Box<Names>>,
    words: Option<Box<Words>>,
}

impl Meter {
    /// A meter for one answer.
    pub fn new(setup: Setup) -> Meter {
        Meter {
            setup,
            splitter: Splitter::new(setup.framing),
            front: Bytes::new(),
            frame: Bytes::new(),
            seen: None,
            partial: Vec::new(),
            long: (setup.framing == Framing::Whole).then(|| Box::new(Scan::new(&setup.api.answers().wanted))),
            hidden: false,
            tally: Tally::default(),
            marks: Marks::default(),
            names: None,
            words: setup.keep_words.then(|| Box::new(Words::new(0))),
        }
    }

    /// Takes a frame from the upstream. Feed only when [`Meter::next`] was [`Step::Starved`]; else what is waiting is copied.
    pub fn feed(&mut self, data: Bytes) {
        if self.frame.is_empty() {
            self.frame = data;
        } else {
            self.frame = [self.frame.as_ref(), data.as_ref()].concat().into();
        }
    }

    /// The longest run of whole events that `allow` lets pass. It is asked once for each event that has text, with what would be used up to its end; events
    /// without text always pass, so that neither an ending nor its report is held up.
    pub fn next(&mut self, mut allow: impl FnMut(&Tally) -> bool) -> Step {
        loop {
            let step = if !self.front.is_empty() {
                self.next_of_front(&mut allow)
            } else if self.frame.is_empty() {
                Some(Step::Starved)
            } else if self.long.is_some() {
                self.next_of_long(&mut allow)
            } else if !self.partial.is_empty() {
                self.gather();
                None
            } else {
                self.next_of_frame(&mut allow)
            };
            if let Some(step) = step {
                return step;
            }
        }
    }

    /// Whether an event without an end, which is what an upstream that ended has left, may pass; asked as [`Meter::next`] asks.
    pub fn may_end(&self, allow: impl FnOnce(&Tally) -> bool) -> bool {
        self.partial.is_empty() || self.is_allowed(&self.partial, allow)
    }

    /// The upstream has ended cleanly. What was not allowed so far passes too: ask [`Meter::next`] and [`Meter::may_end`] before.
    pub fn end(&mut self) -> Ended {
        let mut rest = Vec::new();
        while let Step::Pass(bytes) = self.next(|_| true) {
            rest.extend_from_slice(&bytes);
        }
        self.long_ends();
        let last = std::mem::take(&mut self.partial);
        if !last.is_empty() {
            match self.judge(&last, &mut |_| true) {
                Verdict::Pass | Verdict::Stop => rest.extend_from_slice(&last),
                Verdict::Drop => {}
                Verdict::Replace(other) => rest.extend_from_slice(&other),
            }
        }
        Ended {
            rest: rest.into(),
            complete: self.tally.complete || self.marks.is_over(),
        }
    }

    /// All that was begun is written, as far as anyone can tell: what an upstream still has to say is what it used.
    pub fn is_written(&self) -> bool {
        let between = self.setup.api.answers().in_parts
            && self.marks.open.is_none()
            && !self.tally.delivered.is_empty();
        let all_over = self.marks.is_over() && u64::from(self.marks.over.count_ones()) >= self.setup.choices;
        self.tally.complete || all_over || between
    }

    /// What has been used by what has passed.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The model that answers, as the upstream names it (at most 512 bytes).
    pub fn model(&self) -> Option<String> {
        let written = self.names.as_ref()?.model.as_ref()?;
        let value = super::json::loose(written.as_bytes()).ok()?;
        value.str().map(std::borrow::Cow::into_owned)
    }

    /// Bytes of words that are kept, and with this event's; none where they are not.
    pub fn words_len(&self) -> usize {
        self.words.as_ref().map_or(0, |words| words.len())
    }

    /// From now on so many bytes of words may be kept, at most [`WORDS_MAX`]; at first none. Those that had no room are lost, and so are all behind them, until
    /// there is a report.
    pub fn allow_words(&mut self, room: usize) {
        if let Some(words) = &mut self.words {
            words.allow(room);
        }
    }

    /// The words since the last report; `None` where they are not kept.
    pub fn take_words(&mut self) -> Option<Words> {
        let words = self.words.take()?;
        Some(words.of(self.tally.counted))
    }

    fn next_of_front(&mut self, allow: &mut impl FnMut(&Tally) -> bool) -> Option<Step> {
        let event = std::mem::take(&mut self.front);
        match self.judge(&event, allow) {
            Verdict::Pass => Some(Step::Pass(event)),
            Verdict::Drop => None,
            Verdict::Replace(other) => Some(Step::Pass(other.into())),
            Verdict::Stop => {
                self.front = event;
                Some(Step::Stopped)
            }
        }
    }

    /// Goes on with an event that began in an earlier frame.
    fn gather(&mut self) {
        let end = self.splitter.find(&self.frame);
        let more = self.frame.split_to(end.unwrap_or(self.frame.len()));
        self.partial.extend_from_slice(&more);
        let long = self.partial.len() > EVENT_MAX;
        if end.is_none() && !long {
            return;
        }
        let event = Bytes::from(std::mem::take(&mut self.partial));
        if long {
            self.long_begins(event, end.is_some());
        } else {
            self.front = event;
        }
    }

    /// A run of the events that are whole in the frame.
    fn next_of_frame(&mut self, allow: &mut impl FnMut(&Tally) -> bool) -> Option<Step> {
        let mut frame = std::mem::take(&mut self.frame);
        let mut run = Run::default();
        if frame.first() == Some(&b'\n') && self.splitter.owes_lf() {
            self.splitter.find(frame.get(..1).unwrap_or_default());
            run.take(&frame, 1, if self.hidden { Verdict::Drop } else { Verdict::Pass });
        }
        let found = loop {
            let rest = frame.get(run.end..).unwrap_or_default();
            let piece = self.seen.take().unwrap_or_else(|| self.look(rest));
            let event = rest.get(..piece.length).unwrap_or_default();
            if !piece.over || event.len() > EVENT_MAX {
                break Found::Piece(piece);
            }
            let verdict = self.judge(event, allow);
            if matches!(verdict, Verdict::Stop) {
                self.seen = Some(piece);
                break Found::Stop;
            }
            run.take(&frame, run.end + piece.length, verdict);
        };
        let rest = frame.split_off(run.end);
        let stopped = matches!(found, Found::Stop);
        match found {
            Found::Stop => self.frame = rest,
            Found::Piece(piece) if piece.length > EVENT_MAX => {
                self.frame = rest;
                self.long_begins(Bytes::new(), false);
                self.seen = Some(piece);
            }
            Found::Piece(_) => self.partial = rest.to_vec(),
        }
        match run.out(frame) {
            Some(bytes) => Some(Step::Pass(bytes)),
            None => stopped.then_some(Step::Stopped),
        }
    }
}

/// What ends a run.
enum Found {
    /// An event that is not allowed.
    Stop,
    /// One that is not over, or too long.
    Piece(Piece),
}

/// What passes of a frame.
#[derive(Default)]
struct Run {
    /// Where it begins in the frame, as long as it is one piece of it.
    begin: usize,
    end: usize,
    /// Its own bytes, once something was changed.
    own: Option<Vec<u8>>,
}

impl Run {
    /// Goes on with the event up to `end`.
    fn take(&mut self, frame: &[u8], end: usize, verdict: Verdict) {
        let event = frame.get(self.end..end).unwrap_or_default();
        let before = frame.get(self.begin..self.end).unwrap_or_default();
        match (verdict, &mut self.own) {
            (Verdict::Pass, Some(own)) => own.extend_from_slice(event),
            (Verdict::Pass, None) | (Verdict::Drop | Verdict::Stop, Some(_)) => {}
            (Verdict::Drop | Verdict::Stop, None) if before.is_empty() => self.begin = end,
            (Verdict::Drop | Verdict::Stop, None) => self.own = Some(before.to_vec()),
            (Verdict::Replace(other), Some(own)) => own.extend_from_slice(&other),
            (Verdict::Replace(other), None) => self.own = Some([before, &other].concat()),
        }
        self.end = end;
    }

    /// The run; `frame` ends where it ends.
    fn out(self, mut frame: Bytes) -> Option<Bytes> {
        let bytes = match self.own {
            Some(own) => own.into(),
            None => {
                frame.advance(self.begin);
                frame
            }
        };
        (!bytes.is_empty()).then_some(bytes)
    }
}

#[cfg(test)]
mod tests;
