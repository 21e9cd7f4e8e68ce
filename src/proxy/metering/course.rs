//! How an answer is read while it passes: as it is, from a copy where it is compressed, or not at all where that cannot be read.

use bytes::Bytes;

use crate::domain::credits::Credits;
use crate::meter::answer::decode::{Beside, Coding, Unreadable};
use crate::meter::answer::{Cut, Ended, Meter, Setup, Step, Tally, Words};

/// See the module.
#[allow(
    clippy::large_enum_variant,
    reason = "most are plain, and looked at with each event: in one place with what is around it"
)]
pub(in crate::proxy) enum Course {
    /// It passes in events, of which some may be taken out, and an ending may be put behind any.
    Plain(Meter),
    /// It passes in frames.
    Compressed { beside: Box<Beside>, frame: Frame },
    /// It passes in frames, and what it uses remains unknown (H16).
    Dark { frame: Frame, known: Tally },
}

/// A frame that has come and has not passed.
#[derive(Default)]
pub(in crate::proxy) struct Frame(Bytes);

impl Frame {
    fn next(&mut self, allowed: bool) -> Step {
        match (self.0.is_empty(), allowed) {
            (true, _) => Step::Starved,
            (false, true) => Step::Pass(std::mem::take(&mut self.0)),
            (false, false) => Step::Stopped,
        }
    }
}

impl Course {
    /// For an answer with this `content-encoding`.
    pub(in crate::proxy) fn new(setup: Setup, encoding: &str) -> Course {
        match Coding::of(Some(encoding)) {
            Ok(None) => Course::Plain(Meter::new(setup)),
            Ok(Some(coding)) => Course::Compressed {
                beside: Box::new(Beside::new(setup, coding)),
                frame: Frame::default(),
            },
            Err(Unreadable) => Course::Dark {
                frame: Frame::default(),
                known: Tally::default(),
            },
        }
    }

    /// The upstream has said this.
    pub(in crate::proxy) fn feed(&mut self, data: Bytes) {
        match self {
            Course::Plain(meter) => meter.feed(data),
            Course::Compressed { beside, frame } => {
                let read = beside.read(&data);
                frame.0 = data;
                if read.is_err() {
                    *self = Course::Dark {
                        frame: std::mem::take(frame),
                        known: beside.tally(),
                    };
                }
            }
            Course::Dark { frame, .. } => frame.0 = data,
        }
    }

    /// What may pass.
    pub(in crate::proxy) fn next(&mut self, mut allow: impl FnMut(&Tally) -> bool) -> Step {
        match self {
            Course::Plain(meter) => meter.next(allow),
            Course::Compressed { beside, frame } => frame.next(allow(&beside.tally())),
            Course::Dark { frame, .. } => frame.next(true),
        }
    }

    /// Nothing more is read, however it ended: what was kept undecoded is counted too.
    pub(super) fn close(&mut self) {
        if let Course::Compressed { beside, .. } = self {
            beside.close();
        }
    }

    /// Whether it is known only late how much has passed, so that a hold cannot grow with it.
    pub(super) fn is_late(&self) -> bool {
        match self {
            Course::Plain(_) => false,
            Course::Compressed { beside, .. } => beside.is_late(),
            Course::Dark { .. } => true,
        }
    }

    /// Whether what is left may pass, now that the upstream has come to its end.
    pub(super) fn may_end(&self, allow: impl FnOnce(&Tally) -> bool) -> bool {
        match self {
            Course::Plain(meter) => meter.may_end(allow),
            Course::Compressed { .. } | Course::Dark { .. } => true,
        }
    }

    /// The upstream has come to its end: what is still to be passed on, and whether that is the answer's end. Of what cannot be read nobody knows better.
    pub(in crate::proxy) fn end(&mut self) -> Ended {
        let complete = match self {
            Course::Plain(meter) => return meter.end(),
            Course::Compressed { beside, .. } => match beside.end() {
                Ok(complete) => complete,
                Err(Unreadable) => {
                    *self = Course::Dark {
                        frame: Frame::default(),
                        known: beside.tally(),
                    };
                    true
                }
            },
            Course::Dark { .. } => true,
        };
        let rest = Bytes::new();
        Ended { rest, complete }
    }

    /// Ends it where it is; `None` where it cannot be ended well.
    pub(super) fn cut(&mut self, cut: &Cut<'_>) -> Option<Bytes> {
        match self {
            Course::Plain(meter) if meter.ends_well() => Some(meter.cut(cut)),
            _ => None,
        }
    }

    /// All of it is written, and only what it used is still to be told.
    pub(super) fn owes_usage(&self) -> bool {
        let written = match self {
            Course::Plain(meter) => meter.is_written(),
            Course::Compressed { beside, .. } => beside.is_written(),
            Course::Dark { .. } => false,
        };
        written && self.tally().exact().is_none()
    }

    /// What is known of what it has used.
    pub(in crate::proxy) fn tally(&self) -> Tally {
        match self {
            Course::Plain(meter) => meter.tally(),
            Course::Compressed { beside, .. } => beside.tally(),
            Course::Dark { known, .. } => *known,
        }
    }

    /// The model that answers, as the upstream names it.
    pub(super) fn model(&self) -> Option<String> {
        match self {
            Course::Plain(meter) => meter.model(),
            Course::Compressed { beside, .. } => beside.model(),
            Course::Dark { .. } => None,
        }
    }

    /// Bytes of the words that are kept.
    pub(super) fn words_len(&mut self) -> usize {
        self.meter().map_or(0, |meter| meter.words_len())
    }

    /// Lets so many bytes of them be kept.
    pub(super) fn allow_words(&mut self, bytes: usize) {
        if let Some(meter) = self.meter() {
            meter.allow_words(bytes);
        }
    }

    /// The words that nobody has reported, once nothing more is read; `None` where they are not kept, or were taken.
    pub(super) fn take_words(&mut self) -> Option<Words> {
        self.meter()?.take_words()
    }

    fn meter(&mut self) -> Option<&mut Meter> {
        match self {
            Course::Plain(meter) => Some(meter),
            Course::Compressed { beside, .. } => Some(beside.meter()),
            Course::Dark { .. } => None,
        }
    }

    /// What passes, with what it has cost where it tells all usage; `None` where it does not, or cannot be changed.
    pub(super) fn with_cost(&self, run: &[u8], cost: Credits) -> Option<Bytes> {
        match self {
            Course::Plain(meter) => Some(meter.with_cost(run, &cost.to_string())?.into()),
            Course::Compressed { .. } | Course::Dark { .. } => None,
        }
    }

    /// Whether what it uses cannot be known.
    pub(in crate::proxy) fn is_dark(&self) -> bool {
        matches!(self, Course::Dark { .. })
    }
}
